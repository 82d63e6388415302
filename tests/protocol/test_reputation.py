"""Reputation: little evidence is worth little, nothing is worth something without hits, and all of it fades."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_kit import DAY_MS, NOW_MS
from strategies_kit import FIXED
from tocsin_protocol.belief.outcomes import (
    FALSE_CRITICAL_WEIGHT,
    OUTCOME_HALF_LIFE_MS,
    SELF_RETRACTED_FACTOR,
    Outcome,
    Span,
    Tally,
    Verdict,
    tally_outcomes,
)
from tocsin_protocol.belief.reputation import (
    MAX_COUNT,
    MAX_LLR,
    MAX_VOUCH_CAP,
    MIN_PROBABILITY,
    Basis,
    Pin,
    Standing,
    Vouch,
    assess_standing,
    false_alarm_bound,
    hit_rate_bound,
    log_likelihood_ratio,
    max_false_alarms_per_hour,
    mean_false_alarms_per_hour,
    vouched_llr,
)
from tocsin_protocol.errors import BeliefError
from tocsin_protocol.taxonomy import Severity

HOUR_MS = 3600 * 1000
MONTH = Tally(hits=9, misses=1, false_alarms=0, hours=720)
counts = st.floats(0, MAX_COUNT)


def outcome(verdict: Verdict, severity: Severity = Severity.HIGH, age_ms: int = 0) -> Outcome:
    return Outcome(NOW_MS - age_ms, verdict, severity)


def span(from_hours_ago: float, until_hours_ago: float) -> Span:
    return Span(NOW_MS - int(from_hours_ago * HOUR_MS), NOW_MS - int(until_hours_ago * HOUR_MS))


@pytest.mark.parametrize(
    ("hits", "misses", "bound"),
    [(0, 0, 0.05), (5, 0, 0.606962231), (9, 1, 0.6356405108), (20, 2, 0.7507512502), (90, 10, 0.8378454281)],
)
def test_the_hit_rate_is_the_lower_bound_of_its_beta(hits: int, misses: int, bound: float) -> None:
    assert hit_rate_bound(hits, misses) == pytest.approx(bound, rel=1e-6)


def test_the_false_alarm_chance_is_the_upper_bound_of_its_gamma() -> None:
    assert mean_false_alarms_per_hour(2, 720) == pytest.approx(0.003360215054, rel=1e-6)
    assert max_false_alarms_per_hour(2, 720) == pytest.approx(0.0074398506, rel=1e-6)
    assert false_alarm_bound(2, 720) == pytest.approx(0.007412243419, rel=1e-6)


def test_the_weight_is_the_logarithm_of_the_ratio_within_its_bounds() -> None:
    assert log_likelihood_ratio(0.9, 0.01, math.inf) == pytest.approx(4.49980967, rel=1e-6)
    assert log_likelihood_ratio(0.9, 0.01) == MAX_LLR == math.log(50)
    assert log_likelihood_ratio(0.01, 0.9) == 0


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf, MAX_COUNT * 2])
def test_a_count_that_is_none_is_refused(bad: float) -> None:
    for broken in ({"hits": bad}, {"misses": bad}, {"false_alarms": bad}, {"hours": bad}):
        with pytest.raises(BeliefError):
            assess_standing(replace(MONTH, **broken))


@FIXED
@given(counts, counts, counts, counts)
def test_a_standing_is_within_its_bounds_whatever_was_counted(
    hits: float, misses: float, false_alarms: float, hours: float
) -> None:
    standing = assess_standing(Tally(hits, misses, false_alarms, hours))
    assert 0 <= standing.llr <= MAX_LLR
    assert MIN_PROBABILITY <= standing.hit_rate <= 1 - MIN_PROBABILITY
    assert MIN_PROBABILITY <= standing.false_alarm <= 1 - MIN_PROBABILITY


@FIXED
@given(*[st.floats(0, 500)] * 3, st.floats(0, 5000))
def test_a_hit_never_lowers_and_a_miss_or_false_alarm_never_raises_the_weight(
    hits: float, misses: float, false_alarms: float, hours: float
) -> None:
    tally = Tally(hits, misses, false_alarms, hours)
    weight = assess_standing(tally).llr
    assert assess_standing(replace(tally, hits=hits + 1)).llr >= weight - 1e-12
    assert assess_standing(replace(tally, misses=misses + 1)).llr <= weight + 1e-12
    assert assess_standing(replace(tally, false_alarms=false_alarms + 1)).llr <= weight + 1e-12


def test_a_stranger_is_worth_nothing() -> None:
    standing = assess_standing(Tally())
    assert (standing.llr, standing.basis) == (0, Basis.STRANGER)


def test_long_silence_without_a_hit_earns_nothing() -> None:
    assert log_likelihood_ratio(hit_rate_bound(0, 0), false_alarm_bound(0, 2000)) > 3
    assert assess_standing(Tally(hours=2000)).llr == 0


def test_a_hit_that_has_faded_to_half_earns_half() -> None:
    whole = log_likelihood_ratio(hit_rate_bound(0.5, 0), false_alarm_bound(0, 2000))
    assert assess_standing(Tally(hits=0.5, hours=2000)).llr == pytest.approx(whole / 2)


def test_a_pin_bounds_the_weight_from_both_sides() -> None:
    low, high = assess_standing(Tally(), Pin(2.0, 3.0)), assess_standing(MONTH, Pin(0.0, 1.0))
    assert (low.llr, low.basis, high.llr, high.basis) == (2.0, Basis.PINNED, 1.0, Basis.PINNED)
    inside = assess_standing(MONTH, Pin(0.0, 10.0))
    assert inside == assess_standing(MONTH)


@pytest.mark.parametrize(("low", "high"), [(-1, 1), (2, 1), (0, math.inf), (math.nan, 1), (0, math.nan)])
def test_a_pin_that_is_no_range_is_refused(low: float, high: float) -> None:
    with pytest.raises(BeliefError, match="pin"):
        Pin(low, high)


@pytest.mark.parametrize(
    "broken", [{"hit_rate": 1.0}, {"false_alarm": 0.0}, {"hit_rate": math.nan}, {"llr": -0.1}, {"llr": math.nan}]
)
def test_a_standing_out_of_range_is_refused(broken: dict[str, float]) -> None:
    with pytest.raises(BeliefError, match=f"standing: {next(iter(broken))}"):
        replace(Standing(0.9, 0.01, 1.0), **broken)


def test_vouching_is_off_by_default_and_capped_when_on() -> None:
    vouches = [Vouch("a", 3.0, 3.0), Vouch("b", 3.0, 3.0)]
    assert assess_standing(Tally(), vouches=vouches).llr == 0
    standing = assess_standing(Tally(), vouches=vouches, vouch_cap=0.5)
    assert (standing.llr, standing.basis) == (0.5, Basis.VOUCHED)
    with pytest.raises(BeliefError, match="cap"):
        assess_standing(Tally(), vouches=vouches, vouch_cap=MAX_VOUCH_CAP + 0.01)


def test_one_member_alone_vouches_for_nobody() -> None:
    assert vouched_llr([Vouch("a", 3.0, 3.0), Vouch("a", 3.0, 3.0)], 0.5) == 0
    assert vouched_llr([Vouch("a", 3.0, 3.0), Vouch("b", 0.3, 3.0)], 0.5) == 0.3
    assert vouched_llr([Vouch("a", 3.0, 3.0), Vouch("b", 3.0, 0.1)], 0.5) == 0.1


def test_outcomes_outdo_a_vouch() -> None:
    vouches = [Vouch("a", 3.0, 3.0), Vouch("b", 3.0, 3.0)]
    assert assess_standing(Tally(false_alarms=1, hours=10), vouches=vouches, vouch_cap=0.5).llr == 0


def test_a_vouch_out_of_range_is_refused() -> None:
    with pytest.raises(BeliefError, match="vouch of 'a'"):
        Vouch("a", math.nan, 1.0)


def test_verdicts_are_counted_apart() -> None:
    tally = tally_outcomes([outcome(verdict) for verdict in Verdict], [], NOW_MS)
    assert tally == Tally(hits=1, misses=1, false_alarms=1 + SELF_RETRACTED_FACTOR, hours=0)


def test_a_false_critical_weighs_more_and_a_critical_hit_does_not() -> None:
    critical = [outcome(verdict, Severity.CRITICAL) for verdict in Verdict]
    tally = tally_outcomes(critical, [], NOW_MS)
    assert tally.false_alarms == FALSE_CRITICAL_WEIGHT * (1 + SELF_RETRACTED_FACTOR)
    assert (tally.hits, tally.misses) == (1, 1)


def test_counts_and_hours_halve_in_a_half_life() -> None:
    outcomes = [outcome(Verdict.HIT), outcome(Verdict.MISS, age_ms=5 * DAY_MS)]
    spans = [span(100, 0)]
    now, later = (tally_outcomes(outcomes, spans, NOW_MS + later) for later in (0, OUTCOME_HALF_LIFE_MS))
    assert later.hits == now.hits / 2
    assert later.misses == pytest.approx(now.misses / 2)
    assert later.hours == pytest.approx(now.hours / 2)


def test_fresh_hours_count_nearly_whole_and_those_to_come_not_at_all() -> None:
    assert tally_outcomes([], [span(10, 0)], NOW_MS).hours == pytest.approx(10, rel=2e-3)
    assert tally_outcomes([], [span(10, -90)], NOW_MS) == tally_outcomes([], [span(10, 0)], NOW_MS)
    assert tally_outcomes([], [span(-1, -9)], NOW_MS).hours == 0


def test_an_hour_in_two_spans_counts_once() -> None:
    once = tally_outcomes([], [span(10, 2)], NOW_MS).hours
    assert tally_outcomes([], [span(10, 4), span(6, 2), span(9, 3)], NOW_MS).hours == pytest.approx(once)
    apart = tally_outcomes([], [span(10, 8), span(4, 2)], NOW_MS).hours
    assert apart == pytest.approx(once / 2, rel=1e-2)


def test_an_outcome_from_the_future_weighs_as_of_now() -> None:
    assert tally_outcomes([outcome(Verdict.HIT, age_ms=-DAY_MS)], [], NOW_MS).hits == 1


def test_a_span_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(BeliefError, match="span"):
        span(1, 2)


def test_crying_wolf_costs_the_weight_and_time_alone_brings_none_back() -> None:
    spans = [span(24 * 60, 0)]
    honest = [outcome(Verdict.HIT, age_ms=n * DAY_MS) for n in range(5)]
    wolf = [outcome(Verdict.FALSE_ALARM, Severity.CRITICAL, n * HOUR_MS) for n in range(200)]
    assert assess_standing(tally_outcomes(honest, spans, NOW_MS)).llr > 3
    assert assess_standing(tally_outcomes(honest + wolf, spans, NOW_MS)).llr < 0.1
    assert assess_standing(tally_outcomes(honest + wolf, spans, NOW_MS + 20 * OUTCOME_HALF_LIFE_MS)).llr < 0.01


@FIXED
@given(st.permutations([outcome(v, s, n * DAY_MS) for n, v in enumerate(Verdict) for s in (Severity.LOW, *Severity)]))
def test_the_order_of_outcomes_does_not_matter(outcomes: list[Outcome]) -> None:
    tally = tally_outcomes(outcomes, [], NOW_MS)
    again = tally_outcomes(reversed(outcomes), [], NOW_MS)
    assert (tally.hits, tally.misses, tally.false_alarms) == pytest.approx(
        (again.hits, again.misses, again.false_alarms)
    )
