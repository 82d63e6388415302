"""Roster entries and rosters as files, and the changes that members propose to one another."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tocsin_protocol.errors import DecodeError, ProtocolError, RosterError
from tocsin_protocol.fields import bytes_of, map_of, text_of
from tocsin_protocol.ids import NO_DIGEST, check_slug
from tocsin_protocol.roster import next_roster, sign_roster, verify_genesis, verify_successor
from tocsin_protocol.roster_encoding import (
    decode_publisher,
    decode_roster,
    decode_signed_roster,
    encode_roster,
    encode_signed_roster,
    publisher_map,
    roster_hash,
)
from tocsin_protocol.roster_model import Member, Publisher, Roster, SignedRoster
from tocsin_protocol.signing import PUBLIC_KEY_BYTES, public_key_of

from .errors import ConfigError
from .private_files import replace_file, write_new_file

ENTRY_KIND = "tocsin roster entry"
MAX_ENTRY_BYTES = 64 * 1024
MAX_ROSTER_FILE_BYTES = 1024 * 1024
# Rosters and entries hold no secret: other members must be able to read them.
PUBLIC_FILE_MODE = 0o644


@dataclass(frozen=True, slots=True)
class RosterEntry:
    """What a member hands to the others to be listed: who he is, his root key and one node's publisher."""

    member: str
    organisation: str
    root: bytes
    publisher: Publisher

    def as_member(self) -> Member:
        """The member with this one publisher."""
        return Member(self.member, self.organisation, self.root, (self.publisher,))


def encode_entry(entry: RosterEntry) -> bytes:
    """An entry as a JSON file that a person can read."""
    document = {
        "kind": ENTRY_KIND,
        "member": entry.member,
        "organisation": entry.organisation,
        "root": "0x" + entry.root.hex(),
        "publisher": _with_hex(publisher_map(entry.publisher)),
    }
    return json.dumps(document, indent=2).encode() + b"\n"


def read_entry(path: Path) -> RosterEntry:
    """Read a roster entry; raises ConfigError."""
    try:
        document = json.loads(_read(path, MAX_ENTRY_BYTES))
        fields = map_of("entry", document, ("kind", "member", "organisation", "publisher", "root"))
        if fields["kind"] != ENTRY_KIND:
            raise DecodeError(f"kind is {str(fields['kind'])[:80]!r} where {ENTRY_KIND!r} is wanted")
        return RosterEntry(
            member=check_slug(text_of("member", fields["member"])),
            organisation=text_of("organisation", fields["organisation"]),
            root=bytes_of("root", _without_hex("root", fields["root"]), PUBLIC_KEY_BYTES),
            publisher=decode_publisher("publisher", _publisher_bytes(fields["publisher"])),
        )
    except (ValueError, RecursionError) as exc:
        raise ConfigError(path, "", "is not a roster entry: not JSON") from exc
    except DecodeError as exc:
        raise ConfigError(path, "", f"is not a roster entry: {exc}") from exc


def create_genesis(entries: Iterable[RosterEntry], network_id: bytes) -> SignedRoster:
    """The first roster of a network of these members; raises RosterError or DecodeError.

    Entries of one member (several nodes) must agree on its root key and organisation.
    """
    members: dict[str, Member] = {}
    for entry in entries:
        members[entry.member] = _joined(members.get(entry.member), entry)
    ordered = tuple(members[name] for name in sorted(members))
    return SignedRoster(encode_roster(Roster(network_id, 0, NO_DIGEST, ordered)), ())


def genesis_hash(signed: SignedRoster) -> bytes:
    """The hash that members pin out of band; 32 bytes."""
    return roster_hash(signed.body)


def add_entry(current: Roster, entry: RosterEntry) -> SignedRoster:
    """The unsigned next roster with a member or one more node of a member; raises RosterError or DecodeError."""
    members = {member.name: member for member in current.members}
    members[entry.member] = _joined(members.get(entry.member), entry)
    return _next(current, members.values())


def remove_member(current: Roster, name: str) -> SignedRoster:
    """The unsigned next roster without a member; raises RosterError."""
    _member(current, name)
    return _next(current, (member for member in current.members if member.name != name))


def rotate_publisher(current: Roster, old: bytes, entry: RosterEntry) -> SignedRoster:
    """The unsigned next roster with a node's key (20-byte id `old`) replaced by the entry's; raises RosterError."""
    member = _member(current, entry.member)
    if member.root != entry.root:
        raise RosterError(f"the entry's root key is not that of member {entry.member!r} in the roster")
    if all(publisher.id != old for publisher in member.publishers):
        raise RosterError(f"member {entry.member!r} has no publisher 0x{old.hex()}")
    publishers = tuple(entry.publisher if publisher.id == old else publisher for publisher in member.publishers)
    return _replaced(current, replace(member, publishers=publishers))


