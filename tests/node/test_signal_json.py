"""Signals as JSON: round trip, defaults, and faults by field."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tocsin_node.signal_json import DEFAULT_LIFETIME_MS, draft_signal, signal_to_json, subject_kind
from tocsin_protocol.errors import DecodeError
from tocsin_protocol.taxonomy import Severity, Stage, SubjectKind, Tlp

NOW_MS = 1_800_000_000_000
ACCOUNT = "eip155:1:0x" + "11" * 20
LEAST: dict[str, Any] = {
    "category": "asset.drain",
    "severity": "critical",
    "confidence": 90,
    "subjects": [{"role": "victim", "value": ACCOUNT}],
}
ALL: dict[str, Any] = LEAST | {
    "stage": "preparation",
    "credibility": 2,
    "detected_ms": NOW_MS - 5,
    "expires_ms": NOW_MS + 60_000,
    "incident": "case-7",
    "subjects": [
        {"role": "victim", "kind": "account", "value": ACCOUNT},
        {"role": "tool", "value": "vyper 0.2.15"},
    ],
    "evidence": [{"kind": "transaction", "chain": "eip155:1", "block": 7, "reference": "0x" + "ab" * 32}],
    "detector": {"name": "outflow", "vendor": "us", "content_hash": "0x" + "cd" * 32, "rpc_group": "a"},
    "loss": {"observed_micro_usd": 5},
    "tier": 2,
    "tlp": "green",
    "references": [{"relation": "disputes", "digest": "0x" + "ef" * 32}],
    "cause": "SC01",
    "drill": True,
    "text": "two\nlines",
}


def test_defaults_fill_what_is_not_given() -> None:
    signal = draft_signal(LEAST, NOW_MS)
    assert (signal.detected_ms, signal.issued_ms, signal.expires_ms) == (NOW_MS, NOW_MS, NOW_MS + DEFAULT_LIFETIME_MS)
    assert (signal.severity, signal.stage, signal.tlp) == (Severity.CRITICAL, Stage.EXPLOITATION, Tlp.AMBER)
    assert not signal.drill
    assert signal.subjects[0].kind is SubjectKind.ACCOUNT


@pytest.mark.parametrize("document", [LEAST, ALL])
def test_json_goes_round(document: dict[str, Any]) -> None:
    signal = draft_signal(document, NOW_MS)
    again = json.loads(json.dumps(signal_to_json(signal)))
    assert draft_signal(again, NOW_MS) == signal


def test_issue_time_is_the_publishers() -> None:
    assert draft_signal(LEAST | {"issued_ms": 5}, NOW_MS).issued_ms == NOW_MS


@pytest.mark.parametrize(
    ("field", "value", "wanted"),
    [
        ("category", "asset.drains", "category is 'asset.drains'"),
        ("category", ["asset.drain"], "category"),
        ("severity", "huge", "severity is 'huge'"),
        ("confidence", 101, "confidence is not an integer in 0…100"),
        ("confidence", True, "confidence"),
        ("confidence", 0.9, "confidence"),
        ("subjects", [], "subjects"),
        ("subjects", [{"role": "victim", "value": "eip155:1:0xAA"}], "0x and 40 lower-case"),
        ("subjects", [{"role": "hero", "value": ACCOUNT}], "subject role"),
        ("subjects", [{"role": "victim"}], "lacks the key 'value'"),
        ("subjects", 7, "subjects"),
        ("subjects", [{"role": "victim", "value": ACCOUNT}] * 2, "twice"),
        ("detected_ms", -1, "detected_ms"),
        ("expires_ms", NOW_MS, "expires"),
        ("expires_ms", NOW_MS * 2, "expires"),
        ("text", 0, "text"),
        ("incident", "x" * 500, "incident"),
        ("drill", 1, "drill"),
        ("tier", 9, "tier"),
        ("loss", {"stolen": 1}, "stolen"),
        ("loss", {"observed_micro_usd": 1.5}, "observed_micro_usd"),
        ("evidence", [{"kind": "rumour", "chain": "eip155:1", "block": 1, "reference": "x"}], "evidence kind"),
        ("evidence", [{"kind": "transaction", "chain": 7, "block": 1, "reference": "x"}], "evidence chain"),
        ("references", [{"relation": "disputes", "digest": "0x12"}], "reference digest is not 32 bytes"),
        ("references", [{"relation": "disputes", "digest": "zz"}], "reference digest"),
        ("detector", {"name": "x"}, "detector"),
        ("detector", [], "detector"),
        ("cause", "SC99", "cause"),
        ("tlp", "purple", "tlp"),
        ("colour", 1, "unknown key 'colour'"),
    ],
)
def test_each_fault_is_named(field: str, value: object, wanted: str) -> None:
    with pytest.raises(DecodeError, match=wanted.replace("(", r"\(")):
        draft_signal(LEAST | {field: value}, NOW_MS)


@pytest.mark.parametrize("document", [None, [], "x", 7, {}, {"category": "asset.drain"}])
def test_what_is_no_signal_is_refused(document: object) -> None:
    with pytest.raises(DecodeError):
        draft_signal(document, NOW_MS)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("eip155:1", SubjectKind.CHAIN),
        (ACCOUNT, SubjectKind.ACCOUNT),
        ("eip155:1/erc20:0x" + "22" * 20, SubjectKind.ASSET),
        ("0x" + "ab" * 32, SubjectKind.CODE_HASH),
        ("vyper 0.2.15", SubjectKind.DEPENDENCY),
        ("@openzeppelin/contracts 4.9.0", SubjectKind.DEPENDENCY),
        ("compound-v2", SubjectKind.LINEAGE),
    ],
)
def test_kind_of_a_subject_shows_in_its_id(value: str, kind: SubjectKind) -> None:
    assert subject_kind(value) is kind
    signal = draft_signal(LEAST | {"subjects": [{"role": "victim", "value": value}]}, NOW_MS)
    assert signal.subjects[0].kind is kind
