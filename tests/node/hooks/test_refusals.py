"""Whatever is wrong with a lever has a state and a sentence, in the probe by day and in the action by night."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio
from chain_kit import DEADLINE_S, MemoryJournal, open_proxy
from contract_kit import START_S, deploy, go_to
from hook_kit import ASSET, GUARDIAN_KEY, MAKERS, MARKET, Stage, clock_after, stage_module, stage_pausable, wait_for
from tocsin_node.chain.guardian import Guardian
from tocsin_node.demo.anvil import Anvil
from tocsin_node.hooks.hook import Answer, Check
from tocsin_protocol.containment.action import Action
from tocsin_protocol.containment.life_cycle import Event, State
from tocsin_protocol.ids import account_of

STRANGER_KEY = b"\5" * 32
# Of the others it is the owners who have the role, or not.
CALLS = [name for name in MAKERS if not name.startswith(("safe-owners", "safe-proposal"))]


async def act(stage: Stage, journal: MemoryJournal | None = None) -> Action:
    return await stage.run(journal or MemoryJournal())


async def probe(stage: Stage, *urls: str) -> dict[str, Check]:
    async with stage.open_alone(*urls) as hook:
        return {check.name: check for check in await hook.probe()}


def not_ok(checks: dict[str, Check]) -> dict[str, str]:
    return {name: check.sentence for name, check in checks.items() if check.answer is not Answer.OK}


async def faulty(anvil: Anvil, mode: int) -> Stage:
    """A contract whose pause is broken in one way."""
    pausable = await stage_pausable(anvil, GUARDIAN_KEY, Path())
    contract = await deploy(anvil, "FaultyTarget")
    await contract.must(anvil.accounts[0], "setMode", mode)
    return pausable.changed(target=account_of(anvil.chain, contract.address))


@pytest.mark.parametrize("name", [name for name in CALLS if name != "generic"])
async def test_a_guardian_without_the_role_is_refused_and_the_probe_says_so(
    anvil: Anvil, tmp_path: Path, name: str
) -> None:
    stage = await MAKERS[name](anvil, GUARDIAN_KEY, tmp_path)
    stranger = Stage(stage.anvil, stage.contract, stage.config, stage.event, STRANGER_KEY)
    await anvil.fund(Guardian(STRANGER_KEY).address, 10**20)
    before = await stage.count()
    done = await act(stranger)
    assert done.state is State.REFUSED
    assert done.transactions == ()
    assert await stage.count() == before
    meant = "has granted this guardian nothing" if name.startswith("safe-module") else "does not hold the role"
    assert meant in done.reason
    found = not_ok(await probe(stranger))
    assert any(meant in sentence for sentence in found.values()) or "Refused" in str(found), found


async def test_a_guardian_without_gas_fails_and_the_probe_says_what_to_do(anvil: Anvil) -> None:
    stage = await stage_pausable(anvil, GUARDIAN_KEY, Path())
    await anvil.fund(Guardian(GUARDIAN_KEY).address, 0)
    checks = await probe(stage)
    assert set(not_ok(checks)) == {"gas"}
    assert checks["gas"].sentence.endswith("has 0.000000 ether, at today's fee 0 actions; 4 are wanted: send it ether")
    done = await act(stage)
    assert done.state is State.FAILED
    assert "insufficient funds" in done.reason.lower()
    assert await stage.count() == 0


async def test_a_contract_without_code_is_refused(anvil: Anvil) -> None:
    stage = (await stage_pausable(anvil, GUARDIAN_KEY, Path())).changed(
        target=account_of(anvil.chain, "0x" + "7e" * 20)
    )
    done = await act(stage)
    assert (done.state, done.reason) == (State.REFUSED, f"there is no contract at 0x{'7e' * 20}")
    found = not_ok(await probe(stage))
    assert found["code"] == f"there is no contract at 0x{'7e' * 20}"
    assert "is not what the contract has" in found["effect"]


async def test_a_function_that_the_contract_has_not_reverts_and_the_probe_knew(anvil: Anvil) -> None:
    stage = await stage_pausable(anvil, GUARDIAN_KEY, Path(), preset=None, function="halt()")
    assert "it may not have this function" in not_ok(await probe(stage))["call"]
    done = await act(stage)
    assert done.state is State.REVERTED
    assert "as where a function is missing" in done.reason
    assert await stage.count() == 0


async def test_a_check_that_the_contract_has_not_is_told_by_the_probe_and_does_not_stop_the_pause(anvil: Anvil) -> None:
    stage = await stage_pausable(anvil, GUARDIAN_KEY, Path(), preset=None, check="isHalted()(bool)")
    assert "is not what the contract has" in not_ok(await probe(stage))["effect"]
    done = await act(stage)
    assert done.state is State.EFFECTIVE
    assert await stage.count() == 1


@pytest.mark.parametrize(
    ("mode", "sentence"),
    [(1, "the simulation reverts with the lever is stuck"), (2, "the simulation reverts with 0x"), (4, "panic 0x01")],
)
async def test_a_revert_with_a_reason_is_refused_with_it(anvil: Anvil, mode: int, sentence: str) -> None:
    stage = await faulty(anvil, mode)
    done = await act(stage)
    assert done.state is State.REFUSED
    assert sentence in done.reason
    assert sentence.removeprefix("the simulation ") in not_ok(await probe(stage))["call"]


@pytest.mark.parametrize("mode", [3, 5])
async def test_a_revert_without_a_reason_is_tried_and_told(anvil: Anvil, mode: int) -> None:
    stage = await faulty(anvil, mode)
    done = await act(stage)
    assert done.state is State.REVERTED
    assert done.reason
    assert "call" in not_ok(await probe(stage))


async def test_a_call_that_goes_through_and_does_nothing_is_no_success(anvil: Anvil) -> None:
    done = await act(await faulty(anvil, 6))
    assert done.state is State.REVERTED
    assert done.reason == "the transaction went through and had no effect: the check says no"


@pytest.mark.parametrize("mode", [7, 8])
async def test_an_effect_that_cannot_be_read_is_taken_as_it_is_confirmed(anvil: Anvil, mode: int) -> None:
    stage = await faulty(anvil, mode)
    assert "effect" in not_ok(await probe(stage))
    assert (await act(stage)).state is State.EFFECTIVE


async def test_what_is_lifted_later_was_effective_in_its_block(anvil: Anvil) -> None:
    stage = await stage_pausable(anvil, GUARDIAN_KEY, Path())
    journal = MemoryJournal()
    action = await stage.intend(journal)
    await anvil.call("evm_setAutomine", False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: stage.run(journal, action, confirmations=3))
        await wait_for(lambda: Event.SEND in journal.events)
        sent = "0x" + journal.actions[action.action_id].transactions[0].hash.hex()
        with trio.fail_after(DEADLINE_S):
            while await anvil.call("eth_getTransactionByHash", sent) is None:  # noqa: ASYNC110 - a chain sets no event
                await trio.sleep(0.005)
        await anvil.mine()
        await wait_for(lambda: Event.INCLUDE in journal.events)
        await anvil.call("evm_setAutomine", True)
        await stage.contract.must(anvil.accounts[0], "unpause")
        await anvil.mine(3)
    assert journal.actions[action.action_id].state is State.EFFECTIVE


async def test_a_grant_that_ended_is_refused_and_the_probe_warns_by_its_end(anvil: Anvil) -> None:
    stage = await stage_module("1.5.0", anvil, GUARDIAN_KEY, Path())
    checks = await probe(stage)
    ends_ms = checks["grant"].valid_until_ms
    assert ends_ms is not None
    assert START_S * 1_000 < ends_ms <= (START_S + 2 * 86_400) * 1_000
    await go_to(anvil, 3 * 86_400)
    done = await act(stage)
    assert (done.state, done.reason) == (State.REFUSED, "the guardian's grant has ended")
    assert not_ok(await probe(stage))["grant"] == "the guardian's grant has ended"


async def test_a_budget_that_is_used_up_is_refused_until_the_window_is_over(anvil: Anvil) -> None:
    stage = await stage_module("1.4.1", anvil, GUARDIAN_KEY, Path())
    journal = MemoryJournal()
    for epoch in (1, 2):
        assert (await stage.run(journal, await stage.intend(journal, epoch=epoch))).state is State.EFFECTIVE
        await stage.contract.must(anvil.accounts[0], "unpause")
    spent = await stage.run(journal, await stage.intend(journal, epoch=3))
    assert (spent.state, spent.reason) == (State.REFUSED, "the guardian's budget is used up")
    found = not_ok(await probe(stage))
    assert found["budget"] == "0 calls are left to the guardian"
    await go_to(anvil, 7_200)
    assert (await stage.run(journal, await stage.intend(journal, epoch=4))).state is State.EFFECTIVE


async def test_a_scope_that_is_another_call_is_told_by_the_probe(anvil: Anvil) -> None:
    stage = (await stage_module("1.5.0", anvil, GUARDIAN_KEY, Path())).changed(function="halt()", preset=None)
    assert "not halt()" in not_ok(await probe(stage))["scope"]


async def test_a_right_that_ended_is_refused_and_one_that_holds_has_its_end_in_the_probe(anvil: Anvil) -> None:
    stage = await stage_pausable(anvil, GUARDIAN_KEY, Path())
    over = stage.changed(capability_valid_until=datetime(2026, 1, 31, 12, tzinfo=UTC))
    done = await act(over)
    assert done.state is State.REFUSED
    assert done.reason == "our right to use it ended at 2026-01-31 12:00 UTC (capability_valid_until)"
    assert set(not_ok(await probe(over))) == {"capability"}
    holds = (await probe(stage.changed(capability_valid_until=datetime(2099, 1, 1, tzinfo=UTC))))["capability"]
    assert (holds.answer, holds.valid_until_ms) == (Answer.OK, 4_070_908_800_000)


async def test_an_endpoint_of_another_chain_is_named_and_the_intent_lapses_with_the_reason(anvil: Anvil) -> None:
    stage = await stage_pausable(anvil, GUARDIAN_KEY, Path())
    journal = MemoryJournal()
    async with open_proxy(anvil) as proxy:
        proxy.lie = lambda method, result: "0x1" if method == "eth_chainId" else result
        found = not_ok(await probe(stage, proxy.url))
        assert found["endpoints"].endswith("serves eip155:1, not eip155:31337")
        done = await stage.run(journal, None, proxy.url, clock=clock_after(journal, Event.CHECK))
    assert done.state is State.LAPSED
    assert done.reason.startswith("too old to be sent; no endpoint gives nonce and fees")
    assert await stage.count() == 0


async def test_endpoints_that_are_down_or_on_another_fork_are_told_by_the_probe(anvil: Anvil) -> None:
    stage = await stage_pausable(anvil, GUARDIAN_KEY, Path())
    async with open_proxy(anvil) as proxy:
        proxy.is_down = True
        assert not_ok(await probe(stage, proxy.url, anvil.url))["endpoints"].startswith("1 of 2 endpoints answer")
        proxy.is_down = False

        def forked(method: str, result: object) -> object:
            is_block = method == "eth_getBlockByNumber" and isinstance(result, dict)
            return result | {"hash": "0x" + "77" * 32} if is_block else result  # type: ignore[operator]

        proxy.lie = forked
        assert "on another fork" in not_ok(await probe(stage, proxy.url, anvil.url))["endpoints"]


async def test_one_endpoint_that_calls_it_in_effect_does_not_stop_the_pause(anvil: Anvil) -> None:
    stage = await stage_pausable(anvil, GUARDIAN_KEY, Path())
    async with open_proxy(anvil) as proxy:
        yes = "0x" + "1".rjust(64, "0")
        proxy.lie = lambda method, result: yes if method == "eth_call" else result
        done = await stage.run(MemoryJournal(), None, proxy.url, anvil.url)
    assert done.state is not State.REFUSED
    assert await stage.count() == 1


@pytest.mark.parametrize(
    ("name", "setter", "function", "value"),
    [
        ("supply-cap", "setSupplyCap", "supplyCap", 7),
        ("max-leverage", "setMaxLeverage", "maxLeverage", 7),
        ("interest-rate", "setRate", "rate", 9_001),
    ],
)
async def test_a_limit_that_is_tighter_already_is_not_loosened(
    anvil: Anvil, name: str, setter: str, function: str, value: int
) -> None:
    stage = await MAKERS[name](anvil, GUARDIAN_KEY, Path())
    await stage.contract.must(anvil.accounts[0], setter, bytes.fromhex(MARKET[2:]), value)
    done = await act(stage)
    assert done.state is State.REFUSED
    assert done.reason.startswith("already in effect")
    assert await stage.contract.call(function, bytes.fromhex(MARKET[2:])) == value


async def test_a_breaker_that_is_tripped_already_is_not_tightened(anvil: Anvil) -> None:
    stage = await MAKERS["breaker-tighten"](anvil, GUARDIAN_KEY, Path())
    await stage.contract.must(anvil.accounts[0], "trip", ASSET)
    done = await act(stage)
    assert (done.state, done.reason) == (State.REFUSED, "already in effect: the simulation reverts with NotAbove")
