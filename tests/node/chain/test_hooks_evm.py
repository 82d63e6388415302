from __future__ import annotations

from dataclasses import replace

import pytest
import trio
from chain_kit import DEADLINE_S, GUARDIAN_KEYS, Bench, open_proxy
from tocsin_node.chain.guardian import Fees, Guardian
from tocsin_node.chain.raw import read_signed
from tocsin_node.chain.spending import DAY_S
from tocsin_node.demo.scenario_chain import is_paused, unpause
from tocsin_protocol.containment.life_cycle import Event, State


async def test_pause_is_sent_mined_and_confirmed(bench: Bench) -> None:
    done = await bench.run(bench.intend(), rebroadcast_ms=60_000)
    assert done.state is State.EFFECTIVE
    assert bench.journal.events == [Event.SIGN, Event.SEND, Event.INCLUDE, Event.CONFIRM]
    assert await is_paused(bench.anvil, bench.scenario.dex)
    assert await bench.count_sent() == 1


async def test_a_final_action_is_left_alone(bench: Bench) -> None:
    done = await bench.run(bench.intend())
    again = await bench.run(done)
    assert again == done
    assert await bench.count_sent() == 1


async def test_already_paused_is_refused_before_anything_is_signed(bench: Bench) -> None:
    await bench.run(bench.intend())
    second = await bench.run(bench.intend(epoch=2))
    assert second.state is State.REFUSED
    assert second.reason.startswith("already in effect")
    assert second.transactions == ()
    assert await bench.count_sent() == 1


async def test_a_stranger_is_refused_with_the_decoded_reason(bench: Bench) -> None:
    await bench.anvil.send(
        bench.scenario.owner,
        bench.scenario.dex,
        bytes.fromhex("8a0dac4a") + bytes(12) + bytes.fromhex(bench.scenario.owner[2:]),  # setGuardian(address)
    )
    done = await bench.run(bench.intend())
    assert done.state is State.REFUSED
    assert done.reason == "the simulation reverts with NotGuardian: the caller does not hold the role"


async def test_an_intent_past_its_deadline_lapses(bench: Bench) -> None:
    done = await bench.run(bench.intend(for_ms=-1))
    assert done.state is State.LAPSED
    assert await bench.count_sent() == 0


async def test_an_intent_that_grows_too_old_while_the_endpoint_answers_lapses(bench: Bench) -> None:
    action = bench.intend()
    times = iter((action.created_ms,))
    async with bench.open_hook(clock=lambda: next(times, action.deadline_ms + 1)) as hook:
        with trio.fail_after(60):
            done = await hook.run(action, bench.journal)
    assert done.state is State.LAPSED
    assert await bench.count_sent() == 0


async def test_an_unpaused_pool_is_paused_again_under_a_new_epoch(bench: Bench) -> None:
    await bench.run(bench.intend())
    await unpause(bench.anvil, bench.scenario, bench.scenario.dex)
    done = await bench.run(bench.intend(epoch=2))
    assert done.state is State.EFFECTIVE
    assert await bench.count_pauses() == 2


async def test_without_a_simulation_it_acts(bench: Bench) -> None:
    async with open_proxy(bench.anvil) as proxy:
        proxy.lie = lambda method, result: 7 if method == "eth_call" else result
        done = await bench.run(bench.intend(), proxy.url)
    assert done.state is State.EFFECTIVE


async def test_a_revert_that_one_endpoint_invents_does_not_forbid(bench: Bench) -> None:
    async with open_proxy(bench.anvil) as proxy:
        proxy.errors["eth_call"] = {"code": 3, "message": "execution reverted", "data": "0xd93c0665"}  # EnforcedPause()
        done = await bench.run(bench.intend(), bench.anvil.url, proxy.url)
        assert done.state is State.EFFECTIVE
        alone = await bench.run(bench.intend(epoch=2), proxy.url)
        assert alone.state is State.REFUSED


async def test_a_revert_that_one_endpoint_invents_does_not_forbid_while_the_other_is_silent(bench: Bench) -> None:
    action = bench.intend()
    async with open_proxy(bench.anvil) as liar, open_proxy(bench.anvil) as silent:
        liar.errors["eth_call"] = {"code": 3, "message": "execution reverted", "data": "0xd93c0665"}  # EnforcedPause()
        silent.is_down = True
        async with trio.open_nursery() as nursery, bench.open_hook(liar.url, silent.url) as hook:
            nursery.start_soon(hook.run, action, bench.journal)
            await bench.wait_paused()
            silent.is_down = False
            await bench.wait_for(lambda: bench.journal.actions[action.action_id].is_settled)
    assert bench.journal.actions[action.action_id].state is State.EFFECTIVE


async def test_a_revert_that_two_endpoints_show_forbids(bench: Bench) -> None:
    await bench.run(bench.intend())
    async with open_proxy(bench.anvil) as second:
        done = await bench.run(bench.intend(epoch=2), bench.anvil.url, second.url)
    assert done.state is State.REFUSED
    assert await bench.count_sent() == 1


async def test_a_revert_that_says_nothing_does_not_forbid(bench: Bench) -> None:
    async with open_proxy(bench.anvil) as proxy:
        proxy.errors["eth_call"] = {"code": -32000, "message": "execution reverted"}
        done = await bench.run(bench.intend(), proxy.url)
    assert done.state is State.EFFECTIVE


