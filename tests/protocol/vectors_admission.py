"""Vectors of gossip admission: a roster, a clock, and what becomes of one frame after another."""

from __future__ import annotations

from typing import Any

from protocol_kit import (
    NOW_MS,
    OTHER_NETWORK_ID,
    Feed,
    bytes_of_label,
    frame_of,
    make_index,
    make_signal,
    make_standard,
    peer_id_of,
)
from tocsin_protocol.admission import Reason, Verdict
from tocsin_protocol.encoding import decode_canonical, encode_canonical
from tocsin_protocol.envelope import MAX_ENVELOPE_BYTES, Envelope
from tocsin_protocol.frame import MAX_FRAME_BYTES
from tocsin_protocol.rates import CRITICAL_RATES, DOUBTFUL_RATE, STANDARD_RATES
from tocsin_protocol.roster import RosterIndex
from tocsin_protocol.roster_encoding import encode_roster
from tocsin_protocol.roster_model import Capability, RateClass
from tocsin_protocol.signing import Domain
from tocsin_protocol.taxonomy import CRITICAL, STANDARD
from vector_kit import to_json

_ACCEPT, _IGNORE, _REJECT = Verdict.ACCEPT, Verdict.IGNORE, Verdict.REJECT


class Case:
    """Collects the steps of one case."""

    def __init__(self, name: str, why: str, index: RosterIndex | None = None) -> None:
        self.name, self.why = name, why
        self.index = index or make_index()
        self.steps: list[dict[str, Any]] = []

    def frame(
        self,
        data: bytes,
        verdict: Verdict,
        reason: Reason,
        *,
        sender: str = "alba",
        at_ms: int = NOW_MS,
        admitted: int = 0,
        dropped: tuple[Reason, ...] = (),
        doubtful: int = 0,
        repeat: int = 1,
    ) -> Case:
        """A frame, given `repeat` times, and what must become of it; `admitted` and `doubtful` count envelopes."""
        self.steps.append(
            {
                "frame": data.hex(),
                "from": peer_id_of(sender),
                "repeat": repeat,
                "at_ms": at_ms,
                "verdict": str(verdict),
                "reason": str(reason),
                "admitted": admitted,
                "dropped": [str(r) for r in dropped],
                "doubtful": doubtful,
            }
        )
        return self

    def admitted(self, *envelopes: Envelope, at_ms: int = NOW_MS) -> Case:
        """A frame that passes whole."""
        return self.frame(frame_of(*envelopes), _ACCEPT, Reason.ADMITTED, admitted=len(envelopes), at_ms=at_ms)

    def then(self, **step: Any) -> Case:
        """Another step: heads, equivocators or roster."""
        self.steps.append(to_json(step))
        return self

    def json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "why": self.why,
            "roster": encode_roster(self.index.roster).hex(),
            "steps": self.steps,
        }


def admission() -> dict[str, Any]:
    """specs/vectors/admission.json"""
    cases = [*_whole_frames(), *_publishers(), *_signatures(), *_repetitions(), *_rates()]
    return {"cases": [case.json() for case in cases]}


