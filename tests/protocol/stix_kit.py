"""Signals of several kinds as statements, and everything that they come to in STIX."""

from __future__ import annotations

import hashlib
from typing import Any

from protocol_kit import ASSET, ATTACKER, NETWORK_ID, NOW_MS, VAULT, bytes_of_label, make_signal
from tocsin_protocol.adjudication import Finding
from tocsin_protocol.containment.action import new_action
from tocsin_protocol.ids import NO_DIGEST
from tocsin_protocol.model import Evidence, Loss, Reference, Signal, Subject
from tocsin_protocol.stix.common import Object, Statement, fixed_objects, identity_id, identity_object
from tocsin_protocol.stix.incidents import export_action, grow_incident, incident_id, judge_incident
from tocsin_protocol.stix.marking import Circle, marking_objects
from tocsin_protocol.stix.statements import export_statement
from tocsin_protocol.taxonomy import Category, EvidenceKind, Relation, Role, Severity, Stage, SubjectKind

AUTHOR = identity_id(NETWORK_ID, "alba")
FIRST = bytes_of_label("stix", "drained")
INCIDENT = incident_id(Circle.AMBER, FIRST)
TRANSACTION = "0x" + hashlib.sha256(b"transaction").hexdigest()


def digest_of(name: str) -> bytes:
    return bytes_of_label("stix", name)


def statement(name: str, signal: Signal, member: str = "brook") -> Statement:
    return Statement(
        digest=digest_of(name),
        network=NETWORK_ID,
        publisher=bytes_of_label(member)[:20],
        member=member,
        organisation=f"{member.title()} Finance",
        lane=signal.lane,
        sequence=1,
        signal=signal,
        incident=INCIDENT,
    )


def subject(role: Role, kind: SubjectKind, value: str) -> Subject:
    return Subject(role, kind, value)


def victims(*more: Subject) -> tuple[Subject, ...]:
    return tuple(sorted((Subject(Role.VICTIM, SubjectKind.ACCOUNT, VAULT), *more)))


DRAINED = statement(
    "drained",
    make_signal(
        text="The vault is being drained.\nWe have paused.",
        subjects=victims(
            Subject(Role.ATTACKER, SubjectKind.ACCOUNT, ATTACKER),
            Subject(
                Role.TOOL,
                SubjectKind.ACCOUNT,
                "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp:7S3P4HxJpyyigGzodYwHtCxZyUQe9JiBMHyRWXArAaKv",
            ),
            Subject(Role.AT_RISK, SubjectKind.ASSET, ASSET),
            Subject(Role.RELATED, SubjectKind.DEPENDENCY, "vyper 0.2.15"),
            Subject(Role.RELATED, SubjectKind.LINEAGE, "compound-v2"),
            Subject(Role.RELATED, SubjectKind.CODE_HASH, "0x" + "cd" * 32),
            Subject(Role.RELATED, SubjectKind.CHAIN, "eip155:1"),
        ),
        evidence=(Evidence(EvidenceKind.TRANSACTION, "eip155:1", 7, TRANSACTION, ""),),
        loss=Loss(5_000_000, 1_000_000, 9_000_000),
    ),
)
WORDLESS = statement("wordless", make_signal(text="", evidence=(), subjects=victims(), severity=Severity.HIGH), "cedar")
CORROBORATING = statement(
    "corroborating",
    make_signal(text="We see it too.", references=(Reference(Relation.CORROBORATES, DRAINED.digest),)),
    "cedar",
)
DISPUTING = statement(
    "disputing",
    make_signal(
        text="A white-hat.",
        severity=Severity.LOW,
        subjects=victims(),
        references=(Reference(Relation.DISPUTES, DRAINED.digest), Reference(Relation.CORROBORATES, WORDLESS.digest)),
    ),
    "delta",
)
RETRACTING = statement(
    "retracting",
    make_signal(
        category=Category.META_RETRACTION,
        severity=Severity.LOW,
        stage=Stage.LAUNDERING,
        subjects=victims(),
        text="We were wrong.",
        issued_ms=NOW_MS + 60_000,
        expires_ms=NOW_MS + 120_000,
        references=(Reference(Relation.RETRACTS, DRAINED.digest),),
    ),
)
STATEMENTS = (DRAINED, WORDLESS, CORROBORATING, DISPUTING, RETRACTING)


def referred_by(said: Statement) -> dict[bytes, Statement]:
    known = {other.digest: other for other in STATEMENTS}
    return {r.digest: known[r.digest] for r in said.signal.references if r.digest in known}


