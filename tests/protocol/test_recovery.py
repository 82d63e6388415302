"""The stages of a reopening: what moves them, what never does, and how long it takes."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from approval_kit import BEGINS_MS, HOUR_MS, NODE
from hypothesis import given
from hypothesis import strategies as st
from recovery_kit import CAP, INCIDENT, POLICY, POOL, QUICK, UNPAUSE, Driver, grant, make_track, next_step
from strategies_kit import FIXED
from tocsin_protocol import recovery
from tocsin_protocol.approval.judging import Granted
from tocsin_protocol.approval.request import MAX_EFFECT_BYTES, Purpose
from tocsin_protocol.decision.tiers import Tier
from tocsin_protocol.errors import DecodeError, PolicyError, RecoveryError
from tocsin_protocol.recovery.plan import Plan, Proposal
from tocsin_protocol.recovery.policy import DEFAULT_DWELL_MS, MAX_DWELL_MS, MIN_DWELL_MS, PPM, RecoveryPolicy
from tocsin_protocol.recovery.stages import (
    LIMIT_PERCENT,
    OPENS,
    TRANSITIONS,
    Event,
    Operation,
    Stage,
    next_stage,
    operations_of,
)
from tocsin_protocol.recovery.steps import MAX_CALL_BYTES, MAX_CALLS, Call, Step, step_request
from tocsin_protocol.recovery.track import (
    MAX_TICK_MS,
    Approved,
    Ended,
    Level,
    Note,
    Observed,
    Opened,
    advance,
)

ALARM_PPM = 600_000
BETWEEN_PPM = 300_000


@pytest.mark.parametrize(("stage", "event"), list(product(Stage, Event)))
def test_only_the_table_decides(stage: Stage, event: Event) -> None:
    if (stage, event) == (Stage.NORMAL, Event.OPEN):
        with pytest.raises(RecoveryError, match="event open is not possible in stage normal"):
            next_stage(stage, event)
    else:
        assert next_stage(stage, event) is TRANSITIONS[stage, event]


def test_only_people_open_and_one_stage_at_a_time() -> None:
    for (before, event), after in TRANSITIONS.items():
        if event is Event.OPEN:
            assert after.rank == max(before.rank, Stage.RESTRICTED.rank) + 1
        elif event is Event.LAPSE:
            assert after is before or (before, after) == (Stage.HALTED, Stage.RESTRICTED)
        else:
            assert after.rank <= before.rank


def test_operations_open_in_their_order() -> None:
    first = {op: min(stage.rank for stage, opens in OPENS.items() if op in opens) for op in Operation}
    assert first[Operation.REPAY] < first[Operation.WITHDRAW] < first[Operation.LIQUIDATE] < first[Operation.BORROW]
    assert operations_of(Stage.HALTED) == ()
    assert set(operations_of(Stage.EXIT_ONLY)) == {Operation.REPAY, Operation.TOP_UP, Operation.WITHDRAW}
    assert operations_of(Stage.NORMAL) == tuple(Operation)
    limits = [LIMIT_PERCENT[stage] for stage in Stage]
    assert limits == sorted(limits)


def test_a_scope_goes_all_the_way_by_five_approvals() -> None:
    driver = Driver(make_track(), POLICY)
    driver.climb(Stage.NORMAL)
    assert driver.notes.count(Note.OPENED) == 5
    assert driver.track.step == 3 + 5
    assert driver.now_ms - BEGINS_MS >= sum(
        DEFAULT_DWELL_MS[s] for s in Stage if s not in (Stage.RESTRICTED, Stage.NORMAL)
    )
    assert not driver.track.is_over(POLICY)
    driver.observe()
    driver.watch(DEFAULT_DWELL_MS[Stage.NORMAL])
    assert driver.track.is_over(POLICY)
    assert driver.open() is Note.NOTHING_TO_OPEN


def test_without_approval_nothing_counts_as_open() -> None:
    driver = Driver()
    driver.watch(10 * MAX_TICK_MS)
    assert driver.open() is Note.NOT_APPROVED
    assert driver.track.stage is Stage.HALTED


def test_before_the_dwell_nothing_counts_as_open_and_after_it_does() -> None:
    driver = Driver(make_track(), POLICY)
    driver.observe()
    assert driver.approve() is Note.APPROVED
    driver.watch(DEFAULT_DWELL_MS[Stage.HALTED] - 5_000)
    assert driver.track.dwell_left_ms(POLICY) == 5_000
    assert driver.open() is Note.TOO_EARLY
    driver.observe()
    assert driver.open() is Note.OPENED


@pytest.mark.parametrize("upstream", list(Stage))
def test_nothing_opens_further_than_what_it_hangs_on(upstream: Stage) -> None:
    driver = Driver()
    driver.climb(Stage.EXIT_ONLY)
    driver.watch(2 * MAX_TICK_MS)
    driver.approve()
    expected = Note.OPENED if upstream.rank >= Stage.CANARY_1.rank else Note.UPSTREAM_CLOSED
    assert driver.open(upstream) is expected


@pytest.mark.parametrize(
    ("stage", "tier", "belief", "after"),
    [
        (Stage.CANARY_25, None, ALARM_PPM, Stage.EXIT_ONLY),
        (Stage.NORMAL, None, ALARM_PPM, Stage.EXIT_ONLY),
        (Stage.CANARY_1, Tier.TIGHTEN, 0, Stage.EXIT_ONLY),
        (Stage.CANARY_5, Tier.FREEZE, 0, Stage.HALTED),
        (Stage.EXIT_ONLY, Tier.PAUSE, PPM, Stage.HALTED),
        (Stage.RESTRICTED, Tier.FREEZE, 0, Stage.HALTED),
    ],
)
def test_a_new_signal_steps_back(stage: Stage, tier: Tier | None, belief: int, after: Stage) -> None:
    driver = Driver(make_track(stage=stage, level=Level.CALM, exit_ms=7))
    assert driver.observe(belief, tier=tier) is Note.STEPPED_BACK
    assert (driver.track.stage, driver.track.backs, driver.track.step) == (after, 1, 4)
    assert driver.track.calm_ms == driver.track.watched_ms == 0
    assert (driver.track.exit_ms == 0) == (after is Stage.HALTED)


@pytest.mark.parametrize(
    ("stage", "tier"), [(Stage.EXIT_ONLY, None), (Stage.HALTED, Tier.PAUSE), (Stage.RESTRICTED, None)]
)
def test_where_nothing_more_can_be_closed_a_signal_voids_what_was_approved(stage: Stage, tier: Tier | None) -> None:
    driver = Driver(make_track(stage=stage, level=Level.CALM))
    driver.approve()
    assert driver.observe(ALARM_PPM, tier=tier) is Note.ALARMED
    assert (driver.track.stage, driver.track.step, driver.track.approved) == (stage, 4, None)
    assert driver.track.backs == 0


def test_notices_and_beliefs_between_close_nothing() -> None:
    driver = Driver(make_track(stage=Stage.CANARY_5, level=Level.CALM))
    assert driver.observe(0, tier=Tier.NOTIFY) is Note.WATCHED
    assert driver.observe(BETWEEN_PPM) is Note.WATCHED
    assert driver.track.level is Level.UNEASY
    assert driver.track.stage is Stage.CANARY_5


def test_a_belief_that_stays_high_steps_back_once_and_again_only_after_calm() -> None:
    driver = Driver(make_track(stage=Stage.CANARY_5, level=Level.CALM))
    assert driver.observe(ALARM_PPM) is Note.STEPPED_BACK
    for belief in (ALARM_PPM, BETWEEN_PPM, ALARM_PPM, PPM):
        assert driver.observe(belief) is Note.WATCHED
    assert driver.observe(0) is Note.WATCHED
    assert driver.observe(ALARM_PPM) is Note.ALARMED


def test_a_lever_used_after_an_alarm_still_halts() -> None:
    driver = Driver(make_track(stage=Stage.CANARY_5, level=Level.CALM))
    driver.observe(ALARM_PPM)
    assert driver.observe(ALARM_PPM, tier=Tier.FREEZE) is Note.STEPPED_BACK
    assert driver.track.stage is Stage.HALTED
    assert driver.observe(ALARM_PPM) is Note.WATCHED
    assert driver.observe(ALARM_PPM, tier=Tier.PAUSE) is Note.ALARMED


def test_a_belief_between_starts_the_dwell_over() -> None:
    driver = Driver(make_track(stage=Stage.EXIT_ONLY, level=Level.CALM), POLICY)
    driver.watch(10 * MAX_TICK_MS)
    assert driver.track.calm_ms == 10 * MAX_TICK_MS
    driver.observe(BETWEEN_PPM)
    assert driver.track.calm_ms == 0
    driver.observe()
    assert driver.track.calm_ms == 0
    driver.observe()
    assert driver.track.calm_ms == 5_000


def test_each_step_back_doubles_the_dwell_up_to_a_day() -> None:
    dwells = [make_track(stage=Stage.EXIT_ONLY, backs=backs).dwell_ms(POLICY) for backs in range(40)]
    assert dwells[:5] == [DEFAULT_DWELL_MS[Stage.EXIT_ONLY] << backs for backs in range(5)]
    assert set(dwells[5:]) == {MAX_DWELL_MS}
    assert make_track(backs=10**6).dwell_ms(QUICK) == MAX_DWELL_MS


def test_peers_cannot_keep_a_scope_closed_for_longer_than_a_day() -> None:
    driver = Driver(make_track(backs=10**6), POLICY)
    driver.watch(MAX_DWELL_MS, PPM)
    assert driver.track.calm_ms == 0
    assert driver.track.dwell_left_ms(POLICY) == 0
    driver.approve()
    assert driver.open() is Note.OPENED


def test_liquidation_waits_for_its_grace() -> None:
    policy = RecoveryPolicy(dwell_ms=dict.fromkeys(Stage, 1_000), grace_ms=600_000)
    driver = Driver(make_track(), policy)
    driver.climb(Stage.CANARY_1)
    assert Operation.DEPOSIT in driver.track.allowed(policy)
    assert Operation.LIQUIDATE not in driver.track.allowed(policy)
    driver.watch(600_000)
    assert Operation.LIQUIDATE in driver.track.allowed(policy)
    driver.observe(0, tier=Tier.FREEZE)
    assert driver.track.allowed(policy) == ()
    driver.climb(Stage.CANARY_1)
    assert Operation.LIQUIDATE not in driver.track.allowed(policy)


def test_what_no_lever_holds_any_more_is_restricted_and_no_more() -> None:
    driver = Driver()
    driver.approve()
    assert driver.end() is Note.LAPSED
    assert (driver.track.stage, driver.track.approved) == (Stage.RESTRICTED, None)
    assert driver.end() is Note.LAPSED
    assert driver.track.stage is Stage.RESTRICTED
    driver.climb(Stage.CANARY_1)
    before = driver.track
    assert driver.end() is Note.LAPSED
    assert replace(driver.track, last_number=before.last_number) == before


def test_an_approval_of_anything_else_does_not_count() -> None:
    track = make_track()
    step = next_step(track, UNPAUSE)
    good = grant(step)

    def given(granted: Granted = good, of: Step = step, node: bytes = NODE) -> Approved:
        return Approved(1, BEGINS_MS, of, node, granted)

    later = Step("market", 3, Stage.EXIT_ONLY, Stage.CANARY_1, ())
    wrong = {
        "scope": given(grant(other := replace(step, scope="other")), other),
        "number": given(grant(earlier := replace(step, number=2)), earlier),
        "stage": given(grant(later), later),
        "calls": given(good, replace(step, calls=(CAP,))),
        "incident": given(grant(step, incident=bytes(32))),
        "purpose": given(replace(good, request=replace(good.request, purpose=Purpose.ACT))),
        "payload": given(replace(good, request=replace(good.request, payload=bytes(32)))),
        "words": given(replace(good, request=replace(good.request, effect="Send flowers."))),
        "target": given(replace(good, request=replace(good.request, target=POOL.replace("b1", "b2")))),
        "lever": given(replace(good, request=replace(good.request, lever="pause"))),
        "a lower tier": given(grant(step, tier=1)),
        "another tier": given(grant(step, tier=3)),
        "another node": given(grant(step, node=bytes(20))),
        "ours, of another node": given(good, node=bytes(20)),
    }
    for name, event in wrong.items():
        outcome = advance(QUICK, track, event)
        assert (outcome.note, outcome.track.approved) == (Note.NOT_THIS_STEP, None), name
    outcome = advance(QUICK, track, given())
    assert (outcome.note, outcome.track.approved) == (Note.APPROVED, step.payload)
    assert outcome.track.approved_until_ms == good.request.expires_ms


def test_an_approval_does_not_outlive_its_step() -> None:
    driver = Driver()
    step = next_step(driver.track, UNPAUSE)
    granted = grant(step)
    driver.climb(Stage.EXIT_ONLY)
    driver.observe(0, tier=Tier.FREEZE)
    assert driver.track.stage is Stage.HALTED
    assert driver.take(Approved(driver.next(), driver.now_ms, step, NODE, granted)) is Note.NOT_THIS_STEP


def test_an_approval_that_has_expired_is_not_taken() -> None:
    track = make_track()
    step = next_step(track, UNPAUSE)
    granted = grant(step)
    last = granted.request.expires_ms - 1
    for now_ms, last_ms, note in (
        (last, last, Note.APPROVED),
        (last + 1, last, Note.EXPIRED),
        # whatever the clock was set back to
        (last, last + 1, Note.EXPIRED),
    ):
        outcome = advance(QUICK, replace(track, last_ms=last_ms), Approved(1, now_ms, step, NODE, granted))
        assert (outcome.note, outcome.track.approved is not None) == (note, note is Note.APPROVED)


def test_a_step_that_was_not_made_within_the_window_of_its_approval_is_asked_anew() -> None:
    driver = Driver()
    driver.observe()
    driver.observe()
    assert driver.approve() is Note.APPROVED
    approved = driver.track
    driver.now_ms = approved.approved_until_ms
    assert not approved.is_approved(driver.now_ms)
    assert approved.is_approved(driver.now_ms - 1)
    assert driver.open() is Note.EXPIRED
    assert (driver.track.stage, driver.track.step, driver.track.approved) == (Stage.HALTED, approved.step + 1, None)
    assert driver.open() is Note.NOT_APPROVED
    driver.observe()
    assert driver.approve() is Note.APPROVED
    assert driver.open() is Note.OPENED


@pytest.mark.parametrize("level", [Level.HALT, Level.ALARM, Level.CALM])
def test_a_lever_of_a_higher_tier_voids_what_was_approved_for_the_lower(level: Level) -> None:
    driver = Driver(make_track(level=level))
    assert driver.approve() is Note.APPROVED
    assert driver.observe(0, tier=Tier.PAUSE) is Note.ALARMED
    assert (driver.track.tier, driver.track.step, driver.track.approved) == (Tier.PAUSE, 4, None)
    # as at the start: what comes of one use at one level is told once
    assert driver.observe(0, tier=Tier.PAUSE) is Note.WATCHED


ticks = st.integers(0, 2 * MAX_TICK_MS)
single = st.one_of(
    st.tuples(st.just("observe"), st.integers(0, PPM), ticks, st.one_of(st.none(), st.sampled_from(Tier))),
    st.tuples(st.just("calm"), ticks),
    st.tuples(st.just("approve")),
    st.tuples(st.just("open"), st.one_of(st.none(), st.sampled_from(Stage))),
    st.tuples(st.just("end")),
    st.tuples(st.just("back"), st.integers(1, 10 * MAX_TICK_MS)),
)
# What people do when all goes well, so that sequences get somewhere.
opening: list[tuple[Any, ...]] = [("calm", 5_000), ("calm", MAX_TICK_MS), ("approve",), ("open", None)]
moves = st.lists(st.one_of(st.lists(single, max_size=4), st.just(opening)), max_size=16).map(
    lambda parts: [move for part in parts for move in part]
)
starts = st.sampled_from(Stage)


def play(driver: Driver, move: tuple[Any, ...]) -> Any:
    """Make one move; the event that it took."""
    match move:
        case ("observe", belief, passed, tier):
            driver.now_ms += passed
            event: Any = Observed(driver.next(), driver.now_ms, belief, tier)
        case ("calm", passed):
            driver.now_ms += passed
            event = Observed(driver.next(), driver.now_ms, 0)
        case ("back", by):
            driver.now_ms -= by
            event = Observed(driver.next(), driver.now_ms, 0)
        case ("approve",):
            if driver.track.stage is Stage.NORMAL:
                return None
            step = next_step(driver.track, UNPAUSE)
            begins_ms = max(0, driver.now_ms) // 1000 * 1000
            window = {"not_before_ms": begins_ms, "expires_ms": begins_ms + HOUR_MS}
            granted = grant(step, tier=int(driver.track.tier), **window)
            event = Approved(driver.next(), driver.now_ms, step, NODE, granted)
        case ("open", upstream):
            event = Opened(driver.next(), driver.now_ms, upstream)
        case _:
            event = Ended(driver.next())
    driver.take(event)
    return event


@FIXED
@given(starts, moves)
def test_every_opening_takes_an_approval_of_its_own_and_opens_one_stage(start: Stage, sequence: list[Any]) -> None:
    driver = Driver(make_track(stage=start))
    approved_since = False
    for move in sequence:
        before = driver.track
        event = play(driver, move)
        after = driver.track.stage
        if isinstance(event, Approved):
            approved_since = True
        if after.rank > before.stage.rank:
            if isinstance(event, Ended):
                assert (before.stage, after) == (Stage.HALTED, Stage.RESTRICTED)
            else:
                assert isinstance(event, Opened)
                assert approved_since
                assert after is next_stage(before.stage, Event.OPEN)
        if after is not before.stage:
            approved_since = False


@FIXED
@given(starts, moves)
def test_a_signal_at_any_time_opens_nothing(start: Stage, sequence: list[Any]) -> None:
    driver = Driver(make_track(stage=start))
    for move in sequence:
        play(driver, move)
        for belief, tier in product((0, BETWEEN_PPM, PPM), (None, *Tier)):
            seen = Observed(driver.number + 1, driver.now_ms + 1, belief, tier)
            after = advance(QUICK, driver.track, seen).track
            assert after.stage.rank <= driver.track.stage.rank
            assert set(after.allowed(QUICK)) <= set(driver.track.allowed(QUICK))


@FIXED
@given(starts, moves)
def test_a_replay_changes_nothing(start: Stage, sequence: list[Any]) -> None:
    driver = Driver(make_track(stage=start))
    seen: list[Any] = []
    for move in sequence:
        event = play(driver, move)
        seen += [] if event is None else [event]
        for old in seen[-5:]:
            outcome = advance(QUICK, driver.track, old)
            assert (outcome.note, outcome.track) == (Note.REPLAYED, driver.track)
    again = make_track(stage=start)
    for event in [event for one in seen for event in (one, one)]:
        again = advance(QUICK, again, event).track
    assert again == driver.track


@FIXED
@given(starts, moves, st.integers(0, 50))
def test_dwell_is_bounded_whatever_happened(start: Stage, sequence: list[Any], backs: int) -> None:
    driver = Driver(make_track(stage=start, backs=backs), POLICY)
    for move in sequence:
        play(driver, move)
        assert MIN_DWELL_MS <= driver.track.dwell_ms(POLICY) <= MAX_DWELL_MS
        assert 0 <= driver.track.dwell_left_ms(POLICY) <= driver.track.dwell_ms(POLICY)
        assert max(driver.track.calm_ms, driver.track.watched_ms, driver.track.exit_ms) <= MAX_DWELL_MS


@FIXED
@given(
    st.lists(st.tuples(st.integers(1, MAX_TICK_MS), st.one_of(st.none(), st.integers(1, 10**9))), max_size=40),
    st.sampled_from((Stage.HALTED, Stage.EXIT_ONLY, Stage.CANARY_5)),
)
def test_clock_steps_back_shorten_no_dwell_and_no_grace(times: list[tuple[int, int | None]], stage: Stage) -> None:
    """The same times, with and without observations in between that a clock set back made."""
    plain = stepped = make_track(stage=stage, level=Level.CALM)
    now_ms, number = BEGINS_MS, 0
    for passed, back in times:
        now_ms, number = now_ms + passed, number + 2
        if back is not None:
            early = max(0, now_ms - back)
            stepped = advance(POLICY, stepped, Observed(number - 1, early, 0)).track
        plain = advance(POLICY, plain, Observed(number, now_ms, 0)).track
        stepped = advance(POLICY, stepped, Observed(number, now_ms, 0)).track
        assert stepped.dwell_left_ms(POLICY) >= plain.dwell_left_ms(POLICY)
        assert stepped.exit_ms <= plain.exit_ms


@pytest.mark.parametrize("jump", [MAX_TICK_MS + 1, 10**12])
def test_a_clock_that_jumps_ahead_or_a_node_that_slept_adds_nothing(jump: int) -> None:
    driver = Driver(make_track(level=Level.CALM), POLICY)
    driver.observe()
    driver.observe(passed_ms=jump)
    assert driver.track.calm_ms == driver.track.watched_ms == 5_000


@pytest.mark.parametrize("swing", [1, MAX_TICK_MS, MAX_TICK_MS + 1, 2 * MAX_TICK_MS])
def test_a_clock_that_swings_earns_neither_dwell_nor_grace(swing: int) -> None:
    driver = Driver(make_track(stage=Stage.EXIT_ONLY, level=Level.CALM), POLICY)
    for _ in range(200):
        driver.observe(passed_ms=swing)
        driver.observe(passed_ms=-swing)
    assert max(driver.track.calm_ms, driver.track.watched_ms, driver.track.exit_ms) <= MAX_TICK_MS


def test_a_clock_that_goes_back_far_and_forward_in_small_steps_starts_over() -> None:
    driver = Driver(make_track(stage=Stage.EXIT_ONLY, level=Level.CALM), POLICY)
    for _ in range(200):
        driver.observe(passed_ms=MAX_TICK_MS - 1)
        driver.observe(passed_ms=2)
        driver.observe(passed_ms=-MAX_TICK_MS - 1)
    assert max(driver.track.calm_ms, driver.track.watched_ms, driver.track.exit_ms) <= MAX_TICK_MS + 1


def test_a_clock_set_right_after_a_jump_goes_on_with_a_new_dwell() -> None:
    driver = Driver(make_track(level=Level.CALM), POLICY)
    driver.observe(passed_ms=10**12)
    driver.observe(passed_ms=-(10**12))
    assert driver.track.calm_ms == 0
    driver.watch(DEFAULT_DWELL_MS[Stage.HALTED])
    assert driver.track.dwell_left_ms(POLICY) == 0


def test_the_text_of_every_step_fits_a_request() -> None:
    for stage in (stage for stage in Stage if stage is not Stage.NORMAL):
        track = make_track("m" * 64, stage)
        request = grant(next_step(track)).request
        assert (request.lever, request.target, request.epoch) == ("recovery", "m" * 64, 3)
        assert len(request.effect) <= MAX_EFFECT_BYTES
    assert next_step(make_track()).effect == (
        "Open market from halted to exit-only (0 % of new exposure): repay, top-up, withdraw."
    )
    assert grant(next_step(make_track(), UNPAUSE)).request.target == POOL


def test_every_part_of_a_step_is_in_its_payload() -> None:
    step = Step("market", 3, Stage.EXIT_ONLY, Stage.CANARY_1, (CAP, UNPAUSE))
    others: list[Step] = [
        replace(step, scope="other"),
        replace(step, number=4),
        replace(step, before=Stage.CANARY_1, after=Stage.CANARY_5),
        replace(step, calls=(UNPAUSE, CAP)),
        replace(step, calls=(CAP,)),
        replace(step, calls=(replace(CAP, data=b""), UNPAUSE)),
        replace(step, calls=(replace(CAP, effect="other"), UNPAUSE)),
        replace(step, calls=(replace(CAP, target=POOL.replace("b1", "b2")), UNPAUSE)),
    ]
    assert len({one.payload for one in (step, *others)}) == 1 + len(others)


@pytest.mark.parametrize(
    ("make", "error", "named"),
    [
        (lambda: Step("m", 0, Stage.HALTED, Stage.CANARY_1, ()), RecoveryError, "canary-1 does not follow halted"),
        (lambda: Step("m", 0, Stage.NORMAL, Stage.NORMAL, ()), RecoveryError, "not possible in stage normal"),
        (lambda: Step("m", 0, Stage.CANARY_5, Stage.CANARY_1, ()), RecoveryError, "does not follow"),
        (lambda: Step("m", 0, Stage.HALTED, Stage.EXIT_ONLY, (CAP,) * (MAX_CALLS + 1)), RecoveryError, "33 calls"),
        (lambda: Call("0x00", b"", "x"), DecodeError, "CAIP-10"),
        (lambda: Call(POOL, bytes(MAX_CALL_BYTES + 1), "x"), DecodeError, "16385 bytes"),
        (lambda: Call(POOL, b"", "a\nb"), DecodeError, "effect of a call"),
        (lambda: Observed(1, 0, PPM + 1), RecoveryError, "belief_ppm is 1000001"),
        (lambda: Observed(1, 0, True), RecoveryError, "belief_ppm is True"),
        (lambda: RecoveryPolicy(dwell_ms={}), PolicyError, "dwell_ms of halted is None"),
        (
            lambda: RecoveryPolicy(dwell_ms={**DEFAULT_DWELL_MS, Stage.NORMAL: 0}),
            PolicyError,
            "dwell_ms of normal is 0",
        ),
        (lambda: RecoveryPolicy(close_ppm=200_000), PolicyError, "calm_ppm is 200000 where 1…199999"),
        (lambda: RecoveryPolicy(grace_ms=-1), PolicyError, "grace_ms is -1"),
    ],
)
def test_bad_values_are_named(make: Any, error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=named):
        make()


def test_a_plan_holds_nothing_that_a_node_could_carry_out() -> None:
    """Recovery knows no action, and a plan is steps and proposals, made of nothing but values to read."""
    for path in Path(str(recovery.__file__)).parent.glob("*.py"):
        assert "containment" not in path.read_text(), path.name
    assert {field.name: field.type for field in fields(Plan)} == {
        "steps": "tuple[PlannedStep, ...]",
        "proposals": "tuple[Proposal, ...]",
    }
    assert [field.name for field in fields(Proposal)] == ["kind", "scope", "by", "calls", "why"]
    assert [field.name for field in fields(Call)] == ["target", "data", "effect"]


def test_a_request_for_a_step_names_the_incident_and_the_node() -> None:
    step = next_step(make_track(), UNPAUSE)
    request = step_request(step, incident=INCIDENT, node=bytes(20), tier=3, not_before_ms=0, expires_ms=1000)
    assert (request.purpose, request.payload, request.incident, request.node, request.tier) == (
        Purpose.REOPEN,
        step.payload,
        INCIDENT,
        bytes(20),
        3,
    )
