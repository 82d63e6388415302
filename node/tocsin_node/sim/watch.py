"""Takes down one run in detail: belief over time, what happened, and why more was not done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tocsin_protocol.belief.statements import read_statement
from tocsin_protocol.decision.budget import Charge
from tocsin_protocol.decision.judge import Judgement
from tocsin_protocol.decision.levers import Lever
from tocsin_protocol.decision.tiers import Tier

from .judge import Judge
from .levers import LeverLife
from .outcome import Action, Happening, HappeningKind, Point, Trace
from .threads import Thread, Threads, Word

# Moments at which belief is looked at beside those at which it is decided on: a line on paper has no more.
POINTS = 400
MAX_HAPPENINGS = 400


class Watch:
    """Listens to one run. It changes nothing in it."""

    def __init__(self, judge: Judge, threads: Threads, lives: Sequence[LeverLife], charges: Sequence[Charge]) -> None:
        self._judge, self._threads, self._lives, self._charges = judge, threads, lives, charges
        self._points: list[Point] = []
        self._happenings: list[Happening] = []
        self._thresholds: dict[Tier, float] = {}
        self._nearest, self._highest = "", 0.0

    @staticmethod
    def moments(starts_ms: int, ends_ms: int) -> Iterator[int]:
        """When to look."""
        for step in range(POINTS + 1):
            yield starts_ms + (ends_ms - starts_ms) * step // POINTS

    def look(self, now_ms: int) -> None:
        """Take down the belief in every incident of which something may still actuate."""
        for thread in self._threads.all:
            words = self._threads.words_for(thread, now_ms)
            if any(now_ms < word.until_ms for word in words):
                belief = self._judge.judge(thread.incident.id, words, self._lives, self._charges, now_ms).belief
                self._points.append(Point(now_ms, thread.number, belief.probability))

    def heard(self, word: Word) -> None:
        """Somebody spoke."""
        heard = word.heard
        statement = read_statement(heard.signal, heard.publisher, heard.digest, heard.at_ms)
        stance = "drill" if statement is None else str(statement.stance)
        name = self._judge.cast.name(heard.publisher)
        late = "" if word.until_ms else f", may not actuate ({word.standing})"
        is_ours = heard.publisher == self._judge.cast.own
        kind = HappeningKind.FOUND if is_ours else HappeningKind.SAID
        self._tell(heard.at_ms, kind, f"{name}: {heard.signal.category} ({stance}){late}")

    def answered(self, word: Word, now_ms: int) -> None:
        """Our endpoints answered."""
        name = self._judge.cast.name(word.heard.publisher)
        self._tell(now_ms, HappeningKind.CHECKED, f"evidence of {name}: {word.answer}")

    def acted(self, action: Action) -> None:
        """A lever was used."""
        self._tell(action.decided_ms, HappeningKind.DONE, action.sentence)

    def judged(self, thread: Thread, judgement: Judgement, now_ms: int) -> None:
        """It was decided."""
        probability = judgement.belief.probability
        self._points.append(Point(now_ms, thread.number, probability))
        if probability > self._highest:
            told = self._judge.explain(judgement, self._lives, self._charges, now_ms)
            self._highest, self._nearest = probability, told.sentence
        stakes = {stake.scope: stake.loss_micro_usd for stake in judgement.situation.stakes}
        for choice in judgement.decision.choices:
            self._weigh(choice.lever, sum(stakes.get(scope, 0) for scope in choice.lever.scopes))

    def trace(self) -> Trace:
        """All of it."""
        return Trace(tuple(self._points), tuple(self._happenings), self._thresholds, self._nearest)

    def _weigh(self, lever: Lever, stake_micro_usd: int) -> None:
        """Where p(1−e)L + (1−p)c falls below pL."""
        if lever.tier > Tier.NOTIFY and stake_micro_usd:
            worth = lever.cost_micro_usd / (lever.cost_micro_usd + lever.effectiveness * stake_micro_usd)
            self._thresholds[lever.tier] = min(worth, self._thresholds.get(lever.tier, 1.0))

    def _tell(self, at_ms: int, kind: HappeningKind, text: str) -> None:
        if len(self._happenings) < MAX_HAPPENINGS:
            self._happenings.append(Happening(at_ms, kind, text))
