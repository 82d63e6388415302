"""What an operator, a contract or a chain can have wrong: each ends in a state with a name and a sentence."""

from __future__ import annotations

import pytest
import trio
from chain_kit import DEADLINE_S, GUARDIAN_KEYS, OCCASION, Bench, open_proxy
from tocsin_node.chain.abi import encode_call, parse_function
from tocsin_node.chain.client import open_chain
from tocsin_node.chain.config import ChainConfig
from tocsin_node.chain.errors import ChainConfigError
from tocsin_node.chain.guardian import Guardian
from tocsin_node.chain.sender import Sender
from tocsin_node.clock import now_ms
from tocsin_node.demo.anvil import open_anvil
from tocsin_node.hooks.evm import EvmHook
from tocsin_protocol.containment.action import Action
from tocsin_protocol.containment.life_cycle import Event, State

EMPTY = "0x" + "e1" * 20
HOUR_MS = 3_600_000
_ERROR = parse_function("Error(string)")


def reverting(data: bytes) -> str:
    """Code that reverts with this data whatever it is asked: the data follows ten bytes of instructions."""
    return f"0x61{len(data):04x}80600a5f395ffd{data.hex()}"


async def run_at(bench: Bench, address: str, *, function: str = "pause()", check: str = "") -> Action:
    """Use a hook on a contract of another address than the pool's."""
    config = bench.hook_config(target=bench.scenario.account(address), function=function, check=check)
    with trio.fail_after(DEADLINE_S):
        async with open_chain(bench.chain_config()) as client:
            hook = EvmHook(config, Sender(client, Guardian(GUARDIAN_KEYS[1])))
            return await hook.run(bench.intend(payload=hook.payload(OCCASION)), bench.journal)


async def test_the_wrong_role(bench: Bench) -> None:
    done = await run_at(bench, bench.scenario.vault)
    assert (done.state, done.reason) == (
        State.REFUSED,
        "the simulation reverts with NotGuardian: the caller does not hold the role",
    )


async def test_no_gas(bench: Bench) -> None:
    await bench.anvil.fund(bench.guardian, 1)
    done = await bench.run(bench.intend())
    assert done.state is State.FAILED
    assert done.reason.startswith("every endpoint refuses it: Insufficient funds")


async def test_paused_already(bench: Bench) -> None:
    await bench.run(bench.intend())
    done = await bench.run(bench.intend(epoch=2))
    assert (done.state, done.reason) == (
        State.REFUSED,
        "already in effect: the simulation reverts with EnforcedPause",
    )


async def test_the_window_of_the_contract_is_over(bench: Bench) -> None:
    await bench.anvil.call("anvil_setCode", EMPTY, reverting(encode_call(_ERROR, ["pause window expired"])))
    done = await run_at(bench, EMPTY)
    assert (done.state, done.reason) == (State.REFUSED, "the simulation reverts with pause window expired")


async def test_the_time_of_the_action_is_over(bench: Bench) -> None:
    done = await bench.run(bench.intend(for_ms=-1))
    assert (done.state, done.reason) == (State.LAPSED, "too old to be sent")


async def test_no_contract(bench: Bench) -> None:
    done = await run_at(bench, EMPTY)
    assert (done.state, done.reason) == (State.REFUSED, f"there is no contract at {EMPTY}")
    assert await bench.count_sent() == 0


async def test_a_function_that_the_contract_does_not_have(bench: Bench) -> None:
    done = await run_at(bench, bench.scenario.dex, function="freezeAll()")
    assert (done.state, done.reason) == (
        State.REVERTED,
        "the transaction was mined and reverted: it gives no reason, as where a function is missing",
    )


async def test_a_revert_without_a_reason(bench: Bench) -> None:
    await bench.anvil.call("anvil_setCode", EMPTY, reverting(b""))
    done = await run_at(bench, EMPTY)
    assert done.state is State.REVERTED
    assert "it gives no reason" in done.reason


async def test_a_revert_whose_reason_nobody_knows(bench: Bench) -> None:
    await bench.anvil.call("anvil_setCode", EMPTY, reverting(bytes.fromhex("deadbeef")))
    done = await run_at(bench, EMPTY)
    assert (done.state, done.reason) == (State.REFUSED, "the simulation reverts with 0xdeadbeef")


async def test_a_check_that_the_contract_does_not_have(bench: Bench) -> None:
    await bench.anvil.call("anvil_setCode", EMPTY, reverting(encode_call(_ERROR, ["no"])))
    done = await run_at(bench, EMPTY, check="halted()(bool)")
    assert (done.state, done.reason) == (State.REFUSED, "the simulation reverts with no")


async def test_endpoints_of_another_chain_stop_the_start(bench: Bench) -> None:
    async with open_chain(ChainConfig(chain="eip155:10", endpoints=[bench.anvil.url])) as client:
        with pytest.raises(ChainConfigError, match="chain eip155:31337 where eip155:10 is wanted"):
            await client.check_chain()


async def test_endpoints_of_another_chain_that_come_later_let_the_action_lapse(bench: Bench) -> None:
    def move_chain(method: str, result: object) -> object:
        return "0x1" if method == "eth_chainId" else result

    action = bench.intend()
    async with open_proxy(bench.anvil) as proxy:
        proxy.lie = move_chain
        late = action.deadline_ms + 1
        done = await bench.run(action, proxy.url, clock=lambda: late if bench.journal.events else now_ms())
    assert done.state is State.LAPSED
    assert done.reason == (
        "too old to be sent; no endpoint gives nonce and fees: an endpoint serves eip155:1 where eip155:31337 is wanted"
    )


async def test_an_endpoint_on_another_fork_is_named_at_the_start(bench: Bench) -> None:
    async with (
        open_anvil("--timestamp", "1") as fork,
        open_chain(bench.chain_config(bench.anvil.url, fork.url)) as client,
    ):
        (line,) = await client.check_chain()
    assert line.startswith("the endpoints follow different forks at block 0: ")
    assert fork.url.removeprefix("http://") in line


async def test_endpoints_on_one_fork_are_not_accused(bench: Bench) -> None:
    async with open_proxy(bench.anvil) as second, open_chain(bench.chain_config(bench.anvil.url, second.url)) as client:
        assert await client.check_chain() == []


async def test_a_clock_that_steps_ahead_lets_what_is_not_signed_lapse(bench: Bench) -> None:
    done = await bench.run(bench.intend(), clock=lambda: now_ms() + HOUR_MS)
    assert (done.state, done.reason) == (State.LAPSED, "too old to be sent")


async def test_a_clock_that_steps_ahead_after_signing_neither_repeats_nor_forgets(bench: Bench) -> None:
    def clock() -> int:
        return now_ms() + (HOUR_MS if Event.SEND in bench.journal.events else 0)

    await bench.anvil.call("evm_setAutomine", False)
    done = await bench.run(bench.intend(), clock=clock, settle_ms=300)
    assert done.state is State.UNKNOWN
    assert "too old to be sent again" in done.reason
    await bench.anvil.mine()
    assert (await bench.run(done, clock=clock)).state is State.EFFECTIVE
    assert await bench.count_pauses() == 1


async def test_a_clock_that_steps_back_changes_nothing(bench: Bench) -> None:
    done = await bench.run(bench.intend(), clock=lambda: now_ms() - 24 * HOUR_MS)
    assert done.state is State.EFFECTIVE
    assert await bench.count_pauses() == 1
