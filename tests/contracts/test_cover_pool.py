"""The reference pool: closed and reopened by the oracle alone. Docstrings name the rule."""

from __future__ import annotations

from contextlib import suppress

import pytest
from contract_kit import START_S, Refusal, go_to
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle_kit import ETHER, OracleBench, arguments_of, later, open_oracle, pay
from tocsin_node.demo.anvil import Anvil
from tocsin_protocol.risk.states import RiskState


@pytest.fixture
async def bench(anvil: Anvil) -> OracleBench:
    return await open_oracle(anvil)


async def test_it_closes_on_a_confirmed_incident_and_reopens_by_the_report(bench: OracleBench) -> None:
    """[POOL] Nothing is quoted while the state is unknown, confirmed, contained or recovering."""
    assert not await bench.pool.call("isOpen")
    with pytest.raises(Refusal, match="Closed"):
        await bench.pool.call("quote", ETHER, 30)
    said = await bench.report()
    await bench.all_say(said, said)
    assert await bench.pool.call("isOpen")
    assert await bench.pool.call("quote", ETHER, 365) == ETHER * 200 // 10_000
    for state, is_open in (
        (RiskState.SUSPECTED, True),
        (RiskState.CONFIRMED, False),
        (RiskState.CONTAINED, False),
        (RiskState.RECOVERING, False),
        (RiskState.RESOLVED, True),
    ):
        said = await bench.report(state=state, epoch=later(said).epoch)
        await bench.all_say(said, said)
        assert await bench.pool.call("isOpen") is is_open, state
        if not is_open:
            assert (await bench.pool.refusal(bench.stranger, "buy", ETHER, 30)).values == (state,)
    await go_to(bench.anvil, said.expires // 1_000 - START_S)
    with pytest.raises(Refusal, match="Closed"):
        await bench.pool.call("quote", ETHER, 30)


async def test_no_more_is_covered_than_the_oracle_leaves_open(bench: OracleBench) -> None:
    """
    [POOL] No more is covered than the share of the pool that the oracle leaves open.
    [POOL] Capital that policies in force could cost stays.
    [POOL] A policy in force ends by time alone, whatever the oracle says.
    """
    said = await bench.report(capacity_bps=5_000)
    await bench.all_say(said, said)
    for cover in (0, 50 * ETHER + 1):
        with pytest.raises(Refusal, match="NoCapacity"):
            await bench.pool.call("quote", cover, 30)
    for days in (0, 366):
        with pytest.raises(Refusal, match="BadTerm"):
            await bench.pool.call("quote", ETHER, days)
    premium = await bench.pool.call("quote", 40 * ETHER, 30)
    buying = bench.pool.data("buy", 40 * ETHER, 30)
    assert not await pay(bench.anvil, bench.stranger, bench.pool.address, premium - 1, buying)
    assert await pay(bench.anvil, bench.stranger, bench.pool.address, premium + ETHER, buying)
    assert await bench.pool.call("covered") == 40 * ETHER
    held = int(await bench.anvil.call("eth_getBalance", bench.pool.address, "latest"), 16)
    assert held == 100 * ETHER + premium
    with pytest.raises(Refusal, match="NoCapacity"):
        await bench.pool.call("quote", 11 * ETHER, 30)
    assert (await bench.pool.refusal(bench.owner, "withdraw", 61 * ETHER)).name == "StillCovered"
    assert (await bench.pool.refusal(bench.stranger, "withdraw", 1)).name == "OwnableUnauthorizedAccount"
    assert (await bench.pool.refusal(bench.stranger, "end", 0)).name == "NotOver"
    ends = (await bench.pool.call("policyOf", 0))[2]
    await go_to(bench.anvil, ends - START_S)
    await bench.pool.must(bench.stranger, "end", 0)
    assert (await bench.pool.refusal(bench.stranger, "end", 0)).name == "NotOver"
    await bench.pool.must(bench.owner, "withdraw", 100 * ETHER)


async def test_the_premium_follows_the_multiplier(bench: OracleBench) -> None:
    """[POOL] The premium is the rate times the oracle's multiplier, rounded up, and never more than the cover."""
    said = await bench.report(multiplier_bps=25_000)
    await bench.all_say(said, said)
    assert await bench.pool.call("quote", ETHER, 365) == ETHER * 200 // 10_000 * 5 // 2
    assert await bench.pool.call("quote", 1, 1) == 1
    said = later(said, multiplier_bps=10**9)
    await bench.all_say(said, said)
    assert await bench.pool.call("quote", ETHER, 365) == ETHER


async def test_who_buys_may_bring_the_reports(bench: OracleBench) -> None:
    said = await bench.report()
    signed = [bench.say(key, said) for key in bench.keys[:2]]
    data = bench.pool.data("buyWith", ETHER, 30, *arguments_of(signed))
    assert await pay(bench.anvil, bench.stranger, bench.pool.address, ETHER, data)
    assert await bench.pool.call("covered") == ETHER
    # Somebody else was first to bring them: they still do.
    assert await pay(bench.anvil, bench.stranger, bench.pool.address, ETHER, data)


async def test_whatever_one_of_three_says_he_neither_opens_nor_closes(bench: OracleBench) -> None:
    drawn: list[tuple[RiskState, int, int, int]] = []

    @settings(max_examples=20, database=None, derandomize=True)
    @given(
        st.sampled_from([state for state in RiskState if state is not RiskState.UNKNOWN]),
        st.integers(0, 10_000),
        st.integers(10_000, 10**9),
        st.integers(0, 10**6),
    )
    def draw(state: RiskState, capacity: int, multiplier: int, posterior: int) -> None:
        drawn.append((state, capacity, multiplier, posterior))

    draw()
    liar = bench.keys[2]
    truths = ((RiskState.SUSPECTED, True), (RiskState.CONFIRMED, False), (RiskState.RESOLVED, True))
    for turn, (truth, is_open) in enumerate(truths, start=1):
        said = await bench.report(state=truth, epoch=1_000 * turn)
        await bench.all_say(said, said)
        for place, (state, capacity, multiplier, posterior) in enumerate(drawn):
            lie = await bench.report(
                state=state,
                capacity_bps=0 if state >= RiskState.RECOVERING else capacity,
                multiplier_bps=multiplier,
                posterior_ppm=posterior,
                epoch=said.epoch + place,
            )
            with suppress(Refusal):
                await bench.submit(bench.say(liar, lie))
            assert await bench.pool.call("isOpen") is is_open
            status = await bench.status()
            assert status[0] == truth
            assert status[2] == said.multiplier_bps
            if is_open:
                assert status[3] == said.capacity_bps
