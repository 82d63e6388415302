"""One run of a scenario on virtual time: a pure function of scenario, policy and seed.

Nothing happens between events: a signal arrives, our endpoints answer, a lever may be used again. At each the core is
asked as the node asks it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from functools import partial
from itertools import count
from random import Random

from tocsin_protocol.decision.budget import Charge
from tocsin_protocol.decision.decide import Choice
from tocsin_protocol.decision.judge import Judgement
from tocsin_protocol.decision.policy import Policy
from tocsin_protocol.decision.sentence import tell_choice, tell_grounds
from tocsin_protocol.decision.tiers import Tier

from .flight import Flight, measure_outflow, prepare
from .levers import LeverLife, draw_latency_ms
from .losses import Hold, lost_micro_usd
from .outcome import Action, Outcome
from .scenario import Scenario
from .script import Heard, write_script
from .threads import Thread, Threads, Word
from .watch import Watch

_MINUTE_MS = 60_000


def replay(scenario: Scenario, policy: Policy, seed: int, *, traced: bool = False) -> Outcome:
    """One run. Equal arguments give equal outcomes."""
    return fly(prepare(scenario, policy), seed, traced=traced)


def fly(flight: Flight, seed: int, *, traced: bool = False) -> Outcome:
    """One run of a prepared scenario; what the flight keeps from run to run changes no outcome."""
    return _Run(flight, seed, traced=traced).run()


class _Run:
    """The state of one run: what is to come, incidents, levers, charges, and what was done."""

    def __init__(self, flight: Flight, seed: int, *, traced: bool) -> None:
        scenario, cast = flight.scenario, flight.judge.cast
        self._flight, self._judge, self._seed = flight, flight.judge, seed
        self._draws = Random(f"{scenario.name} {seed} chain")  # noqa: S311 - simulation, not secrecy
        self._ends_ms = scenario.starts_ms + scenario.lasts_s * 1000
        self._script = [*write_script(scenario, cast, seed), *measure_outflow(flight)]
        self._threads = Threads(cast, flight.subjects)
        self._lives = [LeverLife(lever, scenario.rearm_s * 1000) for lever in flight.judge.world.policy.levers]
        self._life = {life.lever.hook: life for life in self._lives}
        self._charges: list[Charge] = []
        self._actions: list[Action] = []
        self._holds: dict[str, list[Hold]] = {scope.name: [] for scope in scenario.scope}
        self._notices = self._refused = 0
        self._order = count()
        self._queue: list[tuple[int, int, Callable[[int], None]]] = []
        self._watch = Watch(self._judge, self._threads, self._lives, self._charges) if traced else None

    def run(self) -> Outcome:
        """Let everything happen, in order of time and then of digest."""
        for heard in sorted(self._script, key=lambda heard: (heard.at_ms, heard.digest)):
            self._at(heard.at_ms, partial(self._hear, heard))
        if self._watch:
            for moment_ms in self._watch.moments(self._flight.scenario.starts_ms, self._ends_ms):
                self._at(moment_ms, self._watch.look)
        while self._queue and self._queue[0][0] <= self._ends_ms:
            now_ms, _, happen = heapq.heappop(self._queue)
            happen(now_ms)
        return self._outcome()

    def _at(self, at_ms: int, happen: Callable[[int], None]) -> None:
        heapq.heappush(self._queue, (at_ms, next(self._order), happen))

    def _hear(self, heard: Heard, now_ms: int) -> None:
        joined = self._threads.hear(heard)
        if joined is None:
            self._refused += 1
            return
        thread, word = joined
        if self._watch:
            self._watch.heard(word)
        # Nothing is asked of our endpoints for what may not actuate.
        if heard.answer is not None and now_ms < word.until_ms:
            self._at(now_ms + heard.answer_ms, partial(self._answer, thread, word))
        self._decide(thread, now_ms)

    def _answer(self, thread: Thread, word: Word, now_ms: int) -> None:
        tells_more = self._threads.tells_more(thread, word, now_ms)
        word.answer = word.heard.answer
        if self._watch:
            self._watch.answered(word, now_ms)
        if tells_more:
            self._decide(thread, now_ms)

    def _decide_all(self, now_ms: int) -> None:
        for thread in self._threads.all:
            self._decide(thread, now_ms)

    def _decide(self, thread: Thread, now_ms: int) -> None:
        words = self._threads.words_for(thread, now_ms)
        # Without a signal that may actuate the core uses no lever: it is not asked.
        if not any(now_ms < word.until_ms for word in words):
            return
        judgement = self._judge.judge(thread.incident.id, words, self._lives, self._charges, now_ms)
        if self._watch:
            self._watch.judged(thread, judgement, now_ms)
        # What people would approve, and when, nobody knows: a lever that asks them is never used here.
        for choice in (choice for choice in judgement.decision.fired if not choice.lever.asks):
            self._use(choice, judgement, thread, now_ms)

    def _confirm(self, thread: Thread, now_ms: int) -> None:
        """Our people confirm an incident."""
        self._charges[:] = [charge for charge in self._charges if charge.incident != thread.incident.id]

    def _use(self, choice: Choice, judgement: Judgement, thread: Thread, now_ms: int) -> None:
        lever, life = choice.lever, self._life[choice.lever.hook]
        if lever.tier is Tier.NOTIFY:
            self._notices += 1
            life.use(now_ms, now_ms, now_ms)
            return
        begins_ms = now_ms + draw_latency_ms(self._flight.scenario.chain, self._draws)
        ends_ms = begins_ms + lever.minutes * _MINUTE_MS
        life.use(now_ms, begins_ms, ends_ms)
        # The people who arm it again have looked: of a real incident they say so, and the charges are given back.
        if self._is_threat(rearmed_ms := now_ms + self._flight.scenario.rearm_s * 1000):
            self._at(rearmed_ms, partial(self._confirm, thread))
        self._at(life.ready_again_ms, self._decide_all)
        self._charges += [Charge(m, thread.incident.id, lever.minutes, now_ms) for m in choice.charged]
        for scope in lever.scopes & self._holds.keys():
            self._holds[scope].append(Hold(begins_ms, ends_ms, lever.effectiveness))
        action = Action(
            hook=lever.hook,
            tier=lever.tier,
            scopes=choice.scopes,
            decided_ms=now_ms,
            begins_ms=begins_ms,
            ends_ms=ends_ms,
            false_ms=self._false_ms(begins_ms, ends_ms),
            sentence=f"{tell_choice(choice)} {tell_grounds(judgement.situation)}",
        )
        self._actions.append(action)
        if self._watch:
            self._watch.acted(action)

    def _is_threat(self, at_ms: int) -> bool:
        scenario = self._flight.scenario
        if scenario.threat is None:
            return False
        return scenario.threat.from_s * 1000 <= at_ms - scenario.starts_ms <= scenario.threat.until_s * 1000

    def _false_ms(self, begins_ms: int, ends_ms: int) -> int:
        """How long of this nothing threatened us."""
        threat, starts_ms = self._flight.scenario.threat, self._flight.scenario.starts_ms
        if threat is None:
            return ends_ms - begins_ms
        from_ms, until_ms = starts_ms + threat.from_s * 1000, starts_ms + threat.until_s * 1000
        return ends_ms - begins_ms - max(0, min(ends_ms, until_ms) - max(begins_ms, from_ms))

    def _outcome(self) -> Outcome:
        scenario, drains = self._flight.scenario, self._flight.drains
        over_ms = contained_ms = self._ends_ms + 1
        if scenario.people is not None:
            contained_ms = scenario.starts_ms + scenario.people.contained_s * 1000
        held = [action for action in self._actions if action.tier >= Tier.FREEZE and action.begins_ms <= self._ends_ms]
        ttc_ms = None
        if held and scenario.threat is not None:
            harm_ms = scenario.starts_ms + scenario.threat.first_harm_s * 1000
            ttc_ms = min(action.begins_ms for action in held) - harm_ms
        return Outcome(
            seed=self._seed,
            without_micro_usd=sum(lost_micro_usd(drain, (), over_ms) for drain in drains.values()),
            people_micro_usd=sum(lost_micro_usd(drain, (), contained_ms) for drain in drains.values()),
            # The people still come when they came.
            with_micro_usd=sum(lost_micro_usd(d, self._holds[name], contained_ms) for name, d in drains.items()),
            ttc_ms=ttc_ms,
            false_pause_ms=sum(action.false_ms for action in self._actions if action.tier >= Tier.FREEZE),
            actions=tuple(self._actions),
            notices=self._notices,
            signals=len(self._script),
            refused=self._refused,
            trace=self._watch.trace() if self._watch else None,
        )
