"""Who may speak: look-ups over a roster, and how one roster follows another (specs/roster.md)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .errors import RosterError, SignatureError, WrongNetworkError
from .ids import NO_DIGEST
from .roster_encoding import decode_roster, encode_roster, roster_hash
from .roster_model import Member, Publisher, Roster, SignedRoster
from .signing import Domain, sign_digest, verify_digest
from .taxonomy import LANES


class RosterIndex:
    """Look-ups over one roster, made once per epoch: publisher id and peer id to their entries."""

    __slots__ = ("_by_id", "_by_peer", "domain", "roster")

    def __init__(self, roster: Roster) -> None:
        self.roster = roster
        self.domain = Domain(roster.network_id)
        self._by_id = {p.id: (m, p) for m in roster.members for p in m.publishers}
        self._by_peer = {p.peer_id: p_id for p_id, (_, p) in self._by_id.items()}

    def publisher(self, publisher: bytes) -> Publisher | None:
        """The entry of a publisher id."""
        entry = self._by_id.get(publisher)
        return entry[1] if entry else None

    def member(self, publisher: bytes) -> Member | None:
        """The member a publisher id belongs to."""
        entry = self._by_id.get(publisher)
        return entry[0] if entry else None

    def publisher_of_peer(self, peer_id: str) -> bytes | None:
        """The publisher id whose node has this libp2p peer id."""
        return self._by_peer.get(peer_id)

    @property
    def publishers(self) -> dict[bytes, Publisher]:
        """All publishers by id."""
        return {p_id: entry[1] for p_id, entry in self._by_id.items()}


def quorum(members: int) -> int:
    """⌊2n/3⌋+1 of n members."""
    return 2 * members // 3 + 1


def tolerated_faults(members: int) -> int:
    """⌊(n-1)/3⌋, and 0 below four members: nothing Byzantine is tolerated there."""
    return (members - 1) // 3 if members >= 4 else 0


def sign_roster(signed: SignedRoster, root_secret: bytes, root: bytes) -> SignedRoster:
    """Add (or replace) one root's signature."""
    roster = decode_roster(signed.body)
    digest = Domain(roster.network_id).roster_change_digest(roster.epoch, roster_hash(signed.body))
    signatures = dict(signed.signatures) | {root: sign_digest(root_secret, digest)}
    return replace(signed, signatures=tuple(sorted(signatures.items())))


def verify_genesis(signed: SignedRoster, pinned_hash: bytes) -> Roster:
    """Check the first roster against the hash pinned out of band; raises RosterError or DecodeError."""
    if roster_hash(signed.body) != pinned_hash:
        raise RosterError(f"genesis roster hashes to {roster_hash(signed.body).hex()}, pinned is {pinned_hash.hex()}")
    roster = decode_roster(signed.body)
    if roster.epoch != 0 or roster.previous != NO_DIGEST or roster.retired:
        raise RosterError("genesis roster is not epoch 0 without a predecessor and without retired keys")
    return roster


def next_roster(current: Roster, members: Iterable[Member]) -> Roster:
    """The roster that would follow with these members, unsigned; keys that leave are retired."""
    ordered = tuple(sorted(members, key=lambda member: member.name))
    staying = {p.id for m in ordered for p in m.publishers}
    leaving = {p.id for m in current.members for p in m.publishers} - staying
    return Roster(
        network_id=current.network_id,
        epoch=current.epoch + 1,
        previous=roster_hash(encode_roster(current)),
        members=ordered,
        retired=tuple(sorted(leaving.union(current.retired))),
    )


def verify_successor(current: Roster, signed: SignedRoster) -> Roster:
    """Check that a roster follows the current one; returns it. Raises RosterError or DecodeError."""
    roster = decode_roster(signed.body)
    # [ROSTER] The network id never changes.
    if roster.network_id != current.network_id:
        raise WrongNetworkError(
            f"roster is of network {roster.network_id.hex()}, where ours is {current.network_id.hex()}"
        )
    # [ROSTER] Epochs are strictly sequential.
    if roster.epoch != current.epoch + 1:
        raise RosterError(f"roster has epoch {roster.epoch} where {current.epoch + 1} is next")
    # [ROSTER] A roster names the hash of the one before it.
    if roster.previous != roster_hash(encode_roster(current)):
        raise RosterError("roster does not name the hash of the one before it")
    names = {member.name for member in roster.members}
    removed = [member for member in current.members if member.name not in names]
    # [ROSTER] One change removes at most one member.
    if len(removed) > 1:
        raise RosterError(f"roster removes {len(removed)} members at once")
    # [ROSTER] A change that removes a member changes no other member and adds none.
    if removed and roster.members != tuple(member for member in current.members if member not in removed):
        raise RosterError("roster removes a member and changes others in one go")
    _check_keys(current, roster)
    # [ROSTER] A change is signed by floor(2n/3)+1 roots of the n members before it, less the removed one.
    voters = {member.root for member in current.members if member not in removed}
    needed = quorum(len(voters))
    digest = Domain(roster.network_id).roster_change_digest(roster.epoch, roster_hash(signed.body))
    # [ROSTER] Each root signs once, each signer is a voter, and each signature is valid.
    if len({root for root, _ in signed.signatures}) != len(signed.signatures):
        raise RosterError("roster is signed twice by one root")
    for root, signature in signed.signatures:
        if root not in voters:
            raise RosterError(f"roster is signed by {root.hex()}, which is not a voting root")
        try:
            verify_digest(root, digest, signature)
        except SignatureError as exc:
            raise RosterError(f"signature of root {root.hex()}: {exc}") from exc
    if len(signed.signatures) < needed:
        raise RosterError(f"roster has {len(signed.signatures)} root signatures where {needed} are needed")
    return roster


def _check_keys(current: Roster, roster: Roster) -> None:
    """What may become of publisher keys: nothing that gives one of them a second life."""
    before = {p.id: (m.name, p) for m in current.members for p in m.publishers}
    after = {p.id: (m.name, p) for m in roster.members for p in m.publishers}
    # [ROSTER] A change retires exactly the publisher keys that leave the roster; retired keys stay so and never return.
    if set(roster.retired) != set(current.retired).union(before.keys() - after.keys()):
        raise RosterError("roster's retired keys are not those retired before and those that leave")
    for publisher_id in before.keys() & after.keys():
        (name, publisher), (new_name, entry) = before[publisher_id], after[publisher_id]
        # [ROSTER] A publisher key never moves to another member.
        if name != new_name:
            raise RosterError(f"roster moves 0x{publisher_id.hex()} from {name} to {new_name}")
        # [ROSTER] The log key of a publisher, once it has one, never changes.
        if publisher.log and entry.log != publisher.log:
            raise RosterError(f"roster changes the log key of 0x{publisher_id.hex()}")
        # [ROSTER] A revocation is never lifted, and its last sequence never rises in either lane.
        if publisher.revoked and (
            not entry.revoked or any(entry.last_accepted(lane) > publisher.last_accepted(lane) for lane in LANES)
        ):
            raise RosterError(f"roster lifts the revocation of 0x{publisher_id.hex()}")
