"""Every lever on a real chain: deploys what it acts on, opens the hook, counts its effects by the contract's events.

For a matrix of another test, each of MAKERS is one line:

    stage = await MAKERS["safe-module 1.5.0"](anvil, guardian_key, folder)
    hook = stage.open(sender)            # as the node opens it
    await stage.people()                 # what people do meanwhile, beside the run of the hook
    await stage.count()                  # effects on chain
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import trio
from chain_kit import DEADLINE_S, FAR_MS, OCCASION, MemoryJournal
from contract_kit import Contract, deploy, time_of
from pydantic import TypeAdapter
from safe_kit import OWNER_KEYS, Safe, create_safe, enable_guardian_module, owner_signature, place_safe_contracts
from tocsin_node.chain.client import open_chain
from tocsin_node.chain.config import ChainConfig
from tocsin_node.chain.guardian import Guardian
from tocsin_node.chain.sender import Sender
from tocsin_node.clock import now_ms
from tocsin_node.demo.anvil import Anvil
from tocsin_node.hooks.build import open_contract_hook
from tocsin_node.hooks.config import FROM_PRESET, HookConfig
from tocsin_node.hooks.hook import Hook, Occasion
from tocsin_protocol.containment.action import Action, new_action
from tocsin_protocol.containment.life_cycle import Event
from tocsin_protocol.ids import account_of
from tocsin_protocol.signing import keccak256, sign_digest

GUARDIAN_KEY = hashlib.sha256(b"guardian of the hooks").digest()
MARKET = "0x" + "0a" * 32
ASSET = "0x" + "bb" * 20
HOOKS: TypeAdapter[HookConfig] = TypeAdapter(HookConfig)
_BREAKER_PARAMS = (3_600, 300, 3_600, 2_000, 500, 0)


async def nobody() -> None:
    """Do nothing, as people do where the guardian acts alone."""


@dataclass(frozen=True)
class Stage:
    """A contract that is ready to be contained, and the configured hook that contains it.

    `people` does what the hook leaves to people, at their own machines, which have no fault.
    """

    anvil: Anvil
    contract: Contract
    config: HookConfig
    event: str
    key: bytes = GUARDIAN_KEY
    people: Callable[[], Awaitable[None]] = nobody

    def open(self, sender: Sender, clock: Callable[[], int] = now_ms) -> Hook:
        """Open the hook as the node does."""
        return open_contract_hook(self.config, sender, partial(sign_digest, self.key), clock)

    async def count(self) -> int:
        """How often the effect came about, by the contract's own events."""
        topic = "0x" + keccak256(self.event.encode()).hex()
        query = {"address": self.contract.address, "fromBlock": "0x0", "topics": [topic]}
        return len(await self.anvil.call("eth_getLogs", query))

    def changed(self, **settings: Any) -> Stage:
        """The same with other settings."""
        data = self.config.model_dump(exclude_unset=True)
        if data.get("preset") is not None and "preset" not in settings:
            data = {key: value for key, value in data.items() if key not in FROM_PRESET}
            if data["preset"] == "expiring-pause" or data["ends_after_minutes"] is None:
                del data["ends_after_minutes"]
        return replace(self, config=HOOKS.validate_python(data | settings))

    def chain_config(self, *urls: str, **settings: Any) -> ChainConfig:
        patience = {
            "settle_ms": 50_000,
            "poll_max_ms": 50,
            "rebroadcast_ms": 100,
            "bump_ms": 600_000,
            "request_timeout_ms": 30_000,
            "grace_ms": 5_000,
            "gas_limit": 400_000,
        }
        return ChainConfig(chain=self.anvil.chain, endpoints=list(urls or [self.anvil.url]), **(patience | settings))

    @asynccontextmanager
    async def open_alone(self, *urls: str, clock: Callable[[], int] = now_ms, **settings: Any) -> AsyncIterator[Hook]:
        """One process's worth of hook."""
        async with open_chain(self.chain_config(*urls, **settings)) as client:
            yield self.open(Sender(client, Guardian(self.key)), clock)

    async def intend(
        self, journal: MemoryJournal, *, epoch: int = 1, for_ms: int = FAR_MS, occasion: Occasion = OCCASION
    ) -> Action:
        """Make an intent durable, or return what has become of the one that is."""
        async with self.open_alone() as hook:
            payload = hook.payload(occasion)
        now = now_ms()
        return journal.add(
            new_action(
                ledger=bytes(16),
                hook=self.config.name,
                target=self.config.target,
                arm_epoch=epoch,
                incident_id=occasion.incident_id,
                decision_id=occasion.decision_id,
                payload=payload,
                created_ms=now,
                deadline_ms=now + for_ms,
            )
        )

    async def run(self, journal: MemoryJournal, action: Action | None = None, *urls: str, **settings: Any) -> Action:
        """Run an action to its end."""
        with trio.fail_after(DEADLINE_S):
            async with self.open_alone(*urls, **settings) as hook, trio.open_nursery() as nursery:
                nursery.start_soon(self.people)
                done = await hook.run(action or await self.intend(journal), journal)
                nursery.cancel_scope.cancel()
                return done


