"""Vectors of rosters: bodies, the genesis, and how one follows another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from protocol_kit import (
    NAMES,
    OTHER_NETWORK_ID,
    bytes_of_label,
    follow,
    make_member,
    make_publisher,
    make_roster,
    root_secret,
    signed_by,
)
from tocsin_protocol.encoding import decode_canonical, encode_canonical
from tocsin_protocol.roster_encoding import MAX_ROSTER_BYTES, encode_roster, encode_signed_roster, roster_hash
from tocsin_protocol.roster_model import Member, Roster, SignedRoster
from tocsin_protocol.signing import Domain, address_of_key, public_key_of, sign_digest
from vector_kit import case

_REVOKED = ((0, 5),)


def roster() -> dict[str, Any]:
    """specs/vectors/roster.json"""
    genesis = make_roster()
    body = encode_roster(genesis)
    with_retired = replace(genesis, retired=(bytes_of_label("gone")[:20],))
    with_log = replace(genesis, members=(make_member("alba", make_publisher("alba", log=bytes_of_label("log"))),))
    return {
        "bodies": {
            "valid": [
                case("genesis", "four members", body=body, hash=roster_hash(body)),
                case(
                    "log",
                    "a publisher with a log",
                    body=encode_roster(with_log),
                    hash=roster_hash(encode_roster(with_log)),
                ),
                case(
                    "retired",
                    "a key that left",
                    body=encode_roster(with_retired),
                    hash=roster_hash(encode_roster(with_retired)),
                ),
            ],
            "invalid": _bad_bodies(body, with_retired),
        },
        "genesis": {
            "valid": [case("pinned", "", signed=_wire(genesis), pinned=roster_hash(body))],
            "invalid": [
                case("other-hash", "another roster than the pinned one", signed=_wire(genesis), pinned=bytes(32)),
                _bad_genesis("epoch-1", "a later epoch", replace(genesis, epoch=1)),
                _bad_genesis("previous", "it names a predecessor", replace(genesis, previous=bytes_of_label("x"))),
                _bad_genesis("retired", "nobody has left yet", with_retired),
            ],
        },
        "succession": _succession(genesis),
    }


def _wire(roster: Roster, *names: str) -> bytes:
    return encode_signed_roster(signed_by(roster, *names))


def _bad_genesis(name: str, why: str, roster: Roster) -> dict[str, Any]:
    return case(name, why, signed=_wire(roster), pinned=roster_hash(encode_roster(roster)))


def _bad_bodies(body: bytes, with_retired: Roster) -> list[dict[str, Any]]:
    def bad(name: str, why: str, /, **changes: Any) -> dict[str, Any]:
        return case(name, why, body=encode_canonical({**_fields(body), **changes}))

    def member(name: str, why: str, /, **changes: Any) -> dict[str, Any]:
        fields = _fields(body)
        fields["members"][0] |= changes
        return case(name, why, body=encode_canonical(fields))

    def publisher(name: str, why: str, /, **changes: Any) -> dict[str, Any]:
        fields = _fields(body)
        fields["members"][0]["publishers"][0] |= changes
        return case(name, why, body=encode_canonical(fields))

    first, second, *_ = _fields(body)["members"]
    entry, other = first["publishers"][0], second["publishers"][0]
    gone = bytes_of_label("gone")[:20]
    return [
        bad("version-2", "a version yet to come", version=2),
        bad("no-members", "nobody", members=[]),
        bad("members-unsorted", "names do not rise", members=[second, first]),
        bad("network-31", "a network id of 31 bytes", network=bytes(31)),
        bad("unknown-key", "a key that is not in the table", x=1),
        bad("retired-empty", "an empty list, which is a second spelling of none", retired=[]),
        bad("retired-unsorted", "ids do not rise", retired=[b"\x02" * 20, b"\x01" * 20]),
        bad("retired-twice", "one id twice", retired=[gone, gone]),
        bad("retired-in-roster", "a publisher that is retired", retired=[address_of_key(entry["key"])]),
        member("name-upper", "upper case is a second spelling", name="Alba"),
        member("name-twice", "two members of one name", name=second["name"]),
        member("organisation-twice", "one organisation as two members", organisation=second["organisation"]),
        member("organisation-escape", "a control character", organisation="Alba\x07"),
        member("root-twice", "one root key for two members", root=second["root"]),
        member("root-of-publisher", "a root key that signs signals as well", root=entry["key"]),
        member("root-of-other-publisher", "the key of another member's node as root", root=other["key"]),
        member("root-not-a-point", "no point of the curve", root=b"\x02" + b"\xff" * 32),
        member("root-uncompressed", "65 bytes", root=b"\x04" + bytes(64)),
        member("publisher-twice", "one publisher twice", publishers=[entry, entry]),
        publisher("key-twice", "the key of another member's node", key=other["key"]),
        publisher("key-not-a-point", "no point of the curve", key=b"\x02" + b"\xff" * 32),
        publisher("peer-twice", "the peer of another member's node", peer=other["peer"]),
        publisher("peer-cid", "a peer id in its CID form, a second spelling", peer="bafzaajaiaejcb" + "a" * 48),
        publisher("valid-never", "a key that is never valid", valid=[5, 5]),
        publisher("capability-unknown", "a capability nobody knows", capabilities=["veto"]),
        publisher("capabilities-unsorted", "they do not rise", capabilities=["publish", "critical"]),
        publisher("rate-unknown", "a class nobody knows", rate="unlimited"),
        publisher("revoked-lane-twice", "two last sequences for one lane", revoked=[[0, 5], [0, 9]]),
        publisher("revoked-unsorted", "lanes do not rise", revoked=[[1, 5], [0, 9]]),
        publisher("revoked-lane-2", "a lane that does not exist", revoked=[[2, 5]]),
        publisher("detector-vendor", "upper case is a second spelling", detectors=[["outflow", "Tocsin", bytes(32)]]),
        publisher("log-33", "33 bytes", log=bytes(33)),
        publisher("log-empty", "an empty one, which is a second spelling of none", log=b""),
        publisher("addresses-too-many", "MAX_LABELS + 1", addresses=["/ip4/192.0.2.1/tcp/1"] * 17),
    ]


def _fields(body: bytes) -> dict[str, Any]:
    fields: dict[str, Any] = decode_canonical(body, max_bytes=MAX_ROSTER_BYTES)
    return fields


def _succession(genesis: Roster) -> list[dict[str, Any]]:
    alba, brook, cedar, delta = genesis.members
    everyone = NAMES[:3]
    echo = make_member("echo")
    revoked = follow(genesis, [_with(alba, revoked=_REVOKED), brook, cedar, delta])
    without_node = follow(genesis, [replace(alba, publishers=()), brook, cedar, delta])
    five = make_roster([*genesis.members, echo])

    def step(
        name: str, why: str, before: Roster, after: Roster, *signers: str, error: str | None = None
    ) -> dict[str, Any]:
        return case(name, why, current=encode_roster(before), signed=_wire(after, *signers), error=error)

    def raw(name: str, why: str, after: Roster, pairs: list[tuple[bytes, bytes]]) -> dict[str, Any]:
        signed = SignedRoster(encode_roster(after), tuple(sorted(pairs)))
        return case(name, why, current=encode_roster(genesis), signed=encode_signed_roster(signed), error="roster")

    added = follow(genesis, [*genesis.members, echo])
    new_root = replace(alba, root=public_key_of(root_secret("alba, second root")))
    moved = replace(brook, publishers=(*brook.publishers, *alba.publishers))
    rotated = replace(alba, publishers=(make_publisher("alba, second node"),))
    renamed = replace(delta, name="dune")
    lowered = _with(alba, revoked=((0, 4),))
    raised = _with(alba, revoked=((0, 6),))
    other_lane = _with(alba, revoked=((0, 5), (1, 100)))
    logged = follow(genesis, [_with(alba, log=bytes_of_label("log")), brook, cedar, delta])
    relogged = follow(logged, [_with(alba, log=bytes_of_label("other log")), brook, cedar, delta])
    unlogged = follow(logged, [alba, brook, cedar, delta])
    good_pairs = list(signed_by(added, *everyone).signatures)
    return [
        step("add-member", "three of four roots", genesis, added, *everyone),
        step("add-member-all-sign", "all four", genesis, added, *NAMES),
        step("add-member-short", "two of four are no quorum", genesis, added, *NAMES[:2], error="roster"),
        step("unsigned", "nobody signed", genesis, added, error="roster"),
        step(
            "newcomer-votes",
            "the one to be added does not vote",
            genesis,
            added,
            "alba",
            "brook",
            "echo",
            error="roster",
        ),
        raw("forged", "a quorum of which one signature is not its root's", added, _forge(good_pairs)),
        raw("other-epoch", "signatures for another epoch", added, _signatures(added, epoch=2)),
        raw("other-roster", "signatures for another roster", added, _signatures(revoked, epoch=1)),
        raw("flipped-parity", "a signature in its second spelling", added, _flip(good_pairs)),
        step("epoch-again", "the same epoch", genesis, replace(added, epoch=0), *everyone, error="roster"),
        step("epoch-skipped", "an epoch is left out", genesis, replace(added, epoch=2), *everyone, error="roster"),
        step(
            "other-previous",
            "it follows another roster",
            genesis,
            replace(added, previous=bytes(32)),
            *everyone,
            error="roster",
        ),
        step(
            "other-network",
            "another network",
            genesis,
            replace(added, network_id=OTHER_NETWORK_ID),
            *everyone,
            error="roster",
        ),
        step(
            "remove-member", "three of the three that stay", genesis, follow(genesis, [alba, brook, cedar]), *everyone
        ),
        step(
            "remove-own-vote",
            "the removed one does not vote",
            genesis,
            follow(genesis, [alba, brook, cedar]),
            *NAMES,
            error="roster",
        ),
        step("remove-four-of-five", "three of the four that stay", five, follow(five, five.members[:4]), *everyone),
        step("remove-two", "one at a time", genesis, follow(genesis, [alba, brook]), *NAMES[:2], error="roster"),
        step(
            "remove-and-add",
            "the lower quorum of a removal serves nothing else",
            five,
            follow(five, [*five.members[:4], make_member("fjord")]),
            *everyone,
            error="roster",
        ),
        step(
            "rename",
            "a new name is a removal and an addition",
            genesis,
            follow(genesis, [alba, brook, cedar, renamed]),
            *everyone,
            error="roster",
        ),
        step(
            "rotate-root",
            "a new root key",
            genesis,
            follow(genesis, [new_root, brook, cedar, delta]),
            "brook",
            "cedar",
            "delta",
        ),
        step(
            "rotate-key", "the old key is retired", genesis, follow(genesis, [rotated, brook, cedar, delta]), *everyone
        ),
        step(
            "rotate-key-not-retired",
            "the old key left and is not retired",
            genesis,
            replace(follow(genesis, [rotated, brook, cedar, delta]), retired=()),
            *everyone,
            error="roster",
        ),
        step(
            "retire-stranger",
            "a key retired that never was in the roster",
            genesis,
            replace(added, retired=(bytes_of_label("stranger")[:20],)),
            *everyone,
            error="roster",
        ),
        step(
            "move-key",
            "a node's key under another member",
            genesis,
            follow(genesis, [replace(alba, publishers=()), moved, cedar, delta]),
            *everyone,
            error="roster",
        ),
        step("add-log", "a publisher's log gets its key", genesis, logged, *everyone),
        step("change-log", "another log key", logged, relogged, *everyone, error="roster"),
        step("remove-log", "no log key any more", logged, unlogged, *everyone, error="roster"),
        step("revoke", "the key's signals count up to a sequence", genesis, revoked, *everyone),
        step(
            "revoke-lower",
            "the last sequence may fall",
            revoked,
            follow(revoked, [lowered, brook, cedar, delta]),
            *everyone,
        ),
        step(
            "revoke-raise",
            "it may not rise",
            revoked,
            follow(revoked, [raised, brook, cedar, delta]),
            *everyone,
            error="roster",
        ),
        step(
            "revoke-other-lane",
            "a lane that was not named had 0",
            revoked,
            follow(revoked, [other_lane, brook, cedar, delta]),
            *everyone,
            error="roster",
        ),
        step(
            "revoke-lift", "it may not be lifted", revoked, follow(revoked, genesis.members), *everyone, error="roster"
        ),
        step(
            "remove-revoked",
            "a revoked key may leave, and is retired",
            revoked,
            follow(revoked, [replace(alba, publishers=()), brook, cedar, delta]),
            *everyone,
        ),
        step(
            "return-retired",
            "a key that left comes back",
            without_node,
            replace(follow(without_node, genesis.members), retired=()),
            *everyone,
            error="roster",
        ),
    ]


def _with(member: Member, **changes: Any) -> Member:
    return replace(member, publishers=(replace(member.publishers[0], **changes),))


def _signatures(roster: Roster, epoch: int) -> list[tuple[bytes, bytes]]:
    digest = Domain(roster.network_id).roster_change_digest(epoch, roster_hash(encode_roster(roster)))
    return [(public_key_of(root_secret(name)), sign_digest(root_secret(name), digest)) for name in NAMES]


def _forge(pairs: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    (first, signature), (second, _), *rest = pairs
    return [(first, signature), (second, signature), *rest]


def _flip(pairs: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    (root, signature), *rest = pairs
    return [(root, signature[:32] + bytes((signature[32] ^ 0x80,)) + signature[33:]), *rest]