def _whole_frames() -> list[Case]:
    alba = Feed("alba")
    standard = alba.seal_many(3)
    critical = alba.seal(make_signal())
    brook = Feed("brook").seal()
    cut = frame_of(*standard)[:-1]
    respelled = b"\xdc\x00\x01" + frame_of(standard[0])[1:]
    return [
        Case("one", "an envelope alone").admitted(standard[0]),
        Case("three", "three together").admitted(*standard),
        Case("critical", "the CRITICAL lane").admitted(critical),
        Case("unlinked", "a gap delays nothing").admitted(standard[2]),
        Case("oversized", "a byte more than MAX_FRAME_BYTES").frame(
            bytes(MAX_FRAME_BYTES + 1), _REJECT, Reason.OVERSIZED
        ),
        Case("oversized-envelope", "the envelope inside has a byte more than MAX_ENVELOPE_BYTES").frame(
            encode_canonical([bytes(MAX_ENVELOPE_BYTES + 1)]), _REJECT, Reason.OVERSIZED
        ),
        Case("malformed", "no msgpack").frame(b"\xc1", _REJECT, Reason.MALFORMED),
        Case("malformed-envelope", "the second envelope is none").frame(
            encode_canonical([standard[0].encoded, b"\x01"]), _REJECT, Reason.MALFORMED
        ),
        Case("truncated", "the last byte is missing").frame(cut, _REJECT, Reason.TRUNCATED),
        Case("truncated-envelope", "the envelope inside lacks its last byte").frame(
            encode_canonical([standard[0].encoded[:-1]]), _REJECT, Reason.TRUNCATED
        ),
        Case("non-canonical", "the list has a longer head than it needs").frame(
            respelled, _REJECT, Reason.NON_CANONICAL
        ),
        Case("non-canonical-envelope", "the envelope inside has its lane in two bytes").frame(
            encode_canonical([_respelled(standard[0])]), _REJECT, Reason.NON_CANONICAL
        ),
        Case("mixed-publishers", "envelopes of two publishers").frame(
            frame_of(standard[0], brook), _REJECT, Reason.MIXED_PUBLISHERS
        ),
        Case("mixed-lanes", "CRITICAL shares a frame with nothing").frame(
            frame_of(critical, standard[0]), _REJECT, Reason.MIXED_LANES
        ),
    ]


def _respelled(envelope: Envelope) -> bytes:
    head = 1 + 1 + 2 + 20
    assert envelope.encoded[head] == envelope.lane
    return envelope.encoded[:head] + b"\xcc" + envelope.encoded[head:]


def _publishers() -> list[Case]:
    alba = Feed("alba")
    first, second = alba.seal_many(2)
    critical = alba.seal(make_signal())
    valid_until = NOW_MS + 1_000
    only_critical, only_publish = (Capability.CRITICAL,), (Capability.PUBLISH,)
    revoked = make_index(revoked=((STANDARD, 1),))
    return [
        Case("unknown-publisher", "a key that is in no roster").frame(
            frame_of(Feed("stranger").seal()), _IGNORE, Reason.UNKNOWN_PUBLISHER, sender="stranger"
        ),
        Case("wrong-peer", "alba's frame, published by brook's peer").frame(
            frame_of(first), _IGNORE, Reason.WRONG_PEER, sender="brook"
        ),
        Case("key-not-yet-valid", "1 ms before it is", make_index(valid_from_ms=NOW_MS + 1))
        .frame(frame_of(first), _IGNORE, Reason.KEY_NOT_VALID)
        .admitted(first, at_ms=NOW_MS + 1),
        Case("key-expired", "valid until, exclusive", make_index(valid_until_ms=valid_until))
        .admitted(first, at_ms=valid_until - 1)
        .frame(frame_of(second), _IGNORE, Reason.KEY_NOT_VALID, at_ms=valid_until),
        Case("not-capable-standard", "it may only raise CRITICAL alarms", make_index(capabilities=only_critical))
        .frame(frame_of(first), _IGNORE, Reason.NOT_CAPABLE)
        .admitted(critical),
        Case("not-capable-critical", "it may not raise CRITICAL alarms", make_index(capabilities=only_publish))
        .frame(frame_of(critical), _IGNORE, Reason.NOT_CAPABLE)
        .admitted(first),
        Case("equivocator", "a publisher proven to have told two histories")
        .admitted(first)
        .then(equivocators=[alba.publisher])
        .frame(frame_of(second), _IGNORE, Reason.EQUIVOCATOR),
        Case("revoked", "the last accepted sequence is 1; nothing of the CRITICAL lane", revoked)
        .frame(frame_of(first, second), _ACCEPT, Reason.ADMITTED, admitted=1, dropped=(Reason.KEY_REVOKED,))
        .frame(frame_of(critical), _IGNORE, Reason.NOTHING_NEW, dropped=(Reason.KEY_REVOKED,)),
        Case("revoked-later", "a new roster revokes the key between two frames")
        .admitted(first)
        .then(roster=encode_roster(revoked.roster))
        .frame(frame_of(second), _IGNORE, Reason.NOTHING_NEW, dropped=(Reason.KEY_REVOKED,)),
    ]


