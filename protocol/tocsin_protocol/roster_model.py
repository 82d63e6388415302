"""Members, publishers and rosters as values (specs/roster.md)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .encoding import MAX_UINT
from .signing import address_of_key


class Capability(StrEnum):
    """What a publisher may do in the network."""

    PUBLISH = "publish"
    CRITICAL = "critical"


class RateClass(StrEnum):
    """How fast a publisher may gossip; numbers in specs/gossip.md."""

    LOW = "low"
    STANDARD = "standard"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class DetectorEntry:
    """A detector a publisher declares: independence is judged by these labels, never by the signal's."""

    name: str
    vendor: str
    content_hash: bytes


@dataclass(frozen=True, slots=True)
class Publisher:
    """A signing key of a member's node. `revoked` maps lane to the last accepted sequence. `log`: its log's key."""

    key: bytes
    peer_id: str
    addresses: tuple[str, ...]
    valid_from_ms: int
    valid_until_ms: int
    capabilities: tuple[Capability, ...]
    rate_class: RateClass
    detectors: tuple[DetectorEntry, ...]
    rpc_groups: tuple[str, ...]
    revoked: tuple[tuple[int, int], ...]
    log: bytes = b""

    @property
    def id(self) -> bytes:
        """The 20-byte address that stands in envelopes."""
        return address_of_key(self.key)

    def last_accepted(self, lane: int) -> int:
        """The last sequence accepted in a lane: all of them, unless the key was revoked."""
        if not self.revoked:
            return MAX_UINT
        return dict(self.revoked).get(lane, 0)


@dataclass(frozen=True, slots=True)
class Member:
    """An organisation in the network, with the root key that signs roster changes."""

    name: str
    organisation: str
    root: bytes
    publishers: tuple[Publisher, ...]


@dataclass(frozen=True, slots=True)
class Roster:
    """One epoch of the network's membership. `retired`: ids of publishers that left and never return."""

    network_id: bytes
    epoch: int
    previous: bytes
    members: tuple[Member, ...]
    retired: tuple[bytes, ...] = ()

    def member_of(self, publisher: bytes) -> Member | None:
        """The member a publisher id belongs to."""
        return next((m for m in self.members if any(p.id == publisher for p in m.publishers)), None)


@dataclass(frozen=True, slots=True)
class SignedRoster:
    """A roster with the root signatures that brought it into force: (root key, signature) by rising key."""

    body: bytes
    signatures: tuple[tuple[bytes, bytes], ...]
