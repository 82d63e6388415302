"""How a subject stands: the table of moves, and what is seen of incidents."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from risk_kit import INCIDENT, OTHER_INCIDENT
from strategies_kit import FIXED
from tocsin_protocol.adjudication import Finding
from tocsin_protocol.errors import RiskError
from tocsin_protocol.ids import NO_DIGEST
from tocsin_protocol.recovery.stages import Stage
from tocsin_protocol.risk.states import (
    CONFIRMED_PPM,
    LEGAL,
    SUSPECTED_PPM,
    RiskState,
    Seen,
    Standing,
    check_move,
    find_standing,
)

NONE = Standing.none()
STATES = [state for state in RiskState if state is not RiskState.UNKNOWN]


def standing(state: RiskState, incident: bytes = INCIDENT) -> Standing:
    return NONE if state is RiskState.NONE else Standing(state, incident)


def seen(belief_ppm: int = 0, **changes: object) -> Seen:
    given = {"incident": INCIDENT, "first_ms": 1, "is_evidenced": False, "is_open": True} | changes
    return Seen(belief_ppm=belief_ppm, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("before", STATES)
@pytest.mark.parametrize("after", STATES)
def test_a_move_is_taken_where_the_table_has_it_and_another_incident_begins_anywhere(
    before: RiskState, after: RiskState
) -> None:
    if after in LEGAL[before]:
        check_move(standing(before), standing(after))
    else:
        same = before is not RiskState.NONE and after is not RiskState.NONE
        if same or after is RiskState.NONE:
            with pytest.raises(RiskError, match=f"{after.word} after {before.word}"):
                check_move(standing(before), standing(after))
    if after is not RiskState.NONE:
        check_move(standing(before), standing(after, OTHER_INCIDENT))


def test_a_standing_that_cannot_be_is_refused() -> None:
    for state, incident in ((RiskState.NONE, INCIDENT), (RiskState.CONFIRMED, NO_DIGEST), (RiskState.CONFIRMED, b"x")):
        with pytest.raises(RiskError):
            Standing(state, incident)
    with pytest.raises(RiskError, match="unknown"):
        Standing(RiskState.UNKNOWN, INCIDENT)


@pytest.mark.parametrize(
    ("before", "now", "after"),
    [
        (RiskState.NONE, seen(SUSPECTED_PPM - 1), RiskState.NONE),
        (RiskState.NONE, seen(SUSPECTED_PPM), RiskState.SUSPECTED),
        (RiskState.NONE, seen(SUSPECTED_PPM, is_open=False), RiskState.NONE),
        (RiskState.NONE, seen(CONFIRMED_PPM), RiskState.CONFIRMED),
        (RiskState.NONE, seen(is_evidenced=True), RiskState.CONFIRMED),
        (RiskState.NONE, seen(CONFIRMED_PPM, finding=Finding.FALSE), RiskState.FALSE_ALARM),
        (RiskState.NONE, seen(finding=Finding.CONFIRMED), RiskState.RESOLVED),
        (RiskState.SUSPECTED, seen(SUSPECTED_PPM, finding=Finding.CONFIRMED), RiskState.CONFIRMED),
        (RiskState.CONFIRMED, seen(0, is_evidenced=True, finding=Finding.CONFIRMED), RiskState.CONFIRMED),
        (RiskState.CONFIRMED, seen(CONFIRMED_PPM, is_open=False, finding=Finding.CONFIRMED), RiskState.RESOLVED),
        (RiskState.SUSPECTED, seen(0), RiskState.RESOLVED),
        (RiskState.SUSPECTED, seen(CONFIRMED_PPM), RiskState.CONFIRMED),
        (RiskState.CONFIRMED, seen(0), RiskState.CONFIRMED),
        (RiskState.CONFIRMED, seen(0, is_open=False), RiskState.RESOLVED),
        (RiskState.CONFIRMED, seen(0, finding=Finding.FALSE), RiskState.FALSE_ALARM),
        (RiskState.CONFIRMED, seen(CONFIRMED_PPM, stage=Stage.HALTED), RiskState.CONTAINED),
        (RiskState.CONTAINED, seen(0, stage=Stage.RESTRICTED), RiskState.CONTAINED),
        (RiskState.CONTAINED, seen(0, stage=Stage.EXIT_ONLY), RiskState.RECOVERING),
        (RiskState.RECOVERING, seen(0, stage=Stage.CANARY_25, finding=Finding.CONFIRMED), RiskState.RECOVERING),
        (RiskState.RECOVERING, seen(0, stage=Stage.NORMAL), RiskState.RESOLVED),
        (RiskState.RECOVERING, seen(0, stage=Stage.HALTED), RiskState.CONTAINED),
        (RiskState.RESOLVED, seen(SUSPECTED_PPM), RiskState.RESOLVED),
        (RiskState.RESOLVED, seen(CONFIRMED_PPM), RiskState.CONFIRMED),
        (RiskState.FALSE_ALARM, seen(0, finding=Finding.CONFIRMED), RiskState.RESOLVED),
    ],
)
def test_what_is_seen_leads_to_a_state(before: RiskState, now: Seen, after: RiskState) -> None:
    assert find_standing(standing(before), [now]).state is after


def test_what_is_seen_no_more_is_over_and_what_is_over_stays_so() -> None:
    assert find_standing(NONE, []) == NONE
    for state in STATES[1:]:
        expected = state if state in (RiskState.FALSE_ALARM, RiskState.RESOLVED) else RiskState.RESOLVED
        assert find_standing(standing(state), []) == standing(expected)


def test_the_worst_incident_counts_and_of_those_the_first() -> None:
    doubted = seen(SUSPECTED_PPM, incident=OTHER_INCIDENT)
    assert find_standing(standing(RiskState.CONFIRMED), [seen(0), doubted]).incident == INCIDENT
    assert find_standing(standing(RiskState.RESOLVED), [seen(0), doubted]) == standing(
        RiskState.SUSPECTED, OTHER_INCIDENT
    )
    early, late = seen(CONFIRMED_PPM, first_ms=5), seen(CONFIRMED_PPM, first_ms=6, incident=OTHER_INCIDENT)
    assert find_standing(NONE, [late, early]) == find_standing(NONE, [early, late]) == standing(RiskState.CONFIRMED)


_SEEN = st.builds(
    Seen,
    incident=st.sampled_from((INCIDENT, OTHER_INCIDENT)),
    first_ms=st.integers(0, 9),
    belief_ppm=st.integers(0, 1_000_000),
    is_evidenced=st.booleans(),
    is_open=st.booleans(),
    finding=st.sampled_from((None, *Finding)),
    stage=st.sampled_from((None, *Stage)),
)


@FIXED
@given(st.lists(st.lists(_SEEN, max_size=3, unique_by=lambda one: one.incident), max_size=8))
def test_whatever_is_seen_every_move_is_legal(course: list[list[Seen]]) -> None:
    now = NONE
    for looked in course:
        after = find_standing(now, looked)
        check_move(now, after)
        now = after