def clock_after(journal: MemoryJournal, event: Event) -> Callable[[], int]:
    """A clock that stands past every deadline as soon as an event is durable."""
    return lambda: now_ms() + (2 * FAR_MS if event in journal.events else 0)


async def wait_for(condition: Callable[[], bool]) -> None:
    """Wait for what happens on a chain or in a file, which set no event."""
    with trio.fail_after(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - see above
            await trio.sleep(0.005)


Maker = Callable[[Anvil, bytes, Path], Awaitable[Stage]]


def _config(contract: Contract, **settings: Any) -> HookConfig:
    target = account_of(contract.anvil.chain, contract.address)
    return HOOKS.validate_python({"kind": "evm", "name": "the-lever", "target": target} | settings)


async def _fund(anvil: Anvil, key: bytes) -> str:
    address = Guardian(key).address
    await anvil.fund(address, 10**20)
    return address


async def stage_pausable(anvil: Anvil, key: bytes, folder: Path, **settings: Any) -> Stage:
    contract = await deploy(anvil, "PausableTarget", anvil.accounts[0], await _fund(anvil, key))
    return Stage(anvil, contract, _config(contract, **({"preset": "pausable"} | settings)), "Paused(address)", key)


async def stage_generic(anvil: Anvil, key: bytes, folder: Path) -> Stage:
    """A call spelt out, with an argument that the incident names and one that is the time."""
    contract = await deploy(anvil, "MarketTarget", anvil.accounts[0], await _fund(anvil, key))
    config = _config(
        contract,
        function="setRate(bytes32,uint256)",
        arguments=["{incident}", "{now+3600}"],
        check="",
    )
    return Stage(anvil, contract, config, "MarketChanged(bytes32)", key)


async def stage_access_manager(anvil: Anvil, key: bytes, folder: Path) -> Stage:
    guardian, owner = await _fund(anvil, key), anvil.accounts[0]
    manager = await deploy(anvil, "TestAccessManager", owner)
    managed = await deploy(anvil, "ManagedTarget", manager.address)
    await manager.must(owner, "grantRole", 0, guardian, 0)
    config = _config(manager, preset="access-manager", parameters={"contract": managed.address})
    return Stage(anvil, manager, config, "TargetClosed(address,bool)", key)


async def stage_timelock(anvil: Anvil, key: bytes, folder: Path) -> Stage:
    guardian, owner = await _fund(anvil, key), anvil.accounts[0]
    timelock = await deploy(anvil, "TestTimelock", 3_600, [owner], [owner], owner)
    await timelock.must(owner, "grantRole", await timelock.call("CANCELLER_ROLE"), guardian)
    await timelock.must(owner, "schedule", owner, 0, b"", bytes(32), bytes(32), 3_600)
    operation = await timelock.call("hashOperation", owner, 0, b"", bytes(32), bytes(32))
    config = _config(timelock, preset="timelock-cancel", parameters={"operation": "0x" + operation.hex()})
    return Stage(anvil, timelock, config, "Cancelled(bytes32)", key)


async def stage_expiring(preset: str, anvil: Anvil, key: bytes, folder: Path) -> Stage:
    contract = await deploy(anvil, "ExpiringTarget", anvil.accounts[0], await _fund(anvil, key))
    parameters = {"seconds": 3_600} if preset == "expiring-pause" else {}
    config = _config(contract, preset=preset, parameters=parameters)
    return Stage(anvil, contract, config, "LevelRaised(uint8,uint64,address)", key)


async def stage_breaker(preset: str, anvil: Anvil, key: bytes, folder: Path) -> Stage:
    breaker = await deploy(anvil, "TocsinBreaker", anvil.accounts[0], await _fund(anvil, key))
    await breaker.must(anvil.accounts[0], "list", ASSET, _BREAKER_PARAMS, 10**9)
    ends = {"ends_after_minutes": 60} if preset == "breaker-trip" else {}
    config = _config(breaker, preset=preset, parameters={"asset": ASSET}, **ends)
    return Stage(anvil, breaker, config, "AssetLevelRaised(address,uint8,uint64,address)", key)


async def stage_oracle(preset: str, event: str, anvil: Anvil, key: bytes, folder: Path) -> Stage:
    contract = await deploy(anvil, "OracleTarget", anvil.accounts[0], await _fund(anvil, key), 100, 99)
    return Stage(anvil, contract, _config(contract, preset=preset), event, key)


async def stage_market(preset: str, extra: dict[str, int], anvil: Anvil, key: bytes, folder: Path) -> Stage:
    contract = await deploy(anvil, "MarketTarget", anvil.accounts[0], await _fund(anvil, key))
    await contract.must(anvil.accounts[0], "setMaxLeverage", bytes.fromhex(MARKET[2:]), 100_000)
    config = _config(contract, preset=preset, parameters={"market": MARKET} | extra)
    return Stage(anvil, contract, config, "MarketChanged(bytes32)", key)


async def make_safe(anvil: Anvil, version: str, *keys: bytes, threshold: int = 2) -> Safe:
    return await create_safe(anvil, await place_safe_contracts(anvil, version), keys or OWNER_KEYS[:3], threshold)


async def stage_module(version: str, anvil: Anvil, key: bytes, folder: Path) -> Stage:
    """A Safe holds the role; its module lets the guardian have it paused."""
    guardian, safe = await _fund(anvil, key), await make_safe(anvil, version)
    contract = await deploy(anvil, "PausableTarget", anvil.accounts[0], safe.address)
    module = await enable_guardian_module(safe)
    await safe.must(module, "grant", guardian, await time_of(anvil) + 86_400, 3_600, 2)
    pause, paused = contract.data("pause"), contract.data("paused")
    reading = (contract.address, paused, 0, 0)
    await safe.must(module, "allow", (contract.address, pause, 0, 0, 0, reading, 1, []))
    settings = {"safe": safe.address, "module": module.address, "scope": 1}
    config = _config(contract, kind="safe-module", preset="pausable", **settings)
    return Stage(anvil, contract, config, "Paused(address)", key)


async def stage_owners(version: str, anvil: Anvil, key: bytes, folder: Path) -> Stage:
    """A Safe of one owner, our own key, holds the role."""
    await _fund(anvil, key)
    safe = await make_safe(anvil, version, key, threshold=1)
    contract = await deploy(anvil, "PausableTarget", anvil.accounts[0], safe.address)
    settings = {"safe": safe.address, "folder": folder / "desk"}
    config = _config(contract, kind="safe-owners", preset="pausable", **settings)
    return Stage(anvil, contract, config, "Paused(address)", key)


async def stage_proposal(version: str, anvil: Anvil, key: bytes, folder: Path) -> Stage:
    """A Safe of other people holds the role; they send what is written down for them."""
    desk, safe = folder / "desk", await make_safe(anvil, version)
    contract = await deploy(anvil, "PausableTarget", anvil.accounts[0], safe.address)
    config = _config(contract, kind="safe-proposal", preset="pausable", safe=safe.address, folder=desk)

    async def people() -> None:
        await wait_for(lambda: any(desk.glob("*.builder.json")))
        (path,) = desk.glob("*.builder.json")
        (call,) = json.loads(path.read_text())["transactions"]
        await safe.exec(call["to"], bytes.fromhex(call["data"][2:]))

    return Stage(anvil, contract, config, "Paused(address)", key, people)


MAKERS: dict[str, Maker] = {
    "pausable": stage_pausable,
    "generic": stage_generic,
    "access-manager": stage_access_manager,
    "timelock-cancel": stage_timelock,
    "expiring-pause": partial(stage_expiring, "expiring-pause"),
    "restrict": partial(stage_expiring, "restrict"),
    "breaker-trip": partial(stage_breaker, "breaker-trip"),
    "breaker-tighten": partial(stage_breaker, "breaker-tighten"),
    "oracle-fallback": partial(stage_oracle, "oracle-fallback", "SwitchedToFallback()"),
    "oracle-freeze": partial(stage_oracle, "oracle-freeze", "Frozen(uint256)"),
    "market-freeze": partial(stage_market, "market-freeze", {}),
    "supply-cap": partial(stage_market, "supply-cap", {"cap": 1_000}),
    "borrow-cap": partial(stage_market, "borrow-cap", {"cap": 500}),
    "max-leverage": partial(stage_market, "max-leverage", {"bps": 10_000}),
    "interest-rate": partial(stage_market, "interest-rate", {"bps": 9_000}),
    "order-type": partial(stage_market, "order-type", {"order_type": 2}),
    "safe-module 1.4.1": partial(stage_module, "1.4.1"),
    "safe-module 1.5.0": partial(stage_module, "1.5.0"),
    "safe-owners 1.4.1": partial(stage_owners, "1.4.1"),
    "safe-owners 1.5.0": partial(stage_owners, "1.5.0"),
    "safe-proposal 1.4.1": partial(stage_proposal, "1.4.1"),
    "safe-proposal 1.5.0": partial(stage_proposal, "1.5.0"),
}
"""Every way to call a contract, by name."""


def sign_for_safe(folder: Path, owner_key: bytes, name: str) -> None:
    """An owner's own machine: read what lies there, sign it, and put the signature beside it."""
    (path,) = [item for item in folder.glob("*.json") if item.name.count(".") == 1]
    digest = json.loads(path.read_text())["contractTransactionHash"]
    signature = owner_signature(owner_key, bytes.fromhex(digest[2:]))
    document = {"safeTxHash": digest, "signature": "0x" + signature.hex()}
    (folder / f"{name}.signature.json").write_text(json.dumps(document))
