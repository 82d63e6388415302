"""A relay with a lever that freezes, its recovery and its approving desk, driven by hand."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Any

import trio
from approval_kit import approve, make_policy
from protocol_kit import VAULT, Feed, make_signal
from relay_kit import DEADLINE_SECONDS, Bench, open_bench
from store_kit import HOOK, SCOPE, Lever, arm, independent_roster
from tocsin_node.chain.client import ChainClient
from tocsin_node.people import People, Undoing
from tocsin_node.relay.approving import Approving
from tocsin_node.relay.intake import verify_batch
from tocsin_node.relay.metrics import Metrics
from tocsin_node.relay.recovery import Recovery
from tocsin_node.store.actions import find_action, insert_intent
from tocsin_node.store.arrivals import Filed, Path, file_arrivals
from tocsin_node.store.audit import read_audit
from tocsin_node.store.decisions import Decided
from tocsin_node.store.rules import Rules
from tocsin_node.store.writer import Connection
from tocsin_protocol.approval.files import decode_approval_request, encode_approval
from tocsin_protocol.approval.request import Request
from tocsin_protocol.audit import EntryKind
from tocsin_protocol.containment.action import Action, new_action
from tocsin_protocol.containment.life_cycle import State
from tocsin_protocol.decision.tiers import Tier
from tocsin_protocol.model import Signal
from tocsin_protocol.recovery.plan import EndKind
from tocsin_protocol.recovery.policy import RecoveryPolicy
from tocsin_protocol.recovery.stages import Stage
from tocsin_protocol.recovery.steps import Call

INCIDENT = b"\1" * 32
SECOND_MS = 1000
UNPAUSE = Call(VAULT, bytes.fromhex("3f4ba83a"), "unpause()")
CAP = Call(VAULT, b"\1\2\3\4", "setCap(1 %)")
PEOPLE = People(
    approvals=make_policy(),
    recovery=RecoveryPolicy(dwell_ms=dict.fromkeys(Stage, 5 * SECOND_MS), grace_ms=0),
    undoing={HOOK: Undoing(UNPAUSE, Stage.EXIT_ONLY, EndKind.PEOPLE)},
    limits={(SCOPE, Stage.CANARY_1): (CAP,)},
)


@dataclass
class Watch:
    """A relay with a lever that freezes, its recovery and its approving desk; looks are taken by hand."""

    bench: Bench
    recovery: Recovery
    approving: Approving
    rules: Callable[[], Rules]
    people: list[People]
    tiers: list[Tier]

    async def look(self, passed_ms: int = SECOND_MS, times: int = 1) -> None:
        for _ in range(times):
            self.bench.clock[0] += passed_ms
            await self.recovery.look()

    async def fire(self, incident: bytes = INCIDENT) -> Action:
        """Use the lever, and wait until it is in effect."""
        now_ms = self.bench.clock[0]

        def intend(connection: Connection) -> Action:
            action = new_action(
                ledger=bytes(16),
                hook=HOOK,
                target=VAULT,
                arm_epoch=arm(connection),
                incident_id=incident,
                decision_id=b"\2" * 8,
                payload=b"pause",
                created_ms=now_ms,
                deadline_ms=now_ms + 60_000,
                ends_ms=now_ms + 3_600_000,
            )
            insert_intent(connection, action, now_ms)
            return action

        action = await self.bench.store.writer.submit(intend)
        self.bench.acting.start(Filed(decided=[Decided(incident, "", (action,))]), Path.OWN)
        with trio.fail_after(DEADLINE_SECONDS):
            while (await self.action(action)).state is not State.EFFECTIVE:  # noqa: ASYNC110 - no event for it
                await trio.sleep(0.005)
        return action

    async def action(self, action: Action) -> Action:
        found = await self.bench.store.writer.submit(lambda c: find_action(c, action.action_id))
        assert found is not None
        return found

    async def plan(self, incident: bytes = INCIDENT) -> dict[str, Any]:
        return await self.recovery.show({"incident": incident.hex()})

    async def scope(self) -> dict[str, Any]:
        (scope,) = (await self.plan())["scopes"]
        return dict(scope)

    async def ask(self) -> Request:
        view = await self.recovery.ask({"scope": SCOPE})
        return decode_approval_request(json.dumps(view["typed_data"]).encode())[1]

    async def approve(self, *names: str) -> None:
        request = await self.ask()
        for name in names or ("cam", "ann"):
            await self.hand_in(name, request)

    async def hand_in(self, name: str, request: Request) -> dict[str, Any]:
        return await self.approving.approve({"approval": encode_approval(approve(name, request)).decode()})

    async def open(self) -> str:
        return str((await self.recovery.opened({"scope": SCOPE}))["stage"])

    async def climb(self, to: Stage) -> None:
        while (await self.scope())["stage"] != to:
            await self.approve()
            # the first look after a halt only says that it is calm, the others count
            await self.look(times=6)
            await self.open()

    async def hear(self, *names: str, signal: Signal | None = None) -> None:
        """Signals of other members, as they come from the mesh."""
        rules, now_ms = self.rules(), self.bench.clock[0]
        sealed = [Feed(name).seal(signal or make_signal(issued_ms=now_ms)).encoded for name in names]
        opened = verify_batch(rules.roster, sealed, now_ms).opened
        assert len(opened) == len(names)
        await self.bench.store.writer.submit(lambda c: file_arrivals(c, rules, opened, Path.GOSSIP, now_ms))

    async def alarms(self) -> list[bytes]:
        entries = await self.bench.store.writer.submit(lambda c: read_audit(c, 0, 1000))
        return [entry.detail for entry in entries if entry.kind is EntryKind.ALARM]


def holding(rules: Rules, tier: Tier, people: People) -> Rules:
    levers = tuple(replace(lever, tier=tier) for lever in rules.policy.levers)
    return replace(rules, policy=replace(rules.policy, levers=levers), people=people)


@asynccontextmanager
async def open_watch(
    folder: FilePath,
    people: People = PEOPLE,
    clients: Mapping[str, ChainClient] | None = None,
    lever: Lever | None = None,
) -> AsyncIterator[Watch]:
    in_force, tiers = [people], [Tier.FREEZE]
    async with open_bench(folder, organisations=1, lever=lever or Lever(), roster=independent_roster()) as bench:

        def rules() -> Rules:
            return holding(bench.rules(), tiers[0], in_force[0])

        def now_ms() -> int:
            return bench.clock[0]

        recovery = Recovery(bench.store, rules, clients or {}, Metrics(), now_ms)
        yield Watch(bench, recovery, Approving(bench.store, rules, bench.acting, now_ms), rules, in_force, tiers)
