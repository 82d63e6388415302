"""What the operator may ask and tell a running node about its ledger of actions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import trio
from tocsin_protocol.containment.action import Action
from tocsin_protocol.containment.ledger import LedgerMark
from tocsin_protocol.containment.life_cycle import Event, State

from tocsin_node.control import Handler
from tocsin_node.control_verbs import Verb
from tocsin_node.errors import ControlError
from tocsin_node.hooks.hook import Hook
from tocsin_node.store.actions import count_actions_by_state, find_action
from tocsin_node.store.ledger import describe_anchor, read_mark
from tocsin_node.store.writer import Store

from .acting import Acting
from .ledger import Ledger


class LedgerDesk:
    """The handlers behind `tocsin ledger`."""

    def __init__(self, store: Store, ledger: Ledger, acting: Acting, hooks: Mapping[str, Hook]) -> None:
        self._store = store
        self._ledger = ledger
        self._acting = acting
        self._hooks = hooks

    def handlers(self) -> dict[str, Handler]:
        """The verbs and who answers them."""
        return {
            Verb.LEDGER: self.show,
            Verb.CONFIRM_LEDGER: self.confirm,
            Verb.LIFTED: self.lifted,
            Verb.SETTLE: self.settle,
        }

    async def show(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """What the anchor knows, what the database knows, and what to look at on chain."""
        anchor, fault = await trio.to_thread.run_sync(describe_anchor, self._store.data_dir)
        found, counts = await self._store.writer.submit(lambda c: (read_mark(c), count_actions_by_state(c)))
        known, held = dict(anchor.epochs if anchor else ()), dict(found.epochs)
        return {
            "doubt": self._ledger.doubt,
            "anchor": _mark_view(anchor),
            "anchor_fault": fault,
            "database": _mark_view(found),
            "actions": {str(state): count for state, count in counts.items()},
            "hooks": [
                {
                    "hook": name,
                    "target": self._hooks[name].target if name in self._hooks else "",
                    "anchor_epoch": known.get(name, 0),
                    "database_epoch": held.get(name, 0),
                }
                for name in sorted({*known, *held})
            ],
        }

    async def confirm(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Take this ledger for ours; raises LedgerError where it is not in doubt."""
        mark = await self._ledger.confirm()
        return {"ledger": mark.ledger.hex(), "sequence": mark.sequence}

    async def lifted(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Note that the effect of an action is over; raises ContainmentError where it has none."""
        action = await self._find(arguments)
        reason = {"reason": "the operator says that it is lifted"}
        after = await self._acting.record(action.action_id, Event.LIFT, reason)
        return {"action": action.action_id.hex(), "state": after.state.value}

    async def settle(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Note whether an action of unknown outcome took effect."""
        is_in_effect = arguments.get("effect")
        if not isinstance(is_in_effect, bool):
            raise ControlError("malformed", "settle: effect is not true or false")
        action = await self._find(arguments)
        if action.state is not State.UNKNOWN:
            why = f"{action.action_id.hex()} is {action.state}: only of an unknown outcome people say what it was"
            raise ControlError("not-unknown", why)
        # [ACT] That a message had no effect people may say; signed bytes may be mined yet, so the chain alone tells.
        if action.transactions and not is_in_effect:
            raise ControlError(
                "signed", "its signed bytes may be mined yet: the chain will tell, and the node goes on asking"
            )
        event, words = (Event.CONFIRM, "took effect") if is_in_effect else (Event.FAIL, "had no effect")
        after = await self._acting.record(action.action_id, event, {"reason": f"the operator says that it {words}"})
        return {"action": action.action_id.hex(), "state": after.state.value}

    async def _find(self, arguments: dict[str, Any]) -> Action:
        try:
            action_id = bytes.fromhex(str(arguments.get("action")))
        except ValueError as exc:
            raise ControlError("malformed", "action is not hex") from exc
        action = await self._store.writer.submit(lambda connection: find_action(connection, action_id))
        if action is None:
            raise ControlError("unknown-action", f"{action_id.hex()} is no action of this node")
        return action


def _mark_view(mark: LedgerMark | None) -> dict[str, Any] | None:
    return None if mark is None else {"ledger": mark.ledger.hex(), "sequence": mark.sequence}
