"""The guardian's key: an account that can pause and nothing else. What anchors the log signs the same way."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from tocsin_protocol.containment.action import SignedTransaction

from .errors import ChainConfigError

# eth_account brings py_ecc, which raises the recursion limit to 100,000: far beyond the stack, so that nested input
# anywhere in the process would end it (SIGSEGV) where it should raise RecursionError.
_LIMIT = sys.getrecursionlimit()
from eth_account import Account  # noqa: E402
from eth_account.messages import encode_defunct  # noqa: E402
from eth_hash.auto import keccak  # noqa: E402

sys.setrecursionlimit(_LIMIT)

KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Fees:
    """EIP-1559 fee caps in wei per gas."""

    max_fee_wei: int
    priority_fee_wei: int


class Guardian:
    """Signs EIP-1559 transactions; the key is never shown."""

    __slots__ = ("_account", "address")

    def __init__(self, private_key: bytes) -> None:
        """Take a 32-byte secp256k1 key; raises ChainConfigError."""
        if len(private_key) != KEY_BYTES:
            raise ChainConfigError(f"guardian key: {len(private_key)} bytes where {KEY_BYTES} are wanted")
        try:
            self._account = Account.from_key(private_key)
        except Exception:  # noqa: BLE001 - eth_keys raises several kinds, and says the key in some
            raise ChainConfigError("guardian key: not a secp256k1 private key") from None
        self.address: str = self._account.address.lower()

    def __repr__(self) -> str:
        return f"Guardian({self.address})"

    def sign(
        self, *, chain_id: int, nonce: int, to: str, calldata: bytes, gas_limit: int, fees: Fees
    ) -> SignedTransaction:
        """Return a signed call of `to` that sends no value."""
        signed = self._account.sign_transaction(
            {
                "type": 2,
                "chainId": chain_id,
                "nonce": nonce,
                "to": bytes.fromhex(to.removeprefix("0x")),
                "value": 0,
                "data": calldata,
                "gas": gas_limit,
                "maxFeePerGas": fees.max_fee_wei,
                "maxPriorityFeePerGas": fees.priority_fee_wei,
                "accessList": [],
            }
        )
        return SignedTransaction(
            raw=bytes(signed.raw_transaction),
            hash=bytes(signed.hash),
            nonce=nonce,
            max_fee_wei=fees.max_fee_wei,
            priority_fee_wei=fees.priority_fee_wei,
        )

    def has_signed(self, raw: bytes) -> bool:
        """Whether a signed transaction is by this key."""
        return read_signer(raw) == self.address

    def sign_body(self, body: bytes) -> dict[str, str]:
        """Return the header by which a Flashbots relay knows who asks: EIP-191 over the hex of the body's keccak."""
        signed = self._account.sign_message(encode_defunct(text="0x" + keccak(body).hex()))
        return {"X-Flashbots-Signature": f"{self._account.address}:0x{bytes(signed.signature).hex()}"}


def read_signer(raw: bytes) -> str | None:
    """The account that signed a transaction, as 0x and lower-case hex; None for what is none."""
    try:
        return str(Account.recover_transaction(raw).lower())
    except Exception:  # noqa: BLE001 - eth_keys, rlp and eth_account raise several kinds for what is none
        return None


def transaction_hash(raw: bytes) -> bytes:
    """The hash by which a chain knows a signed transaction."""
    return bytes(keccak(raw))
