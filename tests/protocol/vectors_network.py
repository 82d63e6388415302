"""Vectors of what travels between nodes: topics, equivocation proofs, sync, heartbeats."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from log_kit import entries, growth_of, head_of, signed
from protocol_kit import NETWORK_ID, NOW_MS, OTHER_NETWORK_ID, Feed, bytes_of_label, make_signal, make_standard
from tocsin_protocol.encoding import encode_canonical
from tocsin_protocol.envelope import Envelope
from tocsin_protocol.feed import FeedHead, chain_position, encode_equivocation
from tocsin_protocol.heartbeat import MAX_CHAINS, MAX_COSIGNED, MAX_HEAD_BYTES, Heartbeat, encode_heartbeat
from tocsin_protocol.log.witness import growth_fields
from tocsin_protocol.sync import (
    GrowthRequest,
    HeadsRequest,
    HeadsResponse,
    ItemsResponse,
    ProofsRequest,
    RangeRequest,
    RostersRequest,
    WitnessedRequest,
    encode_heads,
    encode_items,
    encode_request,
)
from tocsin_protocol.taxonomy import Category
from tocsin_protocol.topics import TOPIC_KINDS, topic_names
from vector_kit import case


def topics() -> dict[str, Any]:
    """specs/vectors/topics.json"""
    ours, theirs = topic_names(NETWORK_ID), topic_names(OTHER_NETWORK_ID)
    network = ours[0].split("/")[3]
    near = NETWORK_ID[:7] + bytes((NETWORK_ID[7] ^ 1,)) + NETWORK_ID[8:]
    unknown = [
        ("empty", "no text at all", ""),
        ("of-something-else", "gossip of another program", "/eth2/00000000/beacon_block"),
        ("kind-unknown", "a kind that is not in the list", f"/tocsin/1/{network}/signals"),
        ("kind-missing", "no kind", f"/tocsin/1/{network}"),
        ("kind-empty", "a slash and no kind", f"/tocsin/1/{network}/"),
        ("kind-upper-case", "a kind in upper case", f"/tocsin/1/{network}/FRAMES"),
        ("longer", "something after the kind", f"{ours[0]}/1"),
        ("space-after", "a space after the kind", f"{ours[0]} "),
        ("version-2", "another version", f"/tocsin/2/{network}/frames"),
        ("upper-case", "the network id in upper case", f"/tocsin/1/{network.upper()}/frames"),
        ("whole-network-id", "all 64 digits of the network id", f"/tocsin/1/{NETWORK_ID.hex()}/frames"),
        ("short-network-id", "14 digits of the network id", f"/tocsin/1/{network[:14]}/frames"),
        ("other-digits", "digits of another script", f"/tocsin/1/{'٣' * 16}/frames"),
        ("no-slash", "no slash in front", ours[0][1:]),
    ]
    return {
        "ours": NETWORK_ID.hex(),
        "networks": [
            case("ours", "frames, proofs, heartbeats", network=NETWORK_ID, topics=list(ours)),
            case("another", "the same of another network", network=OTHER_NETWORK_ID, topics=list(theirs)),
        ],
        "cases": [
            *(case(f"ours-{kind}", "", topic=t, reason="admitted") for kind, t in zip(TOPIC_KINDS, ours, strict=True)),
            *(
                case(f"wrong-network-{kind}", "another network's", topic=t, reason="wrong-network")
                for kind, t in zip(TOPIC_KINDS, theirs, strict=True)
            ),
            case("wrong-network-by-a-bit", "one bit differs", topic=topic_names(near)[0], reason="wrong-network"),
            *(case(name, why, topic=topic, reason="unknown-topic") for name, why, topic in unknown),
        ],
    }


def feed() -> dict[str, Any]:
    """specs/vectors/feed.json"""
    alba, brook = Feed("alba"), Feed("brook")
    first, second, third = alba.seal_many(3)
    fork = alba.seal_at(2, first.digest, make_standard(incident="fork"))
    broken = alba.seal_at(3, fork.digest, make_standard(incident="after the fork"))
    other_lane = alba.seal(make_signal())
    stranger = brook.seal_many(2)
    impostor = Feed("brook")
    framed = _signed_for(alba.publisher, impostor, first.digest)
    positions = [
        _position("linked-first", "the first signal has nothing before it", first),
        _position("linked", "previous is the digest held before it", second, before=first.digest),
        _position("unlinked", "what comes before is not held", third),
        _position("linked-both-sides", "it closes a gap", second, before=first.digest, after=third),
        _position("duplicate", "the same signal again", second, same=second.digest),
        _position("fork", "another signal at the sequence", fork, same=second.digest, before=first.digest),
        _position("broken-before", "previous is not the digest held before it", broken, before=second.digest),
        _position("broken-after", "the one held after it names another", fork, before=first.digest, after=third),
    ]
    proofs = [
        case("same-sequence", "two signals with one sequence", proof=encode_equivocation(second, fork)),
        case("broken-link", "a signal that denies its predecessor", proof=encode_equivocation(second, broken)),
    ]
    wrong = [
        case("order", "the pair does not rise", proof=_pair(*_falling(second, fork)), error="decode"),
        case("one-signal", "one signal twice", proof=_pair(second, second), error="decode"),
        case("linked", "two signals that follow one another", proof=_pair(first, second), error="decode"),
        case("far-apart", "two signals with a gap between prove nothing", proof=_pair(first, broken), error="decode"),
        case("two-lanes", "one signal from each lane", proof=_pair(*_rising(first, other_lane)), error="decode"),
        case("two-publishers", "signals of two publishers", proof=_pair(*_rising(first, stranger[0])), error="decode"),
        case(
            "three",
            "three envelopes",
            proof=encode_canonical([e.encoded for e in (first, second, fork)]),
            error="decode",
        ),
        case("unwrapped", "something else than byte strings", proof=encode_canonical([1, 2]), error="decode"),
        case(
            "framed",
            "a second signal in alba's name with brook's key",
            proof=_pair(*_rising(second, framed)),
            error="signature",
        ),
    ]
    return {
        "network": NETWORK_ID.hex(),
        "publisher": alba.publisher.hex(),
        "key": alba.key.hex(),
        "positions": positions,
        "valid": proofs,
        "invalid": wrong,
    }


def _position(
    name: str,
    why: str,
    envelope: Envelope,
    same: bytes | None = None,
    before: bytes | None = None,
    after: Envelope | None = None,
) -> dict[str, Any]:
    position = chain_position(envelope, same=same, before=before, after=after)
    expected = name.split("-")[0]
    assert position == {"fork": "equivocation", "broken": "equivocation"}.get(expected, expected)
    held = {"same": same, "before": before, "after": after.encoded if after else None}
    return case(name, why, envelope=envelope.encoded, held=held, position=str(position))


def _signed_for(publisher: bytes, thief: Feed, previous: bytes) -> Envelope:
    """An envelope that names a publisher whose key its maker does not have."""
    from protocol_kit import DOMAIN
    from tocsin_protocol.body import encode_body
    from tocsin_protocol.envelope import seal_envelope

    body = encode_body(make_standard(incident="framed"))
    return seal_envelope(DOMAIN, thief.secret, publisher, 1, 2, previous, body)


def _rising(one: Envelope, other: Envelope) -> tuple[Envelope, Envelope]:
    first, second = sorted((one, other), key=lambda e: (e.sequence, e.digest))
    return first, second


def _falling(one: Envelope, other: Envelope) -> tuple[Envelope, Envelope]:
    return _rising(one, other)[::-1]


def _pair(one: Envelope, other: Envelope) -> bytes:
    return encode_canonical([one.encoded, other.encoded])


def sync() -> dict[str, Any]:
    """specs/vectors/sync.json"""
    alba = Feed("alba")
    envelopes = alba.seal_many(2)
    publisher, digest = alba.publisher, envelopes[1].digest
    head = [publisher, 1, 2, digest]
    requests = [
        case("heads", "", encoded=encode_request(HeadsRequest())),
        case("range", "", encoded=encode_request(RangeRequest(publisher, 1, 1, 2))),
        case("range-of-one", "", encoded=encode_request(RangeRequest(publisher, 0, 7, 7))),
        case("rosters", "", encoded=encode_request(RostersRequest(3))),
        case("proofs", "", encoded=encode_request(ProofsRequest(0))),
        case("growth", "", encoded=encode_request(GrowthRequest(7))),
        case("witnessed", "", encoded=encode_request(WitnessedRequest(publisher))),
    ]
    bad_requests = [
        case("no-kind", "an empty request", encoded=encode_canonical([])),
        case("unknown-kind", "a request nobody knows", encoded=encode_canonical(["peers"])),
        case("kind-bytes", "bytes for the kind", encoded=encode_canonical([b"heads"])),
        case("heads-with-argument", "an argument too many", encoded=encode_canonical(["heads", 1])),
        case("range-backwards", "last before first", encoded=encode_canonical(["range", publisher, 1, 3, 2])),
        case("range-from-zero", "sequences start at 1", encoded=encode_canonical(["range", publisher, 1, 0, 2])),
        case("range-lane-2", "a lane that does not exist", encoded=encode_canonical(["range", publisher, 2, 1, 2])),
        case(
            "range-publisher", "a publisher of 19 bytes", encoded=encode_canonical(["range", publisher[:19], 1, 1, 2])
        ),
        case("rosters-true", "true for 1", encoded=encode_canonical(["rosters", True])),
        case("growth-text", "a size in text", encoded=encode_canonical(["growth", "7"])),
        case("witnessed-nobody", "an empty publisher", encoded=encode_canonical(["witnessed", b""])),
        case("a-map", "a map", encoded=encode_canonical({"kind": "heads"})),
        case("too-long", "more than MAX_SYNC_REQUEST_BYTES", encoded=encode_canonical(["x" * 1024])),
    ]
    heads = [
        case("none", "", encoded=encode_heads(HeadsResponse(0, 0, ()))),
        case("one", "", encoded=encode_heads(HeadsResponse(3, 1, (FeedHead(publisher, 1, 2, digest),)))),
    ]
    bad_heads = [
        case("feed-twice", "one feed twice", encoded=encode_canonical([0, 0, [head, head]])),
        case("sequence-0", "an empty feed has no head", encoded=encode_canonical([0, 0, [[publisher, 1, 0, digest]]])),
        case("digest-31", "a digest of 31 bytes", encoded=encode_canonical([0, 0, [[publisher, 1, 2, digest[:31]]]])),
        case("two-parts", "no heads", encoded=encode_canonical([0, 0])),
    ]
    items = [
        case("none", "", encoded=encode_items(ItemsResponse(()))),
        case("envelopes", "", encoded=encode_items(ItemsResponse(tuple(e.encoded for e in envelopes)))),
    ]
    bad_items = [
        case("too-many", "more than were asked for", encoded=encode_canonical([b"", b"", b""])),
        case("text", "an item that is text", encoded=encode_canonical(["envelope"])),
        case("bare", "bytes that are in no list", encoded=encode_canonical(b"envelope")),
    ]
    return {
        "requests": {"valid": requests, "invalid": bad_requests},
        "heads": {"valid": heads, "invalid": bad_heads},
        "items": {"most": 2, "valid": items, "invalid": bad_items},
    }


def heartbeat() -> dict[str, Any]:
    """specs/vectors/heartbeat.json"""
    alba = Feed("alba")
    heads = (FeedHead(alba.publisher, 0, 3, bytes_of_label("h0")), FeedHead(alba.publisher, 1, 9, bytes_of_label("h1")))
    full = Heartbeat(NOW_MS, 2, heads, (("eip155:1", 18_573_000),), (Category.ASSET_DRAIN, Category.PRICE_DEPEG))
    with_logs = replace(
        full, log=growth_of(7, entries(11)), cosigned=(signed(head_of(entries(3)), "brook"), b"unopened")
    )
    growth = growth_fields(growth_of(0, entries(1)))
    fields: dict[str, Any] = {
        "coverage": ["asset.drain"],
        "epoch": 2,
        "heads": [[alba.publisher, 0, 3, bytes(32)]],
        "heights": [["eip155:1", 1]],
        "sent": NOW_MS,
    }

    def bad(name: str, why: str, /, **changes: Any) -> dict[str, Any]:
        return case(name, why, encoded=encode_canonical({**fields, **changes}))

    return {
        "valid": [
            case("full", "", encoded=encode_heartbeat(full)),
            case("logs", "its own log's growth, and two heads that it keeps", encoded=encode_heartbeat(with_logs)),
            case("least", "a node with nothing yet", encoded=encode_heartbeat(Heartbeat(NOW_MS, 0, (), (), ()))),
        ],
        "invalid": [
            bad("unknown-key", "a key that is not in the table", armed=True),
            bad("log-null", "nothing, which is left out", log=[]),
            bad("log-head-long", "MAX_HEAD_BYTES + 1", log=[*growth[:2], bytes(MAX_HEAD_BYTES + 1)]),
            bad("log-path", "a hash of 31 bytes", log=[7, [bytes(31)], growth[2]]),
            bad("cosigned-empty", "an empty list, which is a second spelling of none", cosigned=[]),
            bad("cosigned-text", "a head in text", cosigned=["head"]),
            bad("cosigned-long", "MAX_HEAD_BYTES + 1", cosigned=[bytes(MAX_HEAD_BYTES + 1)]),
            bad("cosigned-many", "MAX_COSIGNED + 1", cosigned=[b"head"] * (MAX_COSIGNED + 1)),
            bad("coverage-unknown", "a category that is not in the list", coverage=["asset.theft"]),
            bad("coverage-twice", "one category twice", coverage=["asset.drain", "asset.drain"]),
            bad("chain-twice", "one chain twice", heights=[["eip155:1", 1], ["eip155:1", 2]]),
            bad("chain-bad", "not a chain id", heights=[["mainnet", 1]]),
            bad("chains-too-many", "MAX_CHAINS + 1", heights=[[f"eip155:{n}", 1] for n in range(MAX_CHAINS + 1)]),
            bad("feed-twice", "one feed twice", heads=fields["heads"] * 2),
            bad("sent-text", "a time in text", sent="now"),
            case(
                "epoch-missing",
                "lacks epoch",
                encoded=encode_canonical({k: v for k, v in fields.items() if k != "epoch"}),
            ),
        ],
    }
