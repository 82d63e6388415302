"""The gossip rules: what a frame must be to pass (specs/gossip.md). Each check stands under the spec's own line."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from .envelope import Envelope, decode_envelope
from .errors import DecodeError, OversizedError, SpellingError, TruncatedError
from .feed import FeedHead, is_valid_signature
from .frame import MAX_FRAME_BYTES, decode_frame
from .rates import RateLimiter
from .roster import RosterIndex
from .roster_model import Capability, Publisher
from .taxonomy import CRITICAL

MAX_SEEN = 65_536


class Verdict(StrEnum):
    """Gossipsub's three verdicts: forward, drop quietly, drop and hold against the forwarder."""

    ACCEPT = "accept"
    IGNORE = "ignore"
    REJECT = "reject"


class Reason(StrEnum):
    """Why a frame or an envelope was not admitted; each is a counter and a vector."""

    ADMITTED = "admitted"
    UNKNOWN_TOPIC = "unknown-topic"
    WRONG_NETWORK = "wrong-network"
    OVERSIZED = "oversized"
    MALFORMED = "malformed"
    TRUNCATED = "truncated"
    NON_CANONICAL = "non-canonical"
    MIXED_PUBLISHERS = "mixed-publishers"
    MIXED_LANES = "mixed-lanes"
    UNKNOWN_PUBLISHER = "unknown-publisher"
    WRONG_PEER = "wrong-peer"
    KEY_NOT_VALID = "key-not-valid"
    KEY_REVOKED = "key-revoked"
    NOT_CAPABLE = "not-capable"
    EQUIVOCATOR = "equivocator"
    DUPLICATE = "duplicate"
    BELOW_HEAD = "below-head"
    EQUIVOCATION = "equivocation"
    OVER_RATE = "over-rate"
    BAD_SIGNATURE = "bad-signature"
    NOTHING_NEW = "nothing-new"
    UNCHECKED = "unchecked"
    BAD_BODY = "bad-body"
    WRONG_LANE = "wrong-lane"
    FROM_FUTURE = "from-future"
    EXPIRED = "expired"
    STALE = "stale"
    DRILL = "drill"


# Only the store holds what these are to be compared with.
_FOR_THE_STORE = frozenset((Reason.EQUIVOCATION, Reason.BELOW_HEAD))


@dataclass(slots=True)
class FrameOutcome:
    """What became of a frame: envelopes admitted, reasons of those dropped, and those only the store can judge.

    Admitted and doubtful envelopes are signed by their publisher. A frame that is not passed on may still admit some.
    """

    verdict: Verdict
    reason: Reason
    admitted: list[Envelope] = field(default_factory=list)
    dropped: list[Reason] = field(default_factory=list)
    doubtful: list[Envelope] = field(default_factory=list)


