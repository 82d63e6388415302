"""Full admission (decode, verify, chain check, durable store, correlation) over bare signature checks."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import coincurve
import trio
from tocsin_protocol.envelope import Envelope
from tocsin_protocol.frame import MAX_FRAME_ENVELOPES
from tocsin_protocol.policy import Policy
from tocsin_protocol.roster import RosterIndex
from tocsin_protocol.roster_encoding import decode_roster
from tocsin_protocol.taxonomy import Severity

from tocsin_node.clock import now_ms
from tocsin_node.config import load_config
from tocsin_node.demo.network import create_local_network
from tocsin_node.keystore import open_keystore
from tocsin_node.relay.intake import INTAKE_TASKS, Intake
from tocsin_node.relay.metrics import Metrics
from tocsin_node.roster_files import read_roster
from tocsin_node.store.arrivals import Path as How
from tocsin_node.store.decisions import Rules
from tocsin_node.store.writer import Store

from .result import HIGHER, Result, measured
from .workload import seal_feed

SIGNALS = 20_000
BARE_CHECKS = 10_000
GOAL = (HIGHER, 0.35)


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
    """Admit a feed in frames, as many at once as the node does; until the last is on disk."""
    store = Store(data_dir, publisher, roster.roster.network_id)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(store.writer.run_writer)
            intake = Intake(store, lambda: Rules(Policy(()), {}, roster), Metrics(), now_ms)
            frames = [
                [envelope.encoded for envelope in envelopes[start : start + MAX_FRAME_ENVELOPES]]
                for start in range(0, len(envelopes), MAX_FRAME_ENVELOPES)
            ]

            async def admit(share: Sequence[list[bytes]]) -> None:
                for frame in share:
                    await intake.admit(frame, How.GOSSIP)

            began = time.perf_counter()
            async with trio.open_nursery() as admitting:
                for task in range(INTAKE_TASKS):
                    admitting.start_soon(admit, frames[task::INTAKE_TASKS])
            seconds = time.perf_counter() - began
            nursery.cancel_scope.cancel()
        return len(envelopes) / seconds
    finally:
        store.close()


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
