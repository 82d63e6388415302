"""Which stored signals a rule is about: marked on arrival, and again when the operator has changed his policy."""

from __future__ import annotations

import hashlib
import sqlite3

from tocsin_protocol.body import decode_body
from tocsin_protocol.encoding import encode_canonical
from tocsin_protocol.envelope import decode_envelope
from tocsin_protocol.errors import DecodeError
from tocsin_protocol.model import Signal
from tocsin_protocol.policy import MAX_RULES, Policy, is_about
from tocsin_protocol.signing import Domain
from tocsin_protocol.taxonomy import Relation

# Half a second of work; older ones are past acting in all but a flood.
MAX_REMARKED = 10_000


def matters(policy: Policy, signal: Signal) -> bool:
    """Whether a signal could change a decision: a rule is about it, or it takes another back."""
    return any(is_about(rule, signal) for rule in policy.rules) or any(
        reference.relation is Relation.RETRACTS for reference in signal.references
    )


def mark_for_policy(connection: sqlite3.Connection, domain: Domain, policy: Policy) -> int:
    """Mark the newest signals anew when the policy is not the one they were marked by; returns how many changed."""
    fingerprint = _fingerprint(policy)
    if connection.execute("SELECT policy FROM node").fetchone()[0] == fingerprint:
        return 0
    rows = connection.execute(
        "SELECT id, encoded, matters FROM signals WHERE incident IS NOT NULL ORDER BY id DESC LIMIT ?", (MAX_REMARKED,)
    ).fetchall()
    changes = []
    for number, encoded, marked in rows:
        try:
            now = int(matters(policy, decode_body(decode_envelope(domain, encoded).body)))
        except DecodeError:
            continue
        if now != marked:
            changes.append((now, number))
    connection.executemany("UPDATE signals SET matters = ? WHERE id = ?", changes)
    connection.execute("UPDATE node SET policy = ?", (fingerprint,))
    return len(changes)


def _fingerprint(policy: Policy) -> bytes:
    rules = [
        [
            rule.name,
            sorted(rule.categories),
            rule.min_severity,
            rule.min_confidence,
            sorted(rule.subjects),
            rule.organisations,
            rule.hook,
            sorted(rule.roles),
        ]
        for rule in policy.rules
    ]
    return hashlib.sha256(encode_canonical([_plain(rule) for rule in rules[:MAX_RULES]])).digest()


def _plain(fields: list[object]) -> list[object]:
    """Enumerations as their texts, which is what the encoder takes."""
    return [
        [str(item) for item in field] if isinstance(field, list) else field if isinstance(field, int) else str(field)
        for field in fields
    ]
