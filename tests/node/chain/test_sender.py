"""What the sender knows before it is asked, what it refuses to sign, and what it refuses to pay."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from chain_kit import DEADLINE_S, FAR_MS, GUARDIAN_KEYS, Bench, open_late, open_proxy
from tocsin_node.chain.abi import encode_call, parse_function
from tocsin_node.chain.client import open_chain
from tocsin_node.chain.config import ChainConfig
from tocsin_node.chain.errors import CapReached, RpcUnavailable
from tocsin_node.chain.guardian import Guardian
from tocsin_node.chain.preflight import Objection, Trial, judge_trials, read_trial
from tocsin_node.chain.quotes import Quote, find_gap
from tocsin_node.chain.sender import FRESH_ROUNDS, Sender, _Warm
from tocsin_node.chain.spending import DAY_S, Spending
from tocsin_node.clock import now_ms
from tocsin_node.hooks.evm import EvmHook
from tocsin_protocol.containment.life_cycle import Event, State
from trio.testing import MockClock

QUOTING = {"eth_maxPriorityFeePerGas", "eth_chainId"}
THROUGH = Trial(True, None)
BLIND = Trial(False, None)
REVERTS = Trial(False, Objection("the simulation reverts with no role", "no role"))
PAUSED = Trial(False, Objection("the simulation reverts with 0xd93c0665", "0xd93c0665"))  # EnforcedPause()
TARGET = "0x" + "ab" * 20


@asynccontextmanager
async def open_sender(bench: Bench, *urls: str, **settings: Any) -> AsyncIterator[Sender]:
    async with open_chain(bench.chain_config(*urls, **settings)) as client:
        yield Sender(client, Guardian(GUARDIAN_KEYS[1]))


async def prepare(bench: Bench, sender: Sender) -> tuple[int, Objection | None]:
    preparation = await sender.prepare(bench.scenario.dex, encode_call(parse_function("pause()")))
    return preparation.quote.nonce, preparation.objection


async def test_with_warm_values_only_the_simulation_is_asked_for(bench: Bench) -> None:
    async with open_proxy(bench.anvil) as proxy, open_sender(bench, proxy.url, warm_ms=60_000) as sender:
        await sender.client.nursery.start(sender.run_warm)
        proxy.asked.clear()
        assert await prepare(bench, sender) == (0, None)
        assert proxy.asked == ["eth_getTransactionCount", "eth_getCode", "eth_simulateV1"]


async def test_values_that_are_too_old_are_asked_for_anew(bench: Bench) -> None:
    async with open_proxy(bench.anvil) as proxy, open_sender(bench, proxy.url, warm_ms=50) as sender:
        async with trio.open_nursery() as nursery:
            await nursery.start(sender.run_warm)
            nursery.cancel_scope.cancel()
        await trio.sleep(FRESH_ROUNDS * 0.05 + 0.1)
        proxy.asked.clear()
        await prepare(bench, sender)
    assert set(proxy.asked) >= QUOTING


async def test_without_any_warm_value_it_asks(bench: Bench) -> None:
    async with open_proxy(bench.anvil) as proxy, open_sender(bench, proxy.url) as sender:
        assert await prepare(bench, sender) == (0, None)
    assert set(proxy.asked) >= {*QUOTING, "eth_call"}


async def test_a_warm_nonce_is_not_given_twice(bench: Bench) -> None:
    async with open_sender(bench, warm_ms=60_000) as sender:
        await sender.client.nursery.start(sender.run_warm)
        sender.hold_nonce(b"living", 0)
        assert (await prepare(bench, sender))[0] == 1
        sender.release_nonce(b"living")
        sender.note_mined(0)
        assert (await prepare(bench, sender))[0] == 1


async def test_a_transaction_that_another_hand_sent_meanwhile_is_counted(bench: Bench) -> None:
    await bench.anvil.call("anvil_impersonateAccount", bench.guardian)
    async with (
        open_proxy(bench.anvil) as second,
        open_sender(bench, bench.anvil.url, second.url, warm_ms=60_000) as sender,
    ):
        await sender.client.nursery.start(sender.run_warm)
        await bench.anvil.send(bench.guardian, bench.scenario.owner, b"")
        assert (await prepare(bench, sender))[0] == 1


async def test_one_endpoint_of_two_cannot_move_a_warm_nonce(bench: Bench) -> None:
    def exaggerate(method: str, result: object) -> object:
        return "0x63" if method == "eth_getTransactionCount" else result

    async with (
        open_proxy(bench.anvil) as liar,
        open_proxy(bench.anvil) as silent,
        open_sender(bench, liar.url, silent.url, warm_ms=60_000, grace_ms=100) as sender,
    ):
        await sender.client.nursery.start(sender.run_warm)
        liar.lie, silent.is_down = exaggerate, True
        assert (await prepare(bench, sender))[0] == 0


def _exaggerate(method: str, result: object) -> object:
    """Forge a nonce and fees with which nothing would ever be mined."""
    if method == "eth_getBlockByNumber" and isinstance(result, dict):
        return result | {"baseFeePerGas": hex(10**30)}
    return {"eth_getTransactionCount": "0x63", "eth_maxPriorityFeePerGas": hex(10**30)}.get(method, result)


def _understate(method: str, result: object) -> object:
    return "0x0" if method == "eth_getTransactionCount" else result


@pytest.mark.parametrize("is_warm", [False, True])
@pytest.mark.parametrize("lie", [_exaggerate, _understate])
async def test_an_endpoint_that_is_faster_than_the_others_sets_no_quote(
    bench: Bench, lie: Callable[[str, object], object], is_warm: bool
) -> None:
    await bench.anvil.call("anvil_impersonateAccount", bench.guardian)
    await bench.anvil.send(bench.guardian, bench.scenario.owner, b"")
    grace_ms = ChainConfig.model_fields["grace_ms"].default
    async with (
        open_proxy(bench.anvil) as liar,
        open_late(bench.anvil, 0.15) as second,
        open_late(bench.anvil, 0.15 + 3 * grace_ms / 1_000) as third,
        open_sender(bench, liar.url, second, third, grace_ms=grace_ms, warm_ms=60_000) as sender,
    ):
        liar.lie = lie
        if is_warm:
            await sender.client.nursery.start(sender.run_warm)
        quote = (await sender.prepare(bench.scenario.dex, b"")).quote
    assert quote.nonce == 1
    assert quote.base_fee_wei < 10**30
    assert quote.tip_wei < 10**30


async def test_an_endpoint_too_busy_to_answer_is_no_witness(bench: Bench) -> None:
    busy = {"code": -32005, "message": "limit exceeded"}
    async with (
        open_proxy(bench.anvil) as liar,
        open_proxy(bench.anvil) as refusing,
        open_late(bench.anvil, 0.3) as honest,
        open_sender(bench, liar.url, refusing.url, honest, grace_ms=0) as sender,
    ):
        liar.lie = _exaggerate
        for method in (*QUOTING, "eth_getTransactionCount", "eth_getBlockByNumber"):
            refusing.errors[method] = busy
        assert (await prepare(bench, sender))[0] == 0


async def test_two_dead_endpoints_of_three_do_not_stop_the_third(bench: Bench) -> None:
    async with (
        open_proxy(bench.anvil) as one,
        open_proxy(bench.anvil) as two,
        open_sender(bench, one.url, two.url, bench.anvil.url) as sender,
    ):
        one.is_down = two.is_down = True
        assert await prepare(bench, sender) == (0, None)


async def test_two_hanging_endpoints_of_three_are_waited_for_no_longer_than_their_requests(bench: Bench) -> None:
    async with (
        _open_hanging() as one,
        _open_hanging() as two,
        open_sender(bench, one, two, bench.anvil.url, request_timeout_ms=5_000) as sender,
    ):
        with trio.fail_after(DEADLINE_S):
            assert await prepare(bench, sender) == (0, None)


async def test_one_endpoint_does_not_replace_what_more_of_them_said_lately(bench: Bench) -> None:
    quote = Quote(0, 10**9, 10**9)
    async with open_sender(bench, bench.anvil.url, "http://127.0.0.1:1", warm_ms=60_000) as sender:
        assert sender._is_better([quote])
        sender._warm = _Warm((quote,), trio.current_time())
        assert sender._is_better([quote])
        sender._warm = _Warm((quote, quote), trio.current_time())
        assert not sender._is_better([quote])
        assert sender._is_better([quote, quote])
        sender._warm = _Warm((quote, quote), trio.current_time() - FRESH_ROUNDS * 60 - 1)
        assert sender._is_better([quote])
        assert not sender._is_better([])


async def test_a_hanging_endpoint_is_not_waited_for(bench: Bench) -> None:
    async with _open_hanging() as hanging:
        settings = {"request_timeout_ms": 60_000, "warm_ms": 60_000}
        async with open_sender(bench, bench.anvil.url, hanging, **settings) as sender:
            sender._warm = _Warm((Quote(0, 10**9, 10**9),), trio.current_time())
            # longer than the test has: the grace for the others is not waited for
            sender.client.config = sender.client.config.model_copy(update={"grace_ms": 600_000})
            with trio.fail_after(60):
                await prepare(bench, sender)


@asynccontextmanager
async def _open_hanging() -> AsyncIterator[str]:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, _hang, listeners)
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def _hang(stream: trio.SocketStream) -> None:
    async with stream:
        await trio.sleep_forever()


@pytest.mark.parametrize(
    ("trials", "witnesses", "is_blocked"),
    [
        ([], 1, False),
        ([BLIND], 1, False),
        ([REVERTS], 1, True),
        ([REVERTS], 2, False),
        ([REVERTS, BLIND], 2, False),
        ([REVERTS, REVERTS], 2, True),
        ([REVERTS, REVERTS, THROUGH], 2, False),
    ],
)
def test_only_as_many_objections_as_witnesses_block(trials: list[Trial], witnesses: int, is_blocked: bool) -> None:
    assert (judge_trials(trials, witnesses) is not None) is is_blocked


def _simulated(status: str, data: str) -> list[dict[str, Any]]:
    return [{"calls": [{"status": status, "returnData": data, "error": {"message": "execution reverted"}}]}]


@pytest.mark.parametrize(
    ("code", "outcome", "trial"),
    [
        ("0x60", _simulated("0x1", "0x"), THROUGH),
        ("0x60", _simulated("0x0", "0x"), BLIND),
        ("0x60", "0x", THROUGH),
        ("0x60", [], BLIND),
        ("0x60", [{"calls": [7]}], BLIND),
        ("0x60", _simulated("no", "0x"), BLIND),
        ("0x60", None, BLIND),
        ("0x", "0x", Trial(False, Objection(f"there is no contract at {TARGET}"))),
        ("0x60", _simulated("0x0", "0xd93c0665"), PAUSED),
    ],
)
def test_what_a_simulation_says(code: str, outcome: Any, trial: Trial) -> None:
    assert read_trial((code, outcome), TARGET) == trial


@pytest.mark.parametrize("is_supported", [True, False])
async def test_a_decoded_revert_blocks_with_and_without_simulate(bench: Bench, is_supported: bool) -> None:
    await bench.run(bench.intend())
    async with open_proxy(bench.anvil) as proxy, open_sender(bench, proxy.url) as sender:
        if not is_supported:
            proxy.errors["eth_simulateV1"] = {"code": -32601, "message": "the method does not exist"}
        await sender.client.nursery.start(sender.run_warm)
        _, objection = await prepare(bench, sender)
    assert objection == PAUSED.objection
    assert proxy.asked.count("eth_call") == (0 if is_supported else 1)


async def test_no_endpoint_to_ask_says_why(bench: Bench) -> None:
    def move_chain(method: str, result: object) -> object:
        return "0x1" if method == "eth_chainId" else result

    async with open_proxy(bench.anvil) as proxy, open_sender(bench, proxy.url) as sender:
        proxy.lie = move_chain
        with pytest.raises(RpcUnavailable, match="serves eip155:1 where eip155:31337 is wanted"):
            await prepare(bench, sender)


async def test_an_action_beyond_the_spend_cap_waits_and_lapses_by_name(bench: Bench) -> None:
    done = await bench.run(bench.intend(), clock=bench.clock_after(Event.CHECK), max_day_spend_wei=1)
    assert done.state is State.LAPSED
    found = "the spend cap is reached: max_day_spend_wei 1, 0 wei of it signed for within a day"
    assert done.reason.startswith(f"too old to be sent; {found}")
    assert await bench.count_sent() == 0


async def test_a_price_that_was_invented_is_asked_for_again(bench: Bench) -> None:
    def exaggerate(method: str, result: object) -> object:
        is_block = method == "eth_getBlockByNumber" and isinstance(result, dict)
        return result | {"baseFeePerGas": hex(10**12)} if is_block else result  # type: ignore[operator]

    async with open_proxy(bench.anvil) as proxy:
        proxy.lie = exaggerate
        action = bench.intend()
        async with trio.open_nursery() as nursery, bench.open_hook(proxy.url, max_day_spend_wei=10**17) as hook:
            nursery.start_soon(hook.run, action, bench.journal)
            await bench.wait_for(lambda: bench.journal.events == [Event.CHECK])
            proxy.lie = lambda method, result: result
            await bench.wait_for(lambda: bench.journal.actions[action.action_id].is_settled)
    assert bench.journal.actions[action.action_id].state is State.EFFECTIVE


async def test_a_bump_beyond_the_spend_cap_is_not_signed(bench: Bench) -> None:
    async with open_sender(bench) as probe:
        preparation = await probe.prepare(bench.scenario.dex, b"")
        first = probe.sign_first(bench.scenario.dex, b"", preparation.quote)
    cap = first.max_fee_wei * 300_000
    await bench.anvil.call("evm_setAutomine", False)
    done = await bench.run(bench.intend(), max_day_spend_wei=cap, bump_ms=100, settle_ms=5_000)
    assert done.state is State.UNKNOWN
    assert "the spend cap is reached" in done.reason
    assert len(done.transactions) == 1
    await bench.anvil.mine()
    assert (await bench.run(done)).state is State.EFFECTIVE


async def test_the_day_of_the_spend_cap_passes(autojump_clock: MockClock) -> None:
    spending = Spending(100)
    spending.commit(0, 60)
    with pytest.raises(CapReached, match="60 wei of it"):
        spending.commit(1, 41)
    spending.commit(0, 100)  # a bump of the same nonce takes the place of what it bumps
    spending.commit(0, 10)
    with pytest.raises(CapReached, match="100 wei of it"):
        spending.commit(1, 1)  # of two with one nonce the dearer may be mined
    await trio.sleep(DAY_S + 1)
    spending.commit(1, 100)


async def test_what_an_earlier_run_signed_counts_for_the_rest_of_its_day(autojump_clock: MockClock) -> None:
    spending = Spending(100)
    spending.recall(0, 100, DAY_S + 1)
    spending.recall(1, 60, DAY_S - 10)
    with pytest.raises(CapReached, match="60 wei of it"):
        spending.commit(2, 41)
    await trio.sleep(11)
    spending.commit(2, 100)


async def test_nonce_too_low_is_looked_into_before_anything_is_concluded(bench: Bench) -> None:
    """Our own transaction, mined already, is the usual cause."""
    async with open_proxy(bench.anvil) as proxy:

        def lose_first(event: Event) -> None:
            proxy.loses_answers_to = "eth_sendRawTransaction" if event is Event.SIGN else ""

        bench.journal.on_record = lose_first
        done = await bench.run(bench.intend(), proxy.url)
    assert done.state is State.EFFECTIVE
    assert await bench.count_pauses() == 1


async def test_hooks_of_one_guardian_share_what_is_warm(bench: Bench) -> None:
    async with open_sender(bench, warm_ms=60_000) as sender:
        await sender.client.nursery.start(sender.run_warm)
        hooks = [EvmHook(bench.hook_config(name=name), sender) for name in ("one", "two")]
        first = await hooks[0].run(bench.intend(epoch=1), bench.journal)
        await bench.unpause()
        second = await hooks[1].run(bench.intend(epoch=2), bench.journal)
    assert [first.state, second.state] == [State.EFFECTIVE, State.EFFECTIVE]
    assert [first.transactions[0].nonce, second.transactions[0].nonce] == [0, 1]


async def test_a_pause_does_not_wait_behind_a_nonce_that_was_dropped_and_is_too_old(bench: Bench) -> None:
    """Two levers of one guardian; the first is lost from the pool, and past its deadline nobody sends it again."""
    await bench.anvil.call("evm_setAutomine", False)
    is_late = False

    def clock() -> int:
        return now_ms() + (2 * FAR_MS if is_late else 0)

    first, second = bench.intend(epoch=1), bench.intend(epoch=2, for_ms=4 * FAR_MS)
    async with open_sender(bench, rebroadcast_ms=200) as sender, trio.open_nursery() as nursery:
        hooks = [EvmHook(bench.hook_config(name=name), sender, clock) for name in ("one", "two")]
        nursery.start_soon(hooks[0].run, first, bench.journal)
        await bench.wait_for(lambda: bool(bench.journal.actions[first.action_id].transactions))
        nursery.start_soon(hooks[1].run, second, bench.journal)
        await bench.wait_for(lambda: bool(bench.journal.actions[second.action_id].transactions))
        is_late = True
        (lost,) = bench.journal.actions[first.action_id].transactions
        (waiting,) = bench.journal.actions[second.action_id].transactions
        assert (lost.nonce, waiting.nonce) == (0, 1)
        await bench.anvil.call("anvil_dropAllTransactions")
        await bench.wait_pooled(waiting)
        with trio.fail_after(DEADLINE_S):
            while bench.journal.actions[second.action_id].state is not State.EFFECTIVE:
                await bench.anvil.mine()
                await trio.sleep(0.05)
        await bench.wait_for(lambda: bench.journal.actions[first.action_id].is_settled)
        nursery.cancel_scope.cancel()
    assert bench.journal.actions[first.action_id].state is State.FAILED
    assert await bench.count_sent() == 2
    assert await bench.count_pauses() == 1


async def test_a_nonce_of_a_block_that_was_replaced_unseen_is_filled_before_it_holds_back_a_pause(bench: Bench) -> None:
    before = await bench.anvil.snapshot()
    async with open_sender(bench, rebroadcast_ms=200) as sender:
        hook = EvmHook(bench.hook_config(), sender)
        # Of what is no action, so that nothing watches its block.
        filler = sender.sign_first(bench.scenario.dex, b"", Quote(0, 10**9, 10**9))
        await sender.start_broadcast(filler).wait()
        # Accepted is not mined yet.
        with trio.fail_after(DEADLINE_S):
            while not await bench.count_sent():  # noqa: ASYNC110 - a chain sets no event
                await trio.sleep(0.01)
        sender.note_mined(0)
        await bench.anvil.restore(before)
        done = await hook.run(bench.intend(), bench.journal)
    assert (done.state, done.transactions[0].nonce) == (State.EFFECTIVE, 1)
    assert await bench.count_sent() == 2
    assert await bench.count_pauses() == 1


async def test_a_nonce_of_an_action_that_may_still_be_sent_is_not_filled(bench: Bench) -> None:
    async with open_sender(bench) as sender:
        behind = sender.sign_first(bench.scenario.dex, b"", Quote(1, 10**9, 10**9))
        sender.hold_nonce(b"a", 0)
        assert await sender.fill_gap(behind) is None
        sender.release_nonce(b"a")
        filler = await sender.fill_gap(behind)
        assert filler is not None
        assert (filler.nonce, filler.max_fee_wei) == (0, behind.max_fee_wei)


async def test_what_fills_a_gap_is_bumped_with_what_waits_behind_it(bench: Bench) -> None:
    await bench.anvil.call("evm_setAutomine", False)
    async with open_sender(bench) as sender:
        behind = sender.sign_first(bench.scenario.dex, b"", Quote(1, 10**9, 10**9))
        filler = await sender.fill_gap(behind)
        assert filler is not None
        await bench.wait_pooled(filler)
        assert await sender.fill_gap(behind) is None
        bumped = await sender.sign_bump(bench.scenario.dex, b"", behind)
        again = await sender.fill_gap(bumped)
        assert again is not None
        assert (again.nonce, again.max_fee_wei) == (0, bumped.max_fee_wei)
        await bench.wait_pooled(again)
        sender.note_mined(1)
        assert await sender.fill_gap(await sender.sign_bump(bench.scenario.dex, b"", bumped)) is None


async def test_a_gap_is_not_filled_beyond_the_spend_cap(bench: Bench) -> None:
    async with open_sender(bench) as sender:
        behind = sender.sign_first(bench.scenario.dex, b"", Quote(1, 10**9, 10**9))
        cap = behind.max_fee_wei * sender.client.config.gas_limit * 3 // 2
    async with open_sender(bench, max_day_spend_wei=cap) as sender:
        sender.sign_first(bench.scenario.dex, b"", Quote(1, 10**9, 10**9))
        with pytest.raises(CapReached, match="max_day_spend_wei"):
            await sender.fill_gap(behind)


@pytest.mark.parametrize(
    ("nonces", "witnesses", "gap"),
    [
        ([], 1, None),
        ([0], 1, 0),
        ([1], 1, None),
        ([0], 2, None),
        ([0, 1], 2, None),
        ([0, 0, 99], 2, 0),
        ([0, 1, 1], 2, None),
        ([0, 0, 1, 1], 2, None),
    ],
)
def test_most_endpoints_tell_that_a_nonce_is_missing(nonces: list[int], witnesses: int, gap: int | None) -> None:
    assert find_gap(nonces, 1, witnesses) == gap
