"""The first built-in watcher: an outflow limiter for each protected (account, asset), fed by Transfer logs.

The arithmetic is ERC-7265's (`tocsin_protocol.outflow`); here is what the chain says, and when to believe it.

Blocks and logs are read from one endpoint at a time. One that fails or falls behind the others is left, and a crossing
is reported only when a second endpoint shows the same logs. What one omits is not looked for elsewhere: while it
follows the chain without some transfers, an outflow goes unseen. The operator's choice of endpoints is the cure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product

import trio
from tocsin_protocol.ids import account_of, address_of
from tocsin_protocol.outflow import Limiter, OutflowError, Reading, add_block, roll_back, start_limiter

from tocsin_node.chain.balances import read_balance
from tocsin_node.chain.client import ChainClient
from tocsin_node.chain.errors import ChainError, RpcUnavailable
from tocsin_node.clock import now_ms as read_clock

from .config import OutflowWatcherConfig, WatchedAsset
from .finding import Finding, Report, WatcherStatus, finding_key, worth
from .follower import Advance, Follower, Header
from .transfers import Transfer, transfer_filters

MAX_KEPT_TRANSFERS = 1_024
"""Outgoing transfers kept for each (account, asset); the oldest go first."""
MAX_EVIDENCE = 16
"""Transactions and recipients that one finding names: the largest."""
MAX_WITNESS_TRIES = 60
"""Polls for which a crossing waits for a second endpoint to say the same, and for the node to take it over."""
MAX_STEPS_PER_POLL = 64
"""Batches of blocks read in one go when the watcher is behind."""
LOOK_EVERY_POLLS = 5
"""Of the polls in a row that bring nothing new, each fifth looks whether other endpoints have more."""


@dataclass(slots=True)
class _Pair:
    """One account and one asset."""

    account: str
    item: WatchedAsset
    limiter: Limiter
    outgoing: deque[Transfer] = field(default_factory=lambda: deque(maxlen=MAX_KEPT_TRANSFERS))


@dataclass(slots=True, eq=False)
class _Crossing:
    pair: _Pair
    header: Header
    reading: Reading
    first_block: int
    net: int
    tries: int = 0


async def run_outflow_watcher(
    config: OutflowWatcherConfig,
    client: ChainClient,
    report: Report,
    now_ms: Callable[[], int] = read_clock,
    *,
    status: WatcherStatus | None = None,
    task_status: trio.TaskStatus[WatcherStatus] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Watch until cancelled; started once the balances are known. Endpoints that fail are tried again every poll."""
    watcher = OutflowWatcher(config, client, report, now_ms, WatcherStatus() if status is None else status)
    is_started = False
    while True:
        try:
            await watcher.poll()
        except ChainError as exc:
            watcher.status.errors += 1
            watcher.status.last_error = str(exc)
        else:
            if not is_started:
                is_started = True
                task_status.started(watcher.status)
        await trio.sleep(config.poll_ms / 1_000)


