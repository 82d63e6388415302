"""What the levers had done by a decision, counted together from the entries before it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tocsin_protocol.audit import AuditEntry, EntryKind
from tocsin_protocol.containment.life_cycle import State
from tocsin_protocol.decision.decide import LeverState
from tocsin_protocol.decision.policy import Policy

from ..store.actions import Arm
from ..store.lever_states import Use, state_of


@dataclass(frozen=True, slots=True)
class _Intent:
    """A use of a lever, and the number of the decision that it is of."""

    use: Use
    decision: bytes


class Levers:
    """What armings and actions the log has told of so far."""

    def __init__(self) -> None:
        self._arms: dict[str, Arm] = {}
        self._intents: dict[str, dict[bytes, _Intent]] = defaultdict(dict)
        self._hooks: dict[bytes, str] = {}
        self._used: dict[bytes, list[str]] = defaultdict(list)

    def add(self, entry: AuditEntry, detail: dict[str, Any]) -> None:
        """Hear one entry of the operator, or one about an action."""
        if entry.kind is EntryKind.OPERATOR:
            self._hear_operator(entry, detail)
        elif "hook" in detail and "epoch" in detail:
            use = Use(detail["epoch"], entry.at_ms, State(detail["state"]), detail["target"])
            self._intents[detail["hook"]][entry.reference] = _Intent(use, detail.get("decision", b""))
            self._hooks[entry.reference] = detail["hook"]
            self._used[detail.get("decision", b"")].append(detail["hook"])
        elif entry.reference in self._hooks and "state" in detail:
            intents = self._intents[self._hooks[entry.reference]]
            was = intents[entry.reference]
            intents[entry.reference] = replace(was, use=replace(was.use, state=State(detail["state"])))

    def states(self, policy: Policy, incident: bytes, decision: bytes, now_ms: int) -> Mapping[str, LeverState]:
        """The state of every lever of a policy, by hook, as a decision about an incident found them."""
        found = {}
        for lever in policy.levers:
            # What a decision itself uses stands before it in the log.
            intents = [one.use for one in self._intents[lever.hook].values() if one.decision != decision]
            uses = sorted(intents, key=lambda use: -use.created_ms)
            found[lever.hook] = state_of(lever, self._arms.get(lever.hook), uses, incident, now_ms)
        return found

    def used_by(self, decision: bytes) -> list[str]:
        """The hooks that a decision has used."""
        return self._used.get(decision, [])

    def _hear_operator(self, entry: AuditEntry, detail: dict[str, Any]) -> None:
        verb = detail.get("verb")
        if verb in ("arm", "disarm"):
            hook = detail["hook"]
            self._arms[hook] = Arm(hook, detail["epoch"], verb == "arm", entry.at_ms)
        elif verb == "confirm-ledger":
            for hook, epoch in detail.get("epochs", ()):
                self._arms[hook] = Arm(hook, epoch, False, entry.at_ms)
