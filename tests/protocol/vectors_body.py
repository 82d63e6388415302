"""Vectors of bodies and of freshness: each invalid body has one fault in the named field."""

from __future__ import annotations

from typing import Any

from protocol_kit import ASSET, ATTACKER, NOW_MS, VAULT, bytes_of_label, make_signal, make_standard
from tocsin_protocol.body import (
    MAX_DETAIL_BYTES,
    MAX_INCIDENT_BYTES,
    MAX_LIFETIME_MS,
    MAX_TEXT_BYTES,
    encode_body,
)
from tocsin_protocol.encoding import decode_canonical, encode_canonical
from tocsin_protocol.envelope import MAX_BODY_BYTES
from tocsin_protocol.freshness import MAX_CLOCK_SKEW_MS, freshness_bound_ms
from tocsin_protocol.model import MAX_EVIDENCE, MAX_REFERENCES, MAX_SUBJECTS, Evidence, Reference, Signal, Subject
from tocsin_protocol.taxonomy import Category, Cause, EvidenceKind, Relation, Role, Severity, Stage, SubjectKind, Tlp
from vector_kit import case, tagged

_TX = "0x" + "c3" * 32


def body() -> dict[str, Any]:
    """specs/vectors/body.json"""
    least = make_standard(
        incident="", text="", detector=None, evidence=(), subjects=(Subject(Role.VICTIM, SubjectKind.ACCOUNT, VAULT),)
    )
    good = [
        ("full", make_signal()),
        ("least", least),
        ("every-subject-kind", make_standard(subjects=tuple(sorted(_SUBJECTS)))),
        ("references-and-cause", make_standard(references=_REFERENCES, cause=Cause.SC05)),
        ("every-evidence-kind", make_standard(evidence=_EVIDENCE)),
        ("drill", make_standard(drill=True, category=Category.META_DRILL, stage=Stage.PREPARATION, tlp=Tlp.CLEAR)),
        ("longest-life", make_standard(expires_ms=NOW_MS + MAX_LIFETIME_MS)),
        ("lines", make_standard(text="first line\nsecond line")),
    ]
    fields = decode_canonical(encode_body(make_signal()), max_bytes=MAX_BODY_BYTES)
    wrong = [*_bad_scalars(), *_bad_lists(fields), *_bad_ids()]
    invalid = [
        case(name, why, field=name.split("-")[0], body=encode_canonical(_changed(fields, change)))
        for name, why, change in wrong
    ]
    invalid += [
        case(
            f"{key}-missing",
            f"lacks {key}",
            field=key,
            body=encode_canonical({k: fields[k] for k in fields if k != key}),
        )
        for key in fields
        if key not in ("cause", "detector", "incident", "text")
    ]
    invalid.append(case("body-list", "a list where a map is wanted", field="body", body=encode_canonical([])))
    invalid.append(
        case(
            "body-unknown-key",
            "a key that is not in the table",
            field="body",
            body=encode_canonical({**fields, "x": 1}),
        )
    )
    return {
        "valid": [
            case(
                name, "", fields=tagged(decode_canonical(encode_body(s), max_bytes=MAX_BODY_BYTES)), body=encode_body(s)
            )
            for name, s in good
        ],
        "invalid": invalid,
    }


_SUBJECTS = (
    Subject(Role.AT_RISK, SubjectKind.CHAIN, "eip155:1"),
    Subject(Role.AT_RISK, SubjectKind.CHAIN, "cosmos:cosmoshub-4"),
    Subject(Role.VICTIM, SubjectKind.ACCOUNT, VAULT),
    Subject(Role.VICTIM, SubjectKind.ASSET, ASSET),
    Subject(Role.VICTIM, SubjectKind.ASSET, "eip155:1/slip44:60"),
    Subject(Role.VICTIM, SubjectKind.ASSET, "eip155:1/erc721:0x" + "70" * 20 + "/771769"),
    Subject(Role.TOOL, SubjectKind.CODE_HASH, "0x" + "0c" * 32),
    Subject(Role.RELATED, SubjectKind.DEPENDENCY, "vyper 0.2.15"),
    Subject(Role.RELATED, SubjectKind.LINEAGE, "compound-v2"),
    Subject(Role.RECIPIENT, SubjectKind.ACCOUNT, ATTACKER),
)
_REFERENCES = tuple(Reference(relation, bytes_of_label("signal", relation)) for relation in Relation)
_EVIDENCE = tuple(Evidence(kind, "eip155:1", 1, _TX, "") for kind in EvidenceKind)


