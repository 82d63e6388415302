"""The doctor's last result on disk, and one audit entry for each."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from tocsin_protocol.audit import EntryKind

from .audit import append_audit

# Named in the audit entry; the last report has them all.
MAX_WRONG_NAMED = 64


def write_doctor(connection: sqlite3.Connection, report: Mapping[str, Any], now_ms: int) -> None:
    """Keep a report as the last one, and audit what was not right."""
    wrong = [f"{check['area']} {check['check']}" for check in report["checks"] if check["answer"] == "not-ok"]
    values = (now_ms, int(report["healthy"]), json.dumps(report))
    connection.execute("INSERT OR REPLACE INTO doctor VALUES (1, ?, ?, ?)", values)
    detail = {"doctor": "healthy" if report["healthy"] else "not-healthy", "wrong": wrong[:MAX_WRONG_NAMED]}
    append_audit(connection, now_ms, EntryKind.NODE, b"", detail)


def read_doctor(connection: sqlite3.Connection) -> tuple[int, bool] | None:
    """When the last look was and whether all was right; None before the first."""
    row = connection.execute("SELECT at_ms, healthy FROM doctor").fetchone()
    return None if row is None else (row[0], bool(row[1]))
