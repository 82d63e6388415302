"""The canonical bytes of rosters (specs/roster.md)."""

from __future__ import annotations

import re
from typing import Any

from .encoding import decode_canonical, encode_canonical
from .errors import DecodeError, SignatureError
from .fields import bytes_of, check_unique, enum_of, id_of, list_of, map_of, text_of, texts_of, uint_of
from .ids import DIGEST_BYTES, PUBLISHER_BYTES, check_slug
from .log.note import ED25519_KEY_BYTES
from .roster_model import Capability, DetectorEntry, Member, Publisher, RateClass, Roster, SignedRoster
from .signing import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, address_of_key, keccak256
from .taxonomy import LANES

ROSTER_VERSION = 1
MAX_ROSTER_BYTES = 512 * 1024
MAX_MEMBERS = 256
MAX_PUBLISHERS_PER_MEMBER = 8
MAX_LABELS = 16
MAX_RETIRED = 4096

# libp2p peer id of an Ed25519 key: base58btc of the identity multihash of its 36-byte protobuf.
_PEER_ID = re.compile("12D3KooW[1-9A-HJ-NP-Za-km-z]{44}")


def roster_hash(body: bytes) -> bytes:
    """The hash that names a roster: keccak256 of its canonical body."""
    return keccak256(body)


def encode_roster(roster: Roster) -> bytes:
    """The canonical body of a roster; raises DecodeError where an entry is out of bounds."""
    fields: dict[str, Any] = {
        "epoch": roster.epoch,
        "members": [_member_map(member) for member in roster.members],
        "network": roster.network_id,
        "previous": roster.previous,
        "version": ROSTER_VERSION,
    }
    if roster.retired:
        fields["retired"] = list(roster.retired)
    body = encode_canonical(fields)
    decode_roster(body)
    return body


def decode_roster(body: bytes) -> Roster:
    """Parse a roster body; raises DecodeError naming the entry."""
    value = decode_canonical(body, max_bytes=MAX_ROSTER_BYTES, max_items=MAX_RETIRED)
    names = ("epoch", "members", "network", "previous", "retired", "version")
    fields = map_of("roster", value, names, frozenset(("retired",)))
    uint_of("roster version", fields["version"], ROSTER_VERSION, ROSTER_VERSION)
    members = list_of("members", fields["members"], 1, MAX_MEMBERS)
    roster = Roster(
        network_id=bytes_of("network", fields["network"], 32),
        epoch=uint_of("epoch", fields["epoch"]),
        previous=bytes_of("previous", fields["previous"], DIGEST_BYTES),
        members=tuple(_decode_member(f"members[{i}]", member) for i, member in enumerate(members)),
        retired=_decode_retired(fields["retired"]) if "retired" in fields else (),
    )
    publishers = [p for m in roster.members for p in m.publishers]
    check_unique("member name", [m.name for m in roster.members], ordered=True)
    # An organisation counts once in every quorum, so it is a member once.
    check_unique("organisation", [m.organisation for m in roster.members])
    # A root key that also signs signals would lie on an online node.
    check_unique("root or publisher key", [m.root for m in roster.members] + [p.key for p in publishers])
    check_unique("peer id", [p.peer_id for p in publishers])
    # Whoever had another's log key could be blamed for what the other's log shows.
    check_unique("log key", [p.log for p in publishers if p.log])
    if roster.retired and not {p.id for p in publishers}.isdisjoint(roster.retired):
        raise DecodeError("a publisher of the roster is retired")
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
    fields: dict[str, Any] = {
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
    if publisher.log:
        fields["log"] = publisher.log
    return fields


def _decode_member(where: str, value: Any) -> Member:
    fields = map_of(where, value, ("name", "organisation", "publishers", "root"))
    publishers = list_of(f"{where}.publishers", fields["publishers"], 0, MAX_PUBLISHERS_PER_MEMBER)
    root = bytes_of(f"{where}.root", fields["root"], PUBLIC_KEY_BYTES)
    _key(f"{where}.root", root)
    return Member(
        name=id_of(f"{where}.name", fields["name"], check_slug),
        organisation=text_of(f"{where}.organisation", fields["organisation"]),
        root=root,
        publishers=tuple(decode_publisher(f"{where}.publishers[{i}]", p) for i, p in enumerate(publishers)),
    )


def decode_publisher(where: str, value: Any) -> Publisher:
    """Check a publisher's map; raises DecodeError naming the field under `where`."""
    names = ("addresses", "capabilities", "detectors", "key", "log", "peer", "rate", "revoked", "rpc", "valid")
    fields = map_of(where, value, names, frozenset(("log",)))
    key = bytes_of(f"{where}.key", fields["key"], PUBLIC_KEY_BYTES)
    _key(f"{where}.key", key)
    valid = list_of(f"{where}.valid", fields["valid"], 2, 2)
    capabilities = tuple(
        enum_of(f"{where}.capabilities", c, Capability)
        for c in list_of(f"{where}.capabilities", fields["capabilities"], 0, len(Capability))
    )
    check_unique("capability", capabilities, ordered=True)
    valid_from_ms = uint_of(f"{where}.valid[0]", valid[0])
    revoked = tuple(
        _decode_revocation(f"{where}.revoked", r) for r in list_of(f"{where}.revoked", fields["revoked"], 0, len(LANES))
    )
    check_unique("revoked lane", [lane for lane, _ in revoked], ordered=True)
    return Publisher(
        key=key,
        peer_id=_peer_id(f"{where}.peer", fields["peer"]),
        addresses=texts_of(f"{where}.addresses", fields["addresses"], MAX_LABELS),
        valid_from_ms=valid_from_ms,
        valid_until_ms=uint_of(f"{where}.valid[1]", valid[1], valid_from_ms + 1),
        capabilities=capabilities,
        rate_class=enum_of(f"{where}.rate", fields["rate"], RateClass),
        detectors=tuple(
            _decode_detector(f"{where}.detectors", d)
            for d in list_of(f"{where}.detectors", fields["detectors"], 0, MAX_LABELS)
        ),
        rpc_groups=texts_of(f"{where}.rpc", fields["rpc"], MAX_LABELS),
        revoked=revoked,
        log=bytes_of(f"{where}.log", fields["log"], ED25519_KEY_BYTES) if "log" in fields else b"",
    )


def _decode_detector(where: str, value: Any) -> DetectorEntry:
    name, vendor, content_hash = list_of(where, value, 3, 3)
    return DetectorEntry(
        id_of(where, name, check_slug),
        id_of(where, vendor, check_slug),
        bytes_of(where, content_hash, 32),
    )


def _decode_revocation(where: str, value: Any) -> tuple[int, int]:
    lane, last = list_of(where, value, 2, 2)
    return uint_of(where, lane, 0, len(LANES) - 1), uint_of(where, last)


def _decode_retired(value: Any) -> tuple[bytes, ...]:
    retired = tuple(bytes_of("retired", item, PUBLISHER_BYTES) for item in list_of("retired", value, 1, MAX_RETIRED))
    check_unique("retired publisher", retired, ordered=True)
    return retired


def _peer_id(where: str, value: Any) -> str:
    """An Ed25519 peer id in base58, its one spelling; the same peer under a second one would pass for another."""
    if type(value) is not str or not _PEER_ID.fullmatch(value):
        raise DecodeError(f"{where} is not the peer id of an Ed25519 key such as 12D3KooW…")
    return value


def _key(where: str, value: bytes) -> None:
    try:
        address_of_key(value)
    except SignatureError as exc:
        raise DecodeError(f"{where}: {exc}") from exc
