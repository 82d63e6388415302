"""A deployed chain, a journal in memory and an endpoint that can lie, for the tests of chain and hooks."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import trio
from http_server import Call, Reply, serve_http
from tocsin_node.chain.abi import encode_call, parse_function
from tocsin_node.chain.client import open_chain
from tocsin_node.chain.config import ChainConfig
from tocsin_node.chain.guardian import Guardian
from tocsin_node.chain.sender import Sender
from tocsin_node.clock import now_ms
from tocsin_node.demo.anvil import Anvil
from tocsin_node.demo.faults import Fault
from tocsin_node.demo.rpc_proxy import MAX_BYTES, RpcProxy, serve_proxy
from tocsin_node.demo.scenario_chain import Guardians, Scenario, deploy_scenario, is_paused, unpause
from tocsin_node.hooks.config import EvmHookConfig
from tocsin_node.hooks.evm import EvmHook
from tocsin_node.hooks.hook import Occasion
from tocsin_node.outbound import open_client, post_json
from tocsin_protocol.containment.action import Action, Detail, SignedTransaction, apply_event, new_action
from tocsin_protocol.containment.life_cycle import Event, State

GUARDIAN_KEYS = tuple(hashlib.sha256(f"guardian {name}".encode()).digest() for name in ("lender", "dex", "vault"))
FAR_MS = 600_000
DEADLINE_S = 60
PAUSED_TOPIC = "0x62e78cea01bee320cd4e420270b5ea74000d11b0c9f74754ebdbfc544b05a258"

OCCASION = Occasion(
    incident_id=b"\1" * 32,
    decision_id=b"\2" * 8,
    category="asset.drain",
    severity="critical",
    subjects=("eip155:31337:0x" + "ab" * 20,),
    summary="two organisations report a drain",
    decided_ms=1_678_697_400_000,
)


@dataclass
class MemoryJournal:
    """Durable as far as the tests go: what `record` stored is what a restarted process finds."""

    actions: dict[bytes, Action] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    on_record: Callable[[Event], None] | None = None

    def add(self, action: Action) -> Action:
        return self.actions.setdefault(action.action_id, action)

    async def record(self, action_id: bytes, event: Event, detail: Detail) -> Action:
        await trio.lowlevel.checkpoint()
        after = apply_event(self.actions[action_id], event, detail)
        self.actions[action_id] = after
        self.events.append(event)
        if self.on_record is not None:
            self.on_record(event)
        await trio.lowlevel.checkpoint()
        return after


@dataclass
class Bench:
    """The deployed scenario; hooks act on the pool with its guardian's key."""

    anvil: Anvil
    scenario: Scenario
    journal: MemoryJournal = field(default_factory=MemoryJournal)

    @property
    def target(self) -> str:
        return self.scenario.account(self.scenario.dex)

    @property
    def guardian(self) -> str:
        return Guardian(GUARDIAN_KEYS[1]).address

    def chain_config(self, *urls: str, **settings: Any) -> ChainConfig:
        patience = {
            "settle_ms": 50_000,
            "poll_max_ms": 50,
            "rebroadcast_ms": 100,
            "bump_ms": 600_000,
            "request_timeout_ms": 30_000,
            "grace_ms": 5_000,
        }
        return ChainConfig(chain=self.anvil.chain, endpoints=list(urls or [self.anvil.url]), **(patience | settings))

    @asynccontextmanager
    async def open_hook(self, *urls: str, clock: Callable[[], int] = now_ms, **settings: Any) -> AsyncIterator[EvmHook]:
        """One process's worth of hook: its own client, sender and nonces."""
        async with open_chain(self.chain_config(*urls, **settings)) as client:
            yield EvmHook(self.hook_config(), Sender(client, Guardian(GUARDIAN_KEYS[1])), clock)

    def hook_config(self, **settings: Any) -> EvmHookConfig:
        return EvmHookConfig(**({"kind": "evm", "name": "pause-pool", "target": self.target} | settings))

    def intend(self, *, epoch: int = 1, for_ms: int = FAR_MS, payload: bytes | None = None) -> Action:
        """Make an intent durable, or return what has become of the one that is."""
        now = now_ms()
        action = new_action(
            ledger=bytes(16),
            hook="pause-pool",
            target=self.target,
            arm_epoch=epoch,
            incident_id=OCCASION.incident_id,
            decision_id=OCCASION.decision_id,
            payload=payload or encode_call(parse_function("pause()")),
            created_ms=now,
            deadline_ms=now + for_ms,
        )
        return self.journal.add(action)

    async def run(self, action: Action, *urls: str, **settings: Any) -> Action:
        with trio.fail_after(DEADLINE_S):
            async with self.open_hook(*urls, **settings) as hook:
                return await hook.run(action, self.journal)

    async def run_and_die(self, action: Action, event: Event) -> Action:
        """Run until `event` is durable and end there, as a killed process would; returns what is durable."""
        scope = trio.CancelScope()
        self.journal.on_record = lambda recorded: scope.cancel() if recorded is event else None
        with trio.fail_after(DEADLINE_S), scope:
            async with self.open_hook() as hook:
                await hook.run(action, self.journal)
        self.journal.on_record = None
        assert scope.cancelled_caught
        return self.journal.actions[action.action_id]

    def clock_after(self, event: Event) -> Callable[[], int]:
        """A clock that stands past every deadline as soon as an event is durable."""
        return lambda: now_ms() + (2 * FAR_MS if event in self.journal.events else 0)

    async def count_sent(self) -> int:
        """Transactions of the guardian that the chain holds."""
        return int(await self.anvil.call("eth_getTransactionCount", self.guardian, "latest"), 16)

    async def count_pauses(self) -> int:
        """Times that the pool was paused, by its own events."""
        query = {"address": self.scenario.dex, "fromBlock": "0x0", "topics": [PAUSED_TOPIC]}
        return len(await self.anvil.call("eth_getLogs", query))

    async def unpause(self) -> None:
        await unpause(self.anvil, self.scenario, self.scenario.dex)

    async def wait_paused(self) -> None:
        with trio.fail_after(DEADLINE_S):
            while not await is_paused(self.anvil, self.scenario.dex):  # noqa: ASYNC110 - as below
                await trio.sleep(0.005)

    async def wait_pooled(self, transaction: SignedTransaction) -> None:
        """Wait until the chain has the bytes, mined or not: that they are sent is noted before they arrive."""
        asked = "0x" + transaction.hash.hex()
        with trio.fail_after(DEADLINE_S):
            while await self.anvil.call("eth_getTransactionByHash", asked) is None:  # noqa: ASYNC110 - as below
                await trio.sleep(0.005)

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        with trio.fail_after(DEADLINE_S):
            while not condition():  # noqa: ASYNC110 - what is waited for happens on the chain, which sets no event
                await trio.sleep(0.005)


