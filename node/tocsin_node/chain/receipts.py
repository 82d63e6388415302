"""What the endpoints say about one nonce of ours, and what may be believed of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from .client import Answer, ChainClient
from .errors import RpcRefused, RpcUnavailable
from .rpc import Request, read_count, read_data, read_quantity


@dataclass(frozen=True, slots=True)
class Receipt:
    """One transaction in one block."""

    hash: bytes
    block_hash: bytes
    block_number: int
    is_success: bool


@dataclass(frozen=True, slots=True)
class View:
    """What one endpoint sees: its head, how many transactions the account has had mined, and our receipt."""

    head: int
    mined_nonces: int
    receipt: Receipt | None


class Standing(StrEnum):
    """Where a nonce of ours stands."""

    PENDING = "pending"
    SEEN = "seen"
    SETTLED = "settled"
    NONCE_USED = "nonce-used"


@dataclass(frozen=True, slots=True)
class Outlook:
    """The standing, with the receipt where there is one and what to tell an operator who asks why it is not more.

    `claims` are all receipts that any endpoint shows.
    """

    standing: Standing
    receipt: Receipt | None
    answered: int
    note: str
    claims: frozenset[Receipt] = frozenset()


async def look(client: ChainClient, account: str, hashes: Sequence[bytes]) -> list[View]:
    """Ask every endpoint in time for its head, the account's mined nonces, and the receipts of `hashes`."""
    # The nonce is asked before the receipts: one mined in between then shows as a receipt, never as a stranger's.
    requests: list[Request] = [
        ("eth_getTransactionCount", (account, "latest")),
        ("eth_blockNumber", ()),
        *(("eth_getTransactionReceipt", ("0x" + item.hex(),)) for item in hashes),
    ]
    views: list[View] = []
    for answer in await client.ask_all(requests):
        view = _read_view(answer)
        if view is not None:
            views.append(view)
    return views


def _read_view(answer: Answer) -> View | None:
    """Return the view of one endpoint, or None when its answer is not one."""
    count, head, *receipts = answer.results
    if any(isinstance(result, RpcRefused) for result in answer.results):
        return None
    try:
        found = [_read_receipt(receipt) for receipt in receipts if receipt is not None]
        return View(read_count(head), read_count(count), found[0] if found else None)
    except RpcUnavailable:
        return None


def _read_receipt(value: Any) -> Receipt:
    if not isinstance(value, dict):
        raise RpcUnavailable("a receipt that is not an object")
    return Receipt(
        hash=read_data(value.get("transactionHash"), 32),
        block_hash=read_data(value.get("blockHash"), 32),
        block_number=read_count(value.get("blockNumber")),
        is_success=read_quantity(value.get("status")) == 1,
    )


def judge(views: Sequence[View], nonce: int, hashes: Sequence[bytes], *, witnesses: int, depth: int) -> Outlook:
    """Say where the nonce stands: settled takes `witnesses` endpoints with one receipt `depth` blocks deep."""
    support: dict[Receipt, int] = {}
    deep: dict[Receipt, int] = {}
    for view in views:
        receipt = view.receipt
        if receipt is None or receipt.hash not in hashes:
            continue
        support[receipt] = support.get(receipt, 0) + 1
        if view.head - receipt.block_number + 1 >= depth:
            deep[receipt] = deep.get(receipt, 0) + 1
    # [SEND] A receipt counts when two endpoints, where two are configured, show it deep enough, and most who show one.
    if support:
        receipt = max(support, key=lambda item: support[item])
        claims, note = frozenset(support), _explain(support, receipt, len(views), witnesses, depth)
        if support[receipt] < witnesses or 2 * support[receipt] <= sum(support.values()):
            # One endpoint's word is told, and changes nothing: it may be invented.
            return Outlook(Standing.PENDING, None, len(views), note, claims)
        if deep.get(receipt, 0) >= witnesses:
            return Outlook(Standing.SETTLED, receipt, len(views), "", claims)
        return Outlook(Standing.SEEN, receipt, len(views), note, claims)
    used = sum(1 for view in views if view.mined_nonces > nonce)
    if used >= witnesses and used == len(views):
        note = f"nonce {nonce} was used by another transaction"
        return Outlook(Standing.NONCE_USED, None, len(views), note)
    return Outlook(Standing.PENDING, None, len(views), "not in a block" if views else "no endpoint answers")


def _explain(support: dict[Receipt, int], receipt: Receipt, views: int, witnesses: int, depth: int) -> str:
    if len(support) > 1:
        return "endpoints disagree about the receipt"
    if support[receipt] < witnesses and views < witnesses:
        return f"in block {receipt.block_number} by {support[receipt]} endpoint; {witnesses} are wanted, {views} answer"
    if support[receipt] < witnesses:
        return f"in block {receipt.block_number} by {support[receipt]} endpoint, unknown to the others"
    return f"in block {receipt.block_number}, not yet {depth} deep"
