"""What the operators were asked, and what they answered: every request once, every operator once to each."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from tocsin_protocol.approval.files import (
    Approval,
    decode_approval,
    decode_approval_request,
    encode_approval,
    encode_approval_request,
)
from tocsin_protocol.approval.judging import Asked, Tally, count_approvals
from tocsin_protocol.approval.policy import ApprovalPolicy
from tocsin_protocol.approval.request import Request, request_digest
from tocsin_protocol.audit import EntryKind
from tocsin_protocol.signing import Domain

from .audit import append_audit

MAX_REQUESTS_READ = 100
_COLUMNS = "id, digest, body, action, at_ms, state, reason"


class RequestState(StrEnum):
    """What became of a request; one that is open may have expired meanwhile."""

    OPEN = "open"
    GRANTED = "granted"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class RequestRow:
    """A request as it stands. `digest` is what operators sign and what names it; `action` waits for it, if one does."""

    number: int
    digest: bytes
    request: Request
    action: bytes | None
    at_ms: int
    state: RequestState
    reason: str
    approvals: tuple[Approval, ...]


def insert_request(
    connection: sqlite3.Connection, domain: Domain, request: Request, action: bytes | None, now_ms: int
) -> bytes:
    """Ask the operators; returns the digest that they sign."""
    digest = request_digest(domain, request)
    connection.execute(
        "INSERT INTO requests (digest, use_key, body, action, at_ms, state, reason) VALUES (?, ?, ?, ?, ?, ?, '')",
        (
            digest,
            request.use_key,
            encode_approval_request(domain.network_id, request),
            action,
            now_ms,
            RequestState.OPEN.value,
        ),
    )
    detail = {
        "request": digest,
        "purpose": request.purpose.value,
        "effect": request.effect,
        "scope": request.scope,
        "payload": request.payload,
        "epoch": request.epoch,
        "expires": request.expires_ms,
    }
    append_audit(connection, now_ms, EntryKind.ACTION, request.incident, detail)
    return digest


def find_request(connection: sqlite3.Connection, digest: bytes) -> RequestRow | None:
    """The request with a digest."""
    return next(_read(connection, "WHERE digest = ?", (digest,)), None)


def find_by_use(connection: sqlite3.Connection, use_key: bytes) -> RequestRow | None:
    """The newest request that may be used for the same."""
    return next(_read(connection, "WHERE use_key = ? ORDER BY id DESC LIMIT 1", (use_key,)), None)


def read_requests(connection: sqlite3.Connection, *, is_open: bool) -> list[RequestRow]:
    """Requests, newest first: those that are open, or all."""
    where = f"WHERE state = '{RequestState.OPEN.value}'" if is_open else ""
    return list(_read(connection, f"{where} ORDER BY id DESC LIMIT ?", (MAX_REQUESTS_READ,)))


def insert_approval(
    connection: sqlite3.Connection, row: RequestRow, operator: bytes, name: str, approval: Approval, now_ms: int
) -> bytes:
    """Keep an approval that counts; returns its file."""
    encoded = encode_approval(approval)
    connection.execute(
        "INSERT OR REPLACE INTO request_approvals VALUES (?, ?, ?, ?)", (row.number, operator, encoded, now_ms)
    )
    detail = {
        "verb": "approve",
        "request": row.digest,
        "operator": operator,
        "name": name,
        "signature": approval.signature,
    }
    append_audit(connection, now_ms, EntryKind.OPERATOR, row.request.incident, detail)
    return encoded


def close_request(
    connection: sqlite3.Connection, row: RequestRow, state: RequestState, reason: str, now_ms: int
) -> None:
    """End a request; one that is granted is used up with it."""
    if state is RequestState.GRANTED:
        connection.execute("INSERT INTO used_requests VALUES (?, ?)", (row.request.use_key, now_ms))
    connection.execute("UPDATE requests SET state = ?, reason = ? WHERE id = ?", (state.value, reason, row.number))
    detail = {"verb": "request", "request": row.digest, "state": state.value, "reason": reason}
    append_audit(connection, now_ms, EntryKind.OPERATOR, row.request.incident, detail)


def asked_now(connection: sqlite3.Connection, request: Request, now_ms: int) -> Asked:
    """A request with what the node knows while it waits."""
    used = connection.execute("SELECT use_key FROM used_requests WHERE use_key = ?", (request.use_key,)).fetchall()
    return Asked(request, frozenset(key for (key,) in used), now_ms, read_latest_ms(connection))


def count_given(
    connection: sqlite3.Connection, domain: Domain, policy: ApprovalPolicy, row: RequestRow, now_ms: int
) -> Tally:
    """Who has approved by the policy in force, told also of what is used up by having been granted."""
    asked = replace(asked_now(connection, row.request, now_ms), used=frozenset())
    return count_approvals(domain, policy, asked, row.approvals)


def is_granted_still(domain: Domain, policy: ApprovalPolicy, row: RequestRow) -> bool:
    """Whether those who approved a request would be enough by the policy in force, whatever time it is."""
    begins_ms = row.request.not_before_ms
    asked = Asked(row.request, frozenset(), begins_ms, begins_ms)
    return count_approvals(domain, policy, asked, row.approvals).granted is not None


def note_time(connection: sqlite3.Connection, now_ms: int) -> None:
    """Keep the highest time that was ever seen."""
    connection.execute("UPDATE latest_time SET at_ms = ?1 WHERE at_ms < ?1", (now_ms,))


def read_latest_ms(connection: sqlite3.Connection) -> int:
    """The highest time that was ever seen, UTC ms."""
    latest: int = connection.execute("SELECT at_ms FROM latest_time").fetchone()[0]
    return latest


def confirm_time(connection: sqlite3.Connection, now_ms: int) -> None:
    """The operator says that the clock is right, whatever later time the record shows."""
    detail = {"verb": "confirm-time", "record": read_latest_ms(connection), "by": "operator"}
    connection.execute("UPDATE latest_time SET at_ms = ?", (now_ms,))
    append_audit(connection, now_ms, EntryKind.OPERATOR, b"", detail)


def _read(connection: sqlite3.Connection, where: str, values: tuple[object, ...]) -> Iterator[RequestRow]:
    rows = connection.execute(f"SELECT {_COLUMNS} FROM requests {where}", values).fetchall()  # noqa: S608 - fixed texts
    for number, digest, body, action, at_ms, state, reason in rows:
        given = connection.execute(
            "SELECT approval FROM request_approvals WHERE request = ? ORDER BY operator", (number,)
        ).fetchall()
        approvals = tuple(decode_approval(encoded) for (encoded,) in given)
        _, request = decode_approval_request(body)
        yield RequestRow(number, digest, request, action, at_ms, RequestState(state), reason, approvals)