def _resigned(envelope: Envelope, signature: bytes) -> bytes:
    fields = decode_canonical(envelope.encoded, max_bytes=MAX_ENVELOPE_BYTES)
    return encode_canonical([*fields[:6], signature])


def _signatures() -> list[Case]:
    alba = Feed("alba")
    first, second, third = alba.seal_many(3)
    foreign = Feed("alba", domain=Domain(OTHER_NETWORK_ID)).seal()
    flipped = first.signature[:32] + bytes((first.signature[32] ^ 0x80,)) + first.signature[33:]
    bad_first = _resigned(first, second.signature)
    fork = alba.seal_at(1, bytes(32), make_standard(incident="fork"))
    bad_fork = _resigned(fork, second.signature)
    return [
        Case("bad-signature", "the signature of another envelope; it leaves nothing behind")
        .frame(encode_canonical([bad_first]), _REJECT, Reason.BAD_SIGNATURE)
        .admitted(first),
        Case("flipped-parity", "a signature in its second spelling").frame(
            encode_canonical([_resigned(first, flipped)]), _REJECT, Reason.BAD_SIGNATURE
        ),
        Case("other-networks-signature", "signed for another network: there it verifies, here it does not").frame(
            encode_canonical([foreign.encoded]), _REJECT, Reason.BAD_SIGNATURE
        ),
        Case("one-bad-of-three", "a frame stands or falls as a whole; the good ones pass in the next")
        .frame(encode_canonical([second.encoded, bad_first, third.encoded]), _REJECT, Reason.BAD_SIGNATURE)
        .admitted(first, second, third),
        Case("bad-duplicate", "a known signal under a bad signature would pass here and be refused by the next node")
        .admitted(first)
        .frame(encode_canonical([bad_first, second.encoded]), _REJECT, Reason.BAD_SIGNATURE),
        Case("bad-fork", "a forged second history proves nothing")
        .admitted(first)
        .frame(encode_canonical([bad_fork]), _REJECT, Reason.BAD_SIGNATURE),
        Case("bad-below-head", "a forged signal below the head")
        .then(heads=[[alba.publisher, STANDARD, 2, bytes(32)]])
        .frame(encode_canonical([bad_first]), _REJECT, Reason.BAD_SIGNATURE),
    ]


def _repetitions() -> list[Case]:
    alba = Feed("alba")
    first, second, third = alba.seal_many(3)
    fork = alba.seal_at(2, first.digest, make_standard(incident="fork"))
    return [
        Case("replayed", "the same frame again")
        .admitted(first)
        .frame(frame_of(first), _IGNORE, Reason.NOTHING_NEW, dropped=(Reason.DUPLICATE,)),
        Case("replayed-in-part", "one known, one new: the frame passes for the new one")
        .admitted(first)
        .frame(frame_of(first, second), _ACCEPT, Reason.ADMITTED, admitted=1, dropped=(Reason.DUPLICATE,)),
        Case("twice-in-one-frame", "the second of two equal envelopes is dropped").frame(
            frame_of(first, first), _ACCEPT, Reason.ADMITTED, admitted=1, dropped=(Reason.DUPLICATE,)
        ),
        Case("equivocating", "a second signal with one sequence goes to the store, which makes the proof")
        .admitted(first, second)
        .frame(frame_of(fork), _IGNORE, Reason.NOTHING_NEW, dropped=(Reason.EQUIVOCATION,), doubtful=1),
        Case("equivocating-in-one-frame", "both histories in one frame").frame(
            frame_of(second, fork), _ACCEPT, Reason.ADMITTED, admitted=1, dropped=(Reason.EQUIVOCATION,), doubtful=1
        ),
        Case("below-head", "held already; only the store can tell a repetition from a second history")
        .then(heads=[[alba.publisher, STANDARD, 2, second.digest]])
        .frame(
            frame_of(first, fork, third),
            _ACCEPT,
            Reason.ADMITTED,
            admitted=1,
            dropped=(Reason.BELOW_HEAD, Reason.BELOW_HEAD),
            doubtful=2,
        ),
        Case("below-head-alone", "nothing new")
        .then(heads=[[alba.publisher, STANDARD, 2, second.digest]])
        .frame(frame_of(second), _IGNORE, Reason.NOTHING_NEW, dropped=(Reason.BELOW_HEAD,), doubtful=1),
        Case("other-lane-head", "a head of one lane says nothing about the other")
        .then(heads=[[alba.publisher, CRITICAL, 9, bytes_of_label("head")]])
        .admitted(first),
    ]


