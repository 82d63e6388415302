"""The js implementation and ours agree on every encoding: what is well formed, and what it says."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from mesh_kit import NETWORK_ID, make_nodes, make_roster
from tocsin_protocol.body import decode_body, encode_body
from tocsin_protocol.encoding import decode_canonical, encode_canonical
from tocsin_protocol.envelope import MAX_ENVELOPE_BYTES, decode_envelope, seal_envelope
from tocsin_protocol.errors import ProtocolError
from tocsin_protocol.feed import FeedHead, decode_equivocation, encode_equivocation
from tocsin_protocol.frame import decode_frame, encode_frame
from tocsin_protocol.heartbeat import Heartbeat, decode_heartbeat, encode_heartbeat
from tocsin_protocol.model import Detector, Evidence, Loss, Reference, Signal, Subject
from tocsin_protocol.roster import sign_roster
from tocsin_protocol.roster_encoding import decode_roster, decode_signed_roster, encode_roster, encode_signed_roster
from tocsin_protocol.roster_model import SignedRoster
from tocsin_protocol.signing import Domain, public_key_of, verify_digest
from tocsin_protocol.sync import (
    MAX_RANGE_ENVELOPES,
    HeadsRequest,
    HeadsResponse,
    ItemsResponse,
    ProofsRequest,
    RangeRequest,
    RostersRequest,
    decode_heads,
    decode_items,
    decode_request,
    encode_heads,
    encode_items,
    encode_request,
)
from tocsin_protocol.taxonomy import Category, Cause, EvidenceKind, Relation, Role, Severity, Stage, SubjectKind, Tlp

DOMAIN = Domain(NETWORK_ID)
MUTATIONS = 400
VECTORS = Path(__file__).parents[2] / "specs" / "vectors"
JS_DIR = Path(__file__).parent / "js"
ADDRESS = "0x" + "ab" * 20


def _signature(data: bytes) -> bytes:
    verify_digest(data[:33], data[33:65], data[65:])
    return data


# Kind -> our decoder, giving the bytes the js side must give too.
OURS: dict[str, Callable[[bytes], bytes]] = {
    "value": lambda data: encode_canonical(decode_canonical(data, max_bytes=MAX_ENVELOPE_BYTES)),
    "body": lambda data: encode_body(decode_body(data)),
    "envelope": lambda data: decode_envelope(DOMAIN, data).digest,
    "frame": lambda data: encode_frame(decode_frame(data)),
    "proof": lambda data: encode_equivocation(*decode_equivocation(DOMAIN, data)),
    "roster": lambda data: encode_roster(decode_roster(data)),
    "signed-roster": lambda data: encode_signed_roster(decode_signed_roster(data)),
    "request": lambda data: encode_request(decode_request(data)),
    "heads": lambda data: encode_heads(decode_heads(data)),
    "items": lambda data: encode_items(decode_items(data, MAX_RANGE_ENVELOPES)),
    "heartbeat": lambda data: encode_heartbeat(decode_heartbeat(data)),
    "signature": _signature,
}


@pytest.fixture(scope="session")
def vectors_report() -> dict[str, dict[str, object]]:
    """What the js side says of every vector file."""
    done = subprocess.run(
        ["node", "vectors.mjs", str(VECTORS)], cwd=JS_DIR, capture_output=True, text=True, timeout=300, check=True
    )
    report: dict[str, dict[str, object]] = json.loads(done.stdout)
    return report


# A peer of the mesh writes no STIX; tests/protocol/test_stix.py and test_opencti.py have other judges of that.
NOT_OF_THE_MESH = {"stix"}


@pytest.mark.parametrize("name", sorted({path.stem for path in VECTORS.glob("*.json")} - NOT_OF_THE_MESH))
def test_js_agrees_with_every_vector(name: str, vectors_report: dict[str, dict[str, object]]) -> None:
    assert vectors_report[name]["failed"] == []
    assert vectors_report[name]["checked"]


def _subject(role: Role, kind: SubjectKind, value: str) -> Subject:
    return Subject(role, kind, value)


def _body() -> bytes:
    subjects = sorted(
        (
            _subject(Role.VICTIM, SubjectKind.ACCOUNT, f"eip155:1:{ADDRESS}"),
            _subject(Role.AT_RISK, SubjectKind.ASSET, f"eip155:1/erc20:{ADDRESS}"),
            _subject(Role.RELATED, SubjectKind.DEPENDENCY, "vyper 0.2.15"),
            _subject(Role.RELATED, SubjectKind.CHAIN, "eip155:10"),
            _subject(Role.TOOL, SubjectKind.CODE_HASH, "0x" + "0c" * 32),
            _subject(Role.RELATED, SubjectKind.LINEAGE, "compound-v2"),
        )
    )
    return encode_body(
        Signal(
            category=Category.ASSET_DRAIN,
            stage=Stage.EXPLOITATION,
            severity=Severity.CRITICAL,
            confidence=90,
            credibility=2,
            detected_ms=1_678_697_000_000,
            issued_ms=1_678_697_000_500,
            expires_ms=1_678_700_600_500,
            incident="drain-1",
            subjects=tuple(subjects),
            evidence=(Evidence(EvidenceKind.TRANSACTION, "eip155:1", 16_817_996, "0x" + "11" * 32, ""),),
            detector=Detector("outflow", "tocsin", bytes(range(32)), "rpc-a"),
            loss=Loss(8_700_000_000_000, 0, 197_000_000_000_000),
            tier=2,
            tlp=Tlp.AMBER_STRICT,
            references=(Reference(Relation.UPDATES, bytes(range(32))),),
            cause=Cause.SC01,
            drill=False,
            text="Geld fließt ab:\n8,7 Mio. – 緊急",
        )
    )


def _samples() -> dict[str, list[bytes]]:
    nodes = make_nodes(3, "second")
    first, second = nodes[0].seal(_body(), 0), nodes[0].seal(b"again", 0)
    rival = seal_envelope(DOMAIN, nodes[0].secret, nodes[0].publisher, 0, 2, first.digest, b"another history")
    head = FeedHead(nodes[0].publisher, 0, 2, second.digest)
    roster = make_roster(nodes)
    signed = sign_roster(SignedRoster(roster, ()), nodes[0].secret, nodes[0].key)
    values = [
        0,
        127,
        128,
        255,
        256,
        65_535,
        65_536,
        2**32 - 1,
        2**32,
        2**53 - 1,
        True,
        "",
        "é",
        "a" * 32,
        b"",
        b"b" * 256,
    ]
    return {
        "value": [encode_canonical(values), encode_canonical({"a": [], "b": {}, "z": [[[1]]], "ä": b"\0"})],
        "body": [_body()],
        "envelope": [first.encoded, second.encoded],
        "frame": [encode_frame([first.encoded, second.encoded]), encode_frame([b""])],
        "proof": [encode_equivocation(second, rival)],
        "roster": [roster],
        "signed-roster": [encode_signed_roster(signed), encode_signed_roster(SignedRoster(roster, ()))],
        "request": [
            encode_request(r)
            for r in (HeadsRequest(), RangeRequest(nodes[0].publisher, 1, 5, 900), RostersRequest(3), ProofsRequest(0))
        ],
        "heads": [encode_heads(HeadsResponse(4, 1, (head,))), encode_heads(HeadsResponse(0, 0, ()))],
        "items": [encode_items(ItemsResponse((first.encoded, b"x"))), encode_items(ItemsResponse(()))],
        "heartbeat": [
            encode_heartbeat(Heartbeat(1_700_000_000_000, 2, (head,), (("eip155:1", 7),), tuple(Category)[:3]))
        ],
        "signature": [public_key_of(nodes[0].secret) + first.digest + first.signature],
    }


def _mutated(sample: bytes, dice: random.Random) -> bytes:
    """The sample with one fault: a byte changed, put in, taken out, or its end cut off."""
    data, place = bytearray(sample), dice.randrange(len(sample))
    match dice.randrange(5):
        case 0:
            data[place] ^= 1 << dice.randrange(8)
        case 1:
            data[place] = dice.randrange(256)
        case 2:
            data.insert(place, dice.randrange(256))
        case 3:
            del data[place]
        case 4:
            del data[place:]
    return bytes(data)


def _judged_by_js(cases: list[tuple[str, bytes]]) -> list[dict[str, object]]:
    lines = "".join(json.dumps([kind, data.hex()]) + "\n" for kind, data in cases)
    done = subprocess.run(
        ["node", "judge.mjs", NETWORK_ID.hex()], cwd=JS_DIR, input=lines, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _judged_by_us(kind: str, data: bytes) -> str | None:
    try:
        return OURS[kind](data).hex()
    except ProtocolError:
        return None


@pytest.mark.parametrize("kind", sorted(OURS))
def test_both_implementations_agree(kind: str) -> None:
    dice = random.Random(f"second implementation {kind}")
    samples = _samples()[kind]
    cases = [*samples, *(_mutated(dice.choice(samples), dice) for _ in range(MUTATIONS))]
    theirs = _judged_by_js([(kind, data) for data in cases])
    assert len(theirs) == len(cases)
    for data, answer in zip(cases, theirs, strict=True):
        ours = _judged_by_us(kind, data)
        assert (ours is not None, ours) == (answer["ok"], answer.get("again")), f"{data.hex()}: {answer}"
    assert all(answer["ok"] for answer in theirs[: len(samples)])
    refused = sum(not answer["ok"] for answer in theirs)
    assert refused > MUTATIONS // 10
