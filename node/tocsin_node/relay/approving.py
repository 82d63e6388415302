"""What the operators are asked, and what they answer: over the control socket, from files that come in any order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from tocsin_protocol.approval.files import Approval, decode_approval
from tocsin_protocol.approval.judging import Refusal, Tally, count_approvals
from tocsin_protocol.approval.request import Purpose, request_digest
from tocsin_protocol.audit import EntryKind
from tocsin_protocol.containment.action import Action
from tocsin_protocol.containment.life_cycle import Event, State
from tocsin_protocol.recovery.track import Note

from tocsin_node.control import Handler
from tocsin_node.control_verbs import Verb
from tocsin_node.errors import ControlError
from tocsin_node.request_view import request_view
from tocsin_node.store.actions import append_event, find_action
from tocsin_node.store.audit import append_audit
from tocsin_node.store.recovering import approve_step
from tocsin_node.store.requests import (
    RequestRow,
    RequestState,
    asked_now,
    close_request,
    confirm_time,
    count_given,
    find_by_use,
    find_request,
    insert_approval,
    note_time,
    read_latest_ms,
    read_requests,
)
from tocsin_node.store.rules import Rules
from tocsin_node.store.writer import Connection, Store

from .acting import Acting

_log = structlog.get_logger("tocsin.approving")


@dataclass(frozen=True, slots=True)
class _Taken:
    """What became of an approval: counted, or refused with a word and a sentence; `action` may go on."""

    row: RequestRow | None
    tally: Tally | None
    code: str = ""
    why: str = ""
    action: Action | None = None


class Approving:
    """The handlers behind `tocsin approve`."""

    def __init__(self, store: Store, rules: Callable[[], Rules], acting: Acting, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._rules = rules
        self._acting = acting
        self._now_ms = now_ms

    def handlers(self) -> dict[str, Handler]:
        """The verbs and who answers them."""
        return {
            Verb.REQUESTS: self.requests,
            Verb.APPROVE: self.approve,
            Verb.DECLINE: self.decline,
            Verb.CONFIRM_TIME: self.confirm_time,
        }

    async def requests(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """What was asked, newest first, and how each stands by the policy in force."""
        rules, now_ms = self._rules(), self._now_ms()

        def read(connection: Connection) -> list[dict[str, Any]]:
            domain, policy = rules.roster.domain, rules.people.approvals
            views = []
            for row in read_requests(connection, is_open=False):
                action = None if row.action is None else find_action(connection, row.action)
                tally = count_given(connection, domain, policy, row, now_ms)
                views.append(request_view(rules, row, tally, now_ms, action.payload if action else b""))
            return views

        return {"requests": await self._store.writer.submit(read)}

    async def approve(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Take an approval's file; refused with the word of specs/approval.md, and both are recorded."""
        text = arguments.get("approval")
        if not isinstance(text, str):
            raise ControlError("malformed", "approve: approval is not the text of an approval's file")
        approval = decode_approval(text.encode())
        rules, now_ms = self._rules(), self._now_ms()
        taken = await self._store.writer.submit(lambda connection: _take(connection, rules, approval, now_ms))
        if taken.code or taken.row is None or taken.tally is None:
            _log.warning("an approval was refused", code=taken.code, why=taken.why)
            raise ControlError(taken.code, taken.why)
        if taken.action is not None:
            self._acting.granted(taken.action)
        return {
            "request": taken.row.digest.hex(),
            "state": RequestState.GRANTED.value if taken.tally.granted else RequestState.OPEN.value,
            "sentence": taken.tally.sentence,
        }

    async def decline(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Say no to what is asked: what waits for it is never done."""
        digest, now_ms = _digest_of(arguments), self._now_ms()

        def record(connection: Connection) -> None:
            row = find_request(connection, digest)
            if row is None:
                raise ControlError("unknown-request", f"{digest.hex()} is no request of this node")
            if row.state is not RequestState.OPEN:
                raise ControlError("not-open", _closed(row))
            close_request(connection, row, RequestState.DECLINED, "declined on the node", now_ms)
            if row.action is not None and _awaits(connection, row.action):
                append_event(connection, row.action, Event.DECLINE, {"reason": "the operators said no"}, now_ms)

        await self._store.writer.submit(record)
        return {"request": digest.hex(), "state": RequestState.DECLINED.value}

    async def confirm_time(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The operator says that the clock is right, though the record shows a later time."""
        now_ms = self._now_ms()

        def record(connection: Connection) -> int:
            before = read_latest_ms(connection)
            confirm_time(connection, now_ms)
            return before

        return {"now_ms": now_ms, "record_ms": await self._store.writer.submit(record)}


def _take(connection: Connection, rules: Rules, approval: Approval, now_ms: int) -> _Taken:
    """Judge an approval against what is asked, keep it where it counts, and let go on what it grants."""
    note_time(connection, now_ms)
    domain, request = rules.roster.domain, approval.request
    # Of none that is asked for, the one it is nearest to: the refusal then names what differs.
    row = find_request(connection, request_digest(domain, request)) or find_by_use(connection, request.use_key)
    if row is None:
        why = f"this node asks for nothing like it: {request.purpose} {request.scope!r} with {request.lever!r}"
        return _refuse(connection, request.incident, _Taken(None, None, "unknown-request", why), now_ms)
    asked = asked_now(connection, row.request, now_ms)
    tally = count_approvals(domain, rules.people.approvals, asked, (*row.approvals, approval))
    verdict = tally.verdicts[-1]
    if verdict.refusal is not None or verdict.operator is None:
        code = Refusal.BAD_SIGNATURE if verdict.refusal is None else verdict.refusal
        why = f"{code}: {verdict.detail}"
        if code is Refusal.EXPIRED and now_ms < row.request.expires_ms:
            why += (
                "; the record shows a later time than the clock: look at the clock, then `tocsin approve confirm-time`"
            )
        return _refuse(connection, request.incident, _Taken(row, tally, code.value, why), now_ms)
    if row.state is not RequestState.OPEN:
        return _refuse(connection, request.incident, _Taken(row, tally, "not-open", _closed(row)), now_ms)
    if row.action is not None and not _awaits(connection, row.action):
        why = "the action that it is for does not wait any more; see `tocsin actions`"
        return _refuse(connection, request.incident, _Taken(row, tally, "not-open", why), now_ms)
    name = rules.people.approvals.operators[verdict.operator]
    encoded = insert_approval(connection, row, verdict.operator, name, approval, now_ms)
    if row.action is not None:
        append_event(connection, row.action, Event.APPROVE, {"approval": encoded}, now_ms)
    return _grant(connection, rules, row, tally, now_ms) if tally.granted else _Taken(row, tally)


def _grant(connection: Connection, rules: Rules, row: RequestRow, tally: Tally, now_ms: int) -> _Taken:
    granted = tally.granted
    assert granted is not None  # noqa: S101 - the caller looked
    names = ", ".join(sorted(rules.people.approvals.operators[operator] for operator in granted.operators))
    reason = f"approved by {names}"
    if row.request.purpose is Purpose.REOPEN:
        note = approve_step(connection, rules, granted, now_ms)
        if note is not Note.APPROVED:
            why = f"{note}: the step is not the one that was approved; ask for it anew"
            close_request(connection, row, RequestState.WITHDRAWN, why, now_ms)
            return _Taken(row, tally, note.value, why)
    close_request(connection, row, RequestState.GRANTED, reason, now_ms)
    action = None
    if row.action is not None:
        action = append_event(connection, row.action, Event.GRANT, {"reason": reason}, now_ms)
    return _Taken(row, tally, action=action)


def _refuse(connection: Connection, incident: bytes, taken: _Taken, now_ms: int) -> _Taken:
    detail = {"verb": "approve", "refused": taken.code, "why": taken.why}
    append_audit(connection, now_ms, EntryKind.OPERATOR, incident, detail)
    return taken


def _awaits(connection: Connection, action_id: bytes) -> bool:
    action = find_action(connection, action_id)
    return action is not None and action.state is State.AWAITING_APPROVAL


def _closed(row: RequestRow) -> str:
    return f"the request is {row.state} already ({row.reason})"


def _digest_of(arguments: dict[str, Any]) -> bytes:
    try:
        return bytes.fromhex(str(arguments.get("request")))
    except ValueError as exc:
        raise ControlError("malformed", "decline: request is not hex") from exc
