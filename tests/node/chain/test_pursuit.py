"""A signed action under endpoints that lie, lag, refuse or fall silent."""

from __future__ import annotations

import trio
from chain_kit import DEADLINE_S, FAR_MS, Bench, Proxy, open_proxy
from tocsin_node.chain.config import RelayConfig, RelayForm
from tocsin_node.clock import now_ms
from tocsin_node.demo.scenario_chain import is_paused
from tocsin_node.hooks.evm import EvmHook
from tocsin_node.hooks.pursuit import MAX_REFUSALS
from tocsin_protocol.containment.action import Action
from tocsin_protocol.containment.life_cycle import Event, State

RECEIPT = "eth_getTransactionReceipt"
SEND = "eth_sendRawTransaction"


async def test_one_dead_endpoint_delays_nothing_but_the_second_witness(bench: Bench) -> None:
    async with open_proxy(bench.anvil) as proxy:
        proxy.is_down = True
        action = bench.intend()
        async with trio.open_nursery() as nursery, bench.open_hook(bench.anvil.url, proxy.url) as hook:
            nursery.start_soon(hook.run, action, bench.journal)
            await bench.wait_paused()
            assert Event.INCLUDE not in bench.journal.events, "one endpoint's word about a block is not noted"
            proxy.is_down = False
            await bench.wait_for(lambda: Event.CONFIRM in bench.journal.events)
    assert await bench.count_sent() == 1


async def test_with_a_witness_missing_for_good_the_outcome_is_unknown(bench: Bench) -> None:
    async with open_proxy(bench.anvil) as proxy:
        proxy.is_down = True
        done = await bench.run(bench.intend(), bench.anvil.url, proxy.url, settle_ms=2_000)
        assert done.state is State.UNKNOWN
        assert "2 are wanted, 1 answer" in done.reason
        proxy.is_down = False
        done = await bench.run(done, bench.anvil.url, proxy.url)
    assert done.state is State.EFFECTIVE
    assert await bench.count_sent() == 1


async def test_one_lying_endpoint_cannot_confirm(bench: Bench) -> None:
    def invent_success(method: str, result: object) -> object:
        if method == "eth_getTransactionReceipt" and isinstance(result, dict):
            return result | {"blockHash": "0x" + "77" * 32}
        return result

    async with open_proxy(bench.anvil) as proxy:
        proxy.lie = invent_success
        done = await bench.run(bench.intend(), bench.anvil.url, proxy.url, settle_ms=2_000)
        assert done.state is State.UNKNOWN
        assert "disagree" in done.reason
        assert Event.CONFIRM not in bench.journal.events
        proxy.lie = lambda method, result: result
        done = await bench.run(done, bench.anvil.url, proxy.url)
    assert done.state is State.EFFECTIVE
    assert await bench.count_sent() == 1


def invent_receipts(bench: Bench, liar: Proxy) -> None:
    """Let an endpoint keep the transactions to itself, and swear that the first of them is in a block."""

    def invent(method: str, result: object) -> object:
        if method != "eth_getTransactionReceipt":
            return result
        (action,) = bench.journal.actions.values()
        return {
            "transactionHash": "0x" + action.transactions[0].hash.hex(),
            "blockHash": "0x" + "77" * 32,
            "blockNumber": "0x1",
            "status": "0x1",
        }

    liar.lie, liar.swallows = invent, "eth_sendRawTransaction"


async def test_an_endpoint_that_keeps_the_bytes_and_invents_a_receipt_does_not_stop_the_pause(bench: Bench) -> None:
    action = bench.intend()
    async with open_proxy(bench.anvil) as liar, open_proxy(bench.anvil) as honest:
        invent_receipts(bench, liar)
        honest.is_down = True
        async with trio.open_nursery() as nursery, bench.open_hook(liar.url, honest.url) as hook:
            nursery.start_soon(hook.run, action, bench.journal)
            await bench.wait_for(lambda: liar.asked.count(RECEIPT) > 2)
            assert not await is_paused(bench.anvil, bench.scenario.dex)
            honest.is_down = False
            await bench.wait_paused()
            nursery.cancel_scope.cancel()
    assert not {Event.INCLUDE, Event.REORG, Event.CONFIRM} & set(bench.journal.events)


