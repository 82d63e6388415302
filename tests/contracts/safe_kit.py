"""Real Safes on anvil: the contracts of npm at their mainnet addresses, and Safes whose owners' keys we hold.

    code = await place_safe_contracts(anvil, "1.4.1")
    safe = await create_safe(anvil, code, OWNER_KEYS[:3], threshold=2)
    await safe.exec(target, calldata)                  # signed by the first `threshold` owners
    module = await enable_guardian_module(safe)        # deployed and enabled

Safe is LGPL: nothing of it is committed. Its bytecode is read from node_modules when a test runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract_kit import Contract, Sent, call_raw, deploy, send_raw
from eth_abi import decode, encode
from tocsin_node.demo.anvil import CHAIN_ID, Anvil
from tocsin_protocol.signing import address_of_key, keccak256, public_key_of, sign_digest

OWNER_KEYS = tuple(hashlib.sha256(f"safe owner {n}".encode()).digest() for n in range(5))
ZERO = "0x" + "00" * 20
CALL = 0
DELEGATECALL = 1

# Anvil starts with the very same code at the address of the other well-known deployer.
SINGLETON_FACTORY = "0x914d7fec6aac8cd542e72bca78b30650d45643d7"
_SAME_CODE = "0x4e59b44847b379578588920ca78fbf26c0b4956c"
_MODULES = Path(__file__).parents[2] / "deploy" / "contracts" / "node_modules" / "@safe-global"
_PACKAGES = {"1.4.1": "safe-contracts", "1.5.0": "safe-smart-account"}
# https://github.com/safe-global/safe-deployments
MAINNET = {
    "1.4.1": {
        "Safe": "0x41675c099f32341bf84bfc5382af534df5c7461a",
        "SafeL2": "0x29fcb43b46531bca003ddc8fcb67ffe91900c762",
        "SafeProxyFactory": "0x4e1dcf7ad4e460cfd30791ccc4f9c8a4f820ec67",
        "CompatibilityFallbackHandler": "0xfd0732dc9e303f09fcef3a7388ad10a83459ec99",
    },
    "1.5.0": {
        "Safe": "0xff51a5898e281db6dfc7855790607438df2ca44b",
        "SafeL2": "0xedd160febbd92e350d4d398fb636302fccd67c7e",
        "SafeProxyFactory": "0x14f2982d601c9458f93bd70b218933a6f8165e7b",
        "CompatibilityFallbackHandler": "0x3efcbb83a4a7afcb4f68d501e2c2203a38be77f4",
    },
}
_FILES = {"SafeProxyFactory": "proxies", "CompatibilityFallbackHandler": "handler"}
_SAFE_TX_TYPE = (
    "SafeTx(address to,uint256 value,bytes data,uint8 operation,uint256 safeTxGas,uint256 baseGas,"
    "uint256 gasPrice,address gasToken,address refundReceiver,uint256 nonce)"
)
_DOMAIN_TYPE = "EIP712Domain(uint256 chainId,address verifyingContract)"


@dataclass(frozen=True, slots=True)
class SafeContracts:
    """Where one version's contracts are."""

    version: str
    singleton: str
    factory: str
    handler: str


async def place_safe_contracts(anvil: Anvil, version: str, *, singleton: str = "Safe") -> SafeContracts:
    """Deploy one version (see MAINNET) through the singleton factory; `singleton` may be "SafeL2"."""
    await anvil.call("anvil_setCode", SINGLETON_FACTORY, await anvil.call("eth_getCode", _SAME_CODE, "latest"))
    placed = [await _place(anvil, version, name) for name in (singleton, *_FILES)]
    return SafeContracts(version, *placed)


async def _place(anvil: Anvil, version: str, name: str) -> str:
    folder = _MODULES / _PACKAGES[version] / "build" / "artifacts" / "contracts" / _FILES.get(name, "")
    code = bytes.fromhex(json.loads((folder / f"{name}.sol" / f"{name}.json").read_text())["bytecode"][2:])
    address = keccak256(b"\xff" + bytes.fromhex(SINGLETON_FACTORY[2:]) + bytes(32) + keccak256(code))[12:]
    if "0x" + address.hex() != MAINNET[version][name]:
        raise AssertionError(f"{name} {version} would land on 0x{address.hex()}, not where it is on mainnet")
    if await anvil.call("eth_getCode", MAINNET[version][name], "latest") == "0x":
        await send_raw(anvil, anvil.accounts[0], SINGLETON_FACTORY, bytes(32) + code)
    return MAINNET[version][name]


