"""A node whose record holds a million signals: rows as the relay writes them, made without signing each."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from msgspec import structs
from tocsin_protocol.audit import EntryKind
from tocsin_protocol.body import encode_body
from tocsin_protocol.encoding import encode_canonical
from tocsin_protocol.envelope import decode_envelope
from tocsin_protocol.ids import NO_DIGEST
from tocsin_protocol.model import Signal, Subject
from tocsin_protocol.signing import Domain
from tocsin_protocol.taxonomy import STANDARD, Category, Role, Severity, Stage, SubjectKind, Tlp

from tocsin_node.store.audit import append_audits
from tocsin_node.store.writer import Connection, Store

from .workload import sample_signal

SIGNALS = 1_000_000
SIGNALS_A_COMMIT = 4_096
PUBLISHERS = 50
SUBJECTS = 20_000
CHAINS = 12
SIGNALS_AN_INCIDENT = 25
# Of all signals, by marking.
SHARES = {Tlp.CLEAR: 30, Tlp.GREEN: 30, Tlp.AMBER: 30, Tlp.RED: 10}
# Apart in time as at one signal a second.
APART_MS = 1_000
_DETAIL = encode_canonical({"path": "gossip", "verdict": "admitted"})
_CATEGORIES = tuple(category for category in Category if category.family != "meta")


@dataclass(frozen=True, slots=True)
class Made:
    """What the record holds: enough to ask for it."""

    first_ms: int
    last_ms: int
    incidents: Sequence[bytes]
    publishers: Sequence[bytes]


def subject_of(number: int) -> str:
    """One of the accounts that signals are about."""
    return f"eip155:{number % CHAINS + 1}:0x{number:040x}"


async def fill_record(store: Store, network_id: bytes, now_ms: int, signals: int) -> Made:
    """Write so many signals, of which the newest came a moment ago; the store's writer runs."""
    rng = random.Random(1)  # noqa: S311 - no secret
    publishers = [rng.randbytes(20) for _ in range(PUBLISHERS)]
    first_ms = now_ms - signals * APART_MS
    incidents: list[bytes] = []
    make = _maker(Domain(network_id), rng, publishers, first_ms, incidents)
    for first in range(0, signals, SIGNALS_A_COMMIT):
        numbers = range(first, min(first + SIGNALS_A_COMMIT, signals))
        await store.writer.submit(partial(_insert, rows=list(make(numbers))))
    return Made(first_ms, now_ms, incidents, publishers)


def _maker(
    domain: Domain, rng: random.Random, publishers: Sequence[bytes], first_ms: int, incidents: list[bytes]
) -> Callable[[range], Iterator[tuple[object, ...]]]:
    labels, shares = tuple(SHARES), tuple(SHARES.values())

    def make(numbers: range) -> Iterator[tuple[object, ...]]:
        for number in numbers:
            at_ms = first_ms + number * APART_MS
            signal = _vary(sample_signal(number, at_ms), rng, rng.choices(labels, shares)[0])
            publisher = publishers[number % PUBLISHERS]
            # nobody asks for its signature here
            wire = [1, publisher, STANDARD, number + 1, rng.randbytes(32), encode_body(signal), bytes(64)]
            encoded = encode_canonical(wire if number else [*wire[:4], NO_DIGEST, *wire[5:]])
            envelope = decode_envelope(domain, encoded)
            if number % SIGNALS_AN_INCIDENT == 0:
                incidents.append(envelope.digest)
            incident = incidents[-1]
            head = (envelope.digest, publisher, STANDARD, number + 1, encoded, at_ms)
            yield (*head, "gossip", "admitted", incident, 0)

    return make


def _vary(signal: Signal, rng: random.Random, tlp: Tlp) -> Signal:
    subjects = (
        Subject(Role.RECIPIENT, SubjectKind.ACCOUNT, subject_of(rng.randrange(SUBJECTS))),
        Subject(Role.VICTIM, SubjectKind.ACCOUNT, subject_of(rng.randrange(SUBJECTS))),
    )
    return structs.replace(
        signal,
        subjects=tuple(sorted(set(subjects))),
        category=rng.choice(_CATEGORIES),
        severity=rng.choice(tuple(Severity)[:3]),
        stage=rng.choice(tuple(Stage)),
        tlp=tlp,
    )


def _insert(connection: Connection, rows: Sequence[tuple[object, ...]]) -> None:
    connection.executemany(
        "INSERT INTO signals (digest, publisher, lane, sequence, encoded, received_ms, path, standing, incident,"
        " matters) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
    begun = {row[8]: row[5] for row in reversed(rows)}
    connection.executemany(
        "INSERT OR IGNORE INTO incidents VALUES (?, 'asset', '', ?, ?)",
        [(incident, at_ms, at_ms) for incident, at_ms in begun.items()],
    )
    append_audits(connection, [(row[5], EntryKind.SIGNAL.value, row[0], _DETAIL) for row in rows])  # type: ignore[misc]
