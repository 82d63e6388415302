"""Calldata by hand, of which eth_abi is the judge."""

from __future__ import annotations

from dataclasses import astuple, replace

import pytest
from eth_abi import encode
from risk_kit import risk_report, said
from tocsin_protocol.errors import RiskError
from tocsin_protocol.risk.calldata import equivocation_calldata, submit_calldata
from tocsin_protocol.risk.report import REPORT_TYPE, RiskReport
from tocsin_protocol.risk.states import RiskState
from tocsin_protocol.signing import keccak256

TYPES = "(" + ",".join(p.split(" ")[0] for p in REPORT_TYPE[11:-1].split(",")) + ")"
LOUD, QUIET = risk_report(RiskState.CONFIRMED), risk_report()


def words(report: RiskReport) -> tuple[object, ...]:
    return tuple(int(value) if isinstance(value, int) else value for value in astuple(report))


def test_reports_are_submitted_by_ascending_signer_as_the_abi_has_it() -> None:
    signed = [said(2, LOUD), said(0, QUIET), said(1, LOUD)]
    ordered = sorted(signed, key=lambda one: one.signer)
    arguments = [words(one.report) for one in ordered], b"".join(one.signature for one in ordered)
    selector = keccak256(f"submit({TYPES}[],bytes)".encode())[:4]
    assert submit_calldata(signed) == selector + encode([TYPES + "[]", "bytes"], arguments)


def test_two_stories_are_shown_as_the_abi_has_it() -> None:
    one, other = said(0, LOUD), said(0, replace(QUIET, epoch=LOUD.epoch))
    arguments = words(one.report), words(other.report), one.signature + other.signature
    selector = keccak256(f"showEquivocation({TYPES},{TYPES},bytes)".encode())[:4]
    assert equivocation_calldata(one, other) == selector + encode([TYPES, TYPES, "bytes"], arguments)
    with pytest.raises(RiskError, match="do not contradict"):
        equivocation_calldata(one, said(1, QUIET))


def test_what_goes_in_no_call_is_refused() -> None:
    for signed in ([], [said(0, LOUD), said(0, QUIET)]):
        with pytest.raises(RiskError, match="one of each"):
            submit_calldata(signed)
