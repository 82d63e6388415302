"""Preparing, signing and sending a guardian's call."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import median_high, median_low

import trio
from tocsin_protocol.containment.action import SignedTransaction

from .abi import Function, decode_result, decode_revert, encode_call
from .client import Answer, ChainClient, Sending
from .errors import AbiError, RpcRefused, RpcUnavailable
from .fees import bump_fees, first_fees
from .guardian import Fees, Guardian
from .receipts import Outlook, judge, look
from .rpc import Request, read_count, read_data, read_quantity

_EXECUTION_REVERTED = 3
"""JSON-RPC error code of a reverted eth_call, where a node uses it."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """What is needed to sign, and what the simulation said: a decoded revert, or None for go ahead."""

    nonce: int
    base_fee_wei: int
    tip_wei: int
    revert: str | None


@dataclass(frozen=True, slots=True)
class _Offer:
    nonce: int
    base_fee_wei: int
    tip_wei: int
    is_simulated: bool
    revert: str | None


class Sender:
    """One guardian on one chain; hooks that share a guardian share its sender, which hands out the nonces."""

    def __init__(self, client: ChainClient, guardian: Guardian) -> None:
        self.client = client
        self.guardian = guardian
        self.nonce_lock = trio.Lock()
        self._held: dict[bytes, int] = {}
        self._next_nonce = 0

    def hold_nonce(self, action_id: bytes, nonce: int) -> None:
        """Keep the nonce of a living action from being handed out again."""
        self._held[action_id] = nonce

    def release_nonce(self, action_id: bytes) -> None:
        """Let go of it, if it is held: from here on the chain's own count decides."""
        self._held.pop(action_id, None)

    def note_mined(self, nonce: int) -> None:
        """Remember that a nonce is used up, for the moment in which an endpoint does not know it yet."""
        self._next_nonce = max(self._next_nonce, nonce + 1)

    async def prepare(self, to: str, calldata: bytes) -> Preparation:
        """Simulate, and fetch nonce and fees, in one round trip to every endpoint.

        Raises RpcUnavailable when no endpoint gives nonce and fees.
        """
        call = {"from": self.guardian.address, "to": to, "data": "0x" + calldata.hex()}
        requests: list[Request] = [
            ("eth_chainId", ()),
            ("eth_getTransactionCount", (self.guardian.address, "pending")),
            ("eth_getBlockByNumber", ("latest", False)),
            ("eth_maxPriorityFeePerGas", ()),
            ("eth_call", (call, "latest")),
        ]
        answers = await self.client.ask_all(requests)
        offers = [offer for answer in answers if (offer := self._read_offer(answer)) is not None]
        if not offers:
            raise RpcUnavailable("no endpoint gives nonce and fees")
        nonce = choose_nonce([offer.nonce for offer in offers], self._next_nonce)
        while nonce in self._held.values():
            nonce += 1
        reverts = [offer.revert for offer in offers if offer.revert is not None]
        # One endpoint cannot forbid, not even while the others are silent: a revert counts when as many say so as are
        # wanted for a receipt, and nobody's simulation went through. A call that reverts in a block costs its gas.
        is_blocked = len(reverts) >= self.client.config.witnesses and not any(offer.is_simulated for offer in offers)
        return Preparation(
            nonce=nonce,
            # Too low is refused and bumped; too high may be more than the guardian has, and there is no way back.
            base_fee_wei=median_low(offer.base_fee_wei for offer in offers),
            tip_wei=median_low(offer.tip_wei for offer in offers),
            revert=reverts[0] if is_blocked else None,
        )

    def _read_offer(self, answer: Answer) -> _Offer | None:
        """Return what one endpoint offers, or None when it is of another chain or makes no sense."""
        chain, count, block, tip, call = answer.results
        try:
            if read_quantity(chain) != self.client.config.chain_id or not isinstance(block, dict):
                return None
            return _Offer(
                nonce=read_count(count),
                base_fee_wei=read_quantity(block.get("baseFeePerGas")),
                tip_wei=0 if isinstance(tip, RpcRefused) else read_quantity(tip),
                is_simulated=isinstance(call, str),
                revert=read_revert(call) if isinstance(call, RpcRefused) else None,
            )
        except RpcUnavailable:
            return None

    def sign_first(self, to: str, calldata: bytes, preparation: Preparation) -> SignedTransaction:
        """Sign at the offered nonce and fees."""
        config = self.client.config
        fees = first_fees(
            preparation.base_fee_wei,
            preparation.tip_wei,
            min_tip_wei=config.min_priority_fee_wei,
            max_fee_wei=config.max_fee_wei,
        )
        return self._sign(to, calldata, preparation.nonce, fees)

    async def sign_bump(self, to: str, calldata: bytes, last: SignedTransaction) -> SignedTransaction | None:
        """Sign the same call at the same nonce for more, or return None when the operator's cap is reached."""
        base_fees = [0]  # without a base fee the bump is the bare minimum
        for answer in await self.client.ask_all([("eth_getBlockByNumber", ("latest", False))]):
            block = answer.results[0]
            if isinstance(block, dict):
                with suppress(RpcUnavailable):
                    base_fees.append(read_quantity(block.get("baseFeePerGas")))
        # Of two that disagree the higher: the first offer was made by the lower one.
        base_fee_wei = median_high(base_fees[1:] or base_fees)
        fees = bump_fees(
            Fees(last.max_fee_wei, last.priority_fee_wei),
            base_fee_wei,
            max_fee_wei=self.client.config.max_fee_wei,
        )
        return None if fees is None else self._sign(to, calldata, last.nonce, fees)

    def _sign(self, to: str, calldata: bytes, nonce: int, fees: Fees) -> SignedTransaction:
        config = self.client.config
        return self.guardian.sign(
            chain_id=config.chain_id,
            nonce=nonce,
            to=to,
            calldata=calldata,
            gas_limit=config.gas_limit,
            fees=fees,
        )

    def start_broadcast(self, transaction: SignedTransaction) -> Sending:
        """Begin to send the signed bytes to every endpoint."""
        return self.client.start_broadcast(transaction.raw)

    async def look(self, transactions: Sequence[SignedTransaction]) -> Outlook:
        """Say where the transactions of one nonce stand."""
        hashes = [transaction.hash for transaction in transactions]
        views = await look(self.client, self.guardian.address, hashes)
        config = self.client.config
        return judge(
            views,
            transactions[0].nonce,
            hashes,
            witnesses=config.witnesses,
            depth=config.confirmations,
        )

    async def read(self, to: str, function: Function) -> tuple[object, ...] | None:
        """Return what a view function returns, or None unless enough endpoints answer and all agree."""
        call = {"to": to, "data": "0x" + encode_call(function).hex()}
        answers = await self.client.ask_all([("eth_call", (call, "latest"))])
        try:
            values = {
                decode_result(function, read_data(answer.results[0]))
                for answer in answers
                if not isinstance(answer.results[0], RpcRefused)
            }
        except (AbiError, RpcUnavailable):
            return None
        if len(values) != 1 or len(answers) < self.client.config.witnesses:
            return None
        return values.pop()


def choose_nonce(nonces: Sequence[int], floor: int) -> int:
    """Return the nonce that most endpoints name, else the lowest that is not known to be used.

    Too low shows at once (nonce too low); too high waits for ever behind a gap, so one liar of two could stop us.
    """
    votes = {nonce: nonces.count(nonce) for nonce in nonces if nonce >= floor}
    if not votes:
        return floor
    most = max(votes.values())
    return min(nonce for nonce, count in votes.items() if count == most)


def read_revert(error: RpcRefused) -> str | None:
    """Return the decoded reason of a reverted simulation; None when the error is no revert or says nothing."""
    if error.data is not None:
        try:
            return decode_revert(read_data(error.data))
        except RpcUnavailable:
            return None
    # Some nodes decode it themselves and leave the data out.
    prefix = "execution reverted: "
    if error.code == _EXECUTION_REVERTED and error.message.startswith(prefix):
        return error.message[len(prefix) :][:200]
    return None
