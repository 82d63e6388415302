"""A signal gate with attesters whose keys we hold.

bench = await open_gate(anvil, attesters=5, threshold=3)
await bench.attest(Attestation(bench.scope, …), bench.keys[:3])
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from contract_kit import Contract, Refusal, Sent, deploy, time_of
from eth_account.messages import _hash_eip191_message, encode_typed_data
from safe_kit import address_of_secret
from tocsin_node.demo.anvil import CHAIN_ID, Anvil
from tocsin_protocol.signing import keccak256, sign_digest

SCOPE = keccak256(b"example-lend/vault")
INCIDENT = keccak256(b"incident 1")
HALT_S = 3_600
# Ascending by address, as the gate wants them.
ATTESTER_KEYS = tuple(
    sorted((hashlib.sha256(f"attester {n}".encode()).digest() for n in range(33)), key=address_of_secret)
)
_TYPES = {
    "EIP712Domain": [
        {"name": "name", "type": "string"},
        {"name": "version", "type": "string"},
        {"name": "chainId", "type": "uint256"},
        {"name": "verifyingContract", "type": "address"},
    ],
    "Attestation": [
        {"name": "scope", "type": "bytes32"},
        {"name": "epoch", "type": "uint64"},
        {"name": "incident", "type": "bytes32"},
        {"name": "level", "type": "uint8"},
        {"name": "issued", "type": "uint64"},
        {"name": "expires", "type": "uint64"},
    ],
}


class Level(IntEnum):
    """Level.sol."""

    NORMAL = 0
    RESTRICTED = 1
    HALTED = 2


@dataclass(frozen=True, slots=True)
class Attestation:
    """What attesters sign."""

    scope: bytes
    epoch: int
    incident: bytes
    level: int
    issued: int
    expires: int

    def typed_data(self, gate: str, chain_id: int = CHAIN_ID) -> dict[str, Any]:
        """The input of eth_signTypedData_v4."""
        return {
            "types": _TYPES,
            "primaryType": "Attestation",
            "domain": {"name": "TocsinSignalGate", "version": "1", "chainId": chain_id, "verifyingContract": gate},
            "message": {name: getattr(self, name) for name in self.__slots__},
        }

    def digest(self, gate: str, chain_id: int = CHAIN_ID) -> bytes:
        """As eth_account computes it."""
        return bytes(_hash_eip191_message(encode_typed_data(full_message=self.typed_data(gate, chain_id))))

    def arguments(self, signatures: bytes) -> tuple[Any, ...]:
        """The arguments of `attest`."""
        return (self.scope, self.incident, self.level, self.issued, self.expires, signatures)


@dataclass(frozen=True, slots=True)
class GateBench:
    """A gate armed for SCOPE, and a protocol that it closes."""

    anvil: Anvil
    gate: Contract
    target: Contract
    owner: str
    stranger: str
    keys: tuple[bytes, ...]

    async def new(self, level: int = Level.HALTED, *, epoch: int = 1, incident: bytes = INCIDENT) -> Attestation:
        """An attestation made now that counts for ten minutes."""
        now = await time_of(self.anvil)
        return Attestation(SCOPE, epoch, incident, level, now, now + 600)

    def sign(self, attestation: Attestation, keys: Sequence[bytes]) -> bytes:
        """The keys' signatures, in this order."""
        digest = attestation.digest(self.gate.address)
        return b"".join(sign_digest(key, digest) for key in keys)

    async def attest(self, attestation: Attestation, keys: Sequence[bytes]) -> Sent:
        """Submit, as a stranger does; raises Refusal."""
        arguments = attestation.arguments(self.sign(attestation, keys))
        return await self.gate.must(self.stranger, "attest", *arguments)

    async def refused(self, attestation: Attestation, signatures: bytes) -> Refusal:
        """Why the gate refuses."""
        return await self.gate.refusal(self.stranger, "attest", *attestation.arguments(signatures))

    async def level(self) -> Level:
        """Of SCOPE."""
        return Level(await self.gate.call("levelOf", SCOPE))


async def open_gate(anvil: Anvil, attesters: int = 5, threshold: int = 3) -> GateBench:
    """Deploy a gate, arm it for SCOPE with HALT_S, and deploy a protocol behind it."""
    owner, stranger = anvil.accounts[0], anvil.accounts[7]
    keys = ATTESTER_KEYS[:attesters]
    gate = await deploy(anvil, "TocsinSignalGate", owner, [address_of_secret(key) for key in keys], threshold)
    await gate.must(owner, "arm", SCOPE, HALT_S)
    target = await deploy(anvil, "GatedTarget", gate.address, SCOPE)
    return GateBench(anvil, gate, target, owner, stranger, keys)
