"""The one spelling of each claim in a signal's `evidence` (specs/evidence.md)."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from ..body import MAX_DETAIL_BYTES
from ..errors import DecodeError
from ..fields import id_of, text_of
from ..ids import address_of, chain_of, check_account_id, check_asset_id, check_chain_id, check_hash
from ..model import Evidence
from ..taxonomy import EvidenceKind
from .predicates import (
    MAX_CALLDATA_BYTES,
    MAX_DECIMALS,
    MAX_GAP_BPS,
    MAX_SPAN_BLOCKS,
    MAX_WORD,
    BalanceDelta,
    CallResult,
    CodeHash,
    Comparison,
    LogEmitted,
    Predicate,
    PriceGap,
    PriceRead,
    Read,
    TxIncluded,
)

ANY_TOPIC = "*"
MAX_TOPICS = 4

_MAX_UINT256 = 2**256 - 1
_SELECTOR_BYTES = 4
_MAX_KEPT = 4096
_NUMBER = re.compile(r"0|[1-9][0-9]{0,77}")
_CALLDATA = re.compile(r"0x(?:[0-9a-f]{2})*")
# On an EVM chain SLIP-44 names the chain's own coin; ERC-20 is what can be read without knowing the token.
_TOKEN, _COIN = "erc20", "slip44"
_COIN_TYPE = re.compile(r"0|[1-9][0-9]{0,9}")


# A busy incident is decided on again with each new signal, and most of its claims are the same as before.
@lru_cache(_MAX_KEPT)
def decode_predicate(evidence: Evidence) -> Predicate:
    """What a claim says; raises DecodeError naming what cannot be read of it."""
    id_of("evidence chain", evidence.chain, check_chain_id)
    if not evidence.chain.startswith("eip155:"):
        raise DecodeError(f"evidence chain {evidence.chain!r} is not an EVM chain such as eip155:1")
    text_of("evidence reference", evidence.reference)
    text_of("evidence detail", evidence.detail, MAX_DETAIL_BYTES, least_bytes=0)
    return _DECODERS[evidence.kind](evidence)


def encode_predicate(predicate: Predicate) -> Evidence:
    """The claim that says so; raises DecodeError for what no claim can say."""
    kind, reference, detail = _spell(predicate)
    evidence = Evidence(kind, predicate.chain, predicate.block, reference, detail)
    if decode_predicate(evidence) != predicate:
        raise DecodeError(f"{type(predicate).__name__}: a value that a claim cannot hold")
    return evidence


def _decode_transaction(evidence: Evidence) -> TxIncluded:
    transaction = id_of("evidence reference", evidence.reference, check_hash)
    asset = account = ""
    words = evidence.detail.split(" ") if evidence.detail else []
    if words and "/" in words[0]:
        asset = _asset(evidence.chain, words.pop(0), (_TOKEN,))
    if words:
        account = _account_id(evidence.chain, words.pop(0))
    if words:
        raise DecodeError("evidence detail is not an asset, an account, or an asset and an account")
    return TxIncluded(evidence.chain, evidence.block, transaction, asset, account)


def _decode_log(evidence: Evidence) -> LogEmitted:
    address, first = _words("reference", evidence.reference, 2)
    others = evidence.detail.split(" ") if evidence.detail else []
    if len(others) >= MAX_TOPICS:
        raise DecodeError(f"evidence detail has {len(others)} topics where at most {MAX_TOPICS - 1} are wanted")
    if others and others[-1] == ANY_TOPIC:
        raise DecodeError(f"evidence detail ends with {ANY_TOPIC}, which says nothing")
    account = _account(evidence.chain, address)
    topics = tuple(None if word == ANY_TOPIC else id_of("evidence topic", word, check_hash) for word in others)
    return LogEmitted(evidence.chain, evidence.block, account, (id_of("evidence topic", first, check_hash), *topics))


def _decode_call(evidence: Evidence) -> CallResult:
    address, calldata = _words("reference", evidence.reference, 2)
    word, comparison, value = _words("detail", evidence.detail, 3)
    if comparison not in list(Comparison):
        raise DecodeError(f"evidence comparison is {comparison[:80]!r}, not one of {', '.join(Comparison)}")
    read = _read(evidence.chain, address, calldata, word)
    return CallResult(
        evidence.chain, evidence.block, read, Comparison(comparison), _number("value", value, _MAX_UINT256)
    )


def _decode_balance(evidence: Evidence) -> BalanceDelta:
    account = _account(evidence.chain, evidence.reference)
    asset, since, before, after = _words("detail", evidence.detail, 4)
    delta = BalanceDelta(
        evidence.chain,
        evidence.block,
        account,
        _asset(evidence.chain, asset, (_TOKEN, _COIN)),
        _number("earlier block", since, evidence.block),
        _number("amount", before, _MAX_UINT256),
        _number("amount", after, _MAX_UINT256),
    )
    if not evidence.block - MAX_SPAN_BLOCKS <= delta.since_block < evidence.block:
        raise DecodeError(f"evidence earlier block is not 1 to {MAX_SPAN_BLOCKS} blocks before the block")
    if delta.before == delta.after:
        raise DecodeError("evidence amounts are equal, which is no change")
    return delta


def _decode_code(evidence: Evidence) -> CodeHash:
    account = _account(evidence.chain, evidence.reference)
    return CodeHash(evidence.chain, evidence.block, account, id_of("evidence detail", evidence.detail, check_hash))


def _decode_price(evidence: Evidence) -> PriceGap:
    oracle = _words("reference", evidence.reference, 4)
    *reference, gap = _words("detail", evidence.detail, 5)
    claim = PriceGap(
        evidence.chain,
        evidence.block,
        _price_read(evidence.chain, *oracle),
        _price_read(evidence.chain, *reference),
        _number("gap", gap, MAX_GAP_BPS, least=1),
    )
    if claim.oracle.read == claim.reference.read:
        raise DecodeError("evidence compares a price with itself")
    return claim


_DECODERS: dict[EvidenceKind, Callable[[Evidence], Predicate]] = {
    EvidenceKind.TRANSACTION: _decode_transaction,
    EvidenceKind.LOG: _decode_log,
    EvidenceKind.CALL: _decode_call,
    EvidenceKind.BALANCE: _decode_balance,
    EvidenceKind.CODE: _decode_code,
    EvidenceKind.PRICE: _decode_price,
}


def _spell(predicate: Predicate) -> tuple[EvidenceKind, str, str]:
    """Kind, reference and detail."""
    match predicate:
        case TxIncluded():
            named = " ".join(part for part in (predicate.asset, predicate.account) if part)
            return EvidenceKind.TRANSACTION, predicate.transaction, named
        case LogEmitted():
            first, *others = [ANY_TOPIC if topic is None else topic for topic in predicate.topics]
            return EvidenceKind.LOG, f"{address_of(predicate.account)} {first}", " ".join(others)
        case CallResult():
            read = predicate.read
            return (
                EvidenceKind.CALL,
                f"{address_of(read.account)} 0x{read.calldata.hex()}",
                f"{read.word} {predicate.comparison} {predicate.value}",
            )
        case BalanceDelta():
            amounts = f"{predicate.since_block} {predicate.before} {predicate.after}"
            return EvidenceKind.BALANCE, address_of(predicate.account), f"{predicate.asset} {amounts}"
        case CodeHash():
            return EvidenceKind.CODE, address_of(predicate.account), predicate.code_hash
        case PriceGap():
            reference = _spell_price(predicate.reference)
            return EvidenceKind.PRICE, _spell_price(predicate.oracle), f"{reference} {predicate.min_gap_bps}"


def _spell_price(price: PriceRead) -> str:
    read = price.read
    return f"{address_of(read.account)} 0x{read.calldata.hex()} {read.word} {price.decimals}"


def _words(where: str, text: str, count: int) -> list[str]:
    words = text.split(" ")
    if len(words) != count:
        raise DecodeError(f"evidence {where} has {len(words)} words where {count} are wanted")
    return words


def _number(where: str, text: str, most: int, least: int = 0) -> int:
    """A decimal without leading zeros."""
    if not _NUMBER.fullmatch(text) or not least <= int(text) <= most:
        raise DecodeError(f"evidence {where} is {text[:80]!r}, not a number in {least}…{most}")
    return int(text)


def _account(chain: str, address: str) -> str:
    return id_of("evidence address", f"{chain}:{address}", check_account_id)


def _account_id(chain: str, text: str) -> str:
    account = id_of("evidence account", text, check_account_id)
    return _on_chain("account", chain, account)


def _asset(chain: str, text: str, namespaces: tuple[str, ...]) -> str:
    """An asset of the claim's chain, of one of the namespaces that can be read."""
    asset = _on_chain("asset", chain, id_of("evidence asset", text, check_asset_id))
    namespace, _, reference = asset.partition("/")[2].partition(":")
    if namespace not in namespaces or "/" in reference:
        raise DecodeError(f"evidence asset {text!r} is not of {' or '.join(namespaces)}")
    if namespace == _COIN and not _COIN_TYPE.fullmatch(reference):
        raise DecodeError(f"evidence asset {text!r} has no coin type in decimal digits without leading zeros")
    return asset


def _on_chain(what: str, chain: str, name: str) -> str:
    if chain_of(name) != chain:
        raise DecodeError(f"evidence {what} {name!r} is not on {chain}")
    return name


def _read(chain: str, address: str, calldata: str, word: str) -> Read:
    size = len(calldata) // 2 - 1
    if not _CALLDATA.fullmatch(calldata) or not _SELECTOR_BYTES <= size <= MAX_CALLDATA_BYTES:
        raise DecodeError(
            f"evidence calldata is not 0x and {_SELECTOR_BYTES} to {MAX_CALLDATA_BYTES} bytes in lower-case hex"
        )
    return Read(_account(chain, address), bytes.fromhex(calldata[2:]), _number("word", word, MAX_WORD))


def _price_read(chain: str, address: str, calldata: str, word: str, decimals: str) -> PriceRead:
    return PriceRead(_read(chain, address, calldata, word), _number("decimals", decimals, MAX_DECIMALS))