async def test_an_endpoint_of_another_chain_has_no_say_in_what_is_signed(bench: Bench) -> None:
    def move_chain(method: str, result: object) -> object:
        return {"eth_chainId": "0x1", "eth_getTransactionCount": "0x63"}.get(method, result)

    async with open_proxy(bench.anvil) as proxy:
        proxy.lie = move_chain
        action = bench.intend()
        async with trio.open_nursery() as nursery, bench.open_hook(bench.anvil.url, proxy.url) as hook:
            nursery.start_soon(hook.run, action, bench.journal)
            await bench.wait_for(lambda: Event.INCLUDE in bench.journal.events)
            nursery.cancel_scope.cancel()
    assert bench.journal.actions[action.action_id].transactions[0].nonce == 0


async def test_one_endpoint_of_two_cannot_stop_the_pause_by_nonce_or_fee(bench: Bench) -> None:
    def exaggerate(method: str, result: object) -> object:
        if method == "eth_getTransactionCount":
            return "0x63"
        if method == "eth_getBlockByNumber" and isinstance(result, dict):
            return result | {"baseFeePerGas": hex(10**30)}
        return hex(10**30) if method == "eth_maxPriorityFeePerGas" else result

    await bench.anvil.fund(bench.guardian, 10**17)
    async with open_proxy(bench.anvil) as proxy:
        proxy.lie = exaggerate
        done = await bench.run(bench.intend(), bench.anvil.url, proxy.url)
    assert done.state is State.EFFECTIVE
    assert done.transactions[0].nonce == 0


async def test_endpoints_down_at_first_are_tried_until_they_are_back(bench: Bench) -> None:
    async with open_proxy(bench.anvil) as proxy:
        proxy.is_down = True
        action = bench.intend()
        async with trio.open_nursery() as nursery, bench.open_hook(proxy.url) as hook:
            nursery.start_soon(hook.run, action, bench.journal)
            await bench.wait_for(lambda: bench.journal.events == [Event.CHECK])
            proxy.is_down = False
            await bench.wait_for(lambda: Event.CONFIRM in bench.journal.events)
    assert await bench.count_sent() == 1


async def test_endpoints_down_until_the_deadline_let_the_intent_lapse(bench: Bench) -> None:
    async with open_proxy(bench.anvil) as proxy:
        proxy.is_down = True
        done = await bench.run(bench.intend(for_ms=300), proxy.url)
    assert done.state is State.LAPSED
    assert await bench.count_sent() == 0


async def test_a_new_action_leaves_the_nonce_of_a_signed_one_alone(bench: Bench) -> None:
    signed = await bench.run_and_die(bench.intend(), Event.SIGN)
    assert signed.state is State.SIGNED
    other = bench.intend(epoch=2)
    async with bench.open_hook() as hook:
        hook.claim(signed)
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(hook.run, other, bench.journal)
                await bench.wait_for(lambda: bench.journal.actions[other.action_id].transactions != ())
                nursery.start_soon(hook.run, signed, bench.journal)
    nonces = {item.arm_epoch: item.transactions[0].nonce for item in bench.journal.actions.values()}
    assert nonces == {1: 0, 2: 1}
    assert bench.journal.actions[signed.action_id].state is State.EFFECTIVE


def lag(method: str, result: object) -> object:
    """Show the account as it was before its first transaction."""
    return "0x0" if method == "eth_getTransactionCount" else result


async def test_after_a_restart_endpoints_that_lag_do_not_have_a_used_nonce_signed_again(bench: Bench) -> None:
    first = await bench.run(bench.intend(epoch=1))
    await bench.unpause()
    async with open_proxy(bench.anvil) as one, open_proxy(bench.anvil) as two:
        one.lie = two.lie = lag
        async with bench.open_hook(one.url, two.url) as hook:
            hook.claim(first)
            with trio.fail_after(DEADLINE_S):
                second = await hook.run(bench.intend(epoch=2), bench.journal)
    assert (second.state, second.transactions[0].nonce) == (State.EFFECTIVE, 1)


@pytest.mark.parametrize("is_other", ["key", "chain"])
async def test_what_another_key_or_another_chain_has_used_is_not_ours(bench: Bench, is_other: str) -> None:
    key, chain_id = (b"\7" * 32, 31_337) if is_other == "key" else (GUARDIAN_KEYS[1], 1)
    signed = Guardian(key).sign(
        chain_id=chain_id, nonce=41, to=bench.scenario.dex, calldata=b"", gas_limit=300_000, fees=Fees(10**18, 1)
    )
    old = replace(bench.intend(), transactions=(signed,), state=State.EFFECTIVE, block_hash=b"\1" * 32)
    async with bench.open_hook() as hook:
        hook.claim(old)
        with trio.fail_after(DEADLINE_S):
            done = await hook.run(bench.intend(epoch=2), bench.journal)
    assert (done.state, done.transactions[0].nonce) == (State.EFFECTIVE, 0)


async def test_what_was_signed_before_a_restart_counts_against_the_cap_for_a_day(bench: Bench) -> None:
    first = await bench.run(bench.intend(epoch=1))
    await bench.unpause()
    cap = read_signed(first.transactions[0].raw).most_wei * 3 // 2
    async with bench.open_hook(max_day_spend_wei=cap, clock=bench.clock_after(Event.CHECK)) as hook:
        hook.claim(first)
        with trio.fail_after(DEADLINE_S):
            lapsed = await hook.run(bench.intend(epoch=2), bench.journal)
    assert lapsed.state is State.LAPSED
    assert "the spend cap is reached" in lapsed.reason
    over = first.deadline_ms + int(DAY_S * 1_000) + 1
    async with bench.open_hook(max_day_spend_wei=cap, clock=lambda: over) as hook:
        hook.claim(first)
        with trio.fail_after(DEADLINE_S):
            done = await hook.run(bench.intend(epoch=3, for_ms=3 * int(DAY_S * 1_000)), bench.journal)
    assert done.state is State.EFFECTIVE
