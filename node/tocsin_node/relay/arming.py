"""What the operator may ask of a running node about acting at all: arm one hook, disarm one or all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tocsin_node.control import Handler
from tocsin_node.control_verbs import Verb
from tocsin_node.errors import ControlError
from tocsin_node.hooks.hook import Hook
from tocsin_node.store.actions import Arm, set_arm
from tocsin_node.store.decisions import incidents_kept_from
from tocsin_node.store.standstills import clear_standstills, disarm_all
from tocsin_node.store.writer import Connection, Store

from .brake import Brake
from .ledger import Ledger
from .rules_in_force import RulesInForce

# Incidents this recent are told of when a hook is armed that would have acted on them.
RECENT_MS = 60 * 60 * 1000


class Arming:
    """The handlers behind `tocsin arm` and `tocsin disarm`. Only these arm: nothing else does, whatever has passed."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        brake: Brake,
        hooks: Mapping[str, Hook],
        rules: RulesInForce,
        now_ms: Callable[[], int],
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._brake = brake
        self._hooks = hooks
        self._rules = rules
        self._now_ms = now_ms

    def handlers(self) -> dict[str, Handler]:
        """The verbs and who answers them."""
        return {
            Verb.ARM: self.arm,
            Verb.DISARM: self.disarm,
            Verb.DISARM_ALL: self.disarm_all,
            Verb.DISARM_STATEMENT: self.disarm_statement,
        }

    async def arm(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Let a hook fire, once; refused while the policy may not be armed or the ledger is in doubt."""
        if self._ledger.doubt:
            raise ControlError("ledger", f"no hook may be armed: {self._ledger.doubt}; see `tocsin ledger show`")
        await self._brake.look()
        if self._brake.holding:
            raise ControlError("standstill", f"no hook may be armed: {'; '.join(self._brake.holding.values())}")
        if faults := self._rules().policy.faults():
            raise ControlError("policy", f"the policy may not be armed: {'; '.join(faults)}")
        return await self._set_arm(arguments, armed=True)

    async def disarm(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Keep a hook from firing."""
        return await self._set_arm(arguments, armed=False)

    async def disarm_all(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Keep every hook from firing."""
        now_ms = self._now_ms()
        disarmed = await self._store.writer.submit(partial(disarm_all, now_ms=now_ms, by="operator"))
        await self._ledger.write_anchor()
        return {"disarmed": disarmed}

    async def disarm_statement(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Disarm by an offline key's word; raises DecodeError, SignatureError or NodeError where it does not count."""
        return {"disarmed": await self._brake.take_statement(str(arguments.get("statement", "")))}

    async def _set_arm(self, arguments: dict[str, Any], *, armed: bool) -> dict[str, Any]:
        name = arguments.get("hook")
        if not isinstance(name, str) or name not in self._hooks:
            known = ", ".join(sorted(self._hooks)) or "none"
            raise ControlError("unknown-hook", f"{name!r} is none of the configured hooks ({known})")
        now_ms = self._now_ms()

        def set_now(connection: Connection) -> Arm:
            if armed:
                clear_standstills(connection)
            return set_arm(connection, name, armed=armed, now_ms=now_ms, by="operator")

        arm = await self._store.writer.submit(set_now)
        # The anchor tells of an arming before the operator is told.
        await self._ledger.write_anchor()
        answer: dict[str, Any] = {"hook": name, "armed": arm.armed, "epoch": arm.epoch}
        if armed:
            kept = await self._store.writer.submit(
                lambda connection: incidents_kept_from(connection, name, now_ms - RECENT_MS)
            )
            answer["kept_from"] = [incident.hex() for incident in kept]
        return answer
