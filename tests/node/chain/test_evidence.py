from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from chain_kit import Bench, open_proxy
from evidence_chain_kit import PATIENCE_S, Drained, check, drain, open_checker
from http_server import Call, Reply, serve_http
from tocsin_node.chain import evidence, evidence_reads
from tocsin_node.chain.client import open_chain
from tocsin_node.chain.evidence import EvidenceChecker
from tocsin_node.demo.anvil import open_anvil
from tocsin_node.demo.scenario_chain import run_step
from tocsin_node.detect.finding import Finding
from tocsin_node.relay.findings import signal_of_finding
from tocsin_protocol.evidence.answers import SETTLED_DEPTH, Answer, Checked, Doubt
from tocsin_protocol.evidence.grammar import decode_predicate, encode_predicate
from tocsin_protocol.evidence.predicates import CallResult, CodeHash, Comparison, Predicate, Read, TxIncluded
from tocsin_protocol.evidence.relevance import MAX_CHECKED_CLAIMS, Vantage, qualifying_predicates
from tocsin_protocol.evidence.weighing import Exhibit, weigh_evidence

YES, NO, DUNNO = Answer.CONFIRMED, Answer.CONTRADICTED, Answer.UNKNOWN
DEAD = "http://127.0.0.1:9"


@pytest.fixture
async def drained(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Drained:
    # Nothing here is decided by how long it takes: who answers at all is waited for.
    monkeypatch.setattr(evidence, "EXCHANGE_TIMEOUT_S", PATIENCE_S)
    monkeypatch.setattr(evidence, "GRACE_S", PATIENCE_S)
    return await drain(bench)


def answers(found: list[Checked]) -> set[Answer]:
    return {item.answer for item in found}


def doubts(found: list[Checked]) -> set[Doubt | None]:
    return {item.doubt for item in found}


def said_by(found: list[Checked], at: int) -> set[Doubt | None]:
    """The doubts of one endpoint."""
    return {item.witnesses[at].doubt for item in found}


def test_limits_are_those_of_the_spec() -> None:
    text = (Path(__file__).parents[3] / "specs" / "evidence.md").read_text()
    rows = re.findall(r"^\| (\w+) \| `chain\.(\w+)` \| (\S+) \|", text, re.MULTILINE)
    modules = {"evidence": evidence, "evidence_reads": evidence_reads}
    assert len(rows) == 6
    for name, module, value in rows:
        assert f"{getattr(modules[module], name):g}" == f"{float(value):g}", name


async def test_all_kinds_are_confirmed_by_two_endpoints(drained: Drained) -> None:
    bench = drained.bench
    async with open_proxy(bench.anvil) as proxy:
        found = await check(bench, drained.all, bench.anvil.url, proxy.url)
    assert [item.predicate for item in found] == list(drained.all)
    assert answers(found) == {YES}
    assert {witness.depth for item in found for witness in item.witnesses} == {SETTLED_DEPTH}
    # Two batches, whatever is asked about: who the endpoint is and its blocks, then the reads.
    assert proxy.asked[:4] == ["eth_chainId", "eth_blockNumber", *["eth_getBlockByNumber"] * 2]
    assert len(proxy.asked) == 4 + len(drained.all) + 3  # of two balances and a price, two reads each


async def test_all_kinds_are_contradicted_by_two_endpoints(drained: Drained) -> None:
    bench = drained.bench
    async with open_proxy(bench.anvil) as proxy:
        found = await check(bench, tuple(drained.lies.values()), bench.anvil.url, proxy.url)
    assert {name: item.answer for name, item in zip(drained.lies, found, strict=True)} == dict.fromkeys(
        drained.lies, NO
    )


async def test_a_claim_as_it_is_signed_is_checked(drained: Drained) -> None:
    bench = drained.bench
    signed = [decode_predicate(encode_predicate(item)) for item in drained.all]
    async with open_proxy(bench.anvil) as proxy:
        assert answers(await check(bench, signed, bench.anvil.url, proxy.url)) == {YES}


async def test_what_our_watcher_finds_is_local_evidence_for_others(drained: Drained) -> None:
    bench, scenario = drained.bench, drained.bench.scenario
    lender = scenario.account(scenario.lender)
    finding = Finding(
        key=b"\1" * 32,
        watcher="outflow",
        chain=bench.anvil.chain,
        account=lender,
        asset=scenario.asset,
        block_number=drained.mined.block,
        block_hash=b"\2" * 32,
        block_time_ms=1_678_697_400_000,
        window_s=3_600,
        net_outflow=8_900_000,
        limit=1,
        balance_at_start=200_000_000,
        balance=191_100_000,
        loss_micro_usd=8_900_000,
        at_risk_micro_usd=191_100_000,
        transactions=((drained.mined.block, drained.mined.hash),),
        recipients=(scenario.account(scenario.attacker),),
    )
    signal = signal_of_finding(finding, finding.block_time_ms)
    claims = qualifying_predicates(signal, signal.subjects, Vantage(frozenset(), frozenset((scenario.asset,))))
    assert claims == (drained.claims["transaction"],)
    async with open_proxy(bench.anvil) as proxy:
        found = await check(bench, claims, bench.anvil.url, proxy.url)
    assert weigh_evidence([Exhibit(b"\3" * 32, "alba", tuple(found))]).is_local


async def test_a_reverted_transaction_is_contradicted(drained: Drained) -> None:
    bench = drained.bench
    bite = await run_step(bench.anvil, bench.scenario, bench.scenario.steps[3])
    wasted = await bench.anvil.send(bench.anvil.accounts[5], bench.scenario.lender, b"\xff\xff\xff\xff")
    assert bite.is_success
    assert not wasted.is_success
    await bench.anvil.mine(SETTLED_DEPTH)
    claims = [TxIncluded(bench.anvil.chain, item.block, item.hash) for item in (bite, wasted)]
    async with open_proxy(bench.anvil) as proxy:
        found = await check(bench, claims, bench.anvil.url, proxy.url)
    assert [item.answer for item in found] == [YES, NO]


async def test_near_the_head_truth_is_confirmed_and_no_lie_contradicted(drained: Drained) -> None:
    bench = drained.bench
    mined = await run_step(bench.anvil, bench.scenario, bench.scenario.steps[3])
    truth = TxIncluded(bench.anvil.chain, mined.block, mined.hash)
    lie = replace(truth, transaction="0x" + "77" * 32)
    async with open_proxy(bench.anvil) as proxy, open_checker(bench, bench.anvil.url, proxy.url) as checker:
        found = await checker.check_predicates([truth, lie])
        assert [(item.answer, item.doubt) for item in found] == [(YES, None), (DUNNO, Doubt.NOT_SETTLED)]
        await bench.anvil.mine(SETTLED_DEPTH)
        assert [item.answer for item in await checker.check_predicates([truth, lie])] == [YES, NO]


async def test_a_block_that_is_not_there_yet_is_unknown(drained: Drained) -> None:
    bench = drained.bench
    future = [replace(item, block=10**6) for item in (*drained.all, drained.lies["code"])]
    async with open_proxy(bench.anvil) as proxy:
        found = await check(bench, future, bench.anvil.url, proxy.url)
    assert (answers(found), doubts(found)) == ({DUNNO}, {Doubt.TOO_FEW})
    assert said_by(found, 0) == said_by(found, 1) == {Doubt.NOT_REACHED}


async def test_a_transaction_in_another_block_is_no_lie(drained: Drained) -> None:
    bench = drained.bench
    moved = replace(drained.claims["transaction"], block=drained.mined.block - 1)
    async with open_proxy(bench.anvil) as proxy:
        found = await check(bench, [moved], bench.anvil.url, proxy.url)
    assert (answers(found), said_by(found, 0)) == ({DUNNO}, {Doubt.MOVED})


async def test_one_endpoint_is_not_enough(drained: Drained) -> None:
    bench = drained.bench
    for claims in (drained.claims, drained.lies):
        found = await check(bench, tuple(claims.values()), bench.anvil.url)
        assert (answers(found), doubts(found)) == ({DUNNO}, {Doubt.TOO_FEW})


async def test_a_chain_without_endpoints_is_named(drained: Drained) -> None:
    found = await check(drained.bench, [replace(drained.claims["code"], chain="eip155:1")])
    assert (answers(found), doubts(found)) == ({DUNNO}, {Doubt.NO_ENDPOINTS})


def replying(status: int, body: bytes) -> Callable[[Call], Any]:
    async def handle(call: Call) -> Reply | None:
        return Reply(status, body)

    return handle


def resulting(result: Any) -> Callable[[Call], Any]:
    """A server that gives the same result to everything."""

    async def handle(call: Call) -> Reply | None:
        requests = json.loads(call.body)
        return Reply(body=json.dumps([{"jsonrpc": "2.0", "id": r["id"], "result": result} for r in requests]).encode())

    return handle


async def close(call: Call) -> Reply | None:
    return None


@pytest.mark.parametrize(
    ("handler", "doubt", "note"),
    [
        (close, Doubt.UNAVAILABLE, "RemoteProtocolError"),
        (replying(500, b"<html>"), Doubt.UNAVAILABLE, "HTTP status 500"),
        (replying(200, b"\x00\xff garbage"), Doubt.UNAVAILABLE, "not JSON"),
        (replying(200, b"[]"), Doubt.UNAVAILABLE, "belongs to no request"),
        (resulting(None), Doubt.MALFORMED, "quantity"),
        (resulting([]), Doubt.MALFORMED, "quantity"),
        (resulting("0x1"), Doubt.WRONG_CHAIN, "eip155:1, not eip155:31337"),
        (resulting(hex(31_337)), Doubt.MALFORMED, "object is wanted"),
    ],
)
async def test_an_endpoint_that_is_no_use_is_named_and_takes_nothing_from_two_others(
    drained: Drained, handler: Any, doubt: Doubt, note: str
) -> None:
    bench = drained.bench
    async with serve_http(handler) as bad, open_proxy(bench.anvil) as proxy:
        found = await check(bench, drained.all, bad, bench.anvil.url, proxy.url)
        assert answers(found) == {YES}
        assert said_by(found, 0) == {doubt}
        assert all(note in item.witnesses[0].note for item in found)
        alone = await check(bench, drained.all, bad, bench.anvil.url)
        assert (answers(alone), doubts(alone)) == ({DUNNO}, {Doubt.TOO_FEW})


async def test_an_endpoint_that_is_down_is_named(drained: Drained) -> None:
    found = await check(drained.bench, drained.all, DEAD, drained.bench.anvil.url)
    assert (answers(found), said_by(found, 0)) == ({DUNNO}, {Doubt.UNAVAILABLE})


async def test_nobody_waits_for_a_silent_endpoint(drained: Drained, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = drained.bench
    monkeypatch.setattr(evidence, "GRACE_S", 0)

    async def hang(call: Call) -> Reply | None:
        await trio.sleep_forever()

    async with serve_http(hang) as silent, open_proxy(bench.anvil) as proxy:
        found = await check(bench, drained.all, silent, bench.anvil.url, proxy.url)
        assert answers(found) == {YES}
        assert said_by(found, 0) == {Doubt.NO_TIME}
        late = await check(bench, drained.all, silent, proxy.url, deadline_s=0.05)
        assert (answers(late), said_by(late, 0)) == ({DUNNO}, {Doubt.NO_TIME})
        monkeypatch.setattr(evidence, "EXCHANGE_TIMEOUT_S", 0.05)
        timed_out = await check(bench, drained.all, silent)
        assert (answers(timed_out), said_by(timed_out, 0)) == ({DUNNO}, {Doubt.NO_TIME})


def _empty(method: str, result: Any) -> Any:
    return [] if method == "eth_getLogs" else result


def _without_receipt(method: str, result: Any) -> Any:
    if method == "eth_getTransactionReceipt":
        return None
    return result | {"transactions": []} if method == "eth_getBlockByNumber" else result


def _without_receipt_logs(method: str, result: Any) -> Any:
    return result | {"logs": []} if method == "eth_getTransactionReceipt" else result


def _failed(method: str, result: Any) -> Any:
    return result | {"status": "0x0"} if method == "eth_getTransactionReceipt" else result


def _rich(method: str, result: Any) -> Any:
    return "0x" + "7f" * 32 if method in ("eth_call", "eth_getBalance") else result


def _other_code(method: str, result: Any) -> Any:
    return "0x00" if method == "eth_getCode" else result


@pytest.mark.parametrize(
    ("lie", "kinds"),
    [
        (_empty, {"log"}),
        (_without_receipt, {"transaction"}),
        (_without_receipt_logs, {"transaction"}),
        (_failed, {"transaction"}),
        (_rich, {"call", "balance", "coin", "price"}),
        (_other_code, {"code"}),
    ],
)
async def test_a_lying_endpoint_makes_unknown_and_an_alarm(drained: Drained, lie: Any, kinds: set[str]) -> None:
    bench = drained.bench
    async with open_proxy(bench.anvil) as liar, open_proxy(bench.anvil) as third:
        liar.lie = lie
        for others in ([bench.anvil.url], [bench.anvil.url, third.url]):
            found = dict(zip(drained.claims, await check(bench, drained.all, liar.url, *others), strict=True))
            assert {name for name, item in found.items() if item.is_disagreement} == kinds
            assert {name for name, item in found.items() if item.answer is DUNNO} == kinds
            assert {found[name].doubt for name in kinds} == {Doubt.DISAGREEMENT}


def _strange(method: str, result: Any) -> Any:
    """Answers that do not fit the block, or are of the wrong form."""
    if method == "eth_getTransactionReceipt":
        return result | {"logs": [log | {"blockHash": "0x" + "11" * 32} for log in result["logs"]]}
    return {"eth_getLogs": {}, "eth_call": "0xzz", "eth_getBalance": "many", "eth_getCode": 7}.get(method, result)


def _nothing(method: str, result: Any) -> Any:
    return "0x" if method == "eth_call" else result


async def test_answers_of_the_wrong_form_are_no_witness(drained: Drained) -> None:
    bench = drained.bench
    async with open_proxy(bench.anvil) as strange, open_proxy(bench.anvil) as third:
        strange.lie = _strange
        found = await check(bench, drained.all, strange.url, bench.anvil.url, third.url)
        assert (answers(found), said_by(found, 0)) == ({YES}, {Doubt.MALFORMED})
        strange.lie = _nothing
        found = await check(bench, drained.all, strange.url, bench.anvil.url, third.url)
        assert (answers(found), said_by(found, 0)) == ({YES}, {None, Doubt.NO_VALUE})


async def test_a_receipt_that_its_block_does_not_list_is_no_witness(drained: Drained) -> None:
    bench = drained.bench
    claim = [drained.claims["transaction"]]
    lies: dict[Doubt, Callable[[str, Any], Any]] = {
        Doubt.MALFORMED: lambda m, r: r | {"transactions": []} if m == "eth_getBlockByNumber" else r,
        Doubt.NO_VALUE: lambda m, r: None if m == "eth_getTransactionReceipt" else r,
    }
    async with open_proxy(bench.anvil) as liar:
        for doubt, lie in lies.items():
            liar.lie = lie
            assert said_by(await check(bench, claim, liar.url, bench.anvil.url), 0) == {doubt}


async def test_refused_reads_are_no_witness(drained: Drained) -> None:
    bench = drained.bench
    async with open_proxy(bench.anvil) as pruned:
        pruned.errors = {
            method: {"code": -32000, "message": "missing trie node"}
            for method in ("eth_call", "eth_getBalance", "eth_getCode", "eth_getLogs", "eth_getTransactionReceipt")
        }
        found = await check(bench, drained.all, pruned.url, bench.anvil.url)
    assert (answers(found), said_by(found, 0)) == ({DUNNO}, {Doubt.REFUSED})
    assert all("missing trie node" in item.witnesses[0].note for item in found)


async def test_an_endpoint_on_another_fork_makes_unknown_and_once_settled_an_alarm(drained: Drained) -> None:
    bench = drained.bench
    claims = [drained.claims["code"], drained.lies["code"]]
    async with open_anvil() as fork:
        await fork.mine(drained.mined.block + SETTLED_DEPTH - 1)
        near = await check(bench, claims, bench.anvil.url, fork.url)
        await fork.mine()
        settled = await check(bench, claims, bench.anvil.url, fork.url)
    assert (answers(near), doubts(near)) == ({DUNNO}, {Doubt.FORK})
    assert not any(item.is_disagreement for item in near)
    assert (answers(settled), doubts(settled)) == ({DUNNO}, {Doubt.FORK})
    assert all(item.is_disagreement for item in settled)


async def test_a_reorg_ends_what_was_confirmed(drained: Drained) -> None:
    bench = drained.bench
    snapshot = await bench.anvil.snapshot()
    mined = await run_step(bench.anvil, bench.scenario, bench.scenario.steps[3])
    claim = [TxIncluded(bench.anvil.chain, mined.block, mined.hash)]
    async with open_proxy(bench.anvil) as proxy, open_checker(bench, bench.anvil.url, proxy.url) as checker:
        assert answers(await checker.check_predicates(claim)) == {YES}
        await bench.anvil.restore(snapshot)
        assert said_by(await checker.check_predicates(claim), 0) == {Doubt.NOT_REACHED}
        await bench.anvil.mine()
        assert doubts(await checker.check_predicates(claim)) == {Doubt.NOT_SETTLED}


# A loop without end; a contract that returns the gas it was given; one that returns a million bytes.
ENDLESS, GAS_LEFT, VERBOSE = "0x5b600056", "0x5a60005260206000f3", "0x620f42406000f3"


async def test_a_hostile_contract_costs_its_gas_and_no_more(drained: Drained) -> None:
    bench = drained.bench
    addresses = {code: "0x" + digit * 40 for code, digit in ((ENDLESS, "9"), (GAS_LEFT, "8"), (VERBOSE, "7"))}
    for code, address in addresses.items():
        await bench.anvil.call("anvil_setCode", address, code)
    await bench.anvil.mine()
    head = int(await bench.anvil.call("eth_blockNumber"), 16)

    def claim(address: str, comparison: Comparison, value: int) -> CallResult:
        read = Read(bench.scenario.account(address), bytes(4), 0)
        return CallResult(bench.anvil.chain, head, read, comparison, value)

    calls = [
        claim(addresses[GAS_LEFT], Comparison.AT_MOST, evidence_reads.CALL_GAS),
        claim(addresses[GAS_LEFT], Comparison.AT_LEAST, evidence_reads.CALL_GAS // 2),
        claim(addresses[ENDLESS], Comparison.EQUAL, 0),
        claim(addresses[VERBOSE], Comparison.EQUAL, 0),
        claim(bench.scenario.lender, Comparison.EQUAL, 0),  # reverts: no such function
        claim(bench.scenario.thief, Comparison.EQUAL, 0),  # no contract
    ]
    async with open_proxy(bench.anvil) as proxy:
        found = await check(bench, calls, bench.anvil.url, proxy.url)
    assert [item.answer for item in found] == [YES, YES, DUNNO, DUNNO, DUNNO, DUNNO]
    wanted = [None, None, Doubt.REFUSED, Doubt.NO_VALUE, Doubt.REFUSED, Doubt.NO_VALUE]
    assert [item.witnesses[0].doubt for item in found] == wanted


async def test_an_account_without_code_is_no_upgrade(drained: Drained) -> None:
    bench = drained.bench
    wrong = replace(drained.claims["code"], account=bench.scenario.account(bench.scenario.thief))
    assert isinstance(wrong, CodeHash)
    async with open_proxy(bench.anvil) as proxy:
        assert answers(await check(bench, [wrong], bench.anvil.url, proxy.url)) == {NO}


async def test_an_endpoint_that_takes_no_batches_is_a_witness_all_the_same(drained: Drained) -> None:
    bench = drained.bench

    async def handle(call: Call) -> Reply | None:
        request = json.loads(call.body)
        if isinstance(request, list):
            return Reply(body=b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no batches"}}')
        return Reply(body=json.dumps(await bench.anvil.rpc._exchange(request)).encode())

    async with serve_http(handle) as single:
        assert answers(await check(bench, drained.all, single, bench.anvil.url)) == {YES}


async def test_what_was_agreed_about_a_block_is_not_read_again(drained: Drained) -> None:
    bench = drained.bench
    claims = (*drained.all, *drained.lies.values())
    async with open_proxy(bench.anvil) as proxy, open_checker(bench, bench.anvil.url, proxy.url) as checker:
        first = await checker.check_predicates(claims)
        proxy.asked.clear()
        again = await checker.check_predicates(claims)
    assert [item.answer for item in again] == [item.answer for item in first]
    assert set(proxy.asked) == {"eth_chainId", "eth_blockNumber", "eth_getBlockByNumber"}


async def test_a_disagreement_is_asked_about_again(drained: Drained) -> None:
    bench = drained.bench
    async with open_proxy(bench.anvil) as liar, open_checker(bench, bench.anvil.url, liar.url) as checker:
        liar.lie = _other_code
        assert doubts(await checker.check_predicates([drained.claims["code"]])) == {Doubt.DISAGREEMENT}
        liar.lie = lambda method, result: result
        assert answers(await checker.check_predicates([drained.claims["code"]])) == {YES}


async def test_what_is_remembered_is_bounded(drained: Drained, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = drained.bench
    monkeypatch.setattr(evidence, "MAX_CACHED", 1)
    first, second = drained.claims["code"], drained.claims["log"]
    async with open_proxy(bench.anvil) as proxy, open_checker(bench, bench.anvil.url, proxy.url) as checker:
        await checker.check_predicates([first, second])
        proxy.asked.clear()
        await checker.check_predicates([first, second])
    assert "eth_getCode" in proxy.asked


async def test_an_endpoint_is_not_asked_more_at_once_than_it_may_be(drained: Drained) -> None:
    bench = drained.bench
    busy, most = 0, 0
    full = trio.Event()

    async def handle(call: Call) -> Reply | None:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        if busy == evidence.MAX_EXCHANGES:
            full.set()
        await full.wait()
        busy -= 1
        return Reply(body=b"[]")

    async def ask(checker: EvidenceChecker, predicate: Predicate) -> None:
        await checker.check_predicates([predicate], deadline_s=PATIENCE_S)

    async with serve_http(handle) as url, open_checker(bench, url) as checker, trio.open_nursery() as nursery:
        for at in range(4 * evidence.MAX_EXCHANGES):
            nursery.start_soon(ask, checker, replace(drained.claims["code"], block=at))
    assert most == evidence.MAX_EXCHANGES


async def test_a_claim_given_twice_is_asked_once_and_answered_twice(drained: Drained) -> None:
    bench = drained.bench
    claim = drained.claims["code"]
    async with open_proxy(bench.anvil) as proxy:
        found = await check(bench, [claim, claim], bench.anvil.url, proxy.url)
    assert [item.answer for item in found] == [YES, YES]
    assert proxy.asked.count("eth_getCode") == 1


async def test_nothing_to_check_asks_nobody(drained: Drained) -> None:
    bench = drained.bench
    async with open_proxy(bench.anvil) as proxy:
        assert await check(bench, [], proxy.url) == []
    assert proxy.asked == []


async def test_more_claims_than_a_signal_may_have_checked_are_refused(drained: Drained) -> None:
    async with open_chain(drained.bench.chain_config()) as client:
        checker = EvidenceChecker({client.config.chain: client})
        with pytest.raises(ValueError, match="at most 16"):
            await checker.check_predicates([drained.claims["code"]] * (MAX_CHECKED_CLAIMS + 1))
