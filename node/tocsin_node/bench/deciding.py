"""One new signal on a busy incident, in a graph of hundreds of protocols: how long until it is decided."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tocsin_protocol.belief.reputation import Pin
from tocsin_protocol.body import encode_body
from tocsin_protocol.decision.levers import Lever
from tocsin_protocol.decision.policy import Policy
from tocsin_protocol.decision.tiers import Tier
from tocsin_protocol.envelope import Envelope, seal_envelope
from tocsin_protocol.exposure.manifest import (
    Amount,
    AmountSource,
    Dependency,
    Holding,
    HoldingKind,
    Link,
    Manifest,
    SubjectId,
)
from tocsin_protocol.ids import NO_DIGEST
from tocsin_protocol.roster import RosterIndex
from tocsin_protocol.roster_model import Capability, Member, Publisher, RateClass, Roster
from tocsin_protocol.signing import Domain, address_of_key, public_key_of
from tocsin_protocol.taxonomy import Severity, SubjectKind

from tocsin_node.clock import now_ms
from tocsin_node.exposure import make_exposure
from tocsin_node.peer_ids import peer_id_of_seed
from tocsin_node.relay.intake import verify_batch
from tocsin_node.store.arrivals import Path as How
from tocsin_node.store.arrivals import file_arrivals
from tocsin_node.store.rules import Rules
from tocsin_node.store.writer import Store

from .figures import percentile
from .result import LOWER, Result, measured
from .workload import sample_signal

PROTOCOLS = 500
REPORTERS = 10
MANY_REPORTERS = 100
FEW, MANY = 10, 1_000
ROUNDS = 200
NETWORK_ID = bytes(32)
DAY_MS = 24 * 3600 * 1000
HOLDING_MICRO_USD = 10_000_000_000_000
GOAL_MS = (LOWER, 5.0)
GOAL_GROWTH = (LOWER, 2.0)


@dataclass(frozen=True, slots=True)
class _Case:
    """An incident of so many signals by so many publishers, and the time each further signal took, ms."""

    signals: int
    took_ms: Sequence[float]


async def bench_deciding(group: str, advance: Callable[[], None]) -> list[Result]:
    """Decisions on a small, a busy and a widely reported incident; no task but this runs meanwhile."""
    cases = []
    for signals, reporters in ((FEW, REPORTERS), (MANY, REPORTERS), (MANY, MANY_REPORTERS)):
        cases.append(_measure(signals, reporters))
        advance()
    few, many, wide = cases
    p50, p99 = percentile(many.took_ms, 50), percentile(many.took_ms, 99)
    growth = p50 / percentile(few.took_ms, 50)
    return [
        measured(group, f"decision on {FEW} signals: p50", percentile(few.took_ms, 50), "ms"),
        measured(group, f"decision on {MANY} signals: p50", p50, "ms"),
        measured(group, f"decision on {MANY} signals: p99", p99, "ms", GOAL_MS),
        measured(group, f"decision on {MANY} over {FEW} signals: p50", growth, "ratio", GOAL_GROWTH),
        measured(group, f"decision on {MANY} signals of {MANY_REPORTERS}: p50", percentile(wide.took_ms, 50), "ms"),
        measured(group, f"decision on {MANY} signals of {MANY_REPORTERS}: p99", percentile(wide.took_ms, 99), "ms"),
    ]


def _measure(signals: int, reporters: int) -> _Case:
    secrets_of = [secrets.token_bytes(32) for _ in range(reporters + 1)]
    rules = _rules(secrets_of)
    feed = _speak(secrets_of[1:])
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as directory:
        store = Store(Path(directory), rules.own, NETWORK_ID, bytes(32))
        try:
            _file(store, rules, [next(feed) for _ in range(signals)])
            return _Case(signals, [_file(store, rules, [next(feed)]) for _ in range(ROUNDS)])
        finally:
            store.close()


def _file(store: Store, rules: Rules, envelopes: Sequence[Envelope]) -> float:
    """Store and decide, as one job of the writer; ms from the verified signal to the decision, without the commit."""
    at_ms = now_ms()
    opened = verify_batch(rules.roster, [envelope.encoded for envelope in envelopes], at_ms).opened
    connection = store.writer.connection
    connection.execute("BEGIN IMMEDIATE")
    began = time.perf_counter()
    file_arrivals(connection, rules, opened, How.GOSSIP, at_ms)
    took_ms = 1000 * (time.perf_counter() - began)
    connection.execute("COMMIT")
    return took_ms


def _speak(publishers: Sequence[bytes]) -> Iterator[Envelope]:
    """Reports of one drain, publisher after publisher, without end."""
    domain = Domain(NETWORK_ID)
    heads = dict.fromkeys(publishers, (0, NO_DIGEST))
    number = 0
    while True:
        for secret in publishers:
            sequence, previous = heads[secret]
            signal = sample_signal(number, now_ms(), severity=Severity.HIGH, subject=_account(PROTOCOLS - 1))
            publisher = address_of_key(public_key_of(secret))
            envelope = seal_envelope(
                domain, secret, publisher, signal.lane, sequence + 1, previous, encode_body(signal)
            )
            heads[secret] = (envelope.sequence, envelope.digest)
            number += 1
            yield envelope


def _rules(secrets_of: Sequence[bytes]) -> Rules:
    """We are the first member and hang on others, who hang on others, down to the one that is drained."""
    members = tuple(_member(n, secret) for n, secret in enumerate(secrets_of))
    levers = (
        Lever("caps", Tier.TIGHTEN, frozenset({"funds"}), 35, 4_000_000_000, 15, 0, 4, 60),
        Lever("freeze", Tier.FREEZE, frozenset({"funds"}), 90, 20_000_000_000, 60, 0, 2, 60),
        Lever("pause", Tier.PAUSE, frozenset({"funds"}), 98, 150_000_000_000, 60, 0, 1, 60),
    )
    policy = Policy(levers, pins={member.name: Pin(2.5, 3.9) for member in members[1:]})
    exposure = make_exposure(_manifest(0), [_manifest(n) for n in range(1, PROTOCOLS)])
    roster = RosterIndex(Roster(NETWORK_ID, 0, NO_DIGEST, members))
    return Rules(policy, b"", {}, roster, exposure, members[0].publishers[0].id)


def _member(number: int, secret: bytes) -> Member:
    publisher = Publisher(
        key=public_key_of(secret),
        peer_id=peer_id_of_seed(number.to_bytes(32, "big")),
        addresses=(),
        valid_from_ms=now_ms() - DAY_MS,
        valid_until_ms=now_ms() + DAY_MS,
        capabilities=(Capability.CRITICAL, Capability.PUBLISH),
        rate_class=RateClass.HIGH,
        detectors=(),
        rpc_groups=(),
        revoked=(),
    )
    return Member(_name(number), f"P {number}", public_key_of(secrets.token_bytes(32)), (publisher,))


def _name(number: int) -> str:
    """In the order of the numbers, as a roster wants its members."""
    return f"p{number:03}"


def _manifest(number: int) -> Manifest:
    """Each protocol hangs on the two after its double, and the last on nobody."""
    amount = Amount(HOLDING_MICRO_USD, now_ms() - DAY_MS, AmountSource.DECLARED)
    holding = Holding("funds", HoldingKind.MARKET, (SubjectId(SubjectKind.ACCOUNT, _account(number)),), amount)
    upstream = sorted({n for n in (2 * number + 1, 2 * number + 2, PROTOCOLS - 1) if number < n < PROTOCOLS})
    dependencies = [
        Dependency("funds", Link.DEPOSIT, SubjectId(SubjectKind.ACCOUNT, _account(n)), _name(n), 300_000)
        for n in upstream
    ]
    return Manifest(_name(number), (holding,), (), tuple(sorted(dependencies, key=lambda d: (d.link, d.subject))))


def _account(number: int) -> str:
    return f"eip155:1:0x{number + 1:040x}"
