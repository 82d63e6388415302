"""A rolling outflow limiter for one asset of one account: values in, values out, integers only.

The arithmetic is that of ERC-7265 (circuit breaker): the balance at the start of the window is the yardstick,
what flowed since is kept in ticks, and the limiter trips when less than the wanted share would be left. Ticks
older than the window join the yardstick. https://eips.ethereum.org/EIPS/eip-7265
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .errors import ProtocolError

BPS = 10_000
MAX_TICKS = 1_440
"""Ticks in a window: a day by the minute. Bounds what one limiter keeps."""
MAX_REORG_BLOCKS = 128
"""Blocks whose flow can be taken back: a little more than two epochs of Ethereum."""


class OutflowError(ProtocolError):
    """A parameter or an order of blocks that the limiter cannot work with."""


@dataclass(frozen=True, slots=True)
class LimiterParams:
    """What is too much. Times in seconds of chain time, amounts in the asset's smallest unit."""

    window_s: int
    tick_s: int
    max_outflow_bps: int
    min_outflow: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.tick_s <= self.window_s:
            raise OutflowError(f"tick_s: {self.tick_s} where 1 to window_s ({self.window_s}) is wanted")
        if self.window_s > self.tick_s * MAX_TICKS:
            raise OutflowError(f"window_s: more than {MAX_TICKS} ticks of {self.tick_s} s")
        if not 0 < self.max_outflow_bps <= BPS:
            raise OutflowError(f"max_outflow_bps: {self.max_outflow_bps} where 1 to {BPS} is wanted")
        if self.min_outflow < 0:
            raise OutflowError(f"min_outflow: {self.min_outflow} is negative")


@dataclass(frozen=True, slots=True)
class Tick:
    """Net inflow (negative: outflow) of the tick that starts at `start_s`."""

    start_s: int
    net: int


@dataclass(frozen=True, slots=True)
class BlockFlow:
    """One block's net inflow, kept as long as a reorg may take it back."""

    number: int
    start_s: int
    net: int


@dataclass(frozen=True, slots=True)
class Limiter:
    """The balance at window start, the ticks since, and the blocks above `anchor` that can be undone."""

    settled: int
    anchor: int
    ticks: tuple[Tick, ...] = ()
    recent: tuple[BlockFlow, ...] = ()
    is_tripped: bool = False

    @property
    def net(self) -> int:
        """Net inflow within the window; negative when more left than came."""
        return sum(tick.net for tick in self.ticks)

    @property
    def balance(self) -> int:
        """What the account holds now, by this account of it."""
        return self.settled + self.net


@dataclass(frozen=True, slots=True)
class Reading:
    """What the limiter says after a block."""

    net_outflow: int
    limit: int
    settled: int
    is_crossing: bool


def start_limiter(balance: int, block: int) -> Limiter:
    """Begin with the balance at `block`; the next block added is a later one."""
    if balance < 0:
        raise OutflowError(f"balance: {balance} is negative")
    return Limiter(settled=balance, anchor=block)


def outflow_limit(params: LimiterParams, settled: int) -> int:
    """Return the net outflow of a window that is still allowed: the larger of the share and the minimum."""
    return max(settled * params.max_outflow_bps // BPS, params.min_outflow)


def add_block(
    limiter: Limiter, params: LimiterParams, *, number: int, timestamp_s: int, inflow: int, outflow: int
) -> tuple[Limiter, Reading]:
    """Account for one block; `is_crossing` when the limit is passed, and again only after a return below.

    Raises OutflowError when `number` is not above the last block seen: roll back first.
    """
    last = limiter.recent[-1].number if limiter.recent else limiter.anchor
    if number <= last:
        raise OutflowError(f"block {number} follows block {last}")
    if inflow < 0 or outflow < 0:
        raise OutflowError(f"block {number}: a negative flow")
    net = inflow - outflow
    start_s = timestamp_s - timestamp_s % params.tick_s
    settled, ticks = _settle(limiter, timestamp_s - params.window_s)
    if net:
        ticks = _add_to_tick(ticks, start_s, net)
    recent = (*limiter.recent, BlockFlow(number, start_s, net))
    anchor = limiter.anchor
    if len(recent) > MAX_REORG_BLOCKS:
        anchor, recent = recent[0].number, recent[1:]
    after = Limiter(settled=settled, anchor=anchor, ticks=ticks, recent=recent)
    limit = outflow_limit(params, settled)
    is_over = -after.net > limit
    reading = Reading(
        net_outflow=max(0, -after.net),
        limit=limit,
        settled=settled,
        is_crossing=is_over and not limiter.is_tripped,
    )
    return replace(after, is_tripped=is_over), reading


def roll_back(limiter: Limiter, params: LimiterParams, to_block: int) -> Limiter:
    """Take back every block above `to_block`.

    Raises OutflowError when the blocks to take back are no longer kept: start again from a balance.
    """
    if to_block < limiter.anchor:
        raise OutflowError(f"reorg to block {to_block}, below block {limiter.anchor}, the deepest still kept")
    undone = [flow for flow in limiter.recent if flow.number > to_block]
    nets = {tick.start_s: tick.net for tick in limiter.ticks}
    settled = limiter.settled
    for flow in undone:
        if flow.start_s in nets:
            nets[flow.start_s] -= flow.net
        else:  # its tick has joined the yardstick
            settled -= flow.net
    kept = limiter.recent[: len(limiter.recent) - len(undone)]
    ticks = tuple(Tick(start_s, net) for start_s, net in nets.items())
    after = Limiter(settled=settled, anchor=limiter.anchor, ticks=ticks, recent=kept)
    return replace(after, is_tripped=limiter.is_tripped and -after.net > outflow_limit(params, settled))


def _settle(limiter: Limiter, before_s: int) -> tuple[int, tuple[Tick, ...]]:
    """Move the ticks that started at or before `before_s` into the yardstick."""
    kept = 0
    settled = limiter.settled
    while kept < len(limiter.ticks) and limiter.ticks[kept].start_s <= before_s:
        settled += limiter.ticks[kept].net
        kept += 1
    return settled, limiter.ticks[kept:]


def _add_to_tick(ticks: tuple[Tick, ...], start_s: int, net: int) -> tuple[Tick, ...]:
    # A reorged chain may date its blocks a little earlier than the one it replaced: look from the end.
    at = len(ticks)
    while at > 0 and ticks[at - 1].start_s > start_s:
        at -= 1
    if at > 0 and ticks[at - 1].start_s == start_s:
        return (*ticks[: at - 1], Tick(start_s, ticks[at - 1].net + net), *ticks[at:])
    return (*ticks[:at], Tick(start_s, net), *ticks[at:])
