"""Preparing, signing and sending a guardian's call."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from statistics import median_high

import trio
from tocsin_protocol.containment.action import SignedTransaction

from .broadcasts import Sending
from .client import Answer, ChainClient, IsHeard
from .errors import RpcRefused, RpcUnavailable
from .fees import bump_fees, first_fees
from .guardian import Fees, Guardian
from .preflight import Objection, Trial, judge_trials, read_revert, read_trial, trial_requests
from .quotes import REQUESTS, Quote, choose_nonce, find_gap, merge_quotes, quote_requests, read_quote
from .raw import read_signed
from .receipts import Outlook, judge, look
from .rpc import Request, read_count, read_quantity
from .spending import Spending

FRESH_ROUNDS = 3
"""Warm quotes are used for so many times `warm_ms`: one look that fails does not make them cold."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """What is needed to sign, and what the simulation objects to, or None for go ahead."""

    quote: Quote
    objection: Objection | None


@dataclass(frozen=True, slots=True)
class _Warm:
    """Quotes of several endpoints, and when they were heard, on trio's clock."""

    quotes: tuple[Quote, ...]
    at: float


class Sender:
    """One guardian on one chain; hooks that share a guardian share its sender, which hands out the nonces."""

    def __init__(self, client: ChainClient, guardian: Guardian) -> None:
        self.client = client
        self.guardian = guardian
        self.nonce_lock = trio.Lock()
        self._held: dict[bytes, int] = {}
        self._next_nonce = 0
        self._spending = Spending(client.config.max_day_spend_wei)
        self._warm = _Warm((), 0.0)
        self._watched: set[bytes] = set()
        self._filler: SignedTransaction | None = None

    def begin_watch(self, action_id: bytes) -> bool:
        """Note that an action is watched until it is final; False when it is already."""
        if action_id in self._watched:
            return False
        self._watched.add(action_id)
        return True

    def end_watch(self, action_id: bytes) -> None:
        """Note that it is watched no longer."""
        self._watched.discard(action_id)

    def hold_nonce(self, action_id: bytes, nonce: int) -> None:
        """Keep the nonce of a living action from being handed out again."""
        self._held[action_id] = nonce

    def release_nonce(self, action_id: bytes) -> None:
        """Let go of it, if it is held: from here on the chain's own count decides."""
        self._held.pop(action_id, None)

    def recall(self, transactions: Sequence[SignedTransaction], age_s: float) -> bool:
        """Take in the cost of what an earlier run signed for one nonce, the newest of it so long ago.

        False for what was signed with another key or for another chain, which the config may have named then.
        """
        for transaction in transactions:
            try:
                sent = read_signed(transaction.raw)
            except ValueError:
                return False
            if sent.chain_id != self.client.config.chain_id or not self.guardian.has_signed(transaction.raw):
                return False
            self._spending.recall(transaction.nonce, sent.most_wei, age_s)
        return True

    def note_mined(self, nonce: int) -> None:
        """Remember that a nonce is used up: endpoints may lag behind."""
        # [SEND] No nonce is used again that the ledger shows in a block, or signed for what may still be sent.
        self._next_nonce = max(self._next_nonce, nonce + 1)
        if self._filler is not None and nonce > self._filler.nonce:
            self._filler = None

    async def run_warm(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep nonce and fees at hand until cancelled, so that an action need not ask; keeps connections open, too.

        Started after the first look, whatever came of it.
        """
        requests = quote_requests(self.guardian.address)
        is_probed = False
        while True:
            quotes, _ = self._read_quotes(await self.client.ask_all(requests, self._is_heard))
            if self._is_better(quotes):
                self._warm = _Warm(tuple(quotes), trio.current_time())
            if quotes and not is_probed:
                await self.client.probe_simulation()
                is_probed = True
            task_status.started()
            task_status = trio.TASK_STATUS_IGNORED
            await trio.sleep(self.client.config.warm_ms / 1_000)

    async def prepare(self, to: str, calldata: bytes) -> Preparation:
        """Simulate in one round trip to every endpoint, and fetch fees with it where none are warm.

        Returns with the first endpoint whose simulation goes through, where the nonce is known by then.
        Raises RpcUnavailable when no endpoint gives nonce and fees.
        """
        call = {"from": self.guardian.address, "to": to, "data": "0x" + calldata.hex()}
        call["gas"] = hex(self.client.config.gas_limit)
        # [SEND] Fees heard within the last three looks are used as they are; older ones are asked for.
        if self._is_warm:
            return await self._prepare_warm(call, merge_quotes(self._warm.quotes, self._next_nonce))
        return await self._prepare_cold(call)

    @property
    def _is_warm(self) -> bool:
        bound_s = FRESH_ROUNDS * self.client.config.warm_ms / 1_000
        return bool(self._warm.quotes) and trio.current_time() - self._warm.at <= bound_s

    def _is_better(self, quotes: Sequence[Quote]) -> bool:
        """Whether new quotes replace the warm ones: too few of them do not, while enough are fresh."""
        was_witnessed = self._is_warm and len(self._warm.quotes) >= self.client.config.witnesses
        return len(quotes) >= (self.client.config.witnesses if was_witnessed else 1)

    async def _prepare_warm(self, call: dict[str, str], warm: Quote) -> Preparation:
        planned = self._skip_held(warm.nonce)
        counting: Request = ("eth_getTransactionCount", (self.guardian.address, "pending"))

        def is_enough(answers: Sequence[Answer]) -> bool:
            if not any(nonce <= planned for nonce in _read_nonces(answers)):
                return False
            return any(trial.went_through for trial in self._read_trials(answers, call["to"]))

        answers = await self._try_out(call, [counting], is_enough)
        # [SEND] A warm nonce is overtaken when as many endpoints as confirm a receipt have counted further.
        ahead = [nonce for nonce in _read_nonces(answers) if nonce > planned]
        overtaken = len(ahead) >= self.client.config.witnesses
        nonce = self._skip_held(choose_nonce(ahead, planned)) if overtaken else planned
        return self._judge(answers, Quote(nonce, warm.base_fee_wei, warm.tip_wei), call["to"])

    async def _prepare_cold(self, call: dict[str, str]) -> Preparation:
        def is_enough(answers: Sequence[Answer]) -> bool:
            if not self._is_heard(answers):
                return False
            return any(trial.went_through for trial in self._read_trials(answers, call["to"]))

        answers = await self._try_out(call, quote_requests(self.guardian.address), is_enough, self._is_heard)
        quotes, faults = self._read_quotes(answers)
        if not quotes:
            why = faults[0] if faults else "none answers"
            raise RpcUnavailable(f"no endpoint gives nonce and fees: {why}")
        quote = merge_quotes(quotes, self._next_nonce)
        return self._judge(answers, replace(quote, nonce=self._skip_held(quote.nonce)), call["to"])

    async def _try_out(
        self, call: dict[str, str], asking: Sequence[Request], is_enough: IsHeard, is_heard: IsHeard | None = None
    ) -> list[Answer]:
        """Ask every endpoint this and what the call would do."""

        def requests_of(index: int) -> Sequence[Request]:
            return (*asking, *trial_requests(call, by_simulation=self.client.simulates(index)))

        return await self.client.ask_until(requests_of, is_enough, is_heard)

    def _judge(self, answers: Sequence[Answer], quote: Quote, to: str) -> Preparation:
        return Preparation(quote, judge_trials(self._read_trials(answers, to), self.client.config.witnesses))

    def _skip_held(self, nonce: int) -> int:
        while nonce in self._held.values():
            nonce += 1
        return nonce

    def _is_heard(self, answers: Sequence[Answer]) -> bool:
        """Whether as many endpoints as are wanted for a receipt name one nonce: no need to hear the others."""
        # [SEND] Until as many endpoints as confirm a receipt name one nonce, the others are waited for in full.
        nonces = [quote.nonce for quote in self._read_quotes(answers)[0]]
        return any(nonces.count(nonce) >= self.client.config.witnesses for nonce in nonces)

    def _read_quotes(self, answers: Sequence[Answer]) -> tuple[list[Quote], list[str]]:
        """Return the quotes, and why there are none of the other endpoints that answer."""
        quotes, faults = [], []
        for answer in answers:
            try:
                quotes.append(read_quote(answer.results, self.client.config.chain_id))
            except RpcUnavailable as exc:
                faults.append(str(exc))
        return quotes, faults

    def _read_trials(self, answers: Sequence[Answer], to: str) -> list[Trial]:
        """Return what the simulations say, without those of an endpoint that says that it serves another chain."""
        trials = []
        for answer in answers:
            *asked, code, outcome = answer.results
            with suppress(RpcUnavailable):
                if len(asked) == REQUESTS:
                    read_quote(asked, self.client.config.chain_id)
                trials.append(read_trial((code, outcome), to))
        return trials

    def sign_first(self, to: str, calldata: bytes, quote: Quote) -> SignedTransaction:
        """Sign at the offered nonce and fees; raises CapReached."""
        config = self.client.config
        fees = first_fees(
            quote.base_fee_wei,
            quote.tip_wei,
            min_tip_wei=config.min_priority_fee_wei,
            max_fee_wei=config.max_fee_wei,
        )
        return self._sign(to, calldata, quote.nonce, fees)

    async def sign_bump(self, to: str, calldata: bytes, last: SignedTransaction) -> SignedTransaction:
        """Sign the same call at the same nonce for more; raises CapReached when a cap of the operator is in the way."""
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
        return self._sign(to, calldata, last.nonce, fees)

    async def fill_gap(self, behind: SignedTransaction) -> SignedTransaction | None:
        """Use up a nonce that is missing before one of ours; returns the bytes that do, None where none is.

        It is left by what was dropped and is too old to be sent again, or by a block that was replaced when nobody
        watched it any more. Raises CapReached.
        """
        quotes, _ = self._read_quotes(await self.client.ask_all(quote_requests(self.guardian.address)))
        gap = find_gap([quote.nonce for quote in quotes], behind.nonce, self.client.config.witnesses)
        last = self._filler
        # What fills it is in the pool, and what waits behind it was bumped.
        if gap is None and last and last.nonce < behind.nonce and last.max_fee_wei < behind.max_fee_wei:
            gap = last.nonce
        if gap is None:
            return None
        async with self.nonce_lock:
            # What is ours and may still be sent comes by itself, and is not to be overtaken.
            if gap in self._held.values():
                return None
            # [SEND] A nonce before ours that most endpoints miss is used up by a call of nothing, at the fees of ours.
            fees = Fees(behind.max_fee_wei, behind.priority_fee_wei)
            self._filler = self._sign(self.guardian.address, b"", gap, fees)
            self._next_nonce = max(self._next_nonce, gap + 1)
        self.start_broadcast(self._filler)
        return self._filler

    def _sign(self, to: str, calldata: bytes, nonce: int, fees: Fees) -> SignedTransaction:
        config = self.client.config
        self._spending.commit(nonce, fees.max_fee_wei * config.gas_limit)
        return self.guardian.sign(
            chain_id=config.chain_id,
            nonce=nonce,
            to=to,
            calldata=calldata,
            gas_limit=config.gas_limit,
            fees=fees,
        )

    def start_broadcast(self, transaction: SignedTransaction, *, in_private: bool = False) -> Sending:
        """Begin to send the signed bytes to every endpoint, or to the private relays alone."""
        return self.client.start_broadcast(transaction.raw, in_private=in_private)

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

    async def find_refusal(self, to: str, calldata: bytes) -> RpcRefused | None:
        """Return how a call is refused now, one that says why before others; None where it would go through.

        Raises RpcUnavailable when no endpoint answers.
        """
        call = {"from": self.guardian.address, "to": to, "data": "0x" + calldata.hex()}
        said = [answer.results[0] for answer in await self.client.ask_all([("eth_call", (call, "latest"))])]
        if not said:
            raise RpcUnavailable("no endpoint answers")
        refusals = [result for result in said if isinstance(result, RpcRefused)]
        return next((refusal for refusal in refusals if read_revert(refusal)), refusals[0] if refusals else None)


def _read_nonces(answers: Sequence[Answer]) -> list[int]:
    """Return the counts of transactions that the first result of each answer holds."""
    nonces = []
    for answer in answers:
        with suppress(RpcUnavailable):
            nonces.append(read_count(answer.results[0]))
    return nonces
