"""Risk reports and what they come to, as JSON objects."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

from tocsin_protocol.errors import DecodeError
from tocsin_protocol.risk.aggregate import Aggregate
from tocsin_protocol.risk.report import SIGNED_BYTES, OracleDomain, SignedReport, open_report

_HEX = re.compile(rf"0x[0-9a-f]{{{2 * SIGNED_BYTES}}}")


def risk_report_view(one: SignedReport, oracle: str, subject: str | None) -> dict[str, Any]:
    """A report; `signed` is all of it, and what counts. `subject_id` is null where only its hash is known."""
    report = one.report
    shown: dict[str, Any] = {}
    for field in fields(report):
        value = getattr(report, field.name)
        shown[field.name] = "0x" + value.hex() if isinstance(value, bytes) else int(value)
    shown |= {"state": report.state.word, "category": report.category_text}
    return {
        "oracle": oracle,
        "subject_id": subject,
        "signer": "0x" + one.signer.hex(),
        "digest": "0x" + one.digest.hex(),
        **shown,
        "signed": "0x" + one.encoded.hex(),
    }


def read_risk_report(domain: OracleDomain, shown: Any) -> SignedReport:
    """The report of such an object, of which only `oracle` and `signed` are believed; raises ProtocolError."""
    if type(shown) is not dict or type(shown.get("signed")) is not str or not _HEX.fullmatch(shown["signed"]):
        raise DecodeError(f"a report is a JSON object whose signed is 0x and {2 * SIGNED_BYTES} hex digits")
    if shown.get("oracle", domain.account) != domain.account:
        raise DecodeError(f"the report is for the oracle {str(shown['oracle'])[:120]}, not for {domain.account}")
    return open_report(domain, bytes.fromhex(shown["signed"].removeprefix("0x")))


def aggregate_view(found: Aggregate) -> dict[str, Any]:
    """What several reports come to; `counted` are the signers."""
    shown = {
        field.name: getattr(found, field.name)
        for field in fields(found)
        if field.name not in ("state", "incident", "counted", "equivocators")
    }
    return {
        "state": found.state.word,
        "incident": "0x" + found.incident.hex(),
        **shown,
        "counted": ["0x" + one.signer.hex() for one in found.counted],
        "equivocators": sorted("0x" + signer.hex() for signer in found.equivocators),
    }
