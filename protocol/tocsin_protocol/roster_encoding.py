"""The canonical bytes of rosters (specs/roster.md)."""

from __future__ import annotations

from typing import Any

from .encoding import decode_canonical, encode_canonical
from .errors import DecodeError, SignatureError
from .fields import bytes_of, check_unique, enum_of, list_of, map_of, text_of, texts_of, uint_of
from .ids import DIGEST_BYTES, check_slug
from .roster_model import Capability, DetectorEntry, Member, Publisher, RateClass, Roster, SignedRoster
from .signing import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, address_of_key, keccak256

ROSTER_VERSION = 1
MAX_ROSTER_BYTES = 512 * 1024
MAX_MEMBERS = 256
MAX_PUBLISHERS_PER_MEMBER = 8
MAX_LABELS = 16


def roster_hash(body: bytes) -> bytes:
    """The hash that names a roster: keccak256 of its canonical body."""
    return keccak256(body)


def encode_roster(roster: Roster) -> bytes:
    """The canonical body of a roster; raises DecodeError where an entry is out of bounds."""
    body = encode_canonical(
        {
            "epoch": roster.epoch,
            "members": [_member_map(member) for member in roster.members],
            "network": roster.network_id,
            "previous": roster.previous,
            "version": ROSTER_VERSION,
        }
    )
    decode_roster(body)
    return body


def decode_roster(body: bytes) -> Roster:
    """Parse a roster body; raises DecodeError naming the entry."""
    value = decode_canonical(body, max_bytes=MAX_ROSTER_BYTES)
    fields = map_of("roster", value, ("epoch", "members", "network", "previous", "version"))
    uint_of("roster version", fields["version"], ROSTER_VERSION, ROSTER_VERSION)
    members = list_of("members", fields["members"], 1, MAX_MEMBERS)
    roster = Roster(
        network_id=bytes_of("network", fields["network"], 32),
        epoch=uint_of("epoch", fields["epoch"]),
        previous=bytes_of("previous", fields["previous"], DIGEST_BYTES),
        members=tuple(_decode_member(f"members[{i}]", member) for i, member in enumerate(members)),
    )
    check_unique("member name", [m.name for m in roster.members], ordered=True)
    check_unique("root key", [m.root for m in roster.members])
    check_unique("publisher key", [p.key for m in roster.members for p in m.publishers])
    check_unique("peer id", [p.peer_id for m in roster.members for p in m.publishers])
    return roster


def encode_signed_roster(signed: SignedRoster) -> bytes:
    """The file and wire form of a roster with its signatures."""
    return encode_canonical([signed.body, [[root, signature] for root, signature in signed.signatures]])


def decode_signed_roster(data: bytes) -> SignedRoster:
    """Parse a roster with its signatures, checking neither; raises DecodeError."""
    value = decode_canonical(data, max_bytes=MAX_ROSTER_BYTES + MAX_MEMBERS * 128)
    if type(value) is not list or len(value) != 2 or type(value[0]) is not bytes:
        raise DecodeError("signed roster is not [body, signatures]")
    signatures = []
    for pair in list_of("signatures", value[1], 0, MAX_MEMBERS):
        if type(pair) is not list or len(pair) != 2:
            raise DecodeError("roster signature is not [root, signature]")
        root = bytes_of("root", pair[0], PUBLIC_KEY_BYTES)
        signatures.append((root, bytes_of("signature", pair[1], SIGNATURE_BYTES)))
    check_unique("signature's root", [root for root, _ in signatures], ordered=True)
    return SignedRoster(value[0], tuple(signatures))


def _member_map(member: Member) -> dict[str, Any]:
    return {
        "name": member.name,
        "organisation": member.organisation,
        "publishers": [publisher_map(publisher) for publisher in member.publishers],
        "root": member.root,
    }


def publisher_map(publisher: Publisher) -> dict[str, Any]:
    """The canonical map of a publisher, as it stands in rosters and in roster entries."""
    return {
        "addresses": list(publisher.addresses),
        "capabilities": [str(c) for c in publisher.capabilities],
        "detectors": [[d.name, d.vendor, d.content_hash] for d in publisher.detectors],
        "key": publisher.key,
        "peer": publisher.peer_id,
        "rate": str(publisher.rate_class),
        "revoked": [list(pair) for pair in publisher.revoked],
        "rpc": list(publisher.rpc_groups),
        "valid": [publisher.valid_from_ms, publisher.valid_until_ms],
    }


def _decode_member(where: str, value: Any) -> Member:
    fields = map_of(where, value, ("name", "organisation", "publishers", "root"))
    publishers = list_of(f"{where}.publishers", fields["publishers"], 0, MAX_PUBLISHERS_PER_MEMBER)
    root = bytes_of(f"{where}.root", fields["root"], PUBLIC_KEY_BYTES)
    _key(f"{where}.root", root)
    return Member(
        name=check_slug(text_of(f"{where}.name", fields["name"])),
        organisation=text_of(f"{where}.organisation", fields["organisation"]),
        root=root,
        publishers=tuple(decode_publisher(f"{where}.publishers[{i}]", p) for i, p in enumerate(publishers)),
    )


def decode_publisher(where: str, value: Any) -> Publisher:
    """Check a publisher's map; raises DecodeError naming the field under `where`."""
    names = ("addresses", "capabilities", "detectors", "key", "peer", "rate", "revoked", "rpc", "valid")
    fields = map_of(where, value, names)
    key = bytes_of(f"{where}.key", fields["key"], PUBLIC_KEY_BYTES)
    _key(f"{where}.key", key)
    valid = list_of(f"{where}.valid", fields["valid"], 2, 2)
    capabilities = tuple(
        enum_of(f"{where}.capabilities", c, Capability)
        for c in list_of(f"{where}.capabilities", fields["capabilities"], 0, len(Capability))
    )
    check_unique("capability", capabilities, ordered=True)
    return Publisher(
        key=key,
        peer_id=text_of(f"{where}.peer", fields["peer"]),
        addresses=texts_of(f"{where}.addresses", fields["addresses"], MAX_LABELS),
        valid_from_ms=uint_of(f"{where}.valid[0]", valid[0]),
        valid_until_ms=uint_of(f"{where}.valid[1]", valid[1]),
        capabilities=capabilities,
        rate_class=enum_of(f"{where}.rate", fields["rate"], RateClass),
        detectors=tuple(
            _decode_detector(f"{where}.detectors", d)
            for d in list_of(f"{where}.detectors", fields["detectors"], 0, MAX_LABELS)
        ),
        rpc_groups=texts_of(f"{where}.rpc", fields["rpc"], MAX_LABELS),
        revoked=tuple(
            _decode_revocation(f"{where}.revoked", r) for r in list_of(f"{where}.revoked", fields["revoked"], 0, 2)
        ),
    )


def _decode_detector(where: str, value: Any) -> DetectorEntry:
    name, vendor, content_hash = list_of(where, value, 3, 3)
    return DetectorEntry(
        check_slug(text_of(where, name)),
        check_slug(text_of(where, vendor)),
        bytes_of(where, content_hash, 32),
    )


def _decode_revocation(where: str, value: Any) -> tuple[int, int]:
    lane, last = list_of(where, value, 2, 2)
    return uint_of(where, lane), uint_of(where, last)


def _key(where: str, value: bytes) -> None:
    try:
        address_of_key(value)
    except SignatureError as exc:
        raise DecodeError(f"{where}: {exc}") from exc
