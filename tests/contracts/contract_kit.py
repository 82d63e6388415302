"""Deploys a compiled contract on anvil and calls it by its ABI: values in, values and the names of errors out.

`deploy(anvil, "MarketTarget", owner, admin)` deploys the demo's contracts, the levers and these targets alike:

- `PausableTarget(owner, guardian)`: OpenZeppelin Pausable; `work()` is what users do
- `ManagedTarget(manager)` and `TestAccessManager(admin)`: roles by OpenZeppelin's AccessManager; `pause()`, `setCap`
- `TestTimelock(delay, proposers, executors, admin)`: OpenZeppelin's TimelockController; proposers may cancel
- `OracleTarget(owner, guardian, primary, secondary)`: `switchToFallback()`, `freeze()`; the owner restores
- `MarketTarget(owner, risk admin)`: caps, leverage, rate, freeze and order types of each market, in either direction
- `FaultyTarget()`: `setMode` says how `pause()` goes wrong: with text, error, panic, nothing; or it does nothing
- `ReentrantTarget()`: `setCall` says whom it calls back while it is paused
- `RefusingGuard()`: a Safe's guard that lets nothing pass
- `GatedTarget(gate, scope)`, `ExpiringTarget(owner, guardian)`, `BrokenVault(token, breaker)`: behind our own levers
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import tocsin_node.contracts as levers
from eth_abi import decode, encode
from tocsin_node.chain.errors import RpcRefused
from tocsin_node.contracts import Artifact, read_artifact
from tocsin_node.demo import contracts as demo
from tocsin_node.demo.anvil import Anvil
from tocsin_protocol.signing import keccak256

START_S = 1_800_000_000
"""When these chains begin, so that what depends on time is the same in every run: open_anvil("--timestamp", …)."""
GAS_LIMIT = 15_000_000
ARTIFACTS = Path(__file__).parent / "artifacts"
TARGETS = tuple(sorted(path.stem for path in ARTIFACTS.glob("*.json")))

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sent:
    """A mined transaction and the names of the events in it that one of our ABIs knows."""

    is_success: bool
    gas: int
    events: tuple[str, ...]


class Refusal(AssertionError):
    """A call reverted: the error by its name with its values, or the text of a plain revert."""

    def __init__(self, name: str, values: tuple[Any, ...] = ()) -> None:
        super().__init__(f"{name}{values}")
        self.name = name
        self.values = values


def load(name: str) -> Artifact:
    """Return the artifact of a lever, a target or a contract of the demo."""
    if name in levers.NAMES:
        return levers.load_artifact(name)
    return read_artifact(ARTIFACTS, name) if name in TARGETS else demo.load_artifact(name)


@dataclass(frozen=True, slots=True)
class Contract:
    """A deployed contract."""

    anvil: Anvil
    address: str
    abi: tuple[Json, ...]

    def data(self, name: str, *arguments: Any) -> bytes:
        """Return the calldata of a function by its name."""
        item = self._function(name)
        return selector_of(item) + encode(types_of(item["inputs"]), arguments)

    async def call(self, name: str, *arguments: Any, sender: str | None = None) -> Any:
        """Return what a view says in the latest block; by a sender, what the next block would do. Raises Refusal."""
        data = await call_raw(self.anvil, self.address, self.data(name, *arguments), sender)
        values = decode(types_of(self._function(name)["outputs"]), data)
        return values[0] if len(values) == 1 else values

    async def send(self, sender: str, name: str, *arguments: Any) -> Sent:
        """Send from an unlocked account and return the receipt, whatever its status."""
        return await send_raw(self.anvil, sender, self.address, self.data(name, *arguments))

    async def must(self, sender: str, name: str, *arguments: Any) -> Sent:
        """Send, and raise Refusal with the reason when it reverts."""
        await self.call(name, *arguments, sender=sender)
        sent = await self.send(sender, name, *arguments)
        assert sent.is_success, f"{name} reverted although a simulation did not"
        return sent

    async def refusal(self, sender: str, name: str, *arguments: Any) -> Refusal:
        """Return why a function refuses, having seen it refuse as a transaction too; fails when it does not."""
        try:
            await self.call(name, *arguments, sender=sender)
        except Refusal as refusal:
            assert not (await self.send(sender, name, *arguments)).is_success
            return refusal
        raise AssertionError(f"{name}{arguments} was not refused")

    def _function(self, name: str) -> Json:
        return next(item for item in self.abi if item["type"] == "function" and item["name"] == name)


def contract_at(anvil: Anvil, name: str, address: str) -> Contract:
    """Return a contract that is deployed already."""
    return Contract(anvil, address.lower(), tuple(json.loads(load(name).abi_json)))


async def deploy(anvil: Anvil, name: str, *arguments: Any, sender: str | None = None) -> Contract:
    """Deploy a contract with its constructor's arguments, by the first account unless told; raises Refusal."""
    artifact = load(name)
    abi = json.loads(artifact.abi_json)
    inputs = next((item["inputs"] for item in abi if item["type"] == "constructor"), [])
    code = artifact.bytecode + encode(types_of(inputs), arguments)
    account = sender or anvil.accounts[0]
    await call_raw(anvil, None, code, account)
    mined = await anvil.send(account, None, code)
    assert mined.is_success, f"{name} was not deployed"
    return contract_at(anvil, name, mined.contract)