async def test_one_invented_receipt_stops_no_bump_and_writes_nothing(bench: Bench) -> None:
    action = bench.intend()
    await bench.anvil.call("evm_setAutomine", False)
    async with open_proxy(bench.anvil) as liar, open_proxy(bench.anvil) as second:
        invent_receipts(bench, liar)
        urls = (liar.url, second.url, bench.anvil.url)
        async with trio.open_nursery() as nursery, bench.open_hook(*urls, bump_ms=150, max_bumps=2) as hook:
            nursery.start_soon(hook.run, action, bench.journal)
            await bench.wait_for(lambda: bench.journal.events.count(Event.SIGN) == 3)
            looks = liar.asked.count(RECEIPT)
            await bench.wait_for(lambda: liar.asked.count(RECEIPT) > looks + 3 * 3)
            assert not {Event.INCLUDE, Event.REORG} & set(bench.journal.events)
            await bench.anvil.mine()
            await bench.wait_for(lambda: Event.CONFIRM in bench.journal.events)
    assert bench.journal.events.count(Event.INCLUDE) == 1
    assert Event.REORG not in bench.journal.events
    assert await bench.count_pauses() == 1


async def test_one_invented_receipt_shows_a_private_transaction_to_nobody(bench: Bench) -> None:
    bench.intend()
    async with (
        open_proxy(bench.anvil) as relay,
        open_proxy(bench.anvil) as liar,
        open_proxy(bench.anvil) as second,
    ):
        relay.swallows = SEND
        invent_receipts(bench, liar)
        relays = [RelayConfig(url=relay.url, form=RelayForm.RAW)]
        settings = {"private_relays": relays, "private_ms": 600_000}
        async with trio.open_nursery() as nursery, bench.open_hook(liar.url, second.url, **settings) as hook:
            nursery.start_soon(hook.run, bench.intend(), bench.journal)
            await bench.wait_for(lambda: liar.asked.count(RECEIPT) > 10)
            nursery.cancel_scope.cancel()
        assert SEND in relay.asked
        assert SEND not in (*liar.asked, *second.asked)


async def test_an_endpoint_that_understates_the_fee_is_corrected_by_a_bump(bench: Bench) -> None:
    def understate(method: str, result: object) -> object:
        if method == "eth_getBlockByNumber" and isinstance(result, dict):
            return result | {"baseFeePerGas": "0x1"}
        return result

    await bench.anvil.call("anvil_setNextBlockBaseFeePerGas", hex(50 * 10**9))
    await bench.anvil.mine()
    async with open_proxy(bench.anvil) as proxy:
        proxy.lie = understate
        done = await bench.run(bench.intend(), bench.anvil.url, proxy.url)
    assert done.state is State.EFFECTIVE
    assert len(done.transactions) > 1
    assert await bench.count_sent() == 1


async def test_a_broadcast_whose_answer_is_lost_is_found_on_chain(bench: Bench) -> None:
    async with open_proxy(bench.anvil) as proxy:
        proxy.loses_answers_to = "eth_sendRawTransaction"
        done = await bench.run(bench.intend(), proxy.url)
    assert done.state is State.EFFECTIVE
    assert await bench.count_sent() == 1


async def test_endpoints_that_fall_silent_after_signing_leave_the_outcome_unknown(bench: Bench) -> None:
    async with open_proxy(bench.anvil) as proxy:

        def fall_silent(event: Event) -> None:
            proxy.is_down = proxy.is_down or event is Event.SIGN

        bench.journal.on_record = fall_silent
        done = await bench.run(bench.intend(), proxy.url, settle_ms=400)
        assert done.state is State.UNKNOWN
        assert "no endpoint answers" in done.reason
        bench.journal.on_record = None
        proxy.is_down = False
        first = done.transactions[0].raw
        done = await bench.run(done, proxy.url)
    assert done.state is State.EFFECTIVE
    assert [item.raw for item in done.transactions] == [first]
    assert await bench.count_sent() == 1


async def test_a_reorg_that_drops_the_transaction_has_it_sent_again(bench: Bench) -> None:
    action = bench.intend()
    before = await bench.anvil.snapshot()
    async with trio.open_nursery() as nursery, bench.open_hook(confirmations=3) as hook:
        nursery.start_soon(hook.run, action, bench.journal)
        await bench.wait_for(lambda: Event.INCLUDE in bench.journal.events)
        await bench.anvil.restore(before)
        await bench.wait_for(lambda: bench.journal.events.count(Event.INCLUDE) == 2)
        await bench.anvil.mine(3)
        await bench.wait_for(lambda: Event.CONFIRM in bench.journal.events)
    done = bench.journal.actions[action.action_id]
    assert Event.REORG in bench.journal.events
    assert len(done.transactions) == 1
    assert await bench.count_sent() == 1
    assert await is_paused(bench.anvil, bench.scenario.dex)


