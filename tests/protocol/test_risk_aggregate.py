"""What several reports come to: any order, few liars, silence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_kit import NOW_MS
from risk_kit import ADDRESSES, INCIDENT, OTHER_INCIDENT, SUBJECT, risk_report, said
from strategies_kit import FIXED
from tocsin_protocol.errors import RiskError
from tocsin_protocol.ids import NO_DIGEST
from tocsin_protocol.risk.aggregate import MAX_REPORTS, Aggregate, Quorum, aggregate
from tocsin_protocol.risk.report import MAX_AHEAD_MS, MAX_LIFETIME_MS, MAX_MULTIPLIER_BPS, RiskReport, SignedReport
from tocsin_protocol.risk.states import RiskState
from tocsin_protocol.underwriting import median_of_reports

THREE = Quorum(frozenset(ADDRESSES[:3]), 2)
LOUD = risk_report(RiskState.CONFIRMED)
QUIET = risk_report()


def combine(*reports: RiskReport, quorum: Quorum = THREE, now_ms: int = NOW_MS) -> Aggregate:
    return aggregate([said(n, report) for n, report in enumerate(reports)], quorum, SUBJECT, now_ms)


def test_one_liar_of_three_neither_raises_nor_lowers() -> None:
    assert combine(QUIET, QUIET, LOUD).state is RiskState.NONE
    low = combine(LOUD, LOUD, QUIET)
    assert (low.state, low.incident, low.capacity_bps) == (RiskState.CONFIRMED, INCIDENT, 0)
    over = risk_report(RiskState.RESOLVED)
    assert combine(over, over, LOUD).state is RiskState.RESOLVED


def test_too_few_are_unknown_without_capacity_and_never_cheap() -> None:
    for found in (combine(), combine(QUIET), combine(QUIET, QUIET, now_ms=QUIET.expires)):
        assert found.state is RiskState.UNKNOWN
        assert (found.capacity_bps, found.multiplier_bps, found.until_ms) == (0, MAX_MULTIPLIER_BPS, 0)
    assert combine(QUIET, QUIET, now_ms=QUIET.expires - 1).state is RiskState.NONE
    ahead = NOW_MS - MAX_AHEAD_MS
    assert combine(QUIET, QUIET, now_ms=ahead).state is RiskState.NONE
    assert combine(QUIET, QUIET, now_ms=ahead - 1).state is RiskState.UNKNOWN


def test_it_is_known_until_too_few_are_fresh() -> None:
    short = replace(QUIET, expires=QUIET.observed + 10)
    assert combine(QUIET, QUIET, short).until_ms == QUIET.expires
    assert combine(QUIET, short, short).until_ms == short.expires


def test_strangers_and_other_subjects_do_not_count() -> None:
    stray = [said(3, LOUD), said(4, LOUD), said(0, replace(LOUD, subject=INCIDENT))]
    assert aggregate(stray, THREE, SUBJECT, NOW_MS).state is RiskState.UNKNOWN


def test_who_told_two_stories_counts_no_more() -> None:
    both = [said(0, LOUD), said(0, QUIET), said(1, QUIET), said(2, QUIET)]
    found = aggregate(both, THREE, SUBJECT, NOW_MS)
    assert found.equivocators == {ADDRESSES[0]}
    assert (found.state, len(found.counted)) == (RiskState.NONE, 2)


def test_of_each_signer_the_latest_counts() -> None:
    later = replace(LOUD, epoch=LOUD.epoch + 1)
    found = aggregate([said(0, later), said(0, QUIET), said(1, QUIET), said(1, later)], THREE, SUBJECT, NOW_MS)
    assert found.state is RiskState.CONFIRMED


def test_numbers_are_medians_and_of_two_the_more_cautious() -> None:
    reports = [replace(QUIET, capacity_bps=c, multiplier_bps=m) for c, m in ((4_000, 20_000), (6_000, 30_000))]
    found = combine(*reports)
    assert (found.capacity_bps, found.multiplier_bps) == (4_000, 30_000)
    found = combine(*reports, replace(QUIET, capacity_bps=9_000, multiplier_bps=10_000))
    assert (found.capacity_bps, found.multiplier_bps) == (6_000, 20_000)
    values = (900_000, 930_000, 950_000, 0, 1_000_000)
    said_by = [replace(LOUD, posterior_ppm=value) for value in values]
    five = combine(*said_by, quorum=Quorum(frozenset(ADDRESSES), 3))
    assert five.posterior_ppm == median_of_reports(values) == 930_000


def test_the_incident_is_the_one_most_named_and_none_without_one() -> None:
    low, high = sorted((INCIDENT, OTHER_INCIDENT))
    one, other = replace(LOUD, incident=low), replace(LOUD, incident=high)
    assert combine(one, other).incident == low
    assert combine(one, other, other).incident == high
    assert combine(QUIET, QUIET, LOUD).incident == NO_DIGEST


def test_a_quorum_that_cannot_work_is_refused() -> None:
    for signers, threshold in ((ADDRESSES, 0), (ADDRESSES, 6), ((), 0), ([bytes([n]) * 20 for n in range(33)], 3)):
        with pytest.raises(RiskError, match="signers where"):
            Quorum(frozenset(signers), threshold)
    with pytest.raises(RiskError, match="reports where"):
        aggregate([said(0, QUIET)] * (MAX_REPORTS + 1), THREE, SUBJECT, NOW_MS)


def _report(state: RiskState, incident: bytes, numbers: list[int], epoch: int, age: int) -> RiskReport:
    tvl, *shares = numbers
    p50, p90, p99 = sorted(tvl * share // 1_000 for share in shares)
    changes: dict[str, Any] = {} if state is RiskState.NONE else {"incident": incident}
    return risk_report(
        state, tvl_at_risk=tvl, loss_p50=p50, loss_p90=p90, loss_p99=p99, epoch=epoch, observed=NOW_MS - age,
        expires=NOW_MS - age + MAX_LIFETIME_MS, **changes,
    )  # fmt: skip


_REPORTS = st.lists(
    st.builds(
        lambda place, report: said(place, report),
        st.integers(0, 4),
        st.builds(
            _report,
            st.sampled_from([state for state in RiskState if state is not RiskState.UNKNOWN]),
            st.sampled_from((INCIDENT, OTHER_INCIDENT)),
            st.lists(st.integers(0, 1_000), min_size=4, max_size=4),
            st.integers(1, 4),
            st.integers(-MAX_AHEAD_MS - 1, MAX_LIFETIME_MS),
        ),
    ),
    max_size=8,
)


@FIXED
@given(_REPORTS, st.randoms(use_true_random=False), st.integers(1, 5))
def test_order_does_not_matter_and_what_rises_in_each_rises_in_all(
    reports: list[SignedReport], random: Any, threshold: int
) -> None:
    quorum = Quorum(frozenset(ADDRESSES), threshold)
    found = aggregate(reports, quorum, SUBJECT, NOW_MS)
    shuffled = list(reports)
    random.shuffle(shuffled)
    assert aggregate(shuffled, quorum, SUBJECT, NOW_MS) == found
    assert found.loss_p50 <= found.loss_p90 <= found.loss_p99 <= found.tvl_at_risk
    assert found.capacity_bps == 0 or found.state < RiskState.RECOVERING
    assert not {one.signer for one in found.counted} & found.equivocators


@FIXED
@given(st.lists(st.sampled_from([s for s in RiskState if s is not RiskState.UNKNOWN]), min_size=2, max_size=2))
def test_two_liars_of_five_do_not_move_what_three_agree_on(lies: list[RiskState]) -> None:
    quorum = Quorum(frozenset(ADDRESSES), 3)
    for truth in (RiskState.NONE, RiskState.SUSPECTED, RiskState.CONFIRMED, RiskState.RESOLVED):
        found = combine(*([risk_report(truth)] * 3), *(risk_report(lie) for lie in lies), quorum=quorum)
        assert found.state is truth
