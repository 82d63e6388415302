"""Safes whose owners sign on their own machines, and Safes for which we only write down what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trio
from chain_kit import FAR_MS, MemoryJournal, open_proxy
from contract_kit import deploy
from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data
from hook_kit import (
    GUARDIAN_KEY,
    HOOKS,
    Stage,
    clock_after,
    make_safe,
    sign_for_safe,
    stage_owners,
    stage_pausable,
    wait_for,
)
from safe_kit import MAINNET, OWNER_KEYS, Safe, address_of_secret, call_data, call_raw, owner_signature, safe_tx_hash
from tocsin_node.chain.guardian import Guardian
from tocsin_node.clock import now_ms
from tocsin_node.demo.anvil import CHAIN_ID, Anvil
from tocsin_node.demo.faults import Fault
from tocsin_node.hooks.hook import Answer
from tocsin_node.hooks.safe_transaction import SafeSignatureError, SafeTransaction
from tocsin_protocol.containment.life_cycle import Event, State
from tocsin_protocol.ids import account_of

VERSIONS = tuple(MAINNET)


async def stage_safe(anvil: Anvil, version: str, folder: Path, kind: str) -> tuple[Stage, Safe]:
    """Two of three owners hold the role together; the guardian is none of them."""
    await anvil.fund(Guardian(GUARDIAN_KEY).address, 10**20)
    safe = await make_safe(anvil, version)
    contract = await deploy(anvil, "PausableTarget", anvil.accounts[0], safe.address)
    config = HOOKS.validate_python(
        {
            "kind": kind,
            "name": "pause-by-safe",
            "target": account_of(anvil.chain, contract.address),
            "preset": "pausable",
            "safe": safe.address,
            "folder": folder,
        }
    )
    return Stage(anvil, contract, config, "Paused(address)"), safe


def read_one(folder: Path, suffix: str) -> Any:
    """The one file that lies there with such an ending."""
    (path,) = [item for item in folder.iterdir() if item.name.endswith(suffix)]
    return json.loads(path.read_text())


@pytest.mark.parametrize("version", VERSIONS)
async def test_two_of_three_owners_sign_on_their_machines_and_it_is_sent_once(
    anvil: Anvil, tmp_path: Path, version: str
) -> None:
    stage, safe = await stage_safe(anvil, version, tmp_path, "safe-owners")
    journal = MemoryJournal()
    action = await stage.intend(journal)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.run, journal, action)
        await wait_for(lambda: len(list(tmp_path.glob("*.json"))) == 3)
        sign_for_safe(tmp_path, OWNER_KEYS[2], "carol")
        sign_for_safe(tmp_path, OWNER_KEYS[2], "carol-again")
        sign_for_safe(tmp_path, OWNER_KEYS[4], "stranger")
        await trio.sleep(0.3)
        assert Event.SIGN not in journal.events, "one owner is not two"
        sign_for_safe(tmp_path, OWNER_KEYS[0], "alice")
    done = journal.actions[action.action_id]
    assert done.state is State.EFFECTIVE
    assert done.payload == stage.contract.data("pause")
    assert await stage.count() == 1
    assert await safe.nonce() == 1


async def test_too_few_signatures_lapse_with_how_many_there_are_and_what_is_wrong_with_the_others(
    anvil: Anvil, tmp_path: Path
) -> None:
    stage, safe = await stage_safe(anvil, "1.5.0", tmp_path, "safe-owners")
    digest = safe_tx_hash(safe.address, stage.contract.address, stage.contract.data("pause"), 0)
    for name, key in (("bob", OWNER_KEYS[1]), ("stranger", OWNER_KEYS[4])):
        document = {"safeTxHash": "0x" + digest.hex(), "signature": "0x" + owner_signature(key, digest).hex()}
        (tmp_path / f"{name}.signature.json").write_text(json.dumps(document))
    journal = MemoryJournal()
    done = await stage.run(journal, clock=clock_after(journal, Event.CHECK))
    assert done.state is State.LAPSED
    assert f"1 of 2 owner signatures in {tmp_path} for the Safe's nonce 0" in done.reason
    assert f"stranger.signature.json: {address_of_secret(OWNER_KEYS[4])} is no owner of the Safe" in done.reason
    assert await stage.count() == 0


async def test_signatures_die_with_the_safes_nonce_and_are_asked_for_anew(anvil: Anvil, tmp_path: Path) -> None:
    stage, safe = await stage_safe(anvil, "1.4.1", tmp_path, "safe-owners")
    journal = MemoryJournal()
    action = await stage.intend(journal)

    def lies_there() -> dict[str, object]:
        (path,) = [item for item in tmp_path.glob("*.json") if item.name.count(".") == 1]
        return dict(json.loads(path.read_text()))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.run, journal, action)
        await wait_for(lambda: len(list(tmp_path.glob("*.json"))) == 3)
        sign_for_safe(tmp_path, OWNER_KEYS[0], "alice")
        await safe.exec(anvil.accounts[5], b"")
        await wait_for(lambda: lies_there()["nonce"] == 1)
        sign_for_safe(tmp_path, OWNER_KEYS[1], "bob")
        await trio.sleep(0.3)
        assert Event.SIGN not in journal.events, "what alice signed was another transaction"
        sign_for_safe(tmp_path, OWNER_KEYS[0], "alice")
    assert journal.actions[action.action_id].state is State.EFFECTIVE
    assert await stage.count() == 1


async def test_owners_who_paused_by_hand_meanwhile_are_not_doubled(anvil: Anvil, tmp_path: Path) -> None:
    stage, safe = await stage_safe(anvil, "1.5.0", tmp_path, "safe-owners")
    journal = MemoryJournal()
    action = await stage.intend(journal)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.run, journal, action)
        await wait_for(lambda: Event.CHECK in journal.events)
        await safe.exec(stage.contract.address, stage.contract.data("pause"))
    done = journal.actions[action.action_id]
    assert (done.state, done.reason) == (State.REFUSED, "already in effect: paused()(bool) says so")
    assert await stage.count() == 1


@pytest.mark.parametrize("event", [Event.SIGN, Event.SEND, Event.INCLUDE])
async def test_a_process_that_dies_goes_on_with_the_same_bytes(anvil: Anvil, tmp_path: Path, event: Event) -> None:
    stage = await stage_owners("1.5.0", anvil, GUARDIAN_KEY, tmp_path)
    journal, scope = MemoryJournal(), trio.CancelScope()
    action = await stage.intend(journal)
    journal.on_record = lambda recorded: scope.cancel() if recorded is event else None
    with scope:
        await stage.run(journal, action)
    journal.on_record = None
    left = journal.actions[action.action_id]
    for path in (tmp_path / "desk").iterdir():
        path.unlink()
    done = await stage.run(journal, left)
    assert done.state is State.EFFECTIVE
    assert [item.raw for item in done.transactions] == [left.transactions[0].raw]
    assert await stage.count() == 1


async def test_a_bump_carries_the_owners_signatures(anvil: Anvil, tmp_path: Path) -> None:
    stage = await stage_owners("1.4.1", anvil, GUARDIAN_KEY, tmp_path)
    journal = MemoryJournal()
    action = await stage.intend(journal)
    await anvil.call("evm_setAutomine", False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: stage.run(journal, action, bump_ms=150))
        await wait_for(lambda: journal.events.count(Event.SIGN) > 1)
        await anvil.call("evm_setAutomine", True)
        await anvil.mine()
    done = journal.actions[action.action_id]
    assert done.state is State.EFFECTIVE
    assert await stage.count() == 1


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_proposal_is_effective_when_the_owners_have_done_it_and_not_before(
    anvil: Anvil, tmp_path: Path, version: str
) -> None:
    stage, safe = await stage_safe(anvil, version, tmp_path, "safe-proposal")
    journal = MemoryJournal()
    action = await stage.intend(journal)
    async with stage.open_alone() as hook:
        assert {check.answer for check in await hook.probe()} == {Answer.OK}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.run, journal, action)
        await wait_for(lambda: len(list(tmp_path.glob("*.json"))) == 3)
        builder = read_one(tmp_path, ".builder.json")
        await wait_for(lambda: Event.SEND in journal.events)
        await trio.sleep(0.2)
        assert journal.actions[action.action_id].state is State.BROADCAST
        (call,) = builder["transactions"]
        assert builder["chainId"] == str(CHAIN_ID)
        await safe.exec(call["to"], bytes.fromhex(call["data"][2:]))
    done = journal.actions[action.action_id]
    assert (done.state, done.reason) == (State.EFFECTIVE, "the Safe's owners did it")
    assert await stage.count() == 1


async def test_a_proposal_that_nobody_takes_up_fails_and_names_its_file(anvil: Anvil, tmp_path: Path) -> None:
    stage, _ = await stage_safe(anvil, "1.5.0", tmp_path, "safe-proposal")
    journal = MemoryJournal()
    done = await stage.run(journal, clock=clock_after(journal, Event.SEND))
    assert done.state is State.FAILED
    path = tmp_path / f"pause-by-safe-{done.action_id.hex()[:16]}.builder.json"
    assert done.reason == f"proposed in {path}, and not done in its time"
    assert read_one(tmp_path, ".builder.json")["meta"]["name"] == "Tocsin: pause-by-safe"


async def test_what_the_owners_did_counts_when_it_is_as_deep_as_a_receipt_must_be(anvil: Anvil, tmp_path: Path) -> None:
    stage, safe = await stage_safe(anvil, "1.5.0", tmp_path, "safe-proposal")
    journal, pause = MemoryJournal(), (stage.contract.address, stage.contract.data("pause"))
    action, before = await stage.intend(journal), await anvil.snapshot()
    async with open_proxy(anvil) as proxy, trio.open_nursery() as nursery:
        nursery.start_soon(lambda: stage.run(journal, action, proxy.url, confirmations=3))
        await wait_for(lambda: Event.SEND in journal.events)
        await safe.exec(*pause)
        seen = proxy.asked.count("eth_call")
        await wait_for(lambda: proxy.asked.count("eth_call") > seen + 8 or Event.CONFIRM in journal.events)
        assert Event.CONFIRM not in journal.events, "one block is not three"
        await anvil.restore(before)
        assert await stage.count() == 0
        await safe.exec(*pause)
        await anvil.mine(2)
    assert journal.actions[action.action_id].state is State.EFFECTIVE
    assert await stage.count() == 1


async def test_what_was_done_until_the_deadline_is_seen_by_the_look_after_it(anvil: Anvil, tmp_path: Path) -> None:
    stage, safe = await stage_safe(anvil, "1.5.0", tmp_path, "safe-proposal")
    journal, readings = MemoryJournal(), 0
    action = await stage.intend(journal)
    await safe.exec(stage.contract.address, stage.contract.data("pause"))
    paused = ("0x" + stage.contract.data("paused").hex(), "latest")
    async with open_proxy(anvil) as proxy:
        proxy.forged[paused] = "0x" + bytes(32).hex()

        def clock() -> int:
            """The owners are done, and the time is over, when it is read for the second time after the proposal."""
            nonlocal readings
            readings += Event.SEND in journal.events
            if readings < 2:
                return now_ms()
            proxy.forged.clear()
            return now_ms() + 2 * FAR_MS

        done = await stage.run(journal, action, proxy.url, clock=clock)
    assert done.state is State.EFFECTIVE


async def test_an_endpoint_of_another_chain_confirms_no_proposal(anvil: Anvil, tmp_path: Path) -> None:
    # A Safe has one address on many chains, and so may what it pauses.
    stage, safe = await stage_safe(anvil, "1.5.0", tmp_path, "safe-proposal")
    journal = MemoryJournal()
    action = await stage.intend(journal)
    await safe.exec(stage.contract.address, stage.contract.data("pause"))
    async with open_proxy(anvil) as proxy:
        proxy.fault = Fault.WRONG_CHAIN
        done = await stage.run(journal, action, proxy.url, clock=clock_after(journal, Event.SEND))
    assert done.state is State.UNKNOWN
    assert journal.events == [Event.SEND, Event.LOSE]


@pytest.mark.parametrize("is_done", [True, False])
async def test_a_proposal_is_unknown_while_no_endpoint_tells_and_then_what_the_chain_says(
    anvil: Anvil, tmp_path: Path, is_done: bool
) -> None:
    stage, safe = await stage_safe(anvil, "1.5.0", tmp_path, "safe-proposal")
    journal = MemoryJournal()
    async with open_proxy(anvil) as proxy:
        action = await stage.intend(journal)
        proxy.is_down = True
        for _ in range(2):
            action = await stage.run(journal, action, proxy.url, clock=clock_after(journal, Event.SEND))
            assert action.state is State.UNKNOWN
            assert action.reason.endswith("whether it was done is not known: paused()(bool) is not answered")
        assert journal.events == [Event.SEND, Event.LOSE]
        proxy.is_down = False
        if is_done:
            await safe.exec(stage.contract.address, call_data("pause()"))
        done = await stage.run(journal, action, proxy.url, clock=clock_after(journal, Event.SEND))
    assert done.state is (State.EFFECTIVE if is_done else State.FAILED)


async def test_a_check_that_the_contract_has_not_is_told_by_the_probe_of_a_proposal(
    anvil: Anvil, tmp_path: Path
) -> None:
    stage, _ = await stage_safe(anvil, "1.5.0", tmp_path, "safe-proposal")
    other = stage.changed(preset=None, check="isHalted()(bool)")
    async with other.open_alone() as hook:
        found = {check.name: check.answer for check in await hook.probe() if check.answer is not Answer.OK}
    assert found == {"effect": Answer.NOT_OK}


async def test_a_safe_that_is_none_is_told_by_the_probe_and_by_night(anvil: Anvil, tmp_path: Path) -> None:
    plain = await stage_pausable(anvil, GUARDIAN_KEY, tmp_path)
    for kind in ("safe-owners", "safe-proposal"):
        stage = plain.changed(kind=kind, safe=plain.contract.address, folder=tmp_path)
        async with stage.open_alone() as hook:
            found = {check.name: check.answer for check in await hook.probe()}
        assert found["safe"] is Answer.NOT_OK
        journal = MemoryJournal()
        done = await stage.run(journal, clock=clock_after(journal, Event.SEND))
        assert done.state is (State.REFUSED if kind == "safe-owners" else State.FAILED)
        assert f"there is no Safe at {plain.contract.address}" in done.reason


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_hash_is_the_safes_own_and_a_wallets(anvil: Anvil, version: str) -> None:
    safe = await make_safe(anvil, version)
    transaction = SafeTransaction(CHAIN_ID, safe.address, "0x" + "ab" * 20, b"\1\2\3\4\5", 7)
    asked = call_data(
        "getTransactionHash(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,uint256)",
        *("0x" + "ab" * 20, 0, b"\1\2\3\4\5", 0, 0, 0, 0, "0x" + "00" * 20, "0x" + "00" * 20, 7),
    )
    assert transaction.hash == await call_raw(anvil, safe.address, asked)
    assert transaction.hash == safe_tx_hash(safe.address, "0x" + "ab" * 20, b"\1\2\3\4\5", 7)
    signed = Account.sign_message(encode_typed_data(full_message=transaction.typed_data()), OWNER_KEYS[0])
    assert transaction.signer_of(bytes(signed.signature)) == address_of_secret(OWNER_KEYS[0])


def test_a_signature_as_a_personal_message_is_taken_and_nonsense_is_named() -> None:
    transaction = SafeTransaction(1, "0x" + "11" * 20, "0x" + "22" * 20, b"", 0)
    signed = bytes(Account.sign_message(encode_defunct(transaction.hash), OWNER_KEYS[1]).signature)
    message = signed[:64] + bytes((signed[64] + 4,))
    assert transaction.signer_of(message) == address_of_secret(OWNER_KEYS[1])
    typed = owner_signature(OWNER_KEYS[1], transaction.hash)
    assert transaction.signer_of(typed) == address_of_secret(OWNER_KEYS[1])
    other = SafeTransaction(1, "0x" + "11" * 20, "0x" + "22" * 20, b"", 1)
    assert other.signer_of(typed) != address_of_secret(OWNER_KEYS[1])
    for bad, why in (
        (typed[:64], "64 bytes where 65"),
        (typed[:64] + b"\1", "v is 1"),
        (b"\xff" * 64 + b"\x1b", "not a signature"),
        (bytes(64) + b"\x1b", "not a signature"),
    ):
        with pytest.raises(SafeSignatureError, match=why):
            transaction.signer_of(bad)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"safeTxHash": 7}', '{"safeTxHash": "HASH", "signature": "0xzz"}'])
async def test_files_that_are_no_signatures_do_not_stop_the_others(anvil: Anvil, tmp_path: Path, text: str) -> None:
    stage, _ = await stage_safe(anvil, "1.5.0", tmp_path, "safe-owners")
    journal = MemoryJournal()
    action = await stage.intend(journal)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.run, journal, action)
        await wait_for(lambda: len(list(tmp_path.glob("*.json"))) == 3)
        sign_for_safe(tmp_path, OWNER_KEYS[0], "alice")
        digest = json.loads((tmp_path / "alice.signature.json").read_text())["safeTxHash"]
        (tmp_path / "aaa.signature.json").write_text(text.replace("HASH", digest))
        sign_for_safe(tmp_path, OWNER_KEYS[1], "bob")
    assert journal.actions[action.action_id].state is State.EFFECTIVE