def revoke_publisher(current: Roster, publisher_id: bytes, last: dict[int, int]) -> SignedRoster:
    """The unsigned next roster that accepts a key's signals only up to a sequence per lane; raises RosterError."""
    member = current.member_of(publisher_id)
    if member is None:
        raise RosterError(f"no member has the publisher 0x{publisher_id.hex()}")
    revoked = tuple(sorted(last.items()))
    publishers = tuple(replace(p, revoked=revoked) if p.id == publisher_id else p for p in member.publishers)
    return _replaced(current, replace(member, publishers=publishers))


def sign_with_root(signed: SignedRoster, root_secret: bytes, current: Roster | None) -> SignedRoster:
    """Add a member's signature; raises RosterError when the root is not one of those that may sign.

    `current` is the roster that is in force, whose members vote; None for a genesis.
    """
    root = public_key_of(root_secret)
    proposed = decode_roster(signed.body)
    member = next((member for member in (current or proposed).members if member.root == root), None)
    if member is None:
        raise RosterError(f"root key {root.hex()} is not one of a member's in the roster that is in force")
    if all(other.name != member.name for other in proposed.members):
        raise RosterError(f"member {member.name!r} has no vote on its own removal")
    return sign_roster(signed, root_secret, root)


def read_roster(path: Path) -> SignedRoster:
    """Read a roster file, checking its form but no signature; raises ConfigError."""
    try:
        signed = decode_signed_roster(_read(path, MAX_ROSTER_FILE_BYTES))
        decode_roster(signed.body)
    except ProtocolError as exc:
        raise ConfigError(path, "", f"is not a roster: {exc}") from exc
    return signed


def write_roster(path: Path, signed: SignedRoster, *, replaces: bool = False) -> None:
    """Write a roster file, durable and in one step; raises ConfigError where one is and `replaces` is not set."""
    (replace_file if replaces else write_new_file)(path, encode_signed_roster(signed), mode=PUBLIC_FILE_MODE)


def load_genesis(path: Path, pinned_hash: bytes) -> Roster:
    """Read the genesis roster and hold it against the pinned hash; raises ConfigError."""
    try:
        return verify_genesis(read_roster(path), pinned_hash)
    except ProtocolError as exc:
        raise ConfigError(path, "", str(exc)) from exc


def check_chain(genesis: Roster, successors: Iterable[SignedRoster]) -> Roster:
    """Follow rosters from the first one; returns the last, raises RosterError or DecodeError."""
    current = genesis
    for signed in successors:
        current = verify_successor(current, signed)
    return current


def _next(current: Roster, members: Iterable[Member]) -> SignedRoster:
    return SignedRoster(encode_roster(next_roster(current, members)), ())


def _replaced(current: Roster, changed: Member) -> SignedRoster:
    return _next(current, (changed if member.name == changed.name else member for member in current.members))


def _joined(member: Member | None, entry: RosterEntry) -> Member:
    if member is None:
        return entry.as_member()
    if (member.root, member.organisation) != (entry.root, entry.organisation):
        raise RosterError(f"two entries of member {entry.member!r} differ in root key or organisation")
    return replace(member, publishers=(*member.publishers, entry.publisher))


def _member(current: Roster, name: str) -> Member:
    member = next((member for member in current.members if member.name == name), None)
    if member is None:
        names = ", ".join(member.name for member in current.members)
        raise RosterError(f"the roster has no member {name!r} (it has {names})")
    return member


def _with_hex(value: Any) -> Any:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, dict):
        return {key: _with_hex(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_hex(item) for item in value]
    return value


def _publisher_bytes(value: Any) -> Any:
    """The publisher's map with its bytes in place of hex texts; anything else is left for the decoder to refuse."""
    if not isinstance(value, dict):
        return value
    changed = dict(value)
    for name in ("key", "log"):
        if name in changed:
            changed[name] = _without_hex(f"publisher.{name}", changed[name])
    if isinstance(changed.get("detectors"), list):
        changed["detectors"] = [
            [*item[:2], _without_hex("publisher.detectors", item[2])]
            if isinstance(item, list) and len(item) == 3
            else item
            for item in changed["detectors"]
        ]
    return changed


def _without_hex(where: str, value: Any) -> bytes:
    text = text_of(where, value)
    digits = text.removeprefix("0x")
    try:
        data = bytes.fromhex(digits)
    except ValueError as exc:
        raise DecodeError(f"{where} is not 0x and hex digits") from exc
    if "0x" + data.hex() != text:
        raise DecodeError(f"{where} is not 0x and lower-case hex digits")
    return data


def _read(path: Path, max_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as exc:
        raise ConfigError(path, "", f"cannot be read: {exc.strerror}") from exc
    if len(data) > max_bytes:
        raise ConfigError(path, "", f"is longer than {max_bytes} bytes")
    return data