async def test_a_nonce_used_by_another_transaction_fails_with_the_state_of_the_contract(bench: Bench) -> None:
    action = bench.intend()
    await bench.anvil.call("anvil_impersonateAccount", bench.guardian)
    async with open_proxy(bench.anvil) as proxy:
        bench.journal.on_record = lambda event: setattr(proxy, "is_down", True)
        unknown = await bench.run(action, proxy.url, settle_ms=200)
        assert unknown.state is State.UNKNOWN
        await bench.anvil.send(bench.guardian, bench.scenario.owner, b"")
        proxy.is_down, bench.journal.on_record = False, None
        done = await bench.run(unknown, proxy.url)
    assert done.state is State.FAILED
    assert done.reason == "nonce 0 was used by another transaction; paused()(bool) says no"
    assert await bench.count_pauses() == 0


async def test_a_stuck_transaction_is_bumped_at_the_same_nonce(bench: Bench) -> None:
    action = bench.intend()
    await bench.anvil.call("evm_setAutomine", False)
    async with trio.open_nursery() as nursery, bench.open_hook(bump_ms=150, max_bumps=2) as hook:
        nursery.start_soon(hook.run, action, bench.journal)
        await bench.wait_for(lambda: bench.journal.events.count(Event.SIGN) == 3)
        await bench.wait_pooled(bench.journal.actions[action.action_id].transactions[2])
        await trio.sleep(0.4)
        assert bench.journal.events.count(Event.SIGN) == 3, "bumps are bounded"
        await bench.anvil.mine()
        await bench.wait_for(lambda: Event.CONFIRM in bench.journal.events)
    done = bench.journal.actions[action.action_id]
    assert {item.nonce for item in done.transactions} == {0}
    for low, high in zip(done.transactions, done.transactions[1:], strict=False):
        assert high.max_fee_wei * 1_000 >= low.max_fee_wei * 1_125
        assert high.priority_fee_wei * 1_000 >= low.priority_fee_wei * 1_125
    assert done.included_hash == done.transactions[2].hash
    assert await bench.count_sent() == 1


async def test_endpoints_that_are_too_busy_to_take_the_bytes_are_asked_until_they_do(bench: Bench) -> None:
    action = bench.intend()
    async with open_proxy(bench.anvil) as proxy:
        proxy.errors[SEND] = {"code": -32005, "message": "daily request count exceeded, request rate limited"}
        async with trio.open_nursery() as nursery, bench.open_hook(proxy.url) as hook:
            nursery.start_soon(hook.run, action, bench.journal)
            await bench.wait_for(lambda: bench.journal.events.count(Event.SEND) > MAX_REFUSALS + 1)
            assert not bench.journal.actions[action.action_id].is_settled
            proxy.errors.clear()
            await bench.wait_for(lambda: Event.CONFIRM in bench.journal.events)
    assert await bench.count_pauses() == 1


async def test_endpoints_that_stay_too_busy_leave_the_outcome_unknown(bench: Bench) -> None:
    async with open_proxy(bench.anvil) as proxy:
        proxy.errors[SEND] = {"code": -32005, "message": "request rate limited"}
        done = await bench.run(bench.intend(), proxy.url, settle_ms=1_500)
    assert done.state is State.UNKNOWN
    assert "rate limited" in done.reason


async def test_every_endpoint_refusing_the_bytes_fails_within_bounds(bench: Bench) -> None:
    await bench.anvil.fund(bench.guardian, 0)
    done = await bench.run(bench.intend())
    assert done.state is State.FAILED
    assert done.reason.startswith("every endpoint refuses it")
    assert done.attempts == 5


async def test_a_call_that_reverts_on_chain_is_reverted(bench: Bench) -> None:
    action = bench.intend()
    await bench.anvil.call("evm_setAutomine", False)
    async with trio.open_nursery() as nursery, bench.open_hook() as hook:
        nursery.start_soon(hook.run, action, bench.journal)
        await bench.wait_for(lambda: Event.SEND in bench.journal.events)
        await bench.wait_pooled(bench.journal.actions[action.action_id].transactions[0])
        await bench.anvil.call("anvil_setStorageAt", bench.scenario.dex, "0x1", "0x" + "00" * 32)  # another guardian
        await bench.anvil.mine()
        await bench.wait_for(lambda: bench.journal.actions[action.action_id].is_settled)
    done = bench.journal.actions[action.action_id]
    assert done.state is State.REVERTED
    assert done.reason.endswith("it reverts with NotGuardian: the caller does not hold the role")


