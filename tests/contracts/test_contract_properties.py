"""Whatever anybody calls, in whatever order: nothing opens, no budget is exceeded, and few attesters reach nothing."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import trio
from contract_kit import START_S, Refusal, go_to, send_raw, time_of
from gate_kit import ATTESTER_KEYS, SCOPE, Level, open_gate
from hypothesis import given, settings
from hypothesis import strategies as st
from module_kit import (
    MARKET,
    OTHER_MARKET,
    Ward,
    freeze_scope,
    open_ward,
    pause_scope,
    rate_scope,
    selector,
    supply_cap_scope,
    word,
)
from safe_kit import address_of_secret, call_data
from tocsin_node.demo.anvil import open_anvil

CALLS, WINDOW_S, FLOOR, CEILING = 2, 3_600, 100, 2_000

words = st.one_of(
    st.sampled_from([MARKET, OTHER_MARKET, word(0), word(1)]),
    st.integers(0, 3_000).map(word),
    st.binary(min_size=32, max_size=32),
)
# Who (guardian, other guardian, stranger), what, and with which words or bytes.
acts = st.one_of(
    st.tuples(
        st.just("execute"),
        st.integers(0, 2),
        st.integers(0, 5),
        st.one_of(
            st.just([]),
            st.lists(words, max_size=3),
            st.tuples(st.just(MARKET), st.integers(0, 2_500).map(word)).map(list),
        ),
    ),
    st.tuples(st.just("raw"), st.integers(0, 2), st.integers(0, 4), st.binary(max_size=80)),
    st.tuples(st.just("owners unpause"), st.just(0), st.just(0), st.just(b"")),
    st.tuples(st.just("time"), st.integers(1, 2_000), st.just(0), st.just(b"")),
)


@dataclass
class Seen:
    """What the chain was before an act, and the calls of each guardian's latest window."""

    is_paused: bool = False
    cap: int = 1_000
    rate: int = 300
    is_frozen: bool = False
    windows: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))


@given(story=st.lists(acts, min_size=5, max_size=30))
@settings(max_examples=15, deadline=None)
def test_nothing_opens_and_no_budget_is_exceeded(story: list[tuple[Any, ...]]) -> None:
    trio.run(live_through, story)


async def live_through(story: list[tuple[Any, ...]]) -> None:
    async with open_anvil("--timestamp", str(START_S)) as anvil:
        ward = await open_ward(anvil)
        callers = (ward.guardian, ward.other, ward.stranger)
        for guardian in callers[:2]:
            await ward.grant(guardian, calls=CALLS, window_s=WINDOW_S)
        for scope in (
            pause_scope(ward.pausable),
            freeze_scope(ward.market),
            supply_cap_scope(ward.market, FLOOR),
            rate_scope(ward.market, CEILING),
        ):
            await ward.allow(scope)
        seen = Seen()
        for act in story:
            await live_through_one(ward, callers, act, seen)


async def live_through_one(ward: Ward, callers: tuple[str, ...], act: tuple[Any, ...], seen: Seen) -> None:
    kind, who, what, argument = act
    if kind == "time":
        await go_to(ward.anvil, await time_of(ward.anvil) - START_S + who)
    elif kind == "owners unpause":
        if seen.is_paused:
            await ward.safe.must(ward.pausable, "unpause")
            seen.is_paused = False
    elif kind == "raw":
        await send_garbage(ward, callers[who], what, argument)
    else:
        sent = await ward.module.send(callers[who], "execute", what, argument)
        if "Restricted" in sent.events:
            now = await time_of(ward.anvil)
            assert who != 2, "a stranger did something"
            window = seen.windows[who]
            if not window or now >= window[0] + WINDOW_S:
                window.clear()
            window.append(now)
            assert len(window) <= CALLS
    await look(ward, seen)


async def send_garbage(ward: Ward, caller: str, what: int, tail: bytes) -> None:
    unpause, raise_cap = ward.pausable.data("unpause"), ward.market.data("setSupplyCap", MARKET, 2**255)
    for to, data in (
        (ward.module.address, (selector("execute(uint256,bytes32[])"), unpause, raise_cap, b"", tail[:3])[what] + tail),
        (ward.safe.address, call_data("execTransactionFromModule(address,uint256,bytes,uint8)",
                                      ward.pausable.address, 0, unpause, what % 2)),
        (ward.safe.address, call_data("enableModule(address)", caller)),
        (ward.pausable.address, unpause + tail),
        (ward.market.address, raise_cap + tail),
    ):  # fmt: skip
        sent = await send_raw(ward.anvil, caller, to, data)
        assert "Restricted" not in sent.events


async def look(ward: Ward, seen: Seen) -> None:
    is_paused, is_frozen = await ward.pausable.call("paused"), await ward.market.call("isFrozen", MARKET)
    cap, rate = await ward.market.call("supplyCap", MARKET), await ward.market.call("rate", MARKET)
    assert is_paused >= seen.is_paused
    assert is_frozen >= seen.is_frozen
    assert FLOOR <= cap <= seen.cap
    assert seen.rate <= rate <= CEILING
    assert not await ward.market.call("isFrozen", OTHER_MARKET)
    assert await ward.market.call("supplyCap", OTHER_MARKET) == 1_000
    seen.is_paused, seen.is_frozen, seen.cap, seen.rate = is_paused, is_frozen, cap, rate


signers = st.lists(st.integers(0, 9), max_size=8)
attempts = st.tuples(
    signers, st.booleans(), st.sampled_from([0, 1, 2, 2, 3]), st.integers(0, 2), st.integers(-4_000, 4_000)
)


@given(story=st.lists(attempts, min_size=1, max_size=12))
@settings(max_examples=20, deadline=None)
def test_a_gate_closes_for_enough_attesters_and_for_nobody_else(story: list[tuple[Any, ...]]) -> None:
    trio.run(attest_at_random, story)


async def attest_at_random(story: list[tuple[Any, ...]]) -> None:
    """Of ten keys the first five are attesters; three are enough."""
    async with open_anvil("--timestamp", str(START_S)) as anvil:
        bench = await open_gate(anvil)
        reached = Level.NORMAL
        for who, is_sorted, level, epoch, shift_s in story:
            keys = [ATTESTER_KEYS[n] for n in (sorted(set(who)) if is_sorted else who)]
            made = await bench.new(level, epoch=epoch)
            made = type(made)(SCOPE, epoch, made.incident, level, made.issued + shift_s, made.expires + shift_s)
            addresses = [address_of_secret(key) for key in keys]
            is_good = (
                len(keys) >= 3
                and all(n < 5 for n in who)
                and addresses == sorted(set(addresses))
                and level in (Level.RESTRICTED, Level.HALTED)
                and level > reached
                and epoch == 1
                and -600 <= shift_s <= 0
            )
            if -660 < shift_s < -540 or 0 < shift_s < 120:
                continue  # at the edges the second of the next block decides
            try:
                await bench.attest(made, keys)
            except Refusal:
                assert not is_good
            else:
                assert is_good
                reached = Level(level)
            assert await bench.level() is reached
