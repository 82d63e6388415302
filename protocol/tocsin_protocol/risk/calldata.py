"""Calls of the oracle contract as bytes, by hand: every part of a report is one word (specs/contracts.md)."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import RiskError
from ..signing import keccak256
from .aggregate import MAX_SIGNERS
from .report import REPORT_TYPE, SignedReport, contradict, encode_report

_TYPES = ",".join(part.split(" ")[0] for part in REPORT_TYPE.removeprefix("RiskReport(").removesuffix(")").split(","))
_SUBMIT = keccak256(f"submit(({_TYPES})[],bytes)".encode())[:4]
_SHOW = keccak256(f"showEquivocation(({_TYPES}),({_TYPES}),bytes)".encode())[:4]


def submit_calldata(signed: Sequence[SignedReport]) -> bytes:
    """The call that hands in one report of each of some signers; raises RiskError where they are not one each."""
    ordered = sorted(signed, key=lambda one: one.signer)
    if not 1 <= len({one.signer for one in ordered}) == len(ordered) <= MAX_SIGNERS:
        raise RiskError(f"{len(ordered)} reports where one of each of 1…{MAX_SIGNERS} signers goes in one call")
    reports = _word(len(ordered)) + b"".join(encode_report(one.report) for one in ordered)
    return _SUBMIT + _word(64) + _word(64 + len(reports)) + reports + _bytes(*(one.signature for one in ordered))


def equivocation_calldata(one: SignedReport, other: SignedReport) -> bytes:
    """The call that shows that a signer told two stories; raises RiskError where it does not show that."""
    if not contradict(one, other):
        raise RiskError("these two reports do not contradict each other")
    words = encode_report(one.report) + encode_report(other.report)
    return _SHOW + words + _word(len(words) + 32) + _bytes(one.signature, other.signature)


def _word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def _bytes(*parts: bytes) -> bytes:
    data = b"".join(parts)
    return _word(len(data)) + data + bytes(-len(data) % 32)