async def test_signed_but_never_sent_past_the_deadline_is_not_sent(bench: Bench) -> None:
    signed = await bench.run_and_die(bench.intend(), Event.SIGN)
    late = signed.deadline_ms + 1
    assert await bench.count_sent() in (0, 1)
    with trio.fail_after(60):
        async with bench.open_hook(clock=lambda: late) as hook:
            before = bench.journal.events.count(Event.SEND)
            done = await hook.run(signed, bench.journal)
    assert bench.journal.events.count(Event.SEND) == before
    assert done.state in (State.UNKNOWN, State.EFFECTIVE)


async def test_two_hooks_of_one_guardian_take_two_nonces(bench: Bench) -> None:
    first, second = bench.intend(epoch=1), bench.intend(epoch=2)
    await bench.anvil.call("evm_setAutomine", False)
    async with trio.open_nursery() as nursery, bench.open_hook() as hook:
        nursery.start_soon(hook.run, first, bench.journal)
        nursery.start_soon(hook.run, second, bench.journal)
        await bench.wait_for(lambda: all(item.transactions for item in bench.journal.actions.values()))
        for item in bench.journal.actions.values():
            await bench.wait_pooled(item.transactions[0])
        await bench.anvil.mine()
        await bench.wait_for(lambda: all(item.is_settled for item in bench.journal.actions.values()))
    done = sorted(bench.journal.actions.values(), key=lambda item: item.reason)
    assert [item.state for item in done] == [State.EFFECTIVE, State.EFFECTIVE]
    # The second was mined and reverted: the effect that it is for was there.
    said = "already in effect, by another's call: the transaction was mined and reverted: it reverts with EnforcedPause"
    assert [item.reason for item in done] == ["", f"{said}: already in effect"]
    assert await bench.count_pauses() == 1
    assert {item.transactions[0].nonce for item in bench.journal.actions.values()} == {0, 1}


async def test_a_nonce_that_is_counted_before_its_receipt_is_shown_is_not_anothers(bench: Bench) -> None:
    """Endpoints index receipts some time after they count the transaction, and looks are milliseconds apart."""
    late = 10

    def hide(method: str, result: object) -> object:
        return None if method == RECEIPT and proxy.asked.count(RECEIPT) <= late else result

    async with open_proxy(bench.anvil) as proxy:
        proxy.lie = hide
        done = await bench.run(bench.intend(), proxy.url, rebroadcast_ms=30_000)
    assert done.state is State.EFFECTIVE
    assert proxy.asked.count(RECEIPT) > late


async def leave_unknown(bench: Bench, hook: EvmHook, proxy: Proxy, action: Action) -> Action:
    """Let an action be signed, and its bytes reach nobody."""
    bench.journal.on_record = lambda event: setattr(proxy, "is_down", proxy.is_down or event is Event.SIGN)
    with trio.fail_after(DEADLINE_S):
        unknown = await hook.run(action, bench.journal)
    bench.journal.on_record, proxy.is_down = None, False
    assert unknown.state is State.UNKNOWN
    return unknown


async def test_an_unknown_action_keeps_its_nonce_until_it_is_looked_at_again(bench: Bench) -> None:
    async with open_proxy(bench.anvil) as proxy, bench.open_hook(proxy.url, settle_ms=300) as hook:
        unknown = await leave_unknown(bench, hook, proxy, bench.intend(epoch=1))
        other = bench.intend(epoch=2)
        with trio.fail_after(DEADLINE_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(hook.run, other, bench.journal)
                await bench.wait_for(lambda: bench.journal.actions[other.action_id].transactions != ())
                nursery.start_soon(hook.run, unknown, bench.journal)
    nonces = {item.arm_epoch: item.transactions[0].nonce for item in bench.journal.actions.values()}
    assert nonces == {1: 0, 2: 1}


async def test_an_unknown_action_that_is_too_old_to_be_sent_lets_its_nonce_go(bench: Bench) -> None:
    clock = [now_ms()]
    async with (
        open_proxy(bench.anvil) as proxy,
        bench.open_hook(proxy.url, clock=lambda: clock[0], settle_ms=300) as hook,
    ):
        unknown = await leave_unknown(bench, hook, proxy, bench.intend(epoch=1))
        clock[0] = unknown.deadline_ms + 1
        with trio.fail_after(DEADLINE_S):
            assert (await hook.run(unknown, bench.journal)).state is State.UNKNOWN
            other = bench.intend(epoch=2, for_ms=2 * FAR_MS)
            # as a node does: 300 ms are too few for a slow machine
            while not other.is_settled:
                other = await hook.run(other, bench.journal)
    assert (other.state, other.transactions[0].nonce) == (State.EFFECTIVE, 0)
