"""Reports are carried to a real contract: what is new of each signer, and nothing that it would refuse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from carry_kit import PAYER, SIGNERS, SUBJECT, Oracle, open_oracle
from tocsin_node.chain.client import open_chain
from tocsin_node.demo.anvil import Anvil
from tocsin_node.risk_chain import HeldReport, read_excluded, read_held, read_quorum
from tocsin_node.risk_push import MIN_LEFT_MS, PushError, Reverted, find_stories, show_stories
from tocsin_protocol.ids import account_of
from tocsin_protocol.risk.report import MAX_LIFETIME_MS
from tocsin_protocol.risk.states import RiskState, Standing
from tocsin_protocol.signing import address_of_key, public_key_of


@pytest.fixture
async def oracle(anvil: Anvil, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Oracle:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return await open_oracle(anvil)


async def test_what_is_new_is_pushed_once(oracle: Oracle) -> None:
    old, loud, quiet = oracle.say(0, epoch=1), oracle.say(0, RiskState.CONFIRMED), oracle.say(1)
    chosen = await oracle.choose(old, loud, quiet)
    assert set(chosen) == {loud, quiet}
    await oracle.push(*chosen)
    assert (await oracle.held(0), await oracle.held(2)) == (loud.report.epoch, 0)
    assert await oracle.choose(loud, quiet) == ()
    third = oracle.say(2)
    assert await oracle.choose(loud, quiet, third) == (third,)


async def test_what_the_contract_would_not_count_is_left_out(oracle: Oracle) -> None:
    stranger = replace(oracle.say(0), signer=b"\x01" * 20)
    stale = oracle.say(1, observed=oracle.now_ms - MAX_LIFETIME_MS, expires=oracle.now_ms)
    elsewhere = oracle.say(2, subject=b"\x02" * 32)
    ahead = oracle.say(1, observed=oracle.now_ms + 1, expires=oracle.now_ms + MAX_LIFETIME_MS)
    over = oracle.say(2, expires=oracle.now_ms + MIN_LEFT_MS - 1)
    one, other = oracle.say(0), oracle.say(0, RiskState.CONFIRMED)
    assert await oracle.choose(stranger, stale, elsewhere, ahead, over, one, other) == ()


async def test_a_move_that_the_contract_refuses_is_in_nobodys_way(oracle: Oracle) -> None:
    loud = [oracle.say(place, RiskState.CONFIRMED) for place in (0, 1)]
    await oracle.push(*loud)
    epoch = oracle.now_ms + 1
    back, fading = oracle.say(0, epoch=epoch), oracle.say(0, RiskState.SUSPECTED, epoch=epoch)
    on = oracle.say(1, RiskState.CONTAINED, epoch=epoch)
    assert await oracle.choose(back, on) == await oracle.choose(fading, on) == (on,)


async def test_two_stories_exclude_their_signer_on_chain(oracle: Oracle) -> None:
    one, other, honest = oracle.say(0), oracle.say(0, RiskState.CONFIRMED), oracle.say(1)
    everyone = [address for address, _ in SIGNERS]
    assert find_stories([one, honest, other], everyone) == [(one, other)]
    assert find_stories([one, honest, other], everyone[1:]) == find_stories([one, one, honest], everyone) == []
    async with open_chain(oracle.config) as client:
        assert await read_excluded(client, oracle.account, everyone) == frozenset()
        await show_stories(oracle.config, PAYER, oracle.account, one, other)
        assert await read_excluded(client, oracle.account, everyone) == {one.signer}
        nowhere = account_of(oracle.anvil.chain, "0x" + "77" * 20)
        assert await read_excluded(client, nowhere, everyone) == frozenset()


async def test_a_push_that_would_revert_is_not_sent(oracle: Oracle) -> None:
    await oracle.push(oracle.say(0, RiskState.CONFIRMED))
    back = oracle.say(0, epoch=oracle.now_ms + 1)
    with pytest.raises(Reverted, match="the contract would refuse"):
        await oracle.push(back)
    payer = "0x" + address_of_key(public_key_of(PAYER)).hex()
    assert int(await oracle.anvil.call("eth_getTransactionCount", payer, "latest"), 16) == 1


async def test_a_payer_without_ether_is_told(oracle: Oracle) -> None:
    await oracle.anvil.fund("0x" + address_of_key(public_key_of(PAYER)).hex(), 0)
    with pytest.raises(PushError, match=r"refuse|no endpoint takes"):
        await oracle.push(oracle.say(0))


async def test_where_no_oracle_is_nothing_is_known(oracle: Oracle) -> None:
    nowhere = account_of(oracle.anvil.chain, "0x" + "77" * 20)
    async with open_chain(oracle.config) as client:
        assert await read_quorum(client, nowhere) is None
        assert await read_held(client, nowhere, SUBJECT, [SIGNERS[0][0]]) == [None]


async def test_what_the_contract_holds_is_read(oracle: Oracle) -> None:
    one = oracle.say(0, RiskState.CONFIRMED)
    await oracle.push(one)
    async with open_chain(oracle.config) as client:
        held, none = await read_held(client, oracle.account, SUBJECT, [address for address, _ in SIGNERS[:2]])
    assert held == HeldReport(one.report.epoch, one.report.standing)
    assert none == HeldReport(0, Standing.none())


async def test_what_the_contract_refuses_of_one_holds_up_no_other(oracle: Oracle) -> None:
    """A liar can have his report refused when it comes, though it was right when it was chosen."""
    await oracle.push(oracle.say(0, RiskState.CONFIRMED))
    back, *honest = (oracle.say(place, epoch=oracle.now_ms + 1) for place in range(3))
    sent = await oracle.push(back, *honest)
    assert [one.reports for one in sent] == [(report,) for report in honest]
    assert [await oracle.held(place) for place in range(3)] == [oracle.now_ms, oracle.now_ms + 1, oracle.now_ms + 1]
