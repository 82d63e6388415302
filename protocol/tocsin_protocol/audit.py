"""The record: what every arrow of the flow leaves behind (specs/audit-log.md)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class EntryKind(StrEnum):
    """Which arrow of the flow an entry is about."""

    SIGNAL = "signal"
    VERDICT = "verdict"
    INCIDENT = "incident"
    EVIDENCE = "evidence"
    DECISION = "decision"
    ADJUDICATION = "adjudication"
    ACTION = "action"
    OUTCOME = "outcome"
    ALARM = "alarm"
    ROSTER = "roster"
    EQUIVOCATION = "equivocation"
    OPERATOR = "operator"
    NODE = "node"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry: when (UTC ms), what kind, what it is about (a digest or an id), and canonical detail."""

    sequence: int
    at_ms: int
    kind: EntryKind
    reference: bytes
    detail: bytes
