"""What publishers earn by an incident once it is known what it was."""

from __future__ import annotations

from dataclasses import replace

import pytest
from protocol_kit import NOW_MS, Feed, bytes_of_label, make_signal, make_standard
from tocsin_protocol.adjudication import Adjudication, Finding, outcomes_of, sign_adjudication, verify_adjudication
from tocsin_protocol.admission import Reason
from tocsin_protocol.belief.outcomes import Verdict
from tocsin_protocol.belief.silence import MAX_DELAYS, MIN_DELAYS, known_delay
from tocsin_protocol.decision.judge import Sighting
from tocsin_protocol.errors import DecodeError, SignatureError
from tocsin_protocol.model import Reference, Signal
from tocsin_protocol.taxonomy import Category, Relation, Severity

BROOK, CEDAR, DELTA = (bytes([n]) * 20 for n in range(1, 4))
REAL = Adjudication(bytes_of_label("incident"), Category.ASSET_DRAIN, Finding.CONFIRMED, NOW_MS)
FALSE = Adjudication(bytes_of_label("incident"), Category.ASSET_DRAIN, Finding.FALSE, NOW_MS)


def seen(publisher: bytes, signal: Signal | None = None) -> Sighting:
    return Sighting(bytes_of_label(publisher.hex()), publisher, signal or make_signal(), Reason.ADMITTED, NOW_MS)


def retraction(publisher: bytes) -> Sighting:
    reference = Reference(Relation.RETRACTS, bytes_of_label(publisher.hex()))
    return seen(publisher, make_standard(category=Category.META_RETRACTION, references=(reference,)))


def verdicts(
    adjudication: Adjudication, *sightings: Sighting, watching: set[bytes] | None = None
) -> dict[bytes, Verdict]:
    return {e.publisher: e.outcome.verdict for e in outcomes_of(adjudication, sightings, watching or set())}


def test_a_report_is_a_hit_or_a_false_alarm() -> None:
    assert verdicts(REAL, seen(BROOK), seen(BROOK)) == {BROOK: Verdict.HIT}
    assert verdicts(FALSE, seen(BROOK)) == {BROOK: Verdict.FALSE_ALARM}


def test_a_report_taken_back_is_no_hit_and_half_a_false_alarm() -> None:
    assert verdicts(REAL, seen(BROOK), retraction(BROOK)) == {BROOK: Verdict.MISS}
    assert verdicts(FALSE, seen(BROOK), retraction(BROOK)) == {BROOK: Verdict.SELF_RETRACTED}


def test_who_watches_and_says_nothing_of_a_real_incident_misses_it() -> None:
    assert verdicts(REAL, seen(BROOK), watching=frozenset({BROOK, CEDAR})) == {BROOK: Verdict.HIT, CEDAR: Verdict.MISS}
    assert verdicts(FALSE, watching=frozenset({CEDAR})) == {}


def test_the_worst_severity_counts_and_drills_and_other_categories_do_not() -> None:
    mild = seen(BROOK, make_standard(severity=Severity.LOW))
    (earned,) = outcomes_of(FALSE, (mild, seen(BROOK)), ())
    assert earned.outcome.severity is Severity.CRITICAL
    other = seen(CEDAR, make_signal(category=Category.KEY_COMPROMISE))
    assert verdicts(FALSE, seen(DELTA, make_signal(drill=True)), other) == {}


def test_a_hit_says_how_long_after_the_first_report_it_came_to_us() -> None:
    late = replace(seen(CEDAR), received_ms=NOW_MS + 7_000)
    again = replace(seen(CEDAR), received_ms=NOW_MS + 9_000)
    earned = outcomes_of(REAL, (again, late, seen(BROOK), seen(DELTA), retraction(DELTA)), {bytes(20)})
    assert {e.publisher: e.delay_ms for e in earned} == {BROOK: 0, CEDAR: 7_000, DELTA: None, bytes(20): None}
    assert all(e.delay_ms is None for e in outcomes_of(FALSE, (late, seen(BROOK)), ()))


def test_a_delay_is_known_from_several_hits_on_and_is_the_longest_of_the_last() -> None:
    assert known_delay([5_000] * (MIN_DELAYS - 1)) is None
    assert known_delay([1_000, 9_000, *[2_000] * (MIN_DELAYS - 2)]) == 9_000
    assert known_delay([*[2_000] * MAX_DELAYS, 9_000]) == 2_000


def test_a_finding_is_signed_and_read_again() -> None:
    feed = Feed("alba")
    late = replace(seen(CEDAR), received_ms=NOW_MS + 7_000)
    earned = outcomes_of(REAL, (seen(BROOK), late, retraction(DELTA), seen(DELTA)), {bytes(20)})
    body, signature = sign_adjudication(feed.secret, REAL, earned)
    assert verify_adjudication(feed.key, body, signature) == (REAL, earned)
    with pytest.raises(SignatureError):
        verify_adjudication(Feed("brook").key, body, signature)
    with pytest.raises(DecodeError):
        verify_adjudication(feed.key, body, signature[:-1])
    with pytest.raises(SignatureError):
        verify_adjudication(feed.key, body[:-1] + bytes([body[-1] ^ 1]), signature)
