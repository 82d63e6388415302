"""A Safe's transaction (1.3.0 to 1.5.0): what its owners sign, how that is written down, and how it is executed.

EIP-712 over SafeTx: https://github.com/safe-global/safe-smart-account/blob/v1.5.0/contracts/Safe.sol
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coincurve import PublicKey
from tocsin_protocol.signing import address_of_key, keccak256

from tocsin_node.chain.abi import encode_arguments, encode_call, parse_function

SIGNATURE_BYTES = 65
_ZERO = "0x" + "00" * 20
_CALL = 0
_TYPE = (
    "SafeTx(address to,uint256 value,bytes data,uint8 operation,uint256 safeTxGas,uint256 baseGas,uint256 gasPrice,"
    "address gasToken,address refundReceiver,uint256 nonce)"
)
_FIELDS = [field.split(" ") for field in _TYPE[len("SafeTx(") : -1].split(",")]
_DOMAIN_TYPE = "EIP712Domain(uint256 chainId,address verifyingContract)"
_EXECUTE = parse_function("execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)")
# A Safe takes v + 4 for a signature over the hash as a personal message (eth_sign).
_V_TYPED, _V_MESSAGE = (27, 28), (31, 32)
_MESSAGE_PREFIX = b"\x19Ethereum Signed Message:\n32"


class SafeSignatureError(Exception):
    """A signature that no owner of the Safe can have made; the message says why."""


@dataclass(frozen=True, slots=True)
class SafeTransaction:
    """A call by a Safe, with no value, no refund and no delegation. Addresses in lower case."""

    chain_id: int
    safe: str
    to: str
    data: bytes
    nonce: int

    @property
    def hash(self) -> bytes:
        """The 32 bytes that owners sign (safeTxHash)."""
        domain = encode_arguments(
            "domain", ["bytes32", "uint256", "address"], [keccak256(_DOMAIN_TYPE.encode()), self.chain_id, self.safe]
        )
        types = ["bytes32", *("bytes32" if kind == "bytes" else kind for kind, _ in _FIELDS)]
        values = [keccak256(_TYPE.encode()), *self._values(keccak256(self.data))]
        struct = keccak256(encode_arguments("SafeTx", types, values))
        return keccak256(b"\x19\x01" + keccak256(domain) + struct)

    def _values(self, data: bytes) -> list[Any]:
        return [self.to, 0, data, _CALL, 0, 0, 0, _ZERO, _ZERO, self.nonce]

    def execution(self, signatures: Mapping[str, bytes], threshold: int) -> bytes:
        """Return the calldata of execTransaction with the signatures of as many owners as it takes."""
        # A Safe wants them ascending by owner, each owner once.
        ordered = sorted(signatures.items())[:threshold]
        joined = b"".join(signature for _, signature in ordered)
        return encode_call(_EXECUTE, [*self._values(self.data)[:-1], joined])

    def service_form(self) -> dict[str, Any]:
        """Return it as the Safe Transaction Service takes it, without sender and signature."""
        named = {name: value for (_, name), value in zip(_FIELDS, self._values(self.data), strict=True)}
        hashed = {"safe": self.safe, "contractTransactionHash": "0x" + self.hash.hex(), "origin": "Tocsin"}
        return named | {"value": "0", "data": "0x" + self.data.hex()} | hashed

    def typed_data(self) -> dict[str, Any]:
        """Return it as `eth_signTypedData_v4` takes it."""
        message = {name: value for (_, name), value in zip(_FIELDS, self._values(self.data), strict=True)}
        return {
            "domain": {"chainId": self.chain_id, "verifyingContract": self.safe},
            "primaryType": "SafeTx",
            "types": {
                "EIP712Domain": [
                    {"name": "chainId", "type": "uint256"},
                    {"name": "verifyingContract", "type": "address"},
                ],
                "SafeTx": [{"name": name, "type": kind} for kind, name in _FIELDS],
            },
            "message": message | {"data": "0x" + self.data.hex()},
        }

    def builder_form(self, name: str, description: str, created_ms: int) -> dict[str, Any]:
        """Return it as a batch file of the Safe Transaction Builder."""
        call = {"to": self.to, "value": "0", "data": "0x" + self.data.hex(), "contractMethod": None}
        return {
            "version": "1.0",
            "chainId": str(self.chain_id),
            "createdAt": created_ms,
            "meta": {"name": name, "description": description, "createdFromSafeAddress": self.safe},
            "transactions": [call | {"contractInputsValues": None}],
        }

    def signer_of(self, signature: bytes) -> str:
        """Return the address whose key made a signature over this transaction; raises SafeSignatureError."""
        if len(signature) != SIGNATURE_BYTES:
            raise SafeSignatureError(f"{len(signature)} bytes where {SIGNATURE_BYTES} are wanted: r, s, v")
        version, digest = signature[64], self.hash
        if version in _V_MESSAGE:
            version, digest = version - 4, keccak256(_MESSAGE_PREFIX + digest)
        if version not in _V_TYPED:
            raise SafeSignatureError(f"v is {version}: 27, 28, or 31, 32 for a signed message is wanted")
        recoverable = signature[:64] + bytes((version - _V_TYPED[0],))
        try:
            key = PublicKey.from_signature_and_message(recoverable, digest, hasher=None).format()
        except Exception as exc:
            raise SafeSignatureError("not a signature") from exc
        return "0x" + address_of_key(key).hex()


def expand_signature(compact: bytes) -> bytes:
    """Return an EIP-2098 signature as r, s, v, as a Safe reads it."""
    parity, high = compact[32] >> 7, compact[32] & 0x7F
    return compact[:32] + bytes((high,)) + compact[33:] + bytes((_V_TYPED[0] + parity,))