class Admission:
    """Gossip admission of one node: bytes in, outcome out. Its memory is bounded by MAX_SEEN and the roster."""

    def __init__(self, roster: RosterIndex) -> None:
        self._roster = roster
        self._rates = RateLimiter()
        self._heads: dict[tuple[bytes, int], int] = {}
        # The envelope admitted at each (publisher, lane, sequence), as digest and signature.
        self._seen: OrderedDict[tuple[bytes, int, int], bytes] = OrderedDict()
        self._equivocators: frozenset[bytes] = frozenset()

    def set_roster(self, roster: RosterIndex) -> None:
        """Go over to another roster epoch."""
        self._roster = roster
        self._rates.forget_except(frozenset(roster.publishers))

    def set_equivocators(self, publishers: Iterable[bytes]) -> None:
        """Publishers proven to have told two histories: weight 0 from now on."""
        self._equivocators = frozenset(publishers)

    def set_heads(self, heads: Iterable[FeedHead]) -> None:
        """Up to where the node holds each feed without a gap: nothing at or below is new."""
        self._heads = {(h.publisher, h.lane): h.sequence for h in heads}

    def admit_frame(self, data: bytes, from_peer: str, now_ms: int) -> FrameOutcome:
        """Judge a frame that `from_peer` (the gossipsub `from`, signed) published."""
        # [REJECT] The frame is at most MAX_FRAME_BYTES.
        if len(data) > MAX_FRAME_BYTES:
            return _refuse(Verdict.REJECT, Reason.OVERSIZED)
        # [REJECT] The frame is a canonical array of 1 to MAX_FRAME_ENVELOPES well-formed envelopes.
        try:
            envelopes = [decode_envelope(self._roster.domain, item) for item in decode_frame(data)]
        except DecodeError as exc:
            return _refuse(Verdict.REJECT, malformation(exc))
        publisher_id, lane = envelopes[0].publisher, envelopes[0].lane
        # [REJECT] All envelopes of a frame name one publisher.
        if any(envelope.publisher != publisher_id for envelope in envelopes):
            return _refuse(Verdict.REJECT, Reason.MIXED_PUBLISHERS)
        # [REJECT] All envelopes of a frame are of one lane.
        if any(envelope.lane != lane for envelope in envelopes):
            return _refuse(Verdict.REJECT, Reason.MIXED_LANES)
        # [IGNORE] The publisher is in the roster.
        publisher = self._roster.publisher(publisher_id)
        if publisher is None:
            return _refuse(Verdict.IGNORE, Reason.UNKNOWN_PUBLISHER)
        # [IGNORE] The frame's `from` is the publisher's roster peer.
        if publisher.peer_id != from_peer:
            return _refuse(Verdict.IGNORE, Reason.WRONG_PEER)
        # [IGNORE] The publisher's key is valid now.
        if not publisher.valid_from_ms <= now_ms < publisher.valid_until_ms:
            return _refuse(Verdict.IGNORE, Reason.KEY_NOT_VALID)
        # [IGNORE] The publisher may publish in this lane.
        if not may_publish(publisher, lane):
            return _refuse(Verdict.IGNORE, Reason.NOT_CAPABLE)
        # [IGNORE] The publisher is not a proven equivocator.
        if publisher_id in self._equivocators:
            return _refuse(Verdict.IGNORE, Reason.EQUIVOCATOR)
        return self._admit_envelopes(envelopes, publisher, now_ms)

    def _place(self, envelope: Envelope, publisher: Publisher, fresh: dict[int, bytes], now_ms: int) -> Reason:
        """What an envelope is before its signature is looked at; `fresh` are those admitted earlier in its frame."""
        # [DROP] A sequence past the publisher's revocation is dropped.
        if envelope.sequence > publisher.last_accepted(envelope.lane):
            return Reason.KEY_REVOKED
        seen = self._known_at(envelope, fresh)
        # [DROP] A signal already seen is dropped.
        if seen is not None and seen.startswith(envelope.digest):
            return Reason.DUPLICATE
        # [DROP] A second signal with a sequence already seen is dropped; the store makes the proof.
        if seen is not None:
            return Reason.EQUIVOCATION
        # [DROP] A signal at or below the head held without a gap is dropped; the store compares it.
        if envelope.sequence <= self._heads.get((envelope.publisher, envelope.lane), 0):
            return Reason.BELOW_HEAD
        # [DROP] A signal beyond the publisher's rate in its lane is dropped; sync fetches it later.
        if not self._rates.allow(envelope.publisher, envelope.lane, publisher.rate_class, now_ms):
            return Reason.OVER_RATE
        return Reason.ADMITTED

    def _known_at(self, envelope: Envelope, fresh: dict[int, bytes]) -> bytes | None:
        key = (envelope.publisher, envelope.lane, envelope.sequence)
        return fresh.get(envelope.sequence) or self._seen.get(key)

    def _is_known(self, envelope: Envelope, fresh: dict[int, bytes]) -> bool:
        """Whether these very bytes were admitted before, signature and all."""
        return self._known_at(envelope, fresh) == _identity(envelope)

    def _admit_envelopes(self, envelopes: list[Envelope], publisher: Publisher, now_ms: int) -> FrameOutcome:
        outcome = FrameOutcome(Verdict.ACCEPT, Reason.ADMITTED)
        fresh: dict[int, bytes] = {}
        unchecked = 0
        for envelope in envelopes:
            reason = self._place(envelope, publisher, fresh, now_ms)
            if reason is not Reason.ADMITTED:
                outcome.dropped.append(reason)
                if self._is_known(envelope, fresh):
                    continue
                if not self._rates.allow_doubtful(envelope.publisher, now_ms):
                    unchecked += 1
                    continue
            # [REJECT] Every envelope of a frame is signed by its publisher; those dropped are checked at DOUBTFUL_RATE.
            if not is_valid_signature(envelope, publisher.key):
                return _refuse(Verdict.REJECT, Reason.BAD_SIGNATURE)
            if reason is Reason.ADMITTED:
                fresh[envelope.sequence] = _identity(envelope)
                outcome.admitted.append(envelope)
            elif reason in _FOR_THE_STORE:
                outcome.doubtful.append(envelope)
        # [IGNORE] The frame holds at least one envelope that is new and admitted.
        if not outcome.admitted:
            outcome.verdict, outcome.reason = Verdict.IGNORE, Reason.NOTHING_NEW
        # [IGNORE] No envelope of the frame went unchecked; those admitted stay admitted.
        elif unchecked:
            outcome.verdict, outcome.reason = Verdict.IGNORE, Reason.UNCHECKED
        for envelope in outcome.admitted:
            self._remember(envelope)
        return outcome

    def _remember(self, envelope: Envelope) -> None:
        key = (envelope.publisher, envelope.lane, envelope.sequence)
        self._seen[key] = _identity(envelope)
        while len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)


def malformation(error: DecodeError) -> Reason:
    """The reason that tells how bytes failed to decode."""
    if isinstance(error, OversizedError):
        return Reason.OVERSIZED
    if isinstance(error, TruncatedError):
        return Reason.TRUNCATED
    if isinstance(error, SpellingError):
        return Reason.NON_CANONICAL
    return Reason.MALFORMED


def _identity(envelope: Envelope) -> bytes:
    return envelope.digest + envelope.signature


def may_publish(publisher: Publisher, lane: int) -> bool:
    """Whether the roster lets a publisher speak in a lane."""
    needed = Capability.CRITICAL if lane == CRITICAL else Capability.PUBLISH
    return needed in publisher.capabilities


def _refuse(verdict: Verdict, reason: Reason) -> FrameOutcome:
    return FrameOutcome(verdict, reason)