def _changed(fields: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    return {**fields, **change}


def _bad_scalars() -> list[tuple[str, str, dict[str, Any]]]:
    late = NOW_MS + MAX_LIFETIME_MS + 1
    return [
        ("category-unknown", "a category that is not in the list", {"category": "asset.theft"}),
        ("category-family", "a family where a category is wanted", {"category": "asset"}),
        ("category-case", "upper case is a second spelling", {"category": "Asset.Drain"}),
        ("category-number", "a number where text is wanted", {"category": 1}),
        ("stage-unknown", "a stage that is not in the list", {"stage": "escape"}),
        ("severity-unknown", "a severity that is not in the list", {"severity": "severe"}),
        ("cause-unknown", "a cause that is not in the list", {"cause": "SC11"}),
        ("tlp-unknown", "a TLP label that is not in the list", {"tlp": "white"}),
        ("confidence-101", "more than certain", {"confidence": 101}),
        ("confidence-true", "true for 1", {"confidence": True}),
        ("credibility-0", "below the scale", {"credibility": 0}),
        ("credibility-7", "above the scale", {"credibility": 7}),
        ("tier-5", "a tier that does not exist", {"tier": 5}),
        ("drill-0", "0 for false", {"drill": 0}),
        ("detected-text", "a time in text", {"detected": "2023-11-14T22:13:20Z"}),
        ("issued-true", "true for 1", {"issued": True}),
        ("expires-at-issue", "expires the moment it is issued", {"expires": NOW_MS}),
        ("expires-before-issue", "expires before it is issued", {"expires": NOW_MS - 1}),
        ("expires-too-late", "lives longer than MAX_LIFETIME_MS", {"expires": late}),
        ("incident-empty", "an empty text, which is a second spelling of none", {"incident": ""}),
        ("incident-too-long", "longer than MAX_INCIDENT_BYTES", {"incident": "x" * (MAX_INCIDENT_BYTES + 1)}),
        ("incident-lines", "a line feed in a one-line text", {"incident": "one\ntwo"}),
        ("text-empty", "an empty text, which is a second spelling of none", {"text": ""}),
        ("text-too-long", "longer than MAX_TEXT_BYTES", {"text": "ü" * (MAX_TEXT_BYTES // 2) + "x"}),
        ("text-escape", "a terminal escape", {"text": "\x1b[2Jall clear"}),
        ("text-nul", "a zero byte", {"text": "all\x00clear"}),
        ("text-direction", "a direction override", {"text": "all \u202eraelc"}),
        ("text-bytes", "bytes where text is wanted", {"text": b"text"}),
    ]


def _bad_lists(fields: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    subjects, evidence = fields["subjects"], fields["evidence"][0]
    many = [["victim", "lineage", f"a{n:03}"] for n in range(MAX_SUBJECTS + 1)]
    return [
        ("subjects-none", "a signal is about something", {"subjects": []}),
        ("subjects-too-many", "MAX_SUBJECTS + 1", {"subjects": many}),
        ("subjects-unsorted", "subjects do not rise", {"subjects": subjects[::-1]}),
        ("subjects-twice", "one subject twice", {"subjects": [subjects[0], subjects[0]]}),
        ("subjects-two-parts", "a subject without its value", {"subjects": [["victim", "account"]]}),
        ("subjects-role", "a role that is not in the list", {"subjects": [["bystander", "account", VAULT]]}),
        ("subjects-kind", "a kind that is not in the list", {"subjects": [["victim", "wallet", VAULT]]}),
        ("evidence-too-many", "MAX_EVIDENCE + 1", {"evidence": [evidence] * (MAX_EVIDENCE + 1)}),
        ("evidence-kind", "a kind that is not in the list", {"evidence": [["rumour", *evidence[1:]]]}),
        ("evidence-chain", "not a chain id", {"evidence": [[evidence[0], "mainnet", *evidence[2:]]]}),
        ("evidence-block", "a block in text", {"evidence": [[*evidence[:2], "16817996", *evidence[3:]]]}),
        ("evidence-reference", "an empty reference", {"evidence": [[*evidence[:3], "", evidence[4]]]}),
        ("evidence-detail", "a detail too long", {"evidence": [[*evidence[:4], "x" * (MAX_DETAIL_BYTES + 1)]]}),
        ("evidence-four-parts", "evidence without its detail", {"evidence": [evidence[:4]]}),
        ("detector-hash", "a content hash of 31 bytes", {"detector": ["outflow", "tocsin", bytes(31), "rpc-a"]}),
        ("detector-name", "a name in upper case", {"detector": ["Outflow", "tocsin", bytes(32), "rpc-a"]}),
        ("detector-three-parts", "a detector without its RPC group", {"detector": ["outflow", "tocsin", bytes(32)]}),
        ("loss-two-parts", "two amounts where three are wanted", {"loss": [1, 2]}),
        ("loss-text", "an amount in text", {"loss": [1, 2, "3"]}),
        ("refs-too-many", "MAX_REFERENCES + 1", {"refs": [["updates", bytes(32)]] * (MAX_REFERENCES + 1)}),
        ("refs-relation", "a relation that is not in the list", {"refs": [["denies", bytes(32)]]}),
        ("refs-digest", "a digest of 31 bytes", {"refs": [["updates", bytes(31)]]}),
    ]


def _bad_ids() -> list[tuple[str, str, dict[str, Any]]]:
    hex_upper = "eip155:1:0x" + "5A" * 20
    ids = [
        ("chain-zero-padded", "a leading zero is a second spelling", "chain", "eip155:01"),
        ("chain-hex", "an eip155 reference is decimal", "chain", "eip155:0x1"),
        ("chain-bare", "a chain without its namespace", "chain", "1"),
        ("account-upper-hex", "upper-case hex is a second spelling", "account", hex_upper),
        ("account-short", "an address of 19 bytes", "account", "eip155:1:0x" + "5a" * 19),
        ("account-bare", "an address without its chain", "account", "0x" + "5a" * 20),
        ("account-newline", "a line feed after the address", "account", VAULT + "\n"),
        ("asset-upper-hex", "upper-case hex is a second spelling", "asset", "eip155:1/erc20:0x" + "C0" * 20),
        ("asset-account", "an account where an asset is wanted", "asset", VAULT),
        (
            "asset-token-padded",
            "a leading zero is a second spelling",
            "asset",
            "eip155:1/erc721:0x" + "70" * 20 + "/01",
        ),
        ("code-hash-bare", "a hash without 0x", "code-hash", "0c" * 32),
        ("code-hash-upper", "upper-case hex is a second spelling", "code-hash", "0x" + "0C" * 32),
        ("dependency-no-version", "a dependency without its version", "dependency", "vyper"),
        ("lineage-upper", "upper case is a second spelling", "lineage", "Compound-V2"),
        ("lineage-too-long", "a name of 65 bytes", "lineage", "a" * 65),
    ]
    return [(f"subjects-{name}", why, {"subjects": [["victim", kind, text]]}) for name, why, kind, text in ids]


def freshness() -> dict[str, Any]:
    """specs/vectors/freshness.json"""

    def judged(name: str, why: str, signal: Signal, now_ms: int, received_ms: int, reason: str) -> dict[str, Any]:
        return case(name, why, body=encode_body(signal), received_ms=received_ms, now_ms=now_ms, reason=reason)

    drain = make_signal(expires_ms=NOW_MS + MAX_LIFETIME_MS)
    early = NOW_MS - MAX_CLOCK_SKEW_MS
    cases = [
        judged("at-issue", "fresh", drain, NOW_MS, NOW_MS, "admitted"),
        judged("drill-flag", "a drill", make_signal(drill=True), NOW_MS, NOW_MS, "drill"),
        judged("drill-category", "a drill", make_signal(category=Category.META_DRILL), NOW_MS, NOW_MS, "drill"),
        judged("skew-allowed", "issued MAX_CLOCK_SKEW_MS ahead", drain, early, early, "admitted"),
        judged("from-future", "issued 1 ms further ahead", drain, early - 1, early - 1, "from-future"),
        judged("post-dated", "it does not ripen: arrival counts", drain, NOW_MS, early - 1, "from-future"),
        judged(
            "last-moment", "1 ms before it expires", make_signal(expires_ms=NOW_MS + 10), NOW_MS + 9, NOW_MS, "admitted"
        ),
        judged("expired", "at its expiry", make_signal(expires_ms=NOW_MS + 10), NOW_MS + 10, NOW_MS, "expired"),
    ]
    for category in Category:
        if category is Category.META_DRILL:
            continue
        signal = make_signal(category=category, expires_ms=NOW_MS + MAX_LIFETIME_MS)
        bound = NOW_MS + freshness_bound_ms(category)
        cases.append(judged(f"fresh-{category}", "as old as it may be", signal, bound, bound, "admitted"))
        cases.append(judged(f"stale-{category}", "1 ms too old, just arrived", signal, bound + 1, bound + 1, "stale"))
    assert drain.severity is Severity.CRITICAL
    return {"cases": cases}
