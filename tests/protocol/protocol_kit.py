"""Fixed keys, signals, feeds and rosters: everything follows from a label, nothing from a clock or chance."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from msgspec import structs
from tocsin_protocol.body import encode_body
from tocsin_protocol.envelope import Envelope, seal_envelope
from tocsin_protocol.frame import encode_frame
from tocsin_protocol.ids import NO_DIGEST
from tocsin_protocol.model import Detector, Evidence, Loss, Signal, Subject
from tocsin_protocol.roster import RosterIndex, next_roster, sign_roster
from tocsin_protocol.roster_encoding import encode_roster
from tocsin_protocol.roster_model import (
    Capability,
    DetectorEntry,
    Member,
    Publisher,
    RateClass,
    Roster,
    SignedRoster,
)
from tocsin_protocol.signing import Domain, address_of_key, public_key_of
from tocsin_protocol.taxonomy import (
    CRITICAL,
    STANDARD,
    Category,
    EvidenceKind,
    Role,
    Severity,
    Stage,
    SubjectKind,
    Tlp,
)

NOW_MS = 1_700_000_000_000
DAY_MS = 24 * 3600 * 1000
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def bytes_of_label(*parts: object) -> bytes:
    """32 bytes that follow from a label."""
    return hashlib.sha256("/".join(map(str, ("tocsin vectors", *parts))).encode()).digest()


NETWORK_ID = bytes_of_label("network")
OTHER_NETWORK_ID = bytes_of_label("other network")
DOMAIN = Domain(NETWORK_ID)
VAULT = "eip155:1:0x" + "5a" * 20
ATTACKER = "eip155:1:0x" + "a7" * 20
ASSET = "eip155:1/erc20:0x" + "c0" * 20


def peer_id_of(label: str) -> str:
    """A peer id in its one spelling (the key behind it does not matter here)."""
    number = int.from_bytes(bytes.fromhex("002408011220") + bytes_of_label(label, "peer"), "big")
    digits = ""
    while number:
        number, rest = divmod(number, 58)
        digits = _BASE58[rest] + digits
    return "1" + digits


def make_signal(**changes: Any) -> Signal:
    """A complete CRITICAL signal, with changes."""
    signal = Signal(
        category=Category.ASSET_DRAIN,
        stage=Stage.EXPLOITATION,
        severity=Severity.CRITICAL,
        confidence=90,
        credibility=2,
        detected_ms=NOW_MS - 2_000,
        issued_ms=NOW_MS,
        expires_ms=NOW_MS + 3_600_000,
        incident="lender-2023-03-13",
        subjects=(
            Subject(Role.ATTACKER, SubjectKind.ACCOUNT, ATTACKER),
            Subject(Role.VICTIM, SubjectKind.ACCOUNT, VAULT),
            Subject(Role.VICTIM, SubjectKind.ASSET, ASSET),
        ),
        evidence=(Evidence(EvidenceKind.TRANSACTION, "eip155:1", 16_817_996, "0x" + "c3" * 32, "first drain"),),
        detector=Detector("outflow", "tocsin", bytes_of_label("detector"), "rpc-a"),
        loss=Loss(8_700_000_000_000, 900_000_000_000, 197_000_000_000_000),
        tier=2,
        tlp=Tlp.AMBER,
        references=(),
        cause=None,
        drill=False,
        text="Flash-loan drain of the lender.\nFurther markets are at risk.",
    )
    return structs.replace(signal, **changes)


def make_standard(**changes: Any) -> Signal:
    """A signal of the standard lane."""
    return make_signal(**{"severity": Severity.HIGH, **changes})


@dataclass(slots=True)
class Feed:
    """A publisher that seals signals into its two chains."""

    label: str
    domain: Domain = DOMAIN
    heads: dict[int, tuple[int, bytes]] = field(default_factory=dict)

    @property
    def secret(self) -> bytes:
        return bytes_of_label(self.label, "publisher")

    @property
    def key(self) -> bytes:
        return public_key_of(self.secret)

    @property
    def publisher(self) -> bytes:
        return address_of_key(self.key)

    @property
    def peer_id(self) -> str:
        return peer_id_of(self.label)

    def seal(self, signal: Signal | None = None) -> Envelope:
        """The next envelope of the feed that the signal belongs in."""
        chosen = signal or make_standard()
        sequence, previous = self.heads.get(chosen.lane, (0, NO_DIGEST))
        envelope = self.seal_at(sequence + 1, previous, chosen)
        self.heads[chosen.lane] = (envelope.sequence, envelope.digest)
        return envelope

    def seal_at(self, sequence: int, previous: bytes, signal: Signal) -> Envelope:
        """An envelope at any place of a feed."""
        return seal_envelope(
            self.domain, self.secret, self.publisher, signal.lane, sequence, previous, encode_body(signal)
        )

    def seal_many(self, count: int, lane: int = STANDARD) -> list[Envelope]:
        """The next `count` envelopes of a lane."""
        make = make_signal if lane == CRITICAL else make_standard
        return [self.seal(make(incident=f"{self.label}-{n}")) for n in range(count)]


def frame_of(*envelopes: Envelope) -> bytes:
    return encode_frame([envelope.encoded for envelope in envelopes])


def make_publisher(label: str, **changes: Any) -> Publisher:
    publisher = Publisher(
        key=Feed(label).key,
        peer_id=peer_id_of(label),
        addresses=(f"/dns4/{label}.example/tcp/4001",),
        valid_from_ms=NOW_MS - DAY_MS,
        valid_until_ms=NOW_MS + 365 * DAY_MS,
        capabilities=(Capability.CRITICAL, Capability.PUBLISH),
        rate_class=RateClass.STANDARD,
        detectors=(DetectorEntry("outflow", "tocsin", bytes_of_label("detector")),),
        rpc_groups=("rpc-a",),
        revoked=(),
    )
    return replace(publisher, **changes)


def root_secret(name: str) -> bytes:
    return bytes_of_label(name, "root")


def make_member(name: str, *publishers: Publisher) -> Member:
    return Member(
        name, f"{name.capitalize()} Labs", public_key_of(root_secret(name)), publishers or (make_publisher(name),)
    )


NAMES = ("alba", "brook", "cedar", "delta")


def make_roster(members: Iterable[Member] | None = None) -> Roster:
    chosen = tuple(members) if members is not None else tuple(make_member(name) for name in NAMES)
    return Roster(NETWORK_ID, 0, NO_DIGEST, chosen)


def make_index(**changes: Any) -> RosterIndex:
    """The roster of NAMES, in which the publisher of the first member is changed."""
    first, *rest = NAMES
    return RosterIndex(
        make_roster([make_member(first, make_publisher(first, **changes)), *(make_member(name) for name in rest)])
    )


def follow(current: Roster, members: Iterable[Member]) -> Roster:
    return next_roster(current, members)


def signed_by(roster: Roster, *names: str) -> SignedRoster:
    """A roster with the signatures of some members' roots."""
    signed = SignedRoster(encode_roster(roster), ())
    for name in names:
        secret = root_secret(name)
        signed = sign_roster(signed, secret, public_key_of(secret))
    return signed
