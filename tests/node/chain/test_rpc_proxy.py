"""Each fault is really there: a matrix of faults that do nothing would be green."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from chain_kit import Bench
from tocsin_node.chain.errors import RpcRefused, RpcUnavailable
from tocsin_node.chain.preflight import PROBE, read_trial
from tocsin_node.chain.rpc import RpcEndpoint
from tocsin_node.demo.faults import FAULTS, SLOW_SECONDS, Fault
from tocsin_node.demo.rpc_proxy import open_rpc_proxy

HASH = "0x" + "12" * 32


async def ask(bench: Bench, fault: Fault | None, method: str, *params: Any, timeout_ms: int = 30_000) -> Any:
    """What an endpoint with the fault answers; what it raises is returned as well."""
    async with open_rpc_proxy(bench.anvil.url) as proxy:
        proxy.fault = fault
        endpoint = RpcEndpoint(proxy.url, timeout_ms=timeout_ms)
        try:
            return await endpoint.call(method, *params)
        except (RpcRefused, RpcUnavailable) as exc:
            return exc
        finally:
            await endpoint.aclose()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault.DOWN, "RemoteProtocolError"),
        (Fault.STATUS_500, "HTTP status 500"),
        (Fault.GARBAGE, "not JSON"),
        (Fault.TRUNCATED, "RemoteProtocolError"),
        (Fault.WRONG_ID, "belongs to no request"),
    ],
)
async def test_an_endpoint_that_is_ill_gives_no_answer(bench: Bench, fault: Fault, message: str) -> None:
    found = await ask(bench, fault, "eth_chainId")
    assert isinstance(found, RpcUnavailable)
    assert message in str(found)


async def test_one_that_hangs_is_left(bench: Bench) -> None:
    assert "no answer within" in str(await ask(bench, Fault.HANG, "eth_chainId", timeout_ms=50))


async def test_one_that_is_slow_is_right(bench: Bench) -> None:
    began = trio.current_time()
    assert await ask(bench, Fault.SLOW, "eth_chainId") == hex(31_337)
    assert trio.current_time() - began >= SLOW_SECONDS


@pytest.mark.parametrize(
    ("fault", "method", "params", "said"),
    [
        (Fault.WRONG_CHAIN, "eth_chainId", (), "0x1"),
        (Fault.WRONG_NONCE, "eth_getTransactionCount", ("0x" + "ab" * 20, "latest"), "0x63"),
        (Fault.WRONG_FEE, "eth_maxPriorityFeePerGas", (), hex(10**30)),
    ],
)
async def test_a_lie_takes_the_place_of_the_truth(
    bench: Bench, fault: Fault, method: str, params: tuple[str, ...], said: str
) -> None:
    assert await ask(bench, fault, method, *params) == said
    assert await ask(bench, None, method, *params) != said


async def test_a_wrong_fee_is_in_the_block_too(bench: Bench) -> None:
    block = await ask(bench, Fault.WRONG_FEE, "eth_getBlockByNumber", "latest", False)
    assert block["baseFeePerGas"] == hex(10**30)


async def test_a_receipt_is_invented_for_whatever_is_asked(bench: Bench) -> None:
    assert await ask(bench, None, "eth_getTransactionReceipt", HASH) is None
    receipt = await ask(bench, Fault.INVENTED_RECEIPT, "eth_getTransactionReceipt", HASH)
    assert (receipt["transactionHash"], receipt["status"]) == (HASH, "0x1")


async def test_a_revert_is_invented_for_both_ways_to_simulate(bench: Bench) -> None:
    call = {"to": bench.scenario.dex, "data": "0x5c975abb"}  # paused()
    refusal = await ask(bench, Fault.INVENTED_REVERT, "eth_call", call, "latest")
    simulated = await ask(bench, Fault.INVENTED_REVERT, PROBE[0], *PROBE[1])
    for outcome in (refusal, simulated):
        objection = read_trial(("0x60", outcome), bench.scenario.dex).objection
        assert objection is not None
        assert objection.revert == "0xd93c0665", "EnforcedPause()"


@pytest.mark.parametrize("fault", [Fault.ACCEPT_AND_DROP, Fault.INVENTED_RECEIPT])
async def test_what_is_kept_never_reaches_the_chain(bench: Bench, fault: Fault) -> None:
    assert isinstance(await ask(bench, None, "eth_sendRawTransaction", "0x00"), RpcRefused)
    assert str(await ask(bench, fault, "eth_sendRawTransaction", "0x00")).startswith("0x")


def test_every_fault_has_a_sentence() -> None:
    assert list(FAULTS) == list(Fault)
    assert all(sentence.endswith(".") for sentence in FAULTS.values())
