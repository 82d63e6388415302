from __future__ import annotations

import json
from typing import Any

import pytest
import trio
from chain_kit import DEADLINE_S, GUARDIAN_KEYS, Bench, open_proxy
from http_server import Call, Reply, serve_http
from tocsin_node.chain import rpc
from tocsin_node.chain.client import open_chain
from tocsin_node.chain.config import ChainConfig
from tocsin_node.chain.errors import ChainConfigError, RpcRefused, RpcUnavailable
from tocsin_node.chain.guardian import Fees, Guardian
from tocsin_node.chain.rpc import MAX_BATCH, MAX_RESPONSE_BYTES, RpcEndpoint, read_data, read_quantity
from tocsin_node.demo.anvil import Anvil


def answering(body: Any, status: int = 200) -> Any:
    async def handle(call: Call) -> Reply | None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return Reply(status, raw)

    return handle


async def ask(handler: Any, *, timeout_ms: int = 30_000) -> None:
    """Ask a server that answers so, and raise what comes of it outside of the server's nursery."""
    failure: Exception | None = None
    async with serve_http(handler) as url:
        endpoint = RpcEndpoint(url, timeout_ms=timeout_ms)
        try:
            await endpoint.call("eth_chainId")
        except (RpcRefused, RpcUnavailable) as exc:
            failure = exc
        finally:
            await endpoint.aclose()
    if failure is not None:
        raise failure


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"", 200, "not JSON"),
        (b"<html>", 200, "not JSON"),
        (b"<html>", 502, "HTTP status 502"),
        (b"", 301, "HTTP status 301"),
        (b"[" * 100_000, 200, "not JSON"),
        ([], 200, "belongs to no request"),
        ({"jsonrpc": "2.0", "id": 99, "result": "0x1"}, 200, "belongs to no request"),
        ({"jsonrpc": "2.0", "id": 1}, 200, "neither result nor error"),
        (b"[" + b"1," * (MAX_RESPONSE_BYTES // 2) + b"1]", 200, "more than"),
    ],
)
async def test_an_answer_that_is_none_is_unavailable(body: Any, status: int, message: str) -> None:
    with pytest.raises(RpcUnavailable, match=message):
        await ask(answering(body, status))


async def test_an_error_is_a_refusal_whatever_the_http_status() -> None:
    error = {"code": -32000, "message": "nonce too low", "data": {"data": "0x1234"}}
    for status in (200, 400, 500):
        with pytest.raises(RpcRefused, match="nonce too low") as caught:
            await ask(answering({"jsonrpc": "2.0", "id": 1, "error": error}, status))
        assert (caught.value.code, caught.value.data) == (-32000, "0x1234")


async def test_a_silent_endpoint_is_left_in_time() -> None:
    async def sleep(call: Call) -> Reply | None:
        await trio.sleep_forever()

    with pytest.raises(RpcUnavailable, match="no answer within"):
        await ask(sleep, timeout_ms=50)


async def test_what_was_asked_and_what_failed_is_counted() -> None:
    async with serve_http(answering(b"<html>", 502)) as url:
        endpoint = RpcEndpoint(url, timeout_ms=30_000)
        for _ in range(2):
            with pytest.raises(RpcUnavailable):
                await endpoint.call("eth_chainId")
        await endpoint.aclose()
    assert (endpoint.tally.exchanges, endpoint.tally.failures) == (2, 2)
    assert endpoint.tally.seconds > 0


async def test_a_refused_connection_is_unavailable() -> None:
    async with serve_http(answering({})) as url:
        pass
    endpoint = RpcEndpoint(url, timeout_ms=30_000)
    with pytest.raises(RpcUnavailable, match="ConnectError"):
        await endpoint.call("eth_chainId")
    await endpoint.aclose()


def test_an_endpoint_is_named_without_its_key() -> None:
    endpoint = RpcEndpoint("https://user:secret@rpc.example/v3/key", timeout_ms=1)
    assert repr(endpoint) == "RpcEndpoint(rpc.example)"


async def test_a_batch_is_answered_in_its_own_order(anvil: Anvil) -> None:
    results = await anvil.rpc.batch([("eth_chainId", ()), ("no_such_method", ()), ("eth_blockNumber", ())])
    assert results[0] == hex(31_337)
    assert isinstance(results[1], RpcRefused)
    assert results[2] == "0x0"


