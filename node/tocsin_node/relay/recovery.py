"""Watching over what is contained: every scope observed, each step proposed, and nothing opened by the node itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import structlog
import trio
from tocsin_protocol.ids import address_of, chain_of
from tocsin_protocol.recovery.stages import Event, Stage, next_stage
from tocsin_protocol.recovery.track import MAX_TICK_MS, Note, Track

from tocsin_node.chain.abi import parse_function
from tocsin_node.chain.client import ChainClient
from tocsin_node.control import Handler
from tocsin_node.control_verbs import Verb
from tocsin_node.errors import ControlError
from tocsin_node.hooks.reading import ask_agreed, call_of, values_of
from tocsin_node.people import People, Shown
from tocsin_node.recovery_view import recovery_view
from tocsin_node.request_view import request_view
from tocsin_node.store.arrivals import Filed, Path
from tocsin_node.store.recovering import ask_step, next_steps, observe, open_scope
from tocsin_node.store.rules import Rules
from tocsin_node.store.scene import active_tracks
from tocsin_node.store.tracks import TrackRow, read_held, read_tracks
from tocsin_node.store.writer import Connection, Store

from .metrics import Metrics

# Far below MAX_TICK_MS of specs/recovery.md, above which an observation adds nothing.
LONGEST_LOOK_SECONDS = 10.0
SHORTEST_LOOK_SECONDS = 0.5
# A look reads each active scope's contract once.
CHAIN_LOOK_SECONDS = 10.0

_log = structlog.get_logger("tocsin.recovery")


class Recovery:
    """Observes the scopes under recovery, and answers `tocsin recover`."""

    def __init__(
        self,
        store: Store,
        rules: Callable[[], Rules],
        clients: Mapping[str, ChainClient],
        metrics: Metrics,
        now_ms: Callable[[], int],
    ) -> None:
        self._store = store
        self._rules = rules
        self._clients = clients
        self._metrics = metrics
        self._now_ms = now_ms
        self._wake = trio.Event()

    def handlers(self) -> dict[str, Handler]:
        """The verbs and who answers them."""
        return {Verb.RECOVERY: self.show, Verb.ASK_STEP: self.ask, Verb.OPENED: self.opened}

    def filed(self, filed: Filed, path: Path) -> None:
        """A batch is on disk: what it changed is looked at now."""
        if filed.decided:
            self._wake.set()

    async def run_recovery(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look at every scope under recovery, for as long as the node runs."""
        assert LONGEST_LOOK_SECONDS * 1000 < MAX_TICK_MS  # noqa: S101 - else no look would count
        task_status.started()
        while True:
            try:
                await self.look()
            except Exception:  # noqa: BLE001 - a fault of one look must not end the node; the next look may do
                _log.exception("what is contained could not be looked at")
                self._metrics.dropped.labels("recovery-fault").inc()
            with trio.move_on_after(look_seconds(self._rules().people)):
                await self._wake.wait()
                # What a burst of signals changes is looked at once.
                await trio.sleep(SHORTEST_LOOK_SECONDS)
            self._wake = trio.Event()

    async def look(self) -> None:
        """One look: what the chain shows, and what it means."""
        rules = self._rules()
        active = await self._store.writer.submit(partial(_active, rules))
        opened = await self._read_opened(rules.people, [row.track for row in active.values()])
        now_ms = self._now_ms()
        after = await self._store.writer.submit(partial(observe, rules=rules, opened=opened, now_ms=now_ms))
        for row in after:
            before = active.get(row.track.scope)
            if before is None or (before.track.stage, before.note) != (row.track.stage, row.note):
                _log.warning(
                    "recovery", scope=row.track.scope, stage=row.track.stage.value, note=row.note and row.note.value
                )

    async def show(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The plan of an incident's scopes, and of those they wait for."""
        incident, rules, now_ms = _incident_of(arguments), self._rules(), self._now_ms()

        def read(connection: Connection) -> dict[str, Any]:
            plan, _ = next_steps(connection, rules, now_ms)
            rows, held = read_tracks(connection), read_held(connection)
            mine = {s for s, row in rows.items() if row.track.incident == incident}
            mine |= {scope for lever in held if lever.incident == incident for scope in lever.scopes}
            return recovery_view(incident, mine, rows, plan, held, rules, now_ms)

        return await self._store.writer.submit(read)

    async def ask(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Ask the operators for the next step of a scope; what is open already is told again."""
        scope, rules, now_ms = str(arguments.get("scope")), self._rules(), self._now_ms()

        def ask(connection: Connection) -> dict[str, Any]:
            _check_scope(connection, rules, scope)
            asked = ask_step(connection, rules, scope, now_ms)
            if asked is None:
                raise ControlError("nothing-to-open", f"{scope} is open: there is no step to ask for")
            row, tally = asked
            if tally.wanted is None:
                raise ControlError("no-rule", tally.sentence)
            return request_view(rules, row, tally, now_ms)

        return await self._store.writer.submit(ask)

    async def opened(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The operator says that the calls of a step were made; refused where that does not count."""
        scope, rules, now_ms = str(arguments.get("scope")), self._rules(), self._now_ms()

        def record(connection: Connection) -> TrackRow:
            _check_scope(connection, rules, scope)
            return open_scope(connection, rules, scope, now_ms)

        row = await self._store.writer.submit(record)
        if row.note is not Note.OPENED:
            raise ControlError(str(row.note), f"{scope} does not count as open: {REFUSED[row.note]}")
        return {"scope": scope, "stage": row.track.stage.value}

    async def _read_opened(self, people: People, tracks: list[Track]) -> frozenset[str]:
        """The scopes whose contract shows the next stage."""
        opened = set()
        for track in tracks:
            if track.stage is Stage.NORMAL:
                continue
            shown = people.shown.get((track.scope, next_stage(track.stage, Event.OPEN)))
            if shown is not None and await self._shows(shown):
                opened.add(track.scope)
        return frozenset(opened)

    async def _shows(self, shown: Shown) -> bool:
        client = self._clients.get(chain_of(shown.account))
        if client is None:
            return False
        function = parse_function(shown.function)
        with trio.move_on_after(CHAIN_LOOK_SECONDS):
            (result,) = await ask_agreed(client, [call_of(address_of(shown.account), function)])
            values = values_of(function, result)
            return values is not None and values[0] == shown.value
        return False


REFUSED: Mapping[Note | None, str] = {
    Note.NOT_APPROVED: "the operators have not approved this step, or too few of those who did may do so still",
    Note.EXPIRED: "the operators' approval has expired; ask them anew",
    Note.NOT_THIS_STEP: "its calls are not those that were approved; ask the operators anew",
    Note.TOO_EARLY: "the stage before it has not been calm for its time",
    Note.UPSTREAM_CLOSED: "something it hangs on is not open as far",
    Note.NOTHING_TO_OPEN: "it is open already",
    None: "it is open already",
}


def look_seconds(people: People) -> float:
    """How long from one look to the next: a few looks in the shortest dwell time."""
    shortest_s = min(people.recovery.dwell_ms.values()) / 1000
    return max(SHORTEST_LOOK_SECONDS, min(LONGEST_LOOK_SECONDS, shortest_s / 4))


def _active(rules: Rules, connection: Connection) -> dict[str, TrackRow]:
    return active_tracks(read_tracks(connection), rules)


def _check_scope(connection: Connection, rules: Rules, scope: str) -> None:
    known = active_tracks(read_tracks(connection), rules)
    if scope not in known:
        names = ", ".join(known) or "none"
        raise ControlError("unknown-scope", f"{scope!r} is not under recovery (these are: {names})")


def _incident_of(arguments: dict[str, Any]) -> bytes:
    try:
        return bytes.fromhex(str(arguments.get("incident")))
    except ValueError as exc:
        raise ControlError("malformed", "recovery: incident is not hex") from exc
