"""The breaker: the node's own window arithmetic on chain, and who may do what. Docstrings name the rule."""

from __future__ import annotations

import pytest
import trio
from breaker_kit import (
    HELD,
    LEAST,
    MAX_BPS,
    PARAMS,
    RESTRICTED_BPS,
    TICK_S,
    TRIP_S,
    WINDOW_S,
    BreakerBench,
    open_breaker,
)
from contract_kit import START_S, contract_at, deploy, go_to, time_of
from hypothesis import given, settings
from hypothesis import strategies as st
from tocsin_node.demo.anvil import Anvil, open_anvil
from tocsin_protocol.outflow import Limiter, LimiterParams, add_block, start_limiter

NORMAL, RESTRICTED, HALTED = 0, 1, 2


@pytest.fixture
async def bench(anvil: Anvil) -> BreakerBench:
    return await open_breaker(anvil)


async def test_a_drain_takes_no_more_than_the_limit(bench: BreakerBench) -> None:
    """[BREAKER] What would take the window's net outflow above the limit is refused."""
    await bench.vault.must(bench.thief, "withdraw", 60_000)
    refusal = await bench.vault.refusal(bench.thief, "withdraw", 40_001)
    assert (refusal.name, refusal.values[1:]) == ("OverLimit", (100_001, 100_000))
    await bench.vault.must(bench.thief, "withdraw", 40_000)
    assert (await bench.vault.refusal(bench.thief, "withdraw", 1)).name == "OverLimit"
    await bench.token.must(bench.thief, "approve", bench.vault.address, 2**256 - 1)
    await bench.vault.must(bench.thief, "deposit", 10)
    await bench.vault.must(bench.thief, "withdraw", 10)
    assert (await bench.vault.refusal(bench.thief, "withdraw", 1)).name == "OverLimit"
    assert await bench.token.call("balanceOf", bench.vault.address) == HELD - 100_000


async def test_ticks_join_the_balance_when_a_window_is_over(bench: BreakerBench) -> None:
    """[BREAKER] Ticks that began a window ago or earlier join the balance that the limit is a share of."""
    await bench.vault.must(bench.thief, "withdraw", 100_000)
    start = await time_of(bench.anvil)
    tick = start - start % TICK_S
    await go_to(bench.anvil, tick + WINDOW_S - START_S - 30)
    assert (await bench.breaker.call("reading", bench.token.address)) == (100_000, 100_000, HELD)
    await go_to(bench.anvil, tick + WINDOW_S - START_S)
    assert (await bench.breaker.call("reading", bench.token.address)) == (0, 90_000, 900_000)
    assert (await bench.vault.refusal(bench.thief, "withdraw", 90_001)).name == "OverLimit"
    await bench.vault.must(bench.thief, "withdraw", 90_000)


async def test_the_limit_has_a_least_amount_which_a_restriction_takes_away(bench: BreakerBench) -> None:
    """[BREAKER] Restricted, the limit is the smaller share alone; halted, it is nothing.

    [BREAKER] The limit is a share of the balance at the window's start, or the least amount where that is more.
    """
    asset = bench.token.address

    async def limit() -> int:
        return int((await bench.breaker.call("reading", asset))[1])

    assert await limit() == 100_000
    await bench.breaker.must(bench.owner, "list", asset, PARAMS, 1_000)
    assert await limit() == LEAST
    await bench.breaker.must(bench.guardian, "tighten", asset)
    assert await limit() == 20
    await bench.vault.must(bench.thief, "withdraw", 20)
    assert (await bench.vault.refusal(bench.thief, "withdraw", 1)).name == "OverLimit"
    await bench.breaker.must(bench.guardian, "trip", asset)
    assert await limit() == 0


async def test_while_halted_nothing_leaves_and_what_comes_counts(bench: BreakerBench) -> None:
    """[BREAKER] While an asset or the whole is halted nothing leaves; what comes is counted."""
    await bench.vault.must(bench.thief, "withdraw", 100)
    await bench.token.must(bench.thief, "approve", bench.vault.address, 100)
    await bench.breaker.must(bench.guardian, "trip", bench.token.address)
    assert (await bench.vault.refusal(bench.thief, "withdraw", 1)).name == "AssetHalted"
    await bench.vault.must(bench.thief, "deposit", 40)
    assert (await bench.breaker.call("reading", bench.token.address))[0] == 60
    await bench.breaker.must(bench.owner, "resetAsset", bench.token.address)
    await bench.breaker.must(bench.guardian, "pauseFor", 600)
    assert await bench.level() == HALTED
    assert (await bench.vault.refusal(bench.thief, "withdraw", 1)).name == "AssetHalted"


