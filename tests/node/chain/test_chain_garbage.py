"""Whatever an endpoint answers, the node goes on: only errors of `chain` come out, and only they are caught."""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from chain_kit import GUARDIAN_KEYS, Bench
from http_server import Call, Reply, serve_http
from test_detect_outflow_watcher import watcher_config
from tocsin_node.chain.abi import TRANSFER_TOPIC
from tocsin_node.chain.client import open_chain
from tocsin_node.chain.errors import ChainError
from tocsin_node.chain.guardian import Fees, Guardian
from tocsin_node.chain.sender import Sender
from tocsin_node.clock import now_ms
from tocsin_node.demo.scenario_chain import Scenario
from tocsin_node.detect.finding import Finding, WatcherStatus
from tocsin_node.detect.outflow_watcher import OutflowWatcher

ROUNDS = 60
_HASH = "0x" + "11" * 32
_LOG = {
    "topics": [_HASH, _HASH, _HASH],
    "data": _HASH,
    "blockNumber": "0x5",
    "blockHash": _HASH,
    "transactionHash": _HASH,
    "logIndex": "0x0",
}
_RECEIPT = {"transactionHash": _HASH, "blockHash": _HASH, "blockNumber": "0x5", "status": "0x1"}
_ATOMS: list[Any] = [None, True, 0, -1, 2**70, "", "0x", "0x0", "0x7a69", "0x" + "f" * 64, _HASH, "no hex", [], {}]


def mutate(rng: random.Random, value: Any) -> Any:
    """Return the value with a part of it replaced, dropped or doubled."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(sorted(value))
        changed = dict(value)
        if rng.random() < 0.2:
            del changed[key]
        else:
            changed[key] = mutate(rng, value[key])
        return changed
    if isinstance(value, list) and value and rng.random() < 0.8:
        return [mutate(rng, item) for item in value] * rng.choice((0, 1, 1, 2))
    return rng.choice(_ATOMS)


def block_of(number: int) -> dict[str, str]:
    return {
        "number": hex(number),
        "hash": f"0x{number:064x}",
        "parentHash": f"0x{number - 1:064x}",
        "timestamp": hex(1_600_000_000 + 12 * number),
        "baseFeePerGas": "0x1",
    }


def answer(rng: random.Random, request: Any, height: int, scenario: Scenario) -> Any:
    """What a chain of that height would answer, or half of the time something like it."""
    asked = request["params"][0] if request["params"] else None
    number = int(asked, 16) if isinstance(asked, str) and asked.startswith("0x") else height
    first = int(asked["fromBlock"], 16) if isinstance(asked, dict) and "fromBlock" in asked else height
    plausible = {
        "eth_getBlockByNumber": block_of(min(number, height)),
        "eth_getLogs": [
            _LOG
            | {
                "address": scenario.token,
                "topics": [TRANSFER_TOPIC, "0x" + scenario.lender[2:].rjust(64, "0"), _HASH],
                "blockNumber": hex(first),
                "blockHash": f"0x{first:064x}",
            }
        ],
        "eth_getTransactionReceipt": _RECEIPT,
        "eth_chainId": "0x7a69",
        "eth_call": _HASH,
        "eth_sendRawTransaction": _HASH,
    }.get(request["method"], "0x5")
    body: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"], "result": plausible}
    if rng.random() < 0.2:
        body["result"] = mutate(rng, plausible)
    if rng.random() < 0.05:
        body["error"] = rng.choice([*_ATOMS, {"code": 3, "message": "execution reverted", "data": "0x08c379a0"}])
    return mutate(rng, body) if rng.random() < 0.05 else body


@pytest.mark.parametrize("seed", range(4))
async def test_garbage_from_both_endpoints_raises_only_chain_errors(bench: Bench, seed: int) -> None:
    rng = random.Random(seed)
    height = 5

    async def handle(call: Call) -> Reply | None:
        requests = json.loads(call.body)
        batch = requests if isinstance(requests, list) else [requests]
        found = [answer(rng, item, height, bench.scenario) for item in batch]
        body = found if isinstance(requests, list) else found[0]
        return Reply(body=json.dumps(mutate(rng, body) if rng.random() < 0.05 else body).encode())

    async def ignore(finding: Finding) -> bool:
        return True

    guardian = Guardian(GUARDIAN_KEYS[1])
    signed = guardian.sign(
        chain_id=31_337, nonce=0, to=bench.scenario.dex, calldata=b"", gas_limit=21_000, fees=Fees(1, 1)
    )
    status = WatcherStatus()
    async with (
        serve_http(handle) as first,
        serve_http(handle) as second,
        open_chain(bench.chain_config(first, second)) as client,
    ):
        sender = Sender(client, guardian)
        watcher = OutflowWatcher(watcher_config(bench), client, ignore, now_ms, status)
        steps: list[Callable[[], Awaitable[object]]] = [
            watcher.poll,
            lambda: sender.prepare(bench.scenario.dex, b""),
            lambda: sender.look([signed]),
            lambda: sender.start_broadcast(signed).wait(),
            lambda: sender.sign_bump(bench.scenario.dex, b"", signed),
            lambda: sender.find_refusal(bench.scenario.dex, b""),
            sender.client.probe_simulation,
            sender.client.check_chain,
        ]
        for _ in range(ROUNDS):
            height = max(0, height + rng.choice((-1, 1, 1, 2)))
            for step in steps:
                with suppress(ChainError):
                    await step()
    assert status.head_number > 0, "the watcher was past its start"