def _rates() -> list[Case]:
    index = make_index(rate_class=RateClass.LOW)
    standard, critical = STANDARD_RATES[RateClass.LOW], CRITICAL_RATES[RateClass.LOW]
    alba = Feed("alba")
    envelopes = alba.seal_many(standard.burst + 2)
    alarms = alba.seal_many(critical.burst + 1, CRITICAL)
    token_ms = 1000 // standard.per_second
    over = Case("over-rate", "the burst passes, the rest is dropped until a token is back", index)
    over.frame(
        frame_of(*envelopes),
        _ACCEPT,
        Reason.ADMITTED,
        admitted=standard.burst,
        dropped=(Reason.OVER_RATE, Reason.OVER_RATE),
    )
    last_two = envelopes[-2:]
    over.frame(
        frame_of(*last_two),
        _IGNORE,
        Reason.NOTHING_NEW,
        dropped=(Reason.OVER_RATE, Reason.OVER_RATE),
        at_ms=NOW_MS + token_ms - 1,
    )
    over.frame(
        frame_of(*last_two),
        _ACCEPT,
        Reason.ADMITTED,
        admitted=1,
        dropped=(Reason.OVER_RATE,),
        at_ms=NOW_MS + token_ms,
    )
    reserved = Case("critical-lane-reserved", "a publisher that has spent its standard burst may still cry out", index)
    reserved.admitted(*envelopes[: standard.burst])
    reserved.frame(frame_of(*alarms), _ACCEPT, Reason.ADMITTED, admitted=critical.burst, dropped=(Reason.OVER_RATE,))
    replays = Case("replays-cost-nothing", "whoever replays old frames does not spend the publisher's tokens", index)
    replays.admitted(envelopes[0])
    replays.frame(
        frame_of(envelopes[0]), _IGNORE, Reason.NOTHING_NEW, dropped=(Reason.DUPLICATE,), repeat=standard.burst + 5
    )
    replays.admitted(*envelopes[1 : standard.burst])
    return [over, reserved, replays, _unchecked()]


def _unchecked() -> Case:
    """Once DOUBTFUL_RATE is spent, a frame is not passed on for what it carries unchecked."""
    alba = Feed("alba")
    first, second = alba.seal_many(2)
    case = Case("unchecked", "beyond DOUBTFUL_RATE what is dropped goes unchecked, and the frame no further")
    case.then(heads=[[alba.publisher, STANDARD, 1, first.digest]])
    together = 100
    case.frame(
        frame_of(*[first] * together),
        _IGNORE,
        Reason.NOTHING_NEW,
        dropped=(Reason.BELOW_HEAD,) * together,
        doubtful=together,
        repeat=DOUBTFUL_RATE.burst // together,
    )
    case.frame(frame_of(first), _IGNORE, Reason.NOTHING_NEW, dropped=(Reason.BELOW_HEAD,))
    case.frame(frame_of(first, second), _IGNORE, Reason.UNCHECKED, admitted=1, dropped=(Reason.BELOW_HEAD,))
    return case
