"""Claims as values that a receiver can check on his own endpoints (specs/evidence.md).

A predicate says when it holds; who reads the chain for it is the shell's affair. Accounts and assets are CAIP ids,
amounts are in the asset's smallest unit, hashes and topics are 0x and lower-case hex.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ..ids import address_of
from ..signing import keccak256

MAX_CALLDATA_BYTES = 68
MAX_RETURN_BYTES = 4096
MAX_WORD = 15
MAX_DECIMALS = 36
MAX_GAP_BPS = 1_000_000
MAX_SPAN_BLOCKS = 100_000
TRANSFER_TOPIC = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"

_BPS = 10_000
_WORD_BYTES = 32
_TRANSFER_TOPICS = 3  # ERC-721 has the same event with a fourth, the token id
_SIGN_BIT = 1 << 255


@dataclass(frozen=True, slots=True)
class Log:
    """An event as a receipt shows it; the emitter as an address."""

    emitter: str
    topics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Execution:
    """What a transaction did: its parties are the addresses it is from and to, and the contract it created."""

    is_success: bool
    parties: frozenset[str]
    logs: tuple[Log, ...]


@dataclass(frozen=True, slots=True)
class TxIncluded:
    """The transaction is in the block and succeeded.

    With an asset alone, the asset's contract emitted a log in it; with an account alone, the account sent it, was
    called or created by it, or emitted a log in it; with both, the asset left the account in it.
    """

    chain: str
    block: int
    transaction: str
    asset: str = ""
    account: str = ""

    def holds(self, execution: Execution | None) -> bool:
        """Whether it is so; None stands for a transaction that the block does not hold."""
        if execution is None or not execution.is_success:
            return False
        if self.asset and self.account:
            token, sender = address_of(self.asset), topic_of(self.account)
            return any(log.emitter == token and _is_transfer_from(log, sender) for log in execution.logs)
        emitters = {log.emitter for log in execution.logs}
        if self.asset:
            return address_of(self.asset) in emitters
        return not self.account or address_of(self.account) in emitters | execution.parties


@dataclass(frozen=True, slots=True)
class LogEmitted:
    """The account emitted a log in the block whose first topics are these; None stands for any."""

    chain: str
    block: int
    account: str
    topics: tuple[str | None, ...]

    def holds(self, logs: tuple[Log, ...]) -> bool:
        """Whether one of the block's logs is the one."""
        return any(self._is_meant(log) for log in logs)

    def _is_meant(self, log: Log) -> bool:
        pairs = zip(self.topics, log.topics, strict=False)
        return (
            log.emitter == address_of(self.account)
            and len(log.topics) >= len(self.topics)
            and all(wanted is None or wanted == found for wanted, found in pairs)
        )


@dataclass(frozen=True, slots=True)
class Read:
    """A view call, and which 32-byte word of its answer is meant."""

    account: str
    calldata: bytes
    word: int

    def value_of(self, data: bytes) -> int | None:
        """The word as an unsigned integer; None when there is no such word, or more bytes than are looked at."""
        start = self.word * _WORD_BYTES
        if not start + _WORD_BYTES <= len(data) <= MAX_RETURN_BYTES:
            return None
        return int.from_bytes(data[start : start + _WORD_BYTES])


class Comparison(StrEnum):
    """How a word is compared with the claimed value."""

    EQUAL = "eq"
    AT_LEAST = "ge"
    AT_MOST = "le"


@dataclass(frozen=True, slots=True)
class CallResult:
    """A view call returned a word that is equal to, at least or at most `value`, as unsigned integers."""

    chain: str
    block: int
    read: Read
    comparison: Comparison
    value: int

    def holds(self, data: bytes) -> bool | None:
        """Whether the answer is so; None when it has no such word."""
        found = self.read.value_of(data)
        if found is None:
            return None
        if self.comparison is Comparison.EQUAL:
            return found == self.value
        return found >= self.value if self.comparison is Comparison.AT_LEAST else found <= self.value


@dataclass(frozen=True, slots=True)
class BalanceDelta:
    """What the account holds of the asset went from `before` or more down to `after` or less, or the other way up.

    It fell when `before` is the larger of the two.
    """

    chain: str
    block: int
    account: str
    asset: str
    since_block: int
    before: int
    after: int

    def holds(self, held_since: int, held: int) -> bool:
        """Whether it is so of the balances after `since_block` and after `block`."""
        if self.before > self.after:
            return held_since >= self.before and held <= self.after
        return held_since <= self.before and held >= self.after


@dataclass(frozen=True, slots=True)
class CodeHash:
    """The account's code has this keccak256 hash."""

    chain: str
    block: int
    account: str
    code_hash: str

    def holds(self, code: bytes) -> bool:
        """Whether the code is this one."""
        return "0x" + keccak256(code).hex() == self.code_hash


@dataclass(frozen=True, slots=True)
class PriceRead:
    """A view call that returns a price with so many decimals."""

    read: Read
    decimals: int

    def price_of(self, data: bytes) -> int | None:
        """The price in units of 10^-decimals; None when it has none, which a negative one is."""
        found = self.read.value_of(data)
        return None if found is None or found >= _SIGN_BIT else found


@dataclass(frozen=True, slots=True)
class PriceGap:
    """The oracle's price differs from the reference by `min_gap_bps` of the reference or more, up or down."""

    chain: str
    block: int
    oracle: PriceRead
    reference: PriceRead
    min_gap_bps: int

    def holds(self, oracle_data: bytes, reference_data: bytes) -> bool | None:
        """Whether the gap is so wide; None when one of them gives no price, or the reference is zero."""
        oracle, reference = self.oracle.price_of(oracle_data), self.reference.price_of(reference_data)
        if oracle is None or not reference:
            return None
        # Brought to the same decimals without dividing: no rounding can open or close a gap.
        oracle *= int(10**self.reference.decimals)
        reference *= int(10**self.oracle.decimals)
        return abs(oracle - reference) * _BPS >= self.min_gap_bps * reference


Predicate = TxIncluded | LogEmitted | CallResult | BalanceDelta | CodeHash | PriceGap


def topic_of(account: str) -> str:
    """An account as an indexed value of an event: its address in 32 bytes."""
    return "0x" + address_of(account)[2:].rjust(64, "0")


def _is_transfer_from(log: Log, sender: str) -> bool:
    """Whether it is a transfer from that account, which is given as a topic (EIP-20)."""
    return len(log.topics) == _TRANSFER_TOPICS and log.topics[:2] == (TRANSFER_TOPIC, sender)
