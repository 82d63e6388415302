"""A relay sees the transaction first; whatever it does, everybody sees it after a bounded time."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from chain_kit import Bench, open_proxy
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_hash.auto import keccak
from http_server import Call, Reply, serve_http
from pydantic import ValidationError
from tocsin_node.chain.config import ChainConfig, RelayConfig, RelayForm
from tocsin_protocol.containment.life_cycle import State

SEND = "eth_sendRawTransaction"


@dataclass
class Relay:
    """A relay that passes on to anvil, or keeps what it gets, or refuses it."""

    url: str = ""
    calls: list[Call] = field(default_factory=list)
    keeps: bool = False
    status: int = 200

    @property
    def requests(self) -> list[dict[str, Any]]:
        return [json.loads(call.body) for call in self.calls]


@asynccontextmanager
async def open_relay(bench: Bench) -> AsyncIterator[Relay]:
    relay = Relay()

    async def handle(call: Call) -> Reply | None:
        relay.calls.append(call)
        request = json.loads(call.body)
        (param,) = request["params"]
        raw = param["tx"] if isinstance(param, dict) else param
        if relay.status != 200:
            return Reply(relay.status, b"busy")
        if not relay.keeps:
            await bench.anvil.call(SEND, raw)
        answer = {"jsonrpc": "2.0", "id": request["id"], "result": "0x" + "11" * 32}
        return Reply(body=json.dumps(answer).encode())

    async with serve_http(handle) as url:
        relay.url = url
        yield relay


@pytest.mark.parametrize(("form", "method"), [("flashbots", "eth_sendPrivateTransaction"), ("raw", SEND)])
async def test_the_relay_alone_sees_the_transaction(bench: Bench, form: str, method: str) -> None:
    async with open_relay(bench) as relay, open_proxy(bench.anvil) as proxy:
        relays = [RelayConfig(url=relay.url, form=RelayForm(form))]
        done = await bench.run(bench.intend(), proxy.url, private_relays=relays, rebroadcast_ms=60_000)
    assert done.state is State.EFFECTIVE
    assert [request["method"] for request in relay.requests] == [method]
    assert SEND not in proxy.asked


async def test_a_flashbots_relay_knows_us_by_a_signature_that_is_not_the_guardians(bench: Bench) -> None:
    async with open_relay(bench) as relay:
        await bench.run(bench.intend(), private_relays=[RelayConfig(url=relay.url)], rebroadcast_ms=60_000)
    (call,) = relay.calls
    address, _, signature = call.headers["x-flashbots-signature"].partition(":")
    message = encode_defunct(text="0x" + keccak(call.body).hex())
    assert Account.recover_message(message, signature=signature) == address
    assert address.lower() != bench.guardian


async def test_a_relay_that_keeps_the_transaction_is_given_up_in_time(bench: Bench) -> None:
    async with open_relay(bench) as relay, open_proxy(bench.anvil) as proxy:
        relay.keeps = True
        done = await bench.run(
            bench.intend(),
            proxy.url,
            private_relays=[RelayConfig(url=relay.url)],
            private_ms=200,
            rebroadcast_ms=60_000,
        )
    assert done.state is State.EFFECTIVE
    assert proxy.asked.count(SEND) == 1
    assert await bench.count_sent() == 1


async def test_a_relay_that_refuses_is_given_up_at_once(bench: Bench) -> None:
    async with open_relay(bench) as relay:
        relay.status = 503
        done = await bench.run(
            bench.intend(), private_relays=[RelayConfig(url=relay.url)], private_ms=600_000, rebroadcast_ms=60_000
        )
    assert done.state is State.EFFECTIVE
    assert len(relay.calls) == 1


async def test_what_a_crash_left_goes_out_in_public(bench: Bench) -> None:
    action = bench.intend()
    async with open_relay(bench) as relay:
        relay.keeps = True
        relays = [RelayConfig(url=relay.url)]
        unknown = await bench.run(action, private_relays=relays, private_ms=600_000, settle_ms=200)
        assert unknown.state is State.UNKNOWN
        relay.calls.clear()
        done = await bench.run(unknown, private_relays=relays, private_ms=600_000)
    assert done.state is State.EFFECTIVE
    assert relay.calls == []


@pytest.mark.parametrize("changes", [{"url": "ws://relay"}, {"form": "bundle"}, {"colour": "red"}])
def test_a_bad_relay_is_refused_by_its_key(changes: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="private_relays"):
        ChainConfig(
            chain="eip155:1",
            endpoints=["https://a"],
            private_relays=[{"url": "https://relay"} | changes],  # type: ignore[list-item]
        )
