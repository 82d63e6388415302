"""What is counted, in Prometheus' terms; one registry per node."""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from tocsin_protocol.admission import Reason
from tocsin_protocol.containment.life_cycle import Event

from tocsin_node.store.arrivals import Path

# A mesh that lies may not fill our memory with names.
MAX_MESH_COUNTERS = 256
MAX_NAME_CHARS = 64
# A decision takes milliseconds; what is beyond the last is a node in trouble.
DECISION_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_REASONS = frozenset(Reason)


class Metrics:
    """The relay's counters and gauges."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.stored = self._counter("tocsin_signals_stored", "Signals stored, by the path they came.", "path")
        self.refused = self._counter("tocsin_signals_refused", "Signals not stored, by reason.", "reason")
        self.standing = self._counter("tocsin_signals_standing", "Stored signals by whether they may act.", "standing")
        self.decisions = self._counter("tocsin_decisions", "Decisions recorded, by whether they act.", "acts")
        self.decision_seconds = Histogram(
            "tocsin_decision_seconds",
            "From a signal in hand to its decisions on disk, by the path it came.",
            ["path"],
            buckets=DECISION_SECONDS,
            registry=self.registry,
        )
        self.evidence = self._counter("tocsin_evidence_checks", "Claims checked on our own endpoints.", "answer")
        self.outcomes = self._counter("tocsin_action_events", "Steps in the life of actions, by event.", "event")
        self.anchors = self._counter(
            "tocsin_anchor_events", "Steps in the life of the log's anchors, by event.", "event"
        )
        self.dropped = self._counter("tocsin_dropped", "What a full queue or a bad peer made us drop.", "reason")
        self.mesh_starts = self._counter("tocsin_mesh_starts", "Mesh processes started, by why.", "why")
        # A series that first shows up with a one in it has not risen, for Prometheus: these begin at nothing.
        for event in Event:
            self.outcomes.labels(event.value)
        for path in Path:
            self.stored.labels(path.value)
        for acts in ("yes", "no"):
            self.decisions.labels(acts)
        # What was refused by mesh and relay, by reason: for the audit log.
        self.verdicts: collections.Counter[str] = collections.Counter()
        self._mesh_names: set[str] = set()
        self._mesh_last: dict[str, int] = {}
        self.mesh = Gauge("tocsin_mesh_counter", "The running mesh's own counters.", ["name"], registry=self.registry)

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A gauge that is read when asked for."""
        Gauge(name, text, registry=self.registry).set_function(read)

    def count_refused(self, refused: Mapping[Reason, int]) -> None:
        """Count what was not stored, by reason."""
        for reason, count in refused.items():
            if count:
                self.refused.labels(reason.value).inc(count)
                self.verdicts[reason.value] += count

    def use_mesh_counters(self, counters: Mapping[str, int]) -> None:
        """Take over what the mesh said in its last pulse."""
        for name, value in counters.items():
            if name not in self._mesh_names:
                if len(self._mesh_names) >= MAX_MESH_COUNTERS or len(name) > MAX_NAME_CHARS:
                    continue
                self._mesh_names.add(name)
            self.mesh.labels(name).set(value)
            what, _, reason = name.partition("-")
            if what in ("frame", "envelope") and reason in _REASONS:
                last = self._mesh_last.get(name, 0)
                # A mesh that was replaced counts from nothing again.
                self.verdicts[reason] += value - last if value >= last else value
                self._mesh_last[name] = value

    def render(self) -> str:
        """The text that Prometheus reads."""
        return generate_latest(self.registry).decode()

    def _counter(self, name: str, text: str, label: str) -> Counter:
        return Counter(name, text, [label], registry=self.registry)
