"""Sending reports to the oracle contract: what is new to it, and one transaction, or one for each report."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import outcome
import trio
from tocsin_protocol.containment.action import SignedTransaction
from tocsin_protocol.ids import address_of
from tocsin_protocol.risk.aggregate import Quorum, find_equivocators
from tocsin_protocol.risk.calldata import equivocation_calldata, submit_calldata
from tocsin_protocol.risk.report import SignedReport, contradict
from tocsin_protocol.risk.states import is_legal

from .chain.client import ChainClient, open_chain
from .chain.config import ChainConfig
from .chain.errors import ChainError
from .chain.guardian import Guardian
from .chain.key_lock import hold_key
from .chain.receipts import Receipt
from .chain.receipts import Standing as Landed
from .chain.sender import Sender
from .errors import NodeError
from .risk_chain import HeldReport, read_held

GAS_BASE = 100_000
GAS_PER_REPORT = 120_000
# What has less time left may be over before it is in a block.
MIN_LEFT_MS = 10_000
# What was sent longer ago has expired.
PUSH_SECONDS = 60.0
LOOK_SECONDS = 0.5


class PushError(NodeError):
    """Reports that could not be carried to the contract; the message says why."""


class Reverted(PushError):
    """What the contract refused, or would: it may be one report of several."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """What was sent: the reports, the transaction's hash and its block."""

    reports: tuple[SignedReport, ...]
    transaction: bytes
    block: int


async def choose_reports(
    client: ChainClient, oracle: str, quorum: Quorum, reports: Sequence[SignedReport], subject: bytes, now_ms: int
) -> tuple[SignedReport, ...]:
    """Of each signer the latest report about a subject that is fresh, new to the contract, and a legal move there."""
    told_two = find_equivocators(reports)
    latest: dict[bytes, SignedReport] = {}
    for one in reports:
        # [RISK] No report is carried from the future, or with less than MIN_LEFT_MS left.
        is_fresh = one.report.observed <= now_ms and now_ms + MIN_LEFT_MS <= one.report.expires
        if one.report.subject == subject and is_fresh and one.signer in quorum.signers - told_two:
            held = latest.get(one.signer)
            if held is None or one.report.epoch > held.report.epoch:
                latest[one.signer] = one
    signers = sorted(latest)
    held_there = await read_held(client, oracle, subject, signers)
    pairs = ((latest[signer], there) for signer, there in zip(signers, held_there, strict=True))
    return tuple(one for one, there in pairs if there is None or _would_take(one, there))


def _would_take(one: SignedReport, held: HeldReport) -> bool:
    """Whether the contract takes a report after the one it holds of the signer."""
    return one.report.epoch > held.epoch and is_legal(held.standing, one.report.standing)


def find_stories(
    reports: Sequence[SignedReport], signers: Collection[bytes]
) -> list[tuple[SignedReport, SignedReport]]:
    """For each signer who told two stories, two reports that show it."""
    told: dict[tuple[bytes, bytes, int], SignedReport] = {}
    found: dict[bytes, tuple[SignedReport, SignedReport]] = {}
    for one in reports:
        first = told.setdefault((one.signer, one.report.subject, one.report.epoch), one)
        if one.signer in signers and contradict(first, one):
            found[one.signer] = (first, one)
    return list(found.values())


async def push_reports(config: ChainConfig, key: bytes, oracle: str, reports: Sequence[SignedReport]) -> list[Pushed]:
    """Send one transaction with these reports and wait until it is mined; raises PushError.

    Where the contract refuses it, each report is sent by itself: a signer can make his own be refused meanwhile, by
    another that he brings there first, or by being excluded.
    """
    try:
        return [await _push(config, key, oracle, reports)]
    except Reverted as exc:
        if len(reports) == 1:
            raise
        refused: PushError = exc
    # [RISK] Reports that the contract refuses together are sent one by one.
    pushed = []
    for one in reports:
        try:
            pushed.append(await _push(config, key, oracle, [one]))
        except Reverted as exc:
            refused = exc
    if not pushed:
        raise refused
    return pushed


async def _push(config: ChainConfig, key: bytes, oracle: str, reports: Sequence[SignedReport]) -> Pushed:
    gas = GAS_BASE + GAS_PER_REPORT * len(reports)
    mined = await _call(config, key, oracle, submit_calldata(reports), gas)
    return Pushed(tuple(reports), mined.hash, mined.block_number)


async def show_stories(config: ChainConfig, key: bytes, oracle: str, one: SignedReport, other: SignedReport) -> None:
    """Have the contract exclude a signer who told two stories; raises PushError."""
    await _call(config, key, oracle, equivocation_calldata(one, other), GAS_BASE)


async def _call(config: ChainConfig, key: bytes, oracle: str, data: bytes, gas: int) -> Receipt:
    """Send one transaction to the contract and wait until it is mined; raises PushError."""
    guardian = Guardian(key)
    config = config.model_copy(update={"gas_limit": gas})
    try:
        with hold_key(config.chain_id, guardian.address), trio.move_on_after(PUSH_SECONDS):
            async with open_chain(config) as client:
                # Taken out of the client's nursery, which would make a group of it.
                mined = await outcome.acapture(_send, Sender(client, guardian), address_of(oracle), data)
            return mined.unwrap()
    except ChainError as exc:
        raise PushError(str(exc)) from exc
    raise PushError(f"not mined within {PUSH_SECONDS:g} s: what was in it may have expired, push again")


async def _send(sender: Sender, to: str, data: bytes) -> Receipt:
    config = sender.client.config
    prepared = await sender.prepare(to, data)
    if prepared.objection is not None:
        raise Reverted(f"the contract would refuse: {prepared.objection.sentence}")
    sent = [sender.sign_first(to, data, prepared.quote)]
    while True:
        taken = await sender.start_broadcast(sent[-1]).wait()
        if not taken.is_accepted and len(sent) == 1:
            raise PushError(f"no endpoint takes the transaction: {taken.reason}")
        receipt = await _wait_mined(sender, sent, config.bump_ms / 1_000)
        if receipt is not None:
            return receipt
        # A transaction that is stuck holds up all that come after it. A cap that is reached ends this push.
        if len(sent) <= config.max_bumps:
            sent.append(await sender.sign_bump(to, data, sent[-1]))


async def _wait_mined(sender: Sender, sent: Sequence[SignedTransaction], seconds: float) -> Receipt | None:
    """The receipt of whichever of these is in a block; None where that takes longer. Raises PushError."""
    is_used = False
    with trio.move_on_after(seconds):
        while True:
            outlook = await sender.look(sent)
            # Once is enough: what a reorg takes back is carried again by the next push.
            if outlook.standing in (Landed.SEEN, Landed.SETTLED) and (receipt := outlook.receipt) is not None:
                if not receipt.is_success:
                    raise Reverted(f"transaction 0x{receipt.hash.hex()} was mined and reverted")
                return receipt
            # An endpoint may count a transaction a moment before it shows the receipt.
            if is_used and outlook.standing is Landed.NONCE_USED:
                raise PushError(f"another transaction of {sender.guardian.address} took its place")
            is_used = outlook.standing is Landed.NONCE_USED
            await trio.sleep(LOOK_SECONDS)
    return None
