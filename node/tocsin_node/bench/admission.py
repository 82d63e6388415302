"""Full admission (decode, verify, chain check, durable store, correlation) over bare signature checks."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import coincurve
import trio
from tocsin_protocol.decision.policy import Policy
from tocsin_protocol.envelope import Envelope
from tocsin_protocol.frame import MAX_FRAME_ENVELOPES
from tocsin_protocol.roster import RosterIndex
from tocsin_protocol.roster_encoding import decode_roster
from tocsin_protocol.taxonomy import Category, Severity

from tocsin_node.clock import now_ms
from tocsin_node.config import load_config
from tocsin_node.demo.network import create_local_network
from tocsin_node.exposure import no_exposure
from tocsin_node.keystore import open_keystore
from tocsin_node.meshlink import Admitted
from tocsin_node.relay.intake import MAX_BATCH, Intake
from tocsin_node.relay.metrics import Metrics
from tocsin_node.roster_files import read_roster
from tocsin_node.store.arrivals import Filed
from tocsin_node.store.arrivals import Path as How
from tocsin_node.store.rules import Rules
from tocsin_node.store.writer import Store

from .result import HIGHER, Result, measured
from .workload import seal_feed

SIGNALS = 20_000
BARE_CHECKS = 10_000
GOAL = (HIGHER, 0.35)
# Enough for every task of the intake to find a full batch waiting, and far below what its queue holds.
FLOOD_AHEAD = 8 * MAX_BATCH


async def bench_admission(group: str, signals: int = SIGNALS) -> list[Result]:
    """Admissions per second over bare coincurve verifications per second, measured before and after."""
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as directory:
        receiver, sender = create_local_network(Path(directory), ["receiver", "sender"], now_ms())
        config = load_config(sender.config_path)
        secret = open_keystore(config.keys.keystore, config.read_passphrase()).publisher
        roster = RosterIndex(decode_roster(read_roster(config.network.genesis).body))
        network_id = roster.roster.network_id
        envelopes = seal_feed(network_id, secret, signals, now_ms(), lane_severity=Severity.HIGH)
        before = bare_checks_per_second()
        rate = await admissions_per_second(Path(directory) / "store", receiver.entry.publisher.id, roster, envelopes)
        bare = (before + bare_checks_per_second()) / 2
    return [
        measured(group, "bare coincurve verify", bare, "1/s"),
        measured(group, "full admission", rate, "1/s"),
        measured(group, "full admission over bare verify", rate / bare, "ratio", GOAL),
    ]


async def admissions_per_second(
    data_dir: Path, publisher: bytes, roster: RosterIndex, envelopes: Sequence[Envelope]
) -> float:
    """Hand a feed to the node's own intake in full frames, as its mesh does in a flood; until the last is on disk."""
    store = Store(data_dir, publisher, roster.roster.network_id, bytes(32))
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(store.writer.run_writer)
            rules = Rules(Policy(), b"", {}, roster, no_exposure("receiver"), publisher)
            # As a node does before it is ready.
            rules.speakers_of(Category.ASSET_DRAIN)
            intake = Intake(store, lambda: rules, Metrics(), now_ms)
            await nursery.start(intake.run_intake)
            flood = _Flood(envelopes)
            intake.listeners.append(flood.note)
            began = time.perf_counter()
            await flood.run(intake)
            seconds = time.perf_counter() - began
            nursery.cancel_scope.cancel()
        return len(envelopes) / seconds
    finally:
        store.close()


class _Flood:
    """Offers frames as fast as the intake has room for them."""

    def __init__(self, envelopes: Sequence[Envelope]) -> None:
        self._encoded = [envelope.encoded for envelope in envelopes]
        self._stored = 0
        self._progress = trio.Event()

    def note(self, filed: Filed, path: How) -> None:
        """A batch is on disk."""
        self._stored += len(filed.stored)
        self._progress.set()

    async def run(self, intake: Intake) -> None:
        """Offer all of them and wait until all are stored."""
        offered = 0
        while self._stored < len(self._encoded):
            while offered < min(len(self._encoded), self._stored + FLOOD_AHEAD):
                intake.offer(Admitted("", self._encoded[offered : offered + MAX_FRAME_ENVELOPES], []))
                offered += MAX_FRAME_ENVELOPES
            self._progress = trio.Event()
            await self._progress.wait()


def bare_checks_per_second() -> float:
    """What libsecp256k1 alone does on one core: parse the key once, then verify."""
    key = coincurve.PrivateKey(os.urandom(32))
    digest = os.urandom(32)
    signature = key.sign(digest, hasher=None)
    public = key.public_key
    began = time.perf_counter()
    for _ in range(BARE_CHECKS):
        public.verify(signature, digest, hasher=None)
    return BARE_CHECKS / (time.perf_counter() - began)
