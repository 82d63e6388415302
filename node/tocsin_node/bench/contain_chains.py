"""Many actions on many chains in the same moment: all included, none twice."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import trio
from tocsin_protocol.containment.action import Action
from tocsin_protocol.containment.life_cycle import State

from tocsin_node.chain.abi import TRANSFER_TOPIC, encode_call, parse_function
from tocsin_node.chain.client import open_chain
from tocsin_node.chain.config import ChainConfig
from tocsin_node.chain.guardian import Guardian
from tocsin_node.chain.sender import Sender
from tocsin_node.demo.anvil import Anvil, open_anvil
from tocsin_node.demo.scenario_chain import Guardians, Scenario, deploy_scenario
from tocsin_node.hooks.config import EvmHookConfig
from tocsin_node.hooks.evm import EvmHook

from .contain_desk import Desk, open_desk
from .result import HIGHER, LOWER, Result, measured

CHAINS = 20
ACTIONS_EACH = 5
FIRST_CHAIN_ID = 41_000
DEADLINE_S = 300.0


@dataclass(frozen=True)
class _Place:
    """One chain, its contracts, and the hooks on it, which share one sender."""

    anvil: Anvil
    scenario: Scenario
    guardian: str
    hooks: list[EvmHook]


async def bench_chains(
    group: str, advance: Callable[[], None], chains: int = CHAINS, actions_each: int = ACTIONS_EACH
) -> list[Result]:
    """One guardian pays one unit of a token with each action: what is sent twice would be paid twice."""
    wanted = chains * actions_each
    key = secrets.token_bytes(32)
    done: list[Action] = []
    async with AsyncExitStack() as stack:
        desk = await stack.enter_async_context(open_desk())
        places = [await _open_place(stack, FIRST_CHAIN_ID + number, key, actions_each) for number in range(chains)]
        for hook in [hook for place in places for hook in place.hooks]:
            await desk.arm(hook)
        advance()
        with trio.fail_after(DEADLINE_S):
            began = time.perf_counter()
            async with trio.open_nursery() as nursery:
                for hook in [hook for place in places for hook in place.hooks]:
                    nursery.start_soon(_act, desk, hook, done)
            took_ms = 1000 * (time.perf_counter() - began)
        paid = [await _count_payments(place) for place in places]
        advance()
    effective = sum(action.state is State.EFFECTIVE for action in done)
    what = f"{wanted} actions on {chains} chains"
    return [
        measured(group, f"{what}: effective", effective, "actions", (HIGHER, wanted)),
        measured(group, f"{what}: effects on chain", sum(paid), "effects", (HIGHER, wanted)),
        measured(group, f"{what}: done twice", sum(max(0, n - actions_each) for n in paid), "effects", (LOWER, 0)),
        measured(group, f"{what}: all effective after", took_ms, "ms"),
    ]


async def _act(desk: Desk, hook: EvmHook, done: list[Action]) -> None:
    done.append(await hook.run(await desk.decide(hook), desk))


async def _open_place(stack: AsyncExitStack, chain_id: int, key: bytes, actions: int) -> _Place:
    guardian = Guardian(key)
    anvil = await stack.enter_async_context(open_anvil(chain_id=chain_id))
    scenario = await deploy_scenario(anvil, Guardians(guardian.address, guardian.address, guardian.address))
    mint = encode_call(parse_function("mint(address,uint256)"), [guardian.address, actions])
    await anvil.send(scenario.owner, scenario.token, mint)
    client = await stack.enter_async_context(open_chain(ChainConfig(chain=anvil.chain, endpoints=[anvil.url])))
    sender = Sender(client, guardian)
    await client.nursery.start(sender.run_warm)
    hooks = [
        EvmHook(
            EvmHookConfig(
                kind="evm",
                name=f"pay-{anvil.chain_id}-{number}",
                target=scenario.account(scenario.token),
                function="transfer(address,uint256)",
                arguments=[scenario.thief, 1],
                check="",
            ),
            sender,
        )
        for number in range(actions)
    ]
    return _Place(anvil, scenario, guardian.address, hooks)


async def _count_payments(place: _Place) -> int:
    payer = "0x" + place.guardian[2:].rjust(64, "0")
    query = {"address": place.scenario.token, "fromBlock": "0x0", "topics": [TRANSFER_TOPIC, payer]}
    return len(await place.anvil.call("eth_getLogs", query))