async def open_bench(anvil: Anvil) -> Bench:
    guardians = Guardians(*(Guardian(key).address for key in GUARDIAN_KEYS))
    return Bench(anvil, await deploy_scenario(anvil, guardians))


@dataclass
class Proxy(RpcProxy):
    """An endpoint in front of anvil; `lie` may change a result, `errors` answers a method with an error.

    `swallows` answers a method and does not pass it on; `loses_answers_to` passes it on and closes the connection.
    """

    asked: list[str] = field(default_factory=list)
    loses_answers_to: str = ""
    swallows: str = ""
    errors: dict[str, dict[str, Any]] = field(default_factory=dict)
    lie: Callable[[str, Any], Any] = lambda method, result: result

    @property
    def is_down(self) -> bool:
        return self.fault is Fault.DOWN

    @is_down.setter
    def is_down(self, is_down: bool) -> None:
        self.fault = Fault.DOWN if is_down else None

    def keep(self, request: dict[str, Any]) -> dict[str, Any] | None:
        method = request["method"]
        self.asked.append(method)
        if method in self.errors:
            return {"error": self.errors[method]}
        return {"result": "0x" + "55" * 32} if method == self.swallows else None

    def answer(self, request: dict[str, Any], reply: dict[str, Any]) -> dict[str, Any]:
        method = request["method"]
        if method == self.loses_answers_to:
            raise trio.BrokenResourceError("the connection is closed instead of an answer")
        if "result" in reply:
            reply = reply | {"result": self.lie(method, reply["result"])}
        return super().answer(request, reply)


class Killer(trio.abc.Instrument):
    """Cancels a scope when a task has been scheduled so many times: at every await in turn, from test to test."""

    def __init__(self, task: trio.lowlevel.Task, scope: trio.CancelScope, at_step: int) -> None:
        self._task = task
        self._scope = scope
        self._left = at_step

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self._task:
            self._left -= 1
            if self._left <= 0:
                self._scope.cancel()


@asynccontextmanager
async def open_proxy(anvil: Anvil) -> AsyncIterator[Proxy]:
    proxy = Proxy(anvil.url)
    async with serve_proxy(proxy):
        yield proxy


@asynccontextmanager
async def open_late(anvil: Anvil, seconds: float) -> AsyncIterator[str]:
    """An honest endpoint that is far away; yields its URL."""
    async with open_client() as client:

        async def handle(call: Call) -> Reply | None:
            await trio.sleep(seconds)
            _, raw = await post_json(client, anvil.url, call.body, max_bytes=MAX_BYTES)
            return Reply(body=raw or b"")

        async with serve_http(handle) as url:
            yield url


__all__ = [
    "DEADLINE_S",
    "GUARDIAN_KEYS",
    "OCCASION",
    "Bench",
    "Killer",
    "MemoryJournal",
    "Proxy",
    "State",
    "open_late",
    "open_proxy",
]