async def test_a_trip_lapses_to_the_restricted_limit_and_only_the_owner_resets(bench: BreakerBench) -> None:
    """[LEVEL] A halt lapses by itself to RESTRICTED, and time never leads to NORMAL."""
    asset = bench.token.address
    await bench.breaker.must(bench.guardian, "trip", asset)
    await go_to(bench.anvil, await bench.breaker.call("assetHaltedUntil", asset) - START_S)
    assert await bench.level() == RESTRICTED
    assert (await bench.vault.refusal(bench.thief, "withdraw", 20_001)).name == "OverLimit"
    await bench.vault.must(bench.thief, "withdraw", 20_000)
    await go_to(bench.anvil, 365 * 86_400)
    assert await bench.level() == RESTRICTED
    for caller in (bench.guardian, bench.thief):
        assert (await bench.breaker.refusal(caller, "resetAsset", asset)).name == "OwnableUnauthorizedAccount"
    await bench.breaker.must(bench.owner, "resetAsset", asset)
    assert await bench.level() == NORMAL


async def test_a_guardian_trips_an_asset_once(bench: BreakerBench) -> None:
    """[LEVEL] A level is only raised, and each is reached once until the owner resets."""
    asset = bench.token.address
    await bench.breaker.must(bench.guardian, "tighten", asset)
    assert (await bench.breaker.refusal(bench.guardian, "tighten", asset)).name == "NotAbove"
    await bench.breaker.must(bench.guardian, "trip", asset)
    assert (await bench.breaker.refusal(bench.guardian, "trip", asset)).name == "NotAbove"
    await go_to(bench.anvil, await bench.breaker.call("assetHaltedUntil", asset) - START_S)
    for name in ("trip", "tighten"):
        assert (await bench.breaker.refusal(bench.guardian, name, asset)).name == "NotAbove"


async def test_nobody_else_trips_or_tightens(bench: BreakerBench) -> None:
    """[PAUSE] The guardian and the owner raise the level; nobody else does."""
    for name in ("trip", "tighten"):
        assert (await bench.breaker.refusal(bench.thief, name, bench.token.address)).name == "NotGuardian"
    await bench.breaker.must(bench.owner, "tighten", bench.token.address)


async def test_a_stranger_reports_no_flows(bench: BreakerBench) -> None:
    """[BREAKER] Only a protocol that the owner named reports flows."""
    for caller in (bench.thief, bench.guardian, bench.owner):
        for name in ("onTokenInflow", "onTokenOutflow"):
            assert (await bench.breaker.refusal(caller, name, bench.token.address, 1)).name == "NotProtocol"
    refusal = await bench.breaker.refusal(bench.guardian, "setProtocol", bench.thief, True)
    assert refusal.name == "OwnableUnauthorizedAccount"
    await bench.breaker.must(bench.owner, "setProtocol", bench.vault.address, False)
    assert (await bench.vault.refusal(bench.thief, "withdraw", 1)).name == "NotProtocol"


@pytest.mark.parametrize(
    ("key", "params"),
    [
        ("tickSeconds", (WINDOW_S, 0, TRIP_S, MAX_BPS, RESTRICTED_BPS, 0)),
        ("tickSeconds", (WINDOW_S, WINDOW_S + 1, TRIP_S, MAX_BPS, RESTRICTED_BPS, 0)),
        ("windowSeconds", (TICK_S * 48 + 1, TICK_S, TRIP_S, MAX_BPS, RESTRICTED_BPS, 0)),
        ("windowSeconds", (2**32 - 1, 1, TRIP_S, MAX_BPS, RESTRICTED_BPS, 0)),
        ("maxOutflowBps", (WINDOW_S, TICK_S, TRIP_S, 0, 0, 0)),
        ("maxOutflowBps", (WINDOW_S, TICK_S, TRIP_S, 10_001, 0, 0)),
        ("restrictedBps", (WINDOW_S, TICK_S, TRIP_S, 100, 101, 0)),
        ("tripSeconds", (WINDOW_S, TICK_S, 0, MAX_BPS, RESTRICTED_BPS, 0)),
        ("tripSeconds", (WINDOW_S, TICK_S, 7 * 86_400 + 1, MAX_BPS, RESTRICTED_BPS, 0)),
    ],
)
async def test_parameters_that_cannot_be_kept_are_refused(bench: BreakerBench, key: str, params: object) -> None:
    """[BREAKER] Parameters that cannot be kept are refused."""
    refusal = await bench.breaker.refusal(bench.owner, "list", bench.token.address, params, 1)
    assert (refusal.name, refusal.values) == ("BadParams", (key,))


