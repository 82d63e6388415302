"""How the node stands, in Prometheus' terms: read anew each time somebody asks, so that nothing outlives its cause."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from prometheus_client import Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from tocsin_protocol.containment.life_cycle import State
from tocsin_protocol.log.checkpoint import decode_checkpoint
from tocsin_protocol.log.note import decode_note

from tocsin_node.chain.client import ChainClient
from tocsin_node.detect.finding import WatcherStatus
from tocsin_node.hooks.hook import Hook
from tocsin_node.store.actions import Arm, count_actions_by_state, read_arms
from tocsin_node.store.doctor import read_doctor
from tocsin_node.store.shown_heads import read_best_shown
from tocsin_node.store.standstills import Standstill, read_standstills
from tocsin_node.store.writer import Connection, Store

from .brake import Brake
from .heartbeats import Heartbeats
from .ledger import Ledger
from .metrics import Metrics
from .network import Network
from .operator import Operator
from .publishing import Publishing, Speech
from .rules_in_force import RulesInForce
from .supervisor import MeshSupervisor
from .waiting import read_waiting
from .witnessing import Witnessing

_Labelled = Iterable[tuple[Sequence[str], float]]


@dataclass(frozen=True, slots=True)
class OnDisk:
    """What the database says of the node; `shown` is the best head of its log that others were shown."""

    arms: Mapping[str, Arm]
    actions: Mapping[State, int]
    in_effect: int
    outbox: int
    drafts: int
    standstills: Sequence[Standstill]
    waiting: int
    examined: tuple[int, bool] | None
    shown: bytes | None


class Gauges(Collector):
    """Answers what Prometheus asks: the counters of `Metrics`, and what the parts say of themselves now."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        brake: Brake,
        network: Network,
        supervisor: MeshSupervisor,
        publishing: Publishing,
        heartbeats: Heartbeats,
        witnessing: Witnessing,
        operator: Operator,
        rules: RulesInForce,
        hooks: Mapping[str, Hook],
        watchers: Mapping[str, WatcherStatus],
        clients: Mapping[str, ChainClient],
        metrics: Metrics,
        now_ms: Callable[[], int],
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._brake = brake
        self._network = network
        self._supervisor = supervisor
        self._publishing = publishing
        self._heartbeats = heartbeats
        self._witnessing = witnessing
        self._operator = operator
        self._rules = rules
        self._hooks = hooks
        self._watchers = watchers
        self._clients = clients
        self._metrics = metrics
        self._now_ms = now_ms
        self._on_disk: OnDisk | None = None

    async def answer(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The text that Prometheus reads."""
        read = partial(read_on_disk, rules=self._rules, now_ms=self._now_ms())
        self._on_disk = await self._store.writer.submit(read)
        return {"text": self._metrics.render() + generate_latest(self).decode()}

    def collect(self) -> Iterable[Metric]:
        """Every family, from what `answer` has read and what the parts say now."""
        if self._on_disk is None:
            return
        yield from self._node(self._on_disk)
        yield from self._levers(self._on_disk)
        yield from self._peers()
        yield from self._chains()
        yield from self._log(self._on_disk)

    def _node(self, disk: OnDisk) -> Iterable[Metric]:
        is_open = self._publishing.speech is Speech.OPEN
        yield _gauge("tocsin_publishing_open", "Whether own signals go out.", is_open)
        yield _gauge("tocsin_outbox_signals", "Own signals that the mesh has not taken over yet.", disk.outbox)
        yield _gauge("tocsin_draft_signals", "Own signals that may not be sealed yet.", disk.drafts)
        yield _gauge("tocsin_waiting_for_people", "Questions and reopenings that wait for people.", disk.waiting)
        if disk.examined is not None:
            at_ms, is_healthy = disk.examined
            yield _gauge("tocsin_doctor_healthy", "Whether the doctor's last look found all right.", is_healthy)
            yield _gauge("tocsin_doctor_age_seconds", "Since the doctor looked last.", self._since(at_ms))
        if (at_ms_or_none := self._operator.watched_ms) is not None:
            age = self._since(at_ms_or_none)
            yield _gauge("tocsin_watchdog_age_seconds", "Since the watchdog asked last; nothing before it does.", age)

    def _levers(self, disk: OnDisk) -> Iterable[Metric]:
        armed = [([name], float(name in disk.arms and disk.arms[name].armed)) for name in sorted(self._hooks)]
        yield _gauges("tocsin_hook_armed", "Whether a hook would fire.", ["hook"], armed)
        states = [([state.value], float(disk.actions.get(state, 0))) for state in State]
        yield _gauges("tocsin_actions", "Actions, by the state they are in.", ["state"], states)
        yield _gauge("tocsin_levers_in_effect", "Levers in effect that have to end some time.", disk.in_effect)
        yield _gauge(
            "tocsin_ledger_in_doubt", "Whether no hook acts until people have looked.", bool(self._ledger.doubt)
        )
        causes = {standstill.cause for standstill in disk.standstills} | {cause.value for cause in self._brake.holding}
        why = [([cause], 1.0) for cause in sorted(causes)]
        yield _gauges("tocsin_standstill", "Why the node has disarmed itself, while that stands.", ["cause"], why)

    def _peers(self) -> Iterable[Metric]:
        connected, heard = [], []
        for publisher_id, publisher in self._network.index.publishers.items():
            if publisher_id == self._store.publisher:
                continue
            member = self._network.index.member(publisher_id)
            labels = [member.name if member else "", "0x" + publisher_id.hex()]
            connected.append((labels, float(publisher.peer_id in self._supervisor.peers)))
            if (beat := self._heartbeats.heard.get(publisher_id)) is not None:
                heard.append((labels, self._since(beat.received_ms)))
        names = ["member", "publisher"]
        yield _gauges("tocsin_peer_connected", "Whether a publisher's node is connected.", names, connected)
        yield _gauges("tocsin_peer_heard_age_seconds", "Since a publisher's last heartbeat.", names, heard)

    def _chains(self) -> Iterable[Metric]:
        seen = [(name, watcher) for name, watcher in self._watchers.items() if watcher.head_number]
        ages = [([name], watcher.head_age_ms(self._now_ms()) / 1000) for name, watcher in seen]
        yield _gauges("tocsin_watcher_head_age_seconds", "Age of the newest block that was read.", ["watcher"], ages)
        polled = [([name], self._since(watcher.polled_ms)) for name, watcher in self._watchers.items()]
        yield _gauges("tocsin_watcher_polled_age_seconds", "Since a watcher read its chain.", ["watcher"], polled)
        # Two URLs of one host have one name: what may be told of them is told of both together.
        tallies: dict[tuple[str, str], tuple[int, int, float]] = {}
        for chain, client in self._clients.items():
            for endpoint in client.endpoints:
                before, own = tallies.get((chain, endpoint.name), (0, 0, 0.0)), endpoint.tally
                tallies[chain, endpoint.name] = (
                    before[0] + own.exchanges,
                    before[1] + own.failures,
                    before[2] + own.seconds,
                )
        for place, (name, text) in enumerate(
            (
                ("tocsin_endpoint_exchanges", "Requests, or batches of them, to an RPC endpoint."),
                ("tocsin_endpoint_failures", "Of these, the ones without an answer that is JSON."),
                ("tocsin_endpoint_seconds", "Seconds that all of them took."),
            )
        ):
            family = CounterMetricFamily(name, text, labels=["chain", "endpoint"])
            for labels, tally in sorted(tallies.items()):
                family.add_metric(labels, tally[place])
            yield family

    def _log(self, disk: OnDisk) -> Iterable[Metric]:
        yield _gauge("tocsin_log_entries", "Entries of the log.", self._store.record.edge.size)
        yield _gauge("tocsin_log_faulty", "Whether the log does not agree with itself.", bool(self._store.record.fault))
        unproven = len(self._witnessing.unproven)
        yield _gauge("tocsin_logs_unproven", "Logs of others that show no path between their heads.", unproven)
        if disk.shown is not None:
            note = decode_note(disk.shown)
            size = decode_checkpoint(note.text).size
            yield _gauge("tocsin_log_shown_entries", "Entries of the head that most others have cosigned.", size)
            yield _gauge("tocsin_log_cosignatures", "Cosignatures of that head.", len(note.signatures) - 1)

    def _since(self, at_ms: int) -> float:
        return max(0, self._now_ms() - at_ms) / 1000


def read_on_disk(connection: Connection, rules: RulesInForce, now_ms: int) -> OnDisk:
    """What the database says, in one read."""
    (outbox,) = connection.execute("SELECT COUNT(*) FROM outbox").fetchone()
    (drafts,) = connection.execute("SELECT COUNT(*) FROM drafts").fetchone()
    (in_effect,) = connection.execute(
        "SELECT COUNT(*) FROM actions WHERE ends_ms IS NOT NULL AND state IN (?, ?)",
        (State.EFFECTIVE.value, State.EXPIRING.value),
    ).fetchone()
    return OnDisk(
        arms=read_arms(connection),
        actions=count_actions_by_state(connection),
        in_effect=in_effect,
        outbox=outbox,
        drafts=drafts,
        standstills=read_standstills(connection),
        waiting=len(read_waiting(connection, rules(), now_ms)),
        examined=read_doctor(connection),
        shown=read_best_shown(connection),
    )


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=float(value))


def _gauges(name: str, text: str, labels: Sequence[str], values: _Labelled) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for of, value in values:
        family.add_metric(of, value)
    return family