@dataclass(frozen=True, slots=True)
class Safe:
    """One Safe and all its owners' keys."""

    anvil: Anvil
    version: str
    address: str
    owner_keys: tuple[bytes, ...]
    threshold: int

    async def nonce(self) -> int:
        """The nonce of the next transaction."""
        data = await call_raw(self.anvil, self.address, call_data("nonce()"))
        return int.from_bytes(data)

    async def exec(self, to: str, data: bytes, *, operation: int = CALL, sender: str | None = None) -> Sent:
        """Execute a transaction signed by as many owners as it takes; anyone may send it."""
        keys = self.owner_keys[: self.threshold]
        calldata = exec_calldata(to, data, self.sign(keys, to, data, await self.nonce(), operation), operation)
        return await send_raw(self.anvil, sender or self.anvil.accounts[8], self.address, calldata)

    async def must(self, contract: Contract, name: str, *arguments: Any) -> Sent:
        """Have the Safe call a contract; raises Refusal with the reason when that reverts."""
        await contract.call(name, *arguments, sender=self.address)
        sent = await self.exec(contract.address, contract.data(name, *arguments))
        assert sent.is_success, f"the Safe did not execute {name}"
        return sent

    def sign(self, keys: Sequence[bytes], to: str, data: bytes, nonce: int, operation: int = CALL) -> bytes:
        """Owners' signatures over a transaction, ascending by address as the Safe wants them."""
        digest = safe_tx_hash(self.address, to, data, nonce, operation)
        ordered = sorted(keys, key=address_of_secret)
        return b"".join(owner_signature(key, digest) for key in ordered)


async def create_safe(anvil: Anvil, contracts: SafeContracts, owner_keys: Sequence[bytes], threshold: int) -> Safe:
    """Create a Safe through the proxy factory."""
    owners = [address_of_secret(key) for key in owner_keys]
    setup = call_data(
        "setup(address[],uint256,address,bytes,address,address,uint256,address)",
        owners, threshold, ZERO, b"", contracts.handler, ZERO, 0, ZERO,
    )  # fmt: skip
    create = call_data("createProxyWithNonce(address,bytes,uint256)", contracts.singleton, setup, 0)
    address = decode(["address"], await call_raw(anvil, contracts.factory, create, anvil.accounts[0]))[0]
    assert (await send_raw(anvil, anvil.accounts[0], contracts.factory, create)).is_success
    return Safe(anvil, contracts.version, str(address).lower(), tuple(owner_keys), threshold)


async def enable_guardian_module(safe: Safe) -> Contract:
    """Deploy a guardian module for a Safe and have the Safe enable it."""
    module = await deploy(safe.anvil, "TocsinGuardianModule", safe.address)
    sent = await safe.exec(safe.address, call_data("enableModule(address)", module.address))
    assert sent.is_success, "the Safe did not enable the module"
    return module


def safe_tx_hash(safe: str, to: str, data: bytes, nonce: int, operation: int = CALL) -> bytes:
    """What owners sign: EIP-712 over a SafeTx without value and refund."""
    domain = keccak256(keccak256(_DOMAIN_TYPE.encode()) + encode(["uint256", "address"], [CHAIN_ID, safe]))
    types = ["bytes32", "address", "uint256", "bytes32", "uint8", *["uint256"] * 3, "address", "address", "uint256"]
    values = [keccak256(_SAFE_TX_TYPE.encode()), to, 0, keccak256(data), operation, 0, 0, 0, ZERO, ZERO, nonce]
    return keccak256(b"\x19\x01" + domain + keccak256(encode(types, values)))


def exec_calldata(to: str, data: bytes, signatures: bytes, operation: int = CALL) -> bytes:
    """The calldata of execTransaction without value and refund."""
    return call_data(
        "execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)",
        to, 0, data, operation, 0, 0, 0, ZERO, ZERO, signatures,
    )  # fmt: skip


def owner_signature(key: bytes, digest: bytes) -> bytes:
    """r, s, v as a Safe reads it."""
    compact = sign_digest(key, digest)
    parity, high = compact[32] >> 7, compact[32] & 0x7F
    return compact[:32] + bytes((high,)) + compact[33:] + bytes((27 + parity,))


def address_of_secret(key: bytes) -> str:
    """The address of a 32-byte secret, in lower case."""
    return "0x" + address_of_key(public_key_of(key)).hex()


def call_data(signature: str, *arguments: Any) -> bytes:
    """Calldata by a plain signature."""
    types = signature[signature.index("(") + 1 : -1]
    return keccak256(signature.encode())[:4] + encode(types.split(",") if types else [], arguments)
