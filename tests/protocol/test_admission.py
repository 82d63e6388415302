"""Admission under attack: the vectors show each rule, these what many frames together may not do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_kit import NOW_MS, Feed, frame_of, make_index, make_signal, make_standard, peer_id_of
from strategies_kit import FIXED, garbage_or
from tocsin_protocol.admission import MAX_SEEN, Admission, FrameOutcome, Reason, Verdict, malformation
from tocsin_protocol.encoding import decode_canonical, encode_canonical
from tocsin_protocol.envelope import MAX_ENVELOPE_BYTES, Envelope
from tocsin_protocol.errors import DecodeError, OversizedError, SpellingError, TruncatedError
from tocsin_protocol.feed import FeedHead, is_valid_signature
from tocsin_protocol.rates import DOUBTFUL_RATE, STANDARD_RATES
from tocsin_protocol.roster_model import RateClass
from tocsin_protocol.taxonomy import STANDARD

ALBA = Feed("alba")
CHAIN = ALBA.seal_many(6)
FORK = ALBA.seal_at(2, CHAIN[0].digest, make_standard(incident="fork"))
ALARM = ALBA.seal(make_signal())


def admit(admission: Admission, data: bytes, at_ms: int = NOW_MS) -> FrameOutcome:
    return admission.admit_frame(data, peer_id_of("alba"), at_ms)


def forged(envelope: Envelope) -> bytes:
    """The envelope under the signature of another."""
    fields = decode_canonical(envelope.encoded, max_bytes=MAX_ENVELOPE_BYTES)
    return encode_canonical([*fields[:6], ALARM.signature])


pieces = st.sampled_from(
    [e.encoded for e in CHAIN] + [FORK.encoded, ALARM.encoded] + [forged(e) for e in (*CHAIN[:2], FORK)]
)


@FIXED
@given(st.lists(st.lists(pieces, min_size=1, max_size=5), max_size=8))
def test_nothing_unsigned_is_admitted_and_nothing_twice(frames: list[list[bytes]]) -> None:
    admission = Admission(make_index())
    places: set[tuple[int, int]] = set()
    for items in frames:
        outcome = admit(admission, encode_canonical(items))
        for envelope in outcome.admitted + outcome.doubtful:
            assert is_valid_signature(envelope, ALBA.key)
        new = [(e.lane, e.sequence) for e in outcome.admitted]
        assert len(set(new)) == len(new)
        assert places.isdisjoint(new)
        places.update(new)
        assert bool(outcome.admitted) == (outcome.reason in (Reason.ADMITTED, Reason.UNCHECKED))


@FIXED
@given(st.lists(st.lists(pieces, min_size=1, max_size=4), max_size=6), st.lists(pieces, min_size=1, max_size=4))
def test_what_one_node_passes_on_no_other_refuses(history: list[list[bytes]], frame: list[bytes]) -> None:
    """Whatever two nodes saw before, an honest forwarder is never blamed."""
    one, other = Admission(make_index()), Admission(make_index())
    for number, items in enumerate(history):
        admit(one if number % 2 else other, encode_canonical(items))
    if admit(one, encode_canonical(frame)).verdict is Verdict.ACCEPT:
        assert admit(other, encode_canonical(frame)).verdict is not Verdict.REJECT


@FIXED
@given(garbage_or(frame_of(*CHAIN[:2])))
def test_garbage_never_raises(data: bytes) -> None:
    outcome = admit(Admission(make_index()), data)
    assert outcome.verdict in Verdict
    if outcome.verdict is Verdict.ACCEPT:
        assert all(is_valid_signature(e, ALBA.key) for e in outcome.admitted)


def test_a_forged_envelope_takes_nobodys_place() -> None:
    admission = Admission(make_index())
    for envelope in CHAIN[:3]:
        assert admit(admission, encode_canonical([forged(envelope)])).verdict is Verdict.REJECT
    assert len(admit(admission, frame_of(*CHAIN)).admitted) == len(CHAIN)


def test_replays_by_others_leave_the_publishers_tokens_alone() -> None:
    admission = Admission(make_index(rate_class=RateClass.LOW))
    burst = STANDARD_RATES[RateClass.LOW].burst
    feed = Feed("alba")
    envelopes = feed.seal_many(burst)
    admit(admission, frame_of(envelopes[0]))
    for sender in ("alba", "brook", "stranger"):
        for _ in range(burst):
            admission.admit_frame(frame_of(envelopes[0]), peer_id_of(sender), NOW_MS)
            admission.admit_frame(frame_of(*envelopes), peer_id_of("brook"), NOW_MS)
    assert len(admit(admission, frame_of(*envelopes)).admitted) == burst - 1


def test_forged_frames_from_another_peer_cost_the_publisher_nothing() -> None:
    admission = Admission(make_index(rate_class=RateClass.LOW))
    for _ in range(2 * STANDARD_RATES[RateClass.LOW].burst):
        outcome = admission.admit_frame(encode_canonical([forged(CHAIN[0])]), peer_id_of("brook"), NOW_MS)
        assert (outcome.verdict, outcome.reason) == (Verdict.IGNORE, Reason.WRONG_PEER)
    assert admit(admission, frame_of(*CHAIN)).verdict is Verdict.ACCEPT


def test_looks_at_what_is_dropped_are_bounded() -> None:
    admission = Admission(make_index())
    admission.set_heads([FeedHead(ALBA.publisher, STANDARD, 6, CHAIN[5].digest)])
    looked = 0
    for _ in range(30):
        looked += len(admit(admission, frame_of(*[CHAIN[0]] * 100)).doubtful)
    assert looked == DOUBTFUL_RATE.burst
    later = admit(admission, frame_of(*[CHAIN[0]] * 100), NOW_MS + 1000)
    assert len(later.doubtful) == DOUBTFUL_RATE.per_second


def test_memory_is_bounded() -> None:
    admission = Admission(make_index(rate_class=RateClass.HIGH))
    admit(admission, frame_of(CHAIN[0]))
    assert MAX_SEEN == 65_536
    for n in range(MAX_SEEN):
        admission._seen[b"x", 0, n] = b""
    admit(admission, frame_of(CHAIN[1]))
    assert len(admission._seen) == MAX_SEEN
    # What was forgotten is admitted again; the store knows it.
    assert admit(admission, frame_of(CHAIN[0])).reason is Reason.ADMITTED


def test_a_new_roster_forgets_no_equivocator() -> None:
    admission = Admission(make_index())
    admission.set_equivocators([ALBA.publisher])
    admission.set_roster(make_index(rate_class=RateClass.HIGH))
    assert admit(admission, frame_of(CHAIN[0])).reason is Reason.EQUIVOCATOR


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DecodeError("x"), Reason.MALFORMED),
        (OversizedError("x"), Reason.OVERSIZED),
        (TruncatedError("x"), Reason.TRUNCATED),
        (SpellingError("x"), Reason.NON_CANONICAL),
    ],
)
def test_malformations_have_names(error: DecodeError, reason: Reason) -> None:
    assert malformation(error) is reason
