"""What decisions stand on, in the log: each part once, by its SHA-256, for as long as it does not change."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from hashlib import sha256

from tocsin_protocol.audit import EntryKind
from tocsin_protocol.belief.terms import Witness
from tocsin_protocol.decision.basis import (
    Answered,
    Basis,
    FindingBasis,
    Part,
    Seen,
    encode_basis,
    encode_charges,
    encode_finding_basis,
)
from tocsin_protocol.decision.budget import Charge
from tocsin_protocol.decision.decide import LeverState
from tocsin_protocol.decision.judge import Sighting
from tocsin_protocol.evidence.weighing import Exhibit

from .audit import append_audit
from .evidence_checks import claim_key
from .rules import Rules


def log_rules(connection: sqlite3.Connection, rules: Rules, now_ms: int) -> bytes:
    """Log what of the rules the log lacks; returns the SHA-256 of the part that names the others."""
    *parts, (_, last) = rules.parts
    about = sha256(last).digest()
    # [REPLAY] Parts are logged before what names them.
    if not _is_logged(connection, about):
        for part, body in parts:
            _log_part(connection, part, body, now_ms)
    return _log_part(connection, Part.RULES, last, now_ms)


def log_basis(
    connection: sqlite3.Connection,
    rules: Rules,
    sightings: Sequence[Sighting],
    exhibits: Sequence[Exhibit],
    states: Mapping[str, LeverState],
    charges: Sequence[Charge],
    witnesses: Sequence[Witness],
    now_ms: int,
) -> bytes:
    """Log what a decision stands on; returns its SHA-256."""
    checked = dict.fromkeys(item for exhibit in exhibits for item in exhibit.checked)
    basis = Basis(
        rules=log_rules(connection, rules, now_ms),
        charges=_log_part(connection, Part.CHARGES, encode_charges(charges), now_ms),
        seen=tuple(Seen(s.digest, s.received_ms, s.standing) for s in sightings),
        answers=tuple(Answered(claim_key(c.predicate), c.answer, c.is_disagreement) for c in checked),
        states=states,
        witnesses=tuple(witnesses),
    )
    return _log_part(connection, Part.DECISION, encode_basis(basis), now_ms)


def log_finding(
    connection: sqlite3.Connection, rules: Rules, sightings: Sequence[Sighting], watching: Sequence[bytes], now_ms: int
) -> bytes:
    """Log what a finding's outcomes stand on; returns its SHA-256."""
    seen = tuple((sighting.digest, sighting.received_ms) for sighting in sightings)
    basis = FindingBasis(log_rules(connection, rules, now_ms), seen, tuple(watching))
    return _log_part(connection, Part.FINDING, encode_finding_basis(basis), now_ms)


def _log_part(connection: sqlite3.Connection, part: Part, body: bytes, now_ms: int) -> bytes:
    # [REPLAY] A part is logged when it is first stood on, under the SHA-256 of its bytes, and not again.
    about = sha256(body).digest()
    if connection.execute("INSERT OR IGNORE INTO logged_parts VALUES (?)", (about,)).rowcount == 1:
        append_audit(connection, now_ms, EntryKind.BASIS, about, {"body": body, "part": part.value})
    return about


def _is_logged(connection: sqlite3.Connection, about: bytes) -> bool:
    return connection.execute("SELECT 1 FROM logged_parts WHERE sha256 = ?", (about,)).fetchone() is not None