async def call_raw(anvil: Anvil, to: str | None, data: bytes, sender: str | None = None) -> bytes:
    """Return what a call returns: in the latest block, or, by a sender, in the next one. Raises Refusal."""
    request = {"data": "0x" + data.hex(), "gas": hex(GAS_LIMIT), "from": sender or anvil.accounts[9]}
    if to is not None:
        request["to"] = to
    try:
        answer = await anvil.call("eth_call", request, "pending" if sender else "latest")
    except RpcRefused as exc:
        raise _read_refusal(exc) from None
    return bytes.fromhex(str(answer)[2:])


async def send_raw(anvil: Anvil, sender: str, to: str, data: bytes) -> Sent:
    """Send a transaction and return its receipt, whatever its status."""
    request = {"from": sender, "to": to, "data": "0x" + data.hex(), "gas": hex(GAS_LIMIT)}
    receipt = await anvil.wait_receipt(await anvil.call("eth_sendTransaction", request))
    topics = [log["topics"][0] for log in receipt["logs"] if log["topics"]]
    names = tuple(_events()[topic] for topic in topics if topic in _events())
    return Sent(receipt["status"] == "0x1", int(receipt["gasUsed"], 16), names)


async def go_to(anvil: Anvil, seconds: int) -> None:
    """Mine a block that is so many seconds after the start of the chain."""
    await anvil.call("evm_setNextBlockTimestamp", START_S + seconds)
    await anvil.mine()


async def time_of(anvil: Anvil) -> int:
    """Return the time of the latest block, in seconds."""
    return int((await anvil.call("eth_getBlockByNumber", "latest", False))["timestamp"], 16)


def selector_of(item: Json) -> bytes:
    """The first four bytes of a function's calldata, or of an error's data."""
    return _hash_of(item)[:4]


def types_of(inputs: Sequence[Json]) -> list[str]:
    """The types of an ABI item's values as eth_abi writes them."""
    return [_type_of(item) for item in inputs]


def _type_of(item: Json) -> str:
    kind = str(item["type"])
    return f"({','.join(types_of(item['components']))}){kind[5:]}" if kind.startswith("tuple") else kind


def _items(kind: str) -> Iterator[Json]:
    for name in (*levers.NAMES, *TARGETS, *demo.NAMES):
        yield from (item for item in json.loads(load(name).abi_json) if item["type"] == kind)


@cache
def _events() -> dict[str, str]:
    return {"0x" + _hash_of(item).hex(): str(item["name"]) for item in _items("event")}


@cache
def _errors() -> dict[bytes, Json]:
    plain = {"type": "error", "name": "Error", "inputs": [{"type": "string"}]}
    panic = {"type": "error", "name": "Panic", "inputs": [{"type": "uint256"}]}
    return {selector_of(item): item for item in (plain, panic, *_items("error"))}


def _hash_of(item: Json) -> bytes:
    return keccak256(f"{item['name']}({','.join(types_of(item['inputs']))})".encode())


def _read_refusal(exc: RpcRefused) -> Refusal:
    data = bytes.fromhex((exc.data or "0x")[2:])
    if len(data) < 4:
        return Refusal(exc.message if not data and "revert" not in exc.message else "no reason")
    item = _errors().get(data[:4])
    if item is None:
        return Refusal("0x" + data.hex())
    values = decode(types_of(item["inputs"]), data[4:])
    return Refusal(str(values[0])) if item["name"] == "Error" else Refusal(item["name"], values)