class OutflowWatcher:
    """The state between two polls."""

    def __init__(
        self,
        config: OutflowWatcherConfig,
        client: ChainClient,
        report: Report,
        now_ms: Callable[[], int],
        status: WatcherStatus,
    ) -> None:
        self.status = status
        self._config = config
        self._client = client
        self._report = report
        self._now_ms = now_ms
        self._accounts = {address_of(account): account for account in config.accounts}
        self._assets = {address_of(item.asset): item for item in config.assets}
        self._filters = transfer_filters(list(self._assets), list(self._accounts))
        self._follower = Follower(client, self._filters, config.max_blocks)
        self._pairs: dict[tuple[str, str], _Pair] = {}
        self._crossings: list[_Crossing] = []
        self._quiet_polls = 0

    async def poll(self) -> None:
        """Read what is new and report crossings; raises ChainError."""
        head = await self._follower.head()
        if not self._pairs:
            await self._start(head)
        self._quiet_polls += 1
        for _ in range(MAX_STEPS_PER_POLL):
            step = await self._follower.advance(head)
            if step is None:
                break
            self._quiet_polls = 0
            if step.is_lost:
                self.status.restarts += 1
                self._pairs, self._crossings = {}, []
                break
            self._apply(step)
            if not self._pairs:
                break
        self.status.endpoint = self._follower.endpoint.name
        self.status.polled_ms = self._now_ms()
        if (last := self._follower.last) is not None:
            self.status.head_number, self.status.head_time_ms = last.number, last.timestamp_s * 1_000
        await self._report_crossings()
        # An endpoint that stands still answers every question: only the others can tell.
        if self._quiet_polls >= LOOK_EVERY_POLLS:
            self._quiet_polls = 0
            await self._follower.leave_if_behind(head)

    async def _start(self, head: Header) -> None:
        """Read the balances at `backfill_blocks` before the head: what left since then counts already."""
        first = max(0, head.number - self._config.backfill_blocks)
        # A head that the others cannot show the state of is not one to start from.
        with self._follower.leaving_on_error():
            balances = await self._read_balances(head)
            flows = await self._read_flows(first, head)
        await self._follower.start_at(first, head)
        self._pairs = {
            (account, token): _Pair(self._accounts[account], self._assets[token], start_limiter(max(0, amount), first))
            for (account, token), amount in ((key, balance - flows.get(key, 0)) for key, balance in balances.items())
        }

    async def _read_flows(self, first: int, head: Header) -> dict[tuple[str, str], int]:
        """Return what came in, less what went out, after block `first`, where enough endpoints show the same logs."""
        flows: dict[tuple[str, str], int] = {}
        for low in range(first + 1, head.number + 1, self._config.max_blocks):
            high = min(low + self._config.max_blocks - 1, head.number)
            answers = await self._follower.transfers_of(low, high, self._filters)
            agreed = [found for found in answers if answers.count(found) >= self._client.config.witnesses]
            if not agreed:
                raise RpcUnavailable(f"too few endpoints give the same logs of blocks {low} to {high}")
            for transfer in agreed[0]:
                for key, inflow, outflow in self._split(transfer):
                    flows[key] = flows.get(key, 0) + inflow - outflow
        return flows

    async def _read_balances(self, head: Header) -> dict[tuple[str, str], int]:
        """Return the balances at the head, on which as many endpoints as there are to be witnesses agree."""
        return {
            (account, token): await read_balance(
                self._client, self._accounts[account], self._assets[token].asset, head.number
            )
            for account, token in product(self._accounts, self._assets)
        }

    def _apply(self, step: Advance) -> None:
        if step.rolled_back_to is not None:
            self._roll_back(step.rolled_back_to)
            return
        flows: dict[tuple[str, str], dict[int, tuple[int, int]]] = {}
        for transfer in step.transfers:
            for key, inflow, outflow in self._split(transfer):
                blocks = flows.setdefault(key, {})
                before = blocks.get(transfer.block, (0, 0))
                blocks[transfer.block] = (before[0] + inflow, before[1] + outflow)
                if outflow:
                    self._pairs[key].outgoing.append(transfer)
        for key, pair in self._pairs.items():
            blocks = flows.get(key, {})
            # The last block counts without a flow too: time passes, and old ticks join the yardstick.
            for header in step.headers:
                if header.number in blocks or header is step.headers[-1]:
                    self._add_block(pair, header, *blocks.get(header.number, (0, 0)))

    def _split(self, transfer: Transfer) -> list[tuple[tuple[str, str], int, int]]:
        """Return (pair, inflow, outflow) for each side of a transfer that is watched."""
        if transfer.token not in self._assets or transfer.sender == transfer.recipient:
            return []
        sides = []
        if transfer.sender in self._accounts:
            sides.append(((transfer.sender, transfer.token), 0, transfer.amount))
        if transfer.recipient in self._accounts:
            sides.append(((transfer.recipient, transfer.token), transfer.amount, 0))
        return sides

    def _add_block(self, pair: _Pair, header: Header, inflow: int, outflow: int) -> None:
        params = self._config.limiter_params(pair.item)
        pair.limiter, reading = add_block(
            pair.limiter,
            params,
            number=header.number,
            timestamp_s=header.timestamp_s,
            inflow=inflow,
            outflow=outflow,
        )
        if reading.is_crossing:
            in_window = [flow for flow in pair.limiter.recent if flow.start_s > header.timestamp_s - params.window_s]
            net = sum(flow.net for flow in in_window)
            self._crossings.append(_Crossing(pair, header, reading, in_window[0].number, net))

    def _roll_back(self, to_block: int) -> None:
        self.status.reorgs += 1
        self._crossings = [item for item in self._crossings if item.header.number <= to_block]
        for pair in self._pairs.values():
            try:
                pair.limiter = roll_back(pair.limiter, self._config.limiter_params(pair.item), to_block)
            except OutflowError:
                # Deeper than what is kept: the balances are read again.
                self.status.restarts += 1
                self._pairs, self._crossings = {}, []
                return
            while pair.outgoing and pair.outgoing[-1].block > to_block:
                pair.outgoing.pop()

    async def _report_crossings(self) -> None:
        for crossing in list(self._crossings):
            is_witnessed = await self._is_witnessed(crossing)
            if is_witnessed and await self._report(self._describe(crossing)):
                self.status.findings += 1
                self._crossings.remove(crossing)
                continue
            crossing.tries += 1
            if crossing.tries >= MAX_WITNESS_TRIES:
                self.status.unwitnessed += not is_witnessed
                self._crossings.remove(crossing)

    async def _is_witnessed(self, crossing: _Crossing) -> bool:
        """Say whether enough endpoints show the same net flow; with one endpoint there is nobody else to ask."""
        wanted = self._client.config.witnesses
        if wanted < 2:
            return True
        token, account = address_of(crossing.pair.item.asset), address_of(crossing.pair.account)
        filters = transfer_filters([token], [account])
        answers = await self._follower.transfers_of(crossing.first_block, crossing.header.number, filters)
        return sum(1 for transfers in answers if _net_of(transfers, account) == crossing.net) >= wanted

    def _describe(self, crossing: _Crossing) -> Finding:
        pair, header, reading = crossing.pair, crossing.header, crossing.reading
        evidence = [item for item in pair.outgoing if crossing.first_block <= item.block <= header.number]
        evidence.sort(key=lambda item: item.amount, reverse=True)
        chain = self._client.config.chain
        recipients = dict.fromkeys(account_of(chain, item.recipient) for item in evidence)
        balance = max(0, reading.settled - reading.net_outflow)
        return Finding(
            key=finding_key(pair.account, pair.item.asset, header.hash),
            watcher=self._config.name,
            chain=chain,
            account=pair.account,
            asset=pair.item.asset,
            block_number=header.number,
            block_hash=header.hash,
            block_time_ms=header.timestamp_s * 1_000,
            window_s=self._config.window_s,
            net_outflow=reading.net_outflow,
            limit=reading.limit,
            balance_at_start=reading.settled,
            balance=balance,
            loss_micro_usd=worth(reading.net_outflow, pair.item),
            at_risk_micro_usd=worth(balance, pair.item),
            transactions=tuple(dict.fromkeys((item.block, item.transaction) for item in evidence))[:MAX_EVIDENCE],
            recipients=tuple(recipients)[:MAX_EVIDENCE],
        )


def _net_of(transfers: Sequence[Transfer], account: str) -> int:
    inflow = sum(item.amount for item in transfers if item.recipient == account)
    return inflow - sum(item.amount for item in transfers if item.sender == account)
