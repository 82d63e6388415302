"""Claims checked again on the operator's own endpoints: each asked by itself, none believed alone.

An endpoint is asked twice, whatever it is asked about: for its chain, head and the claims' blocks, then for everything
else in one batch that is pinned to the hashes of those blocks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import trio
from tocsin_protocol.evidence.answers import MIN_ENDPOINTS, Answer, Checked, Doubt, WitnessAnswer, combine
from tocsin_protocol.evidence.predicates import Predicate
from tocsin_protocol.evidence.relevance import MAX_CHECKED_CLAIMS

from .client import ChainClient
from .errors import ChainError, RpcRefused
from .evidence_reads import Sight, Unclear, blocks_of, judge_results, read_sight, requests_of, sight_requests
from .rpc import Request, RpcEndpoint

CHECK_DEADLINE_S = 10.0
"""For a whole check: within it an alarm about a drain is still worth acting on."""
EXCHANGE_TIMEOUT_S = 4.0
"""For one batch to one endpoint, waiting for its turn included: two of them fit the deadline."""
GRACE_S = 0.5
"""How long the others are waited for once MIN_ENDPOINTS have answered: one slow endpoint must not hold up an alarm."""
MAX_EXCHANGES = 4
"""Batches under way at one endpoint: a flood of claims waits here, and the slots of one endpoint are not another's."""
MAX_CACHED = 4_096
"""Claims whose answer at a block is remembered; the oldest go first."""


class EvidenceChecker:
    """Checks claims through the clients of the operator's chains, by CAIP-2 id. One for the whole node."""

    def __init__(self, clients: Mapping[str, ChainClient]) -> None:
        self._chains = {
            chain: _Chain(client.config.chain_id, tuple(_Witness(endpoint) for endpoint in client.endpoints))
            for chain, client in clients.items()
        }
        self._cache = _Cache()

    async def check_predicates(
        self, predicates: Sequence[Predicate], *, deadline_s: float = CHECK_DEADLINE_S
    ) -> list[Checked]:
        """Return what came of the claims of one signal, in their order; whatever goes wrong is an unknown answer.

        Raises ValueError for more than MAX_CHECKED_CLAIMS.
        """
        if len(predicates) > MAX_CHECKED_CLAIMS:
            raise ValueError(f"{len(predicates)} claims where at most {MAX_CHECKED_CLAIMS} are wanted")
        by_chain: dict[str, list[Predicate]] = {}
        for predicate in dict.fromkeys(predicates):
            by_chain.setdefault(predicate.chain, []).append(predicate)
        found: dict[Predicate, Checked] = {}

        async def check(chain: str, claims: list[Predicate]) -> None:
            heard = await self._hear(chain, claims, deadline_s)
            for at, claim in enumerate(claims):
                found[claim] = combine(claim, [said[at] for said in heard])
                self._cache.note(found[claim])

        async with trio.open_nursery() as nursery:
            for chain, claims in by_chain.items():
                nursery.start_soon(check, chain, claims)
        return [found[predicate] for predicate in predicates]

    async def _hear(self, name: str, claims: Sequence[Predicate], deadline_s: float) -> list[list[WitnessAnswer]]:
        """Return what each endpoint of a chain says of each claim, as far as they say it in time."""
        chain = self._chains.get(name)
        if chain is None:
            return []
        said = [
            [WitnessAnswer(witness.endpoint.name, Answer.UNKNOWN, doubt=Doubt.NO_TIME)] * len(claims)
            for witness in chain.witnesses
        ]
        enough = trio.Event()
        waiting, answered = len(chain.witnesses), 0

        async def ask(at: int) -> None:
            nonlocal waiting, answered
            said[at] = await self._ask(chain, chain.witnesses[at], claims)
            waiting -= 1
            answered += any(item.answer is not Answer.UNKNOWN for item in said[at])
            if answered >= MIN_ENDPOINTS:
                enough.set()
            if waiting == 0:
                nursery.cancel_scope.cancel()

        with trio.move_on_after(deadline_s):
            async with trio.open_nursery() as nursery:
                for at in range(len(chain.witnesses)):
                    nursery.start_soon(ask, at)
                await enough.wait()
                await trio.sleep(GRACE_S)
                nursery.cancel_scope.cancel()
        return said

    async def _ask(self, chain: _Chain, witness: _Witness, claims: Sequence[Predicate]) -> list[WitnessAnswer]:
        """Return what one endpoint says of each claim."""
        name = witness.endpoint.name
        numbers = sorted({number for claim in claims for number in blocks_of(claim)})
        try:
            sight = read_sight(await witness.exchange(sight_requests(numbers)), numbers, chain.chain_id)
            plans = [self._plan(claim, sight) for claim in claims]
            requests = [request for plan in plans if isinstance(plan, list) for request in plan]
            results = iter(await witness.exchange(requests))
        except Unclear as exc:
            return [_unclear(name, exc)] * len(claims)
        # Each claim takes as many of the results as it asked for.
        taken = [[next(results) for _ in plan] if isinstance(plan, list) else plan for plan in plans]
        return [_testify(name, claim, sight, item) for claim, item in zip(claims, taken, strict=True)]

    def _plan(self, claim: Predicate, sight: Sight) -> list[Request] | bool | Unclear:
        """What to ask about a claim, or its answer when it is known at that block, or why nothing can be asked."""
        try:
            known = self._cache.get(claim, sight.block(claim.block).hash)
            return requests_of(claim, sight) if known is None else known
        except Unclear as exc:
            return exc


