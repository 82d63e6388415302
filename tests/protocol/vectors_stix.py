"""Vectors of the mapping to STIX: ids, signals with their objects, an incident's versions, and what drafts come to."""

from __future__ import annotations

from dataclasses import asdict
from functools import reduce
from typing import Any

import pytest
import stix_kit as kit
from protocol_kit import ATTACKER, NOW_MS
from tocsin_protocol.body import encode_body
from tocsin_protocol.errors import DecodeError
from tocsin_protocol.stix.alerts import forta_drafts, monitor_draft
from tocsin_protocol.stix.common import Object, Statement, wallet_object
from tocsin_protocol.stix.drafting import Draft, draft_of
from tocsin_protocol.stix.incidents import grow_incident
from tocsin_protocol.stix.marking import Circle
from tocsin_protocol.stix.naming import checksum_address, stix_time
from tocsin_protocol.stix.reading import check_object
from tocsin_protocol.stix.statements import export_statement
from tocsin_protocol.taxonomy import Tlp
from vector_kit import case

ADDRESS = ATTACKER.rsplit(":", 1)[1]
WORDS = {
    "drained": "an indicator over two wallets, of which one is not EVM, with note, sighting and relationships",
    "wordless": "no words and no hostile address: the note says its terms, and carries the extension",
    "corroborating": "it sights the indicator of the other as well, and agrees with it",
    "disputing": "an opinion of each signal that it names",
    "retracting": "a later version of the other's indicator is revoked",
}


def stix() -> dict[str, Any]:
    """specs/vectors/stix.json"""
    names = {kit.digest_of(name): name for name in WORDS}
    return {
        "wallets": [
            _wallet("lower", "0x" + "ab" * 20),
            _wallet("attacker", ADDRESS),
            _wallet("solana", "7S3P4HxJpyyig"),
        ],
        "times": [
            case("epoch", "", at_ms=0, time=stix_time(0)),
            case("now", "three digits of a second", at_ms=NOW_MS, time=stix_time(NOW_MS)),
            case("far", "what four digits cannot tell is the end of the year 9999", at_ms=2**53, time=stix_time(2**53)),
        ],
        "statements": [_statement(names[said.digest], said) for said in kit.STATEMENTS],
        "incidents": [_incident()],
        "drafts": [*_drafts()],
        "alerts": [*_alerts()],
        "invalid": [*_invalid()],
    }


def _wallet(name: str, address: str) -> dict[str, Any]:
    value = checksum_address(address)
    return case(name, "", address=address, value=value, id=wallet_object(value, Tlp.CLEAR)["id"])


def _header(said: Statement) -> dict[str, Any]:
    fields = {name: getattr(said, name) for name in Statement.__dataclass_fields__ if name != "signal"}
    return {**fields, "body": encode_body(said.signal)}


def _statement(name: str, said: Statement) -> dict[str, Any]:
    referred = kit.referred_by(said)
    objects = export_statement(said, referred)
    listed = [_header(other) for other in referred.values()]
    return case(name, WORDS[name], **_header(said), referred=listed, objects=objects)


def _incident() -> dict[str, Any]:
    def grow(before: Object | None, place: int) -> Object:
        return grow_incident(before, Circle.AMBER, kit.STATEMENTS[place], kit.AUTHOR, NOW_MS)

    last = reduce(grow, range(len(kit.STATEMENTS)), None)
    why = "all of them at one moment: each version is a millisecond later than the one before"
    listed = [_header(said) for said in kit.STATEMENTS]
    return case("grown", why, circle="amber", author=kit.AUTHOR, at_ms=NOW_MS, statements=listed, object=last)


def _drafts() -> list[dict[str, Any]]:
    indicator = kit.foreign_indicator()
    red = kit.foreign_indicator(object_marking_refs=["marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"])
    unknown = kit.foreign_indicator(object_marking_refs=["marking-definition--00000000-0000-4000-8000-000000000000"])
    ours = next(o for o in kit.everything() if o["type"] == "indicator")
    return [
        _draft("indicator", "what is assumed is named", indicator),
        _draft("tlp-1", "markings of TLP 1 are known", red),
        _draft("unknown-marking", "a marking that is not known is RED", unknown),
        _draft("ours", "our own extension says all", ours),
        _draft("revoked", "what is taken back leads to nothing", kit.foreign_indicator(revoked=True)),
        _draft(
            "no-wallet", "a pattern without a wallet", kit.foreign_indicator(pattern="[url:value = 'http://x.example']")
        ),
    ]


def _draft(name: str, why: str, value: Object) -> dict[str, Any]:
    draft = draft_of(check_object(value))
    return case(name, why, object=value, draft=None if draft is None else _row(draft))


def _alerts() -> list[dict[str, Any]]:
    return [
        case(
            "forta",
            "who is labelled as attacker is one",
            source="forta",
            body=kit.FORTA,
            drafts=_rows(forta_drafts(kit.FORTA)),
        ),
        case(
            "monitor",
            "the chain is that of the network's name",
            source="openzeppelin-monitor",
            body=kit.MONITOR,
            drafts=_rows([monitor_draft(kit.MONITOR)]),
        ),
    ]


def _rows(drafts: list[Draft]) -> list[dict[str, Any]]:
    return [_row(draft) for draft in drafts]


def _row(draft: Draft) -> dict[str, Any]:
    return asdict(draft)


def _invalid() -> list[dict[str, Any]]:
    cases = [case(name, why, object=value, names=names) for name, why, value, names in kit.invalid_objects()]
    for each in cases:
        with pytest.raises(DecodeError, match=each["names"]):
            check_object(each["object"])
    return cases