async def test_an_unlisted_asset_does_not_move(bench: BreakerBench) -> None:
    """[BREAKER] An asset that is not listed does not move."""
    other = await deploy(bench.anvil, "Token", bench.owner)
    vault = await deploy(bench.anvil, "BrokenVault", other.address, bench.breaker.address)
    await bench.breaker.must(bench.owner, "setProtocol", vault.address, True)
    assert (await vault.refusal(bench.thief, "withdraw", 0)).name == "NotListed"
    for caller, name in ((bench.guardian, "trip"), (bench.guardian, "tighten"), (bench.owner, "resetAsset")):
        assert (await bench.breaker.refusal(caller, name, other.address)).name == "NotListed"
    refusal = await bench.breaker.refusal(bench.guardian, "list", other.address, PARAMS, 1)
    assert refusal.name == "OwnableUnauthorizedAccount"


async def test_an_amount_that_no_balance_holds_is_refused(bench: BreakerBench) -> None:
    for amount in (2**127, 2**255, 2**256 - 1):
        assert "Overflowed" in (await bench.vault.refusal(bench.thief, "withdraw", amount)).name


async def test_a_full_window_is_settled_in_one_affordable_call(bench: BreakerBench) -> None:
    asset = bench.token.address
    await bench.breaker.must(bench.owner, "list", asset, (48 * 60, 60, TRIP_S, 10_000, 0, 0), HELD)
    for tick in range(48):
        await bench.anvil.call("evm_setNextBlockTimestamp", START_S + 100_020 + tick * 60)
        await bench.vault.must(bench.thief, "withdraw", 1)
    await go_to(bench.anvil, 200_000)
    sent = await bench.vault.must(bench.thief, "withdraw", 1)
    assert sent.gas < 500_000
    assert (await bench.breaker.call("reading", asset))[2] == HELD - 48


flows = st.lists(st.tuples(st.integers(1, 2_500), st.integers(-150_000, 120_000).filter(bool)), min_size=1, max_size=25)


@given(flows=flows)
@settings(max_examples=15, deadline=None)
def test_the_window_is_the_nodes_window(flows: list[tuple[int, int]]) -> None:
    trio.run(compare_with_node, flows)


async def compare_with_node(flows: list[tuple[int, int]]) -> None:
    """Feed both the same flows; the breaker refuses exactly what the node's limiter calls too much."""
    params = LimiterParams(WINDOW_S, TICK_S, MAX_BPS, LEAST)
    async with open_anvil("--timestamp", str(START_S)) as anvil:
        owner = anvil.accounts[0]
        breaker = await deploy(anvil, "TocsinBreaker", owner, owner)
        asset = contract_at(anvil, "Token", "0x" + "aa" * 20).address
        await breaker.must(owner, "setProtocol", owner, True)
        await breaker.must(owner, "list", asset, PARAMS, HELD)
        limiter: Limiter = start_limiter(HELD, 0)
        now = START_S + 1_000
        for number, (passed_s, net) in enumerate(flows, 1):
            now += passed_s
            after, reading = add_block(
                limiter, params, number=number, timestamp_s=now, inflow=max(net, 0), outflow=max(-net, 0)
            )
            await anvil.call("evm_setNextBlockTimestamp", now)
            name = "onTokenInflow" if net > 0 else "onTokenOutflow"
            if net < 0 and after.is_tripped:
                refusal = await breaker.refusal(owner, name, asset, -net)
                assert (refusal.name, refusal.values[1:]) == ("OverLimit", (reading.net_outflow, reading.limit))
                continue
            await breaker.must(owner, name, asset, abs(net))
            assert await breaker.call("reading", asset) == (reading.net_outflow, reading.limit, reading.settled)
            limiter = after
