"""The risk reports that are kept, for whoever shows them: light to import."""

from __future__ import annotations

import sqlite3


def read_risk_reports(connection: sqlite3.Connection, limit: int) -> list[tuple[str, str, bytes]]:
    """The latest report about each subject for each oracle: oracle, subject, the signed report's bytes."""
    rows = connection.execute(
        "SELECT oracle, subject, encoded FROM risk_reports r WHERE epoch ="
        " (SELECT MAX(epoch) FROM risk_reports WHERE oracle = r.oracle AND subject = r.subject)"
        " ORDER BY oracle, subject LIMIT ?",
        (limit,),
    )
    return [(oracle, subject, encoded) for oracle, subject, encoded in rows]