def everything() -> list[Object]:
    """All kinds of objects, in the order in which a collection holds them."""
    objects: list[Object] = [*marking_objects(Circle.RED), *fixed_objects()]
    objects.append(identity_object(NETWORK_ID, "alba", "Alba Lend"))
    incident: Object | None = None
    for place, said in enumerate(STATEMENTS):
        incident = grow_incident(incident, Circle.AMBER, said, AUTHOR, NOW_MS + place)
        objects += [incident, *export_statement(said, referred_by(said))]
    assert incident is not None
    action = new_action(
        ledger=b"\x01" * 16,
        hook="pause",
        target=VAULT,
        arm_epoch=1,
        incident_id=FIRST,
        decision_id=NO_DIGEST,
        payload=b"",
        created_ms=NOW_MS,
        deadline_ms=NOW_MS + 60_000,
    )
    objects += export_action(action, INCIDENT, AUTHOR, NOW_MS + 1000)
    objects += judge_incident(incident, Finding.CONFIRMED, AUTHOR, NOW_MS + 5000)
    return objects


def bundle(objects: list[Object]) -> dict[str, Any]:
    return {"type": "bundle", "id": "bundle--5ba3bd60-33c4-48b5-9d4c-5a0d4b2d4d8f", "objects": objects}


def foreign_indicator(**changes: Any) -> Object:
    """An indicator of somebody who has never heard of us."""
    value = {
        "type": "indicator",
        "spec_version": "2.1",
        "id": "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f",
        "created": "2026-01-02T03:04:05.678Z",
        "modified": "2026-01-02T03:04:06.000Z",
        "name": "Drainer",
        "pattern": "[cryptocurrency-wallet:value = '0xA7a7A7a7A7a7a7a7A7A7A7a7a7A7A7A7A7A7a7a7']",
        "pattern_type": "stix",
        "valid_from": "2026-01-02T03:04:05.678Z",
    }
    return value | changes


FORTA: Object = {
    "alerts": [
        {
            "alertId": "DRAIN-1",
            "hash": "0x" + "1f" * 32,
            "name": "Funds left the vault",
            "description": "Large outflow\x1b[31m",
            "severity": "CRITICAL",
            "findingType": "EXPLOIT",
            "addresses": [VAULT.rsplit(":", 1)[1], ATTACKER.rsplit(":", 1)[1].upper().replace("0X", "0x")],
            "labels": [{"label": "Attacker", "entity": ATTACKER.rsplit(":", 1)[1], "confidence": 0.9, "remove": False}],
            "source": {"transactionHash": TRANSACTION, "block": {"number": 17, "chainId": 8453}},
        }
    ]
}
MONITOR: Object = {
    "EVM": {
        "monitor": {"name": "Large transfers"},
        "network_slug": "ethereum_mainnet",
        "transaction": {
            "hash": TRANSACTION,
            "from": ATTACKER.rsplit(":", 1)[1],
            "to": VAULT.rsplit(":", 1)[1],
            "blockNumber": "0x11",
        },
        "logs": [{"address": ASSET.rsplit(":", 1)[1], "topics": []}],
        "matched_on_args": {
            "events": [{"signature": "Transfer(address,address,uint256)", "args": []}],
            "functions": None,
        },
    }
}


def nested(depth: int) -> Any:
    value: Any = "deep"
    for _ in range(depth):
        value = [value]
    return value


def invalid_objects() -> list[tuple[str, str, Any, str]]:
    """Name, why, an object with one fault, and what its refusal names."""
    good = foreign_indicator()
    without = {key: {k: v for k, v in good.items() if k != key} for key in ("type", "id", "spec_version", "modified")}
    return [
        ("no-type", "", without["type"], "type"),
        ("no-id", "", without["id"], "id"),
        ("no-spec-version", "", without["spec_version"], "spec_version"),
        ("no-modified", "", without["modified"], "modified"),
        ("stix-2.0", "", good | {"spec_version": "2.0"}, "spec_version"),
        ("type-in-capitals", "", good | {"type": "Indicator"}, "type"),
        ("id-of-another-type", "", good | {"id": good["id"].replace("indicator", "malware")}, "id"),
        ("id-in-capitals", "", good | {"id": good["id"].upper().replace("INDICATOR", "indicator")}, "id"),
        ("id-without-uuid", "", good | {"id": "indicator--1"}, "id"),
        ("id-as-number", "", good | {"id": 7}, "id"),
        ("offset-time", "only UTC, as Z", good | {"created": "2026-01-02T03:04:05.678+01:00"}, "created"),
        ("no-such-day", "", good | {"created": "2026-02-30T03:04:05Z"}, "created"),
        ("backwards", "modified before created", good | {"modified": "2026-01-01T00:00:00Z"}, "modified"),
        ("markings-no-list", "", good | {"object_marking_refs": "x"}, "object_marking_refs"),
        ("too-many-markings", "", good | {"object_marking_refs": [good["id"]] * 17}, "object_marking_refs"),
        ("too-deep", "", good | {"x_deep": nested(17)}, "nested"),
        ("too-large", "", good | {"description": "x" * 70_000}, "bytes"),
        ("half-a-character", "a lone surrogate", good | {"description": "\ud800"}, "Unicode"),
    ]
