"""What the operator may ask about the log: to sign and log a report's root, to let a copy's log go on, to prune."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tocsin_protocol.audit import EntryKind
from tocsin_protocol.fields import bool_of, map_of, text_of, uint_of
from tocsin_protocol.ids import DIGEST_BYTES
from tocsin_protocol.log.checkpoint import FIRST_GENERATION
from tocsin_protocol.postmortem.report import MAX_LEAVES
from tocsin_protocol.postmortem.signing import ReportRoot, sign_root

from tocsin_node.chain.errors import RpcUnavailable
from tocsin_node.control import Handler
from tocsin_node.control_verbs import Verb
from tocsin_node.errors import ControlError
from tocsin_node.store.audit import append_audit
from tocsin_node.store.copies import Held, go_on
from tocsin_node.store.pruning import MIN_KEEP_DAYS, keep_since, prune_log
from tocsin_node.store.record import read_generation, why_spent
from tocsin_node.store.shown_heads import next_generation
from tocsin_node.store.writer import Connection, Store


async def _no_anchors() -> str:
    return ""


class LogDesk:
    """Answers requests about the log; each leaves an entry."""

    def __init__(
        self,
        store: Store,
        secret: bytes,
        now_ms: Callable[[], int],
        peers_were_asked: Callable[[], bool],
    ) -> None:
        self._store = store
        self._secret = secret
        self._now_ms = now_ms
        self._peers_were_asked = peers_were_asked
        # Of a node that anchors: why a chain may hold anchors that the database does not know.
        self.find_unknown_anchors: Callable[[], Awaitable[str]] = _no_anchors

    def handlers(self) -> dict[str, Handler]:
        """The verbs and who answers them."""
        return {Verb.LOG_REPORT: self.log_report, Verb.CONFIRM_LOG: self.confirm_log, Verb.PRUNE_LOG: self.prune_log}

    async def log_report(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Sign a report's root and log it; raises DecodeError naming what is wrong with the request."""
        fields = map_of("log-report", arguments, ("incident", "leaves", "root"))
        root = ReportRoot(
            _digest("incident", fields["incident"]),
            _digest("root", fields["root"]),
            uint_of("leaves", fields["leaves"], 1, MAX_LEAVES),
            self._now_ms(),
        )
        body, signature = sign_root(self._secret, root)

        def record(connection: Connection) -> int:
            if not connection.execute("SELECT 1 FROM incidents WHERE id = ?", (root.incident,)).fetchone():
                raise ControlError("unknown-incident", f"{root.incident.hex()} is no incident of this node")
            detail = {"body": body, "signature": signature}
            return append_audit(connection, root.at_ms, EntryKind.REPORT, root.incident, detail)

        sequence = await self._store.writer.submit(record)
        return {"index": sequence - 1, "signature": signature.hex()}

    async def confirm_log(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Let the log of a backup go on: as it is, where no later head of it was shown, or anew under another name."""
        anew = bool_of("anew", map_of("confirm-log", arguments, ("anew",))["anew"])
        record, now_ms = self._store.record, self._now_ms()
        if not record.waits:
            raise ControlError("not-waiting", "the log does not wait for anybody: there is nothing to confirm")
        if spent := why_spent(await self._store.writer.submit(read_generation)):
            raise ControlError("spent", spent)
        # [KEEP] It goes on under its name after enough peers were asked what they keep of it, and keep no later head.
        if not anew and not self._peers_were_asked():
            raise ControlError(
                "not-asked",
                "too few peers were asked yet which heads of this log they keep: wait until the node publishes"
                " (`tocsin status`); or, where no peer is in reach, begin the log anew with --anew",
            )

        # [KEEP] Nor does it where the account of its anchors has signed what the backup does not know of.
        if not anew:
            await self._check_anchors()

        def confirm(connection: Connection) -> int:
            if anew:
                next_generation(connection, FIRST_GENERATION)
                if spent := why_spent(read_generation(connection)):
                    raise ControlError("spent", spent)
            go_on(connection, Held.LOG)
            generation = read_generation(connection)
            detail = {"verb": "confirm-log", "by": "operator", "generation": generation, "why": record.waits}
            append_audit(connection, now_ms, EntryKind.OPERATOR, b"", detail)
            return generation

        generation = await self._store.writer.submit(confirm)
        return {"size": record.edge.size, "generation": generation}

    async def _check_anchors(self) -> None:
        try:
            unknown = await self.find_unknown_anchors()
        except RpcUnavailable as exc:
            unknown = f"the chain of its anchors could not be asked ({exc})"
        if unknown:
            raise ControlError(
                "anchored", f"a later head of this log may be anchored: {unknown}; begin the log anew with --anew"
            )

    async def prune_log(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Drop entries that the operator has exported; what is about something open stays, whatever he says."""
        fields = map_of("prune-log", arguments, ("keep_days", "to"))
        to, keep_days = uint_of("to", fields["to"]), uint_of("keep_days", fields["keep_days"], MIN_KEEP_DAYS)
        size, now_ms = self._store.record.edge.size, self._now_ms()

        def prune(connection: Connection) -> int:
            return prune_log(connection, to, size, keep_since(connection, keep_days, now_ms), now_ms)

        return {"pruned": await self._store.writer.submit(prune)}


def _digest(name: str, value: object) -> bytes:
    text = text_of(name, value)
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != DIGEST_BYTES:
        raise ControlError("malformed", f"log-report: {name} is not {DIGEST_BYTES} bytes in hex")
    return found