async def test_an_endpoint_that_takes_no_batches_is_asked_one_by_one(anvil: Anvil) -> None:
    upstream = anvil.rpc
    asked = []

    async def handle(call: Call) -> Reply | None:
        request = json.loads(call.body)
        asked.append(request)
        if isinstance(request, list):
            return Reply(body=b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no batches"}}')
        return Reply(body=json.dumps(await upstream._exchange(request)).encode())

    async with serve_http(handle) as url:
        endpoint = RpcEndpoint(url, timeout_ms=30_000)
        for _ in range(2):
            results = await endpoint.batch([("eth_chainId", ()), ("no_such_method", ())])
            assert results[0] == hex(31_337)
            assert isinstance(results[1], RpcRefused)
        await endpoint.aclose()
    assert sum(1 for request in asked if isinstance(request, list)) == 1


async def test_a_batch_has_a_size(anvil: Anvil) -> None:
    for size in (0, MAX_BATCH + 1):
        with pytest.raises(ValueError, match="1 to 64"):
            await anvil.rpc.batch([("eth_chainId", ())] * size)


@pytest.mark.parametrize("value", [None, 1, "", "1", "0x", "0xzz", "0x" + "1" * 65, True, []])
def test_what_is_no_quantity_is_refused(value: Any) -> None:
    with pytest.raises(RpcUnavailable):
        read_quantity(value)


@pytest.mark.parametrize("value", [None, 1, "", "11", "0x1", "0xzz", "0x1111"])
def test_what_is_no_data_of_that_size_is_refused(value: Any) -> None:
    with pytest.raises(RpcUnavailable):
        read_data(value, 1)


async def test_a_wrong_chain_is_named_and_a_silent_endpoint_listed(bench: Bench) -> None:
    async with open_proxy(bench.anvil) as proxy:
        proxy.is_down = True
        async with open_chain(bench.chain_config(proxy.url, bench.anvil.url)) as client:
            assert len(await client.check_chain()) == 1
        wrong = ChainConfig(chain="eip155:1", endpoints=[bench.anvil.url])
        async with open_chain(wrong) as client:
            with pytest.raises(ChainConfigError, match="eip155:31337 where eip155:1 is wanted"):
                await client.check_chain()


async def test_a_broadcast_does_not_wait_for_stragglers(bench: Bench) -> None:
    is_asked, release = trio.Event(), trio.Event()

    async def hang(call: Call) -> Reply | None:
        is_asked.set()
        await release.wait()
        return None

    guardian = Guardian(GUARDIAN_KEYS[1])
    signed = guardian.sign(
        chain_id=31_337, nonce=0, to=bench.scenario.dex, calldata=b"", gas_limit=100_000, fees=Fees(10**11, 10**9)
    )
    with trio.fail_after(DEADLINE_S):
        async with serve_http(hang) as slow, open_chain(bench.chain_config(slow, bench.anvil.url)) as client:
            sending = client.start_broadcast(signed.raw)
            await is_asked.wait()
            assert (await sending.wait()).is_accepted
    assert await bench.count_sent() == 1


BUSY = {"code": -32005, "message": "daily request count exceeded, request rate limited"}


@pytest.mark.parametrize("status", [200, 429])
async def test_a_busy_endpoint_is_asked_in_batches_again(anvil: Anvil, status: int) -> None:
    asked: list[Any] = []

    async def handle(call: Call) -> Reply | None:
        asked.append(json.loads(call.body))
        if len(asked) == 1:
            return Reply(status, json.dumps({"jsonrpc": "2.0", "id": None, "error": BUSY}).encode())
        return Reply(body=json.dumps(await anvil.rpc._exchange(asked[-1])).encode())

    async with serve_http(handle) as url:
        endpoint = RpcEndpoint(url, timeout_ms=30_000)
        with pytest.raises(RpcUnavailable, match="rate limited"):
            await endpoint.batch([("eth_chainId", ())])
        assert await endpoint.batch([("eth_chainId", ())]) == [hex(31_337)]
        await endpoint.aclose()
    assert [isinstance(body, list) for body in asked] == [True, True], "one batch, and another; no single requests"


async def test_an_endpoint_that_took_no_batches_is_given_one_again_later(
    anvil: Anvil, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc, "BATCHES_AGAIN_S", 0.0)
    asked: list[Any] = []

    async def handle(call: Call) -> Reply | None:
        asked.append(json.loads(call.body))
        if len(asked) == 1:
            return Reply(body=b'{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Batches are disabled"}}')
        return Reply(body=json.dumps(await anvil.rpc._exchange(asked[-1])).encode())

    async with serve_http(handle) as url:
        endpoint = RpcEndpoint(url, timeout_ms=30_000)
        for _ in range(2):
            assert await endpoint.batch([("eth_chainId", ())]) == [hex(31_337)]
        await endpoint.aclose()
    assert [isinstance(body, list) for body in asked] == [True, False, True]
