"""One action under one fault: three endpoints, a lever, and what came of it as a line of the fault matrix."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum

import trio
from chain_kit import DEADLINE_S, FAR_MS, GUARDIAN_KEYS, OCCASION, Bench
from tocsin_node.chain.abi import TRANSFER_TOPIC, encode_call, parse_function
from tocsin_node.chain.client import open_chain
from tocsin_node.chain.guardian import Guardian
from tocsin_node.chain.sender import Sender
from tocsin_node.clock import now_ms
from tocsin_node.demo.anvil import open_anvil
from tocsin_node.demo.faults import CHAIN_FAULTS, Fault
from tocsin_node.demo.rpc_proxy import RpcProxy, open_rpc_proxy
from tocsin_node.hooks.evm import EvmHook
from tocsin_node.hooks.hook import Hook
from tocsin_protocol.containment.action import Action, new_action
from tocsin_protocol.containment.life_cycle import WITHOUT_EFFECT, Event, State

ENDPOINTS = 3

Clock = Callable[[], int]
Open = Callable[[Bench, Sender, Clock], Hook]
Count = Callable[[Bench], Awaitable[int]]


class Where(StrEnum):
    """Who has the fault."""

    ONE = "one of three"
    EVERY = "every endpoint"
    CHAIN = "the chain"


@dataclass(frozen=True)
class Lever:
    """A hook by what opens it, and how often its effect is on chain."""

    open: Open
    count: Count


def _open_pause(bench: Bench, sender: Sender, clock: Clock) -> Hook:
    return EvmHook(bench.hook_config(), sender, clock)


def _open_transfer(bench: Bench, sender: Sender, clock: Clock) -> Hook:
    """Paying one unit away: a call that, unlike a pause, would happen twice if it were sent twice."""
    target = bench.scenario.account(bench.scenario.token)
    arguments = [bench.scenario.thief, 1]
    function = "transfer(address,uint256)"
    config = bench.hook_config(name="pay", target=target, function=function, arguments=arguments, check="")
    return EvmHook(config, sender, clock)


async def count_transfers(bench: Bench) -> int:
    """Times that the guardian paid."""
    payer = "0x" + bench.guardian[2:].rjust(64, "0")
    query = {"address": bench.scenario.token, "fromBlock": "0x0", "topics": [TRANSFER_TOPIC, payer]}
    return len(await bench.anvil.call("eth_getLogs", query))


LEVERS = {
    "direct call": Lever(_open_pause, Bench.count_pauses),
    "generic call": Lever(_open_transfer, count_transfers),
}

# An endpoint that is alone with such a lie is outvoted; when all tell the same one, no node can know.
BELIEVED = frozenset({Fault.INVENTED_RECEIPT, Fault.WRONG_NONCE, Fault.OTHER_FORK})
MUTE = frozenset(
    {Fault.DOWN, Fault.HANG, Fault.STATUS_500, Fault.GARBAGE, Fault.TRUNCATED, Fault.WRONG_ID, Fault.WRONG_CHAIN}
)
CASES = [
    (fault, where)
    for fault in Fault
    for where in ([Where.CHAIN] if fault in CHAIN_FAULTS else [Where.ONE, Where.EVERY])
    if not (where is Where.EVERY and fault in BELIEVED)
]


async def give_tokens(bench: Bench) -> None:
    """Let the guardian have something to pay with."""
    mint = encode_call(parse_function("mint(address,uint256)"), [bench.guardian, 100])
    await bench.anvil.send(bench.scenario.owner, bench.scenario.token, mint)


async def run_case(bench: Bench, lever: Lever, fault: Fault, where: Where) -> str:
    """Act once under the fault, to the end; then lift it, where the outcome is still open."""
    with trio.fail_after(DEADLINE_S):
        async with open_endpoints(bench, fault, where) as proxies:
            if where is Where.CHAIN:
                done = await _CHAIN_CASES[fault](bench, lever, proxies)
            else:
                is_mute = where is Where.EVERY and fault in MUTE
                clock = _clock_that_runs_out(bench) if is_mute else now_ms
                done = await run_lever(bench, lever, proxies, clock=clock, settle_ms=2_000)
            if not done.is_settled:
                for proxy in proxies:
                    proxy.fault = None
                done = await run_lever(bench, lever, proxies)
    return describe(done, await lever.count(bench))


def describe(done: Action, effects: int) -> str:
    """A line of the matrix; whatever is neither one effect nor a refusal that says why is a failure."""
    if done.state is State.EFFECTIVE and effects == 1:
        return "effect once"
    assert effects == 0, (done, effects)
    assert done.state in WITHOUT_EFFECT, (done, effects)
    assert done.reason
    return f"{done.state}: " + re.sub(r"127\.0\.0\.1:\d+", "an endpoint", done.reason)


@asynccontextmanager
async def open_endpoints(bench: Bench, fault: Fault, where: Where) -> AsyncIterator[list[RpcProxy]]:
    """Three doors to the chain, with the fault at one, at all or at none of them."""
    async with AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(open_rpc_proxy(bench.anvil.url)) for _ in range(ENDPOINTS)]
        for proxy in {Where.ONE: proxies[:1], Where.EVERY: proxies, Where.CHAIN: []}[where]:
            proxy.fault = fault
            if fault is Fault.OTHER_FORK:
                proxy.target = (await stack.enter_async_context(open_anvil())).url
        yield proxies


def _clock_that_runs_out(bench: Bench) -> Clock:
    """A clock that stands past the deadline as soon as the hook has said that it waits."""
    return lambda: now_ms() + (2 * FAR_MS if Event.CHECK in bench.journal.events else 0)


async def run_lever(
    bench: Bench, lever: Lever, proxies: list[RpcProxy], *, clock: Clock = now_ms, **settings: int
) -> Action:
    """One run of the hook, as a process would after a start."""
    patience = {"request_timeout_ms": 2_000, "grace_ms": 200, "bump_ms": 150}
    config = bench.chain_config(*(proxy.url for proxy in proxies), **(patience | settings))
    async with open_chain(config) as client:
        sender = Sender(client, Guardian(GUARDIAN_KEYS[1]))
        await client.nursery.start(sender.run_warm)
        hook = lever.open(bench, sender, clock)
        return await hook.run(intend(bench, hook), bench.journal)


def intend(bench: Bench, hook: Hook) -> Action:
    """Make the intent durable, or return what has become of it."""
    now = now_ms()
    action = new_action(
        ledger=bytes(16),
        hook=hook.name,
        target=hook.target,
        arm_epoch=1,
        incident_id=OCCASION.incident_id,
        decision_id=OCCASION.decision_id,
        payload=hook.payload(OCCASION),
        created_ms=now,
        deadline_ms=now + FAR_MS,
    )
    return bench.journal.add(action)


async def _meet_reorg(bench: Bench, lever: Lever, proxies: list[RpcProxy]) -> Action:
    before = await bench.anvil.snapshot()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: run_lever(bench, lever, proxies, confirmations=3))
        await bench.wait_for(lambda: Event.INCLUDE in bench.journal.events)
        await bench.anvil.restore(before)
        await bench.wait_for(lambda: bench.journal.events.count(Event.INCLUDE) == 2)
        await bench.anvil.mine(3)
    return _only_action(bench)


async def _meet_fee_spike(bench: Bench, lever: Lever, proxies: list[RpcProxy]) -> Action:
    await bench.anvil.call("evm_setAutomine", False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: run_lever(bench, lever, proxies))
        await bench.wait_for(lambda: Event.SEND in bench.journal.events)
        offer = _only_action(bench).transactions[0].max_fee_wei
        await bench.anvil.call("anvil_setNextBlockBaseFeePerGas", hex(4 * offer))
        await bench.anvil.mine()
        await bench.wait_for(lambda: bench.journal.events.count(Event.SIGN) > 1)
        while not _only_action(bench).is_settled:
            await bench.anvil.mine()
            await trio.sleep(0.05)
    return _only_action(bench)


async def _meet_contention(bench: Bench, lever: Lever, proxies: list[RpcProxy]) -> Action:
    def cut_off(event: Event) -> None:
        for proxy in proxies:
            proxy.fault = Fault.DOWN if event is Event.SIGN else proxy.fault

    bench.journal.on_record = cut_off
    await bench.anvil.call("anvil_impersonateAccount", bench.guardian)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: run_lever(bench, lever, proxies))
        await bench.wait_for(lambda: Event.SEND in bench.journal.events)
        await bench.anvil.send(bench.guardian, bench.scenario.owner, b"")
        for proxy in proxies:
            proxy.fault = None
    return _only_action(bench)


_CHAIN_CASES: dict[Fault, Callable[[Bench, Lever, list[RpcProxy]], Awaitable[Action]]] = {
    Fault.REORG: _meet_reorg,
    Fault.FEE_SPIKE: _meet_fee_spike,
    Fault.NONCE_CONTENTION: _meet_contention,
}


def _only_action(bench: Bench) -> Action:
    (action,) = bench.journal.actions.values()
    return action