class _Witness:
    """One endpoint, and how much it may be asked at once."""

    def __init__(self, endpoint: RpcEndpoint) -> None:
        self.endpoint = endpoint
        self._slots = trio.CapacityLimiter(MAX_EXCHANGES)

    async def exchange(self, requests: Sequence[Request]) -> list[Any | RpcRefused]:
        """One batch; raises Unclear without a usable answer in time."""
        if not requests:
            return []
        try:
            with trio.fail_after(EXCHANGE_TIMEOUT_S):
                async with self._slots:
                    return await self.endpoint.batch(requests)
        except trio.TooSlowError as exc:
            raise Unclear(Doubt.NO_TIME, f"no answer within {EXCHANGE_TIMEOUT_S:g} s") from exc
        except ChainError as exc:
            raise Unclear(Doubt.UNAVAILABLE, str(exc)) from exc


@dataclass(frozen=True, slots=True)
class _Chain:
    chain_id: int
    witnesses: tuple[_Witness, ...]


class _Cache:
    """Whether a claim holds at a block, where enough endpoints agreed on it: it can never change there."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Predicate, bytes], bool] = OrderedDict()

    def get(self, claim: Predicate, block_hash: bytes) -> bool | None:
        """What is known, if anything is."""
        return self._known.get((claim, block_hash))

    def note(self, checked: Checked) -> None:
        """Remember what the endpoints agree on; whether the block is settled is asked anew each time."""
        if checked.doubt not in (None, Doubt.NOT_SETTLED):
            return
        witness = next(item for item in checked.witnesses if item.answer is not Answer.UNKNOWN)
        self._known[checked.predicate, witness.block_hash] = witness.answer is Answer.CONFIRMED
        while len(self._known) > MAX_CACHED:
            self._known.popitem(last=False)


def _testify(name: str, claim: Predicate, sight: Sight, item: list[Any] | bool | Unclear) -> WitnessAnswer:
    """What an endpoint's results for one claim say."""
    try:
        if isinstance(item, Unclear):
            raise item
        block = sight.block(claim.block)
        holds = item if isinstance(item, bool) else judge_results(claim, sight, item)
    except Unclear as exc:
        return _unclear(name, exc)
    answer = Answer.CONFIRMED if holds else Answer.CONTRADICTED
    return WitnessAnswer(name, answer, block.hash, sight.head - claim.block)


def _unclear(name: str, exc: Unclear) -> WitnessAnswer:
    return WitnessAnswer(name, Answer.UNKNOWN, doubt=exc.doubt, note=str(exc))
