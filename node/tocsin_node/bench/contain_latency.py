"""From a decision to a node that has accepted the transaction, over a bare broadcast of bytes signed beforehand.

Three cases in one run, turn by turn: all of three endpoints well, two dead, two that take requests and never answer.
"""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import trio
from tocsin_protocol.containment.action import SignedTransaction

from tocsin_node.chain.broadcasts import Broadcast, Sending
from tocsin_node.chain.client import open_chain
from tocsin_node.chain.config import ChainConfig
from tocsin_node.chain.guardian import Fees, Guardian
from tocsin_node.chain.sender import Sender
from tocsin_node.demo.anvil import Anvil, open_anvil
from tocsin_node.demo.scenario_chain import GUARDIAN_WEI, Guardians, Scenario, deploy_scenario, is_paused, unpause
from tocsin_node.hooks.config import EvmHookConfig
from tocsin_node.hooks.evm import EvmHook

from .contain_desk import Desk, open_desk
from .figures import percentile
from .result import LOWER, Result, measured

ROUNDS = 100
ROUND_SECONDS = 60.0
GOAL_OVER_BARE = (LOWER, 20.0)
GOAL_OVER_HEALTHY = (LOWER, 2.0)
_BARE_FEES = Fees(10**12, 10**9)


class _TimedSending(Sending):
    """Notes when the first endpoint has accepted."""

    def __init__(self, sending: Sending, accepted: trio.Event) -> None:
        self._sending = sending
        self._accepted = accepted

    async def wait(self) -> Broadcast:
        broadcast = await self._sending.wait()
        if broadcast.is_accepted:
            self._accepted.set()
        return broadcast


class _TimedSender(Sender):
    """Tells when a transaction was accepted."""

    accepted = trio.Event()

    def start_broadcast(self, transaction: SignedTransaction, *, in_private: bool = False) -> Sending:
        return _TimedSending(super().start_broadcast(transaction, in_private=in_private), self.accepted)


@dataclass
class _Case:
    """One hook with its own guardian, contract and endpoints, and the time each decision took, ms."""

    name: str
    target: str
    hook: EvmHook
    sender: _TimedSender
    took_ms: list[float] = field(default_factory=list)


async def bench_latency(group: str, advance: Callable[[], None], rounds: int = ROUNDS) -> list[Result]:
    """All cases and the bare broadcast in one run, turn by turn, so that a busy moment of the machine hits all."""
    keys = [secrets.token_bytes(32) for _ in range(3)]
    bare_ms: list[float] = []
    async with open_anvil() as anvil, open_desk() as desk, AsyncExitStack() as stack:
        scenario = await deploy_scenario(anvil, Guardians(*(Guardian(key).address for key in keys)))
        dead, hanging = stack.enter_context(_closed_port()), await stack.enter_async_context(_silent_port())
        doors = (f"{anvil.url}/?door=2", f"{anvil.url}/?door=3")
        cases = [
            await stack.enter_async_context(_open_case(anvil, scenario, name, target, key, urls))
            for name, target, key, urls in (
                ("all well", scenario.lender, keys[0], doors),
                ("two of three dead", scenario.dex, keys[1], (f"{dead}/?door=2", f"{dead}/?door=3")),
                ("two of three hanging", scenario.vault, keys[2], (f"{hanging}/?door=2", f"{hanging}/?door=3")),
            )
        ]
        stranger = Guardian(secrets.token_bytes(32))
        await anvil.fund(stranger.address, GUARDIAN_WEI)
        for number in range(rounds):
            with trio.fail_after(ROUND_SECONDS):
                bare_ms.append(await _broadcast_bare(anvil, stranger, scenario.thief, number))
                for case in cases:
                    case.took_ms.append(await _decide_and_send(desk, case))
                    await _wait_paused_and_reopen(anvil, scenario, case.target)
                    case.sender.note_mined(await _used_nonce(case))
            advance()
    return _figures(group, bare_ms, cases)


def _figures(group: str, bare_ms: list[float], cases: list[_Case]) -> list[Result]:
    bare = percentile(bare_ms, 50)
    well, *ill = cases
    p50, p99 = percentile(well.took_ms, 50), percentile(well.took_ms, 99)
    results = [
        measured(group, "bare broadcast of signed bytes: p50", bare, "ms"),
        measured(group, "bare broadcast of signed bytes: p99", percentile(bare_ms, 99), "ms"),
        measured(group, "decision to accepted: p50", p50, "ms"),
        measured(group, "decision to accepted: p99", p99, "ms"),
        measured(group, "decision to accepted over bare: p50", p50 / bare, "ratio", GOAL_OVER_BARE),
        measured(group, "decision to accepted over bare: p99", p99 / percentile(bare_ms, 99), "ratio"),
    ]
    for case in ill:
        ratio = percentile(case.took_ms, 50) / p50
        results.append(measured(group, f"{case.name} over all well: p50", ratio, "ratio", GOAL_OVER_HEALTHY))
        results.append(measured(group, f"{case.name}: p99", percentile(case.took_ms, 99), "ms"))
    return results


async def _decide_and_send(desk: Desk, case: _Case) -> float:
    """ms from the decision, its intent not yet on disk, until a node has accepted the transaction."""
    await desk.arm(case.hook)
    case.sender.accepted = trio.Event()
    began = time.perf_counter()
    action = await desk.decide(case.hook)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(case.hook.run, action, desk)
        await case.sender.accepted.wait()
        took_ms = 1000 * (time.perf_counter() - began)
        nursery.cancel_scope.cancel()
    return took_ms


async def _used_nonce(case: _Case) -> int:
    """The nonce of the last action, once it is mined: a node that follows it to the receipt notes that by itself."""
    count = await case.sender.client.endpoints[0].call(
        "eth_getTransactionCount", case.sender.guardian.address, "latest"
    )
    return int(count, 16) - 1


async def _wait_paused_and_reopen(anvil: Anvil, scenario: Scenario, target: str) -> None:
    while not await is_paused(anvil, target):  # noqa: ASYNC110 - what is waited for happens on the chain
        await trio.sleep(0.002)
    await unpause(anvil, scenario, target)


async def _broadcast_bare(anvil: Anvil, stranger: Guardian, to: str, nonce: int) -> float:
    """ms to hand over bytes that were signed before the clock started."""
    signed = stranger.sign(chain_id=anvil.chain_id, nonce=nonce, to=to, calldata=b"", gas_limit=21_000, fees=_BARE_FEES)
    began = time.perf_counter()
    await anvil.call("eth_sendRawTransaction", "0x" + signed.raw.hex())
    return 1000 * (time.perf_counter() - began)


@asynccontextmanager
async def _open_case(
    anvil: Anvil, scenario: Scenario, name: str, target: str, key: bytes, others: tuple[str, str]
) -> AsyncIterator[_Case]:
    """The first endpoint always answers; `others` are the case."""
    config = EvmHookConfig(kind="evm", name=name.replace(" ", "-"), target=scenario.account(target))
    async with open_chain(ChainConfig(chain=anvil.chain, endpoints=[anvil.url, *others])) as client:
        sender = _TimedSender(client, Guardian(key))
        await client.nursery.start(sender.run_warm)
        yield _Case(name, target, EvmHook(config, sender), sender)


@contextmanager
def _closed_port() -> Iterator[str]:
    """A port that refuses every connection, and that nobody else can take."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@asynccontextmanager
async def _silent_port() -> AsyncIterator[str]:
    """A port that takes every request and never answers."""

    async def hang(stream: trio.SocketStream) -> None:
        async with stream:
            await trio.sleep_forever()

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, hang, listeners)
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()
