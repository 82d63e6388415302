"""Feeds on disk: where an arriving envelope stands in its chain, up to where a feed is whole, and ranges of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from tocsin_protocol.envelope import Envelope, decode_envelope
from tocsin_protocol.errors import DecodeError
from tocsin_protocol.feed import Position, chain_position, encode_equivocation
from tocsin_protocol.ids import NO_DIGEST
from tocsin_protocol.signing import Domain

Feed = tuple[bytes, int]


@dataclass(frozen=True, slots=True)
class FeedState:
    """One feed as held: its head, and `contiguous`, up to where nothing is missing."""

    publisher: bytes
    lane: int
    contiguous: int
    head: int
    head_digest: bytes

    @property
    def has_gap(self) -> bool:
        """Whether a signal below the head is missing."""
        return self.contiguous < self.head


def place_envelopes(
    connection: sqlite3.Connection, domain: Domain, envelopes: Iterable[Envelope]
) -> tuple[list[Envelope], list[bytes]]:
    """Split envelopes into those that are new and proofs of equivocation made from those that contradict."""
    feeds: dict[Feed, list[Envelope]] = {}
    for envelope in envelopes:
        feeds.setdefault((envelope.publisher, envelope.lane), []).append(envelope)
    new: list[Envelope] = []
    proofs: list[bytes] = []
    for feed, members in feeds.items():
        for run in _runs(sorted(members, key=lambda envelope: envelope.sequence)):
            _place_run(connection, domain, feed, run, new, proofs)
    return new, proofs


def advance_feeds(connection: sqlite3.Connection, stored: Iterable[Envelope]) -> None:
    """Move the heads of the feeds that these envelopes, already inserted, belong to."""
    feeds: dict[Feed, Envelope] = {}
    for envelope in stored:
        feed = (envelope.publisher, envelope.lane)
        if feed not in feeds or envelope.sequence > feeds[feed].sequence:
            feeds[feed] = envelope
    for (publisher, lane), highest in feeds.items():
        held = read_feed(connection, publisher, lane)
        head, digest = (held.head, held.head_digest) if held else (0, NO_DIGEST)
        if highest.sequence > head:
            head, digest = highest.sequence, highest.digest
        contiguous = _contiguous_from(connection, publisher, lane, held.contiguous if held else 0)
        connection.execute(
            "INSERT OR REPLACE INTO feeds VALUES (?, ?, ?, ?, ?)", (publisher, lane, contiguous, head, digest)
        )


def read_feed(connection: sqlite3.Connection, publisher: bytes, lane: int) -> FeedState | None:
    """One feed, or None when nothing of it is held."""
    row = connection.execute(
        "SELECT publisher, lane, contiguous, head, head_digest FROM feeds WHERE publisher = ? AND lane = ?",
        (publisher, lane),
    ).fetchone()
    return FeedState(*row) if row else None


def read_feeds(connection: sqlite3.Connection) -> list[FeedState]:
    """All feeds; there are two per publisher."""
    rows = connection.execute("SELECT publisher, lane, contiguous, head, head_digest FROM feeds")
    return [FeedState(*row) for row in rows]


def read_range(
    connection: sqlite3.Connection, publisher: bytes, lane: int, first: int, last: int, *, most: int, max_bytes: int
) -> list[bytes]:
    """Encoded envelopes of a feed in rising sequence, cut at `most` items or `max_bytes`."""
    rows = connection.execute(
        "SELECT encoded FROM signals WHERE publisher = ? AND lane = ? AND sequence BETWEEN ? AND ?"
        " ORDER BY sequence LIMIT ?",
        (publisher, lane, first, last, most),
    )
    items, size = [], 0
    for (encoded,) in rows:
        size += len(encoded)
        if size > max_bytes:
            break
        items.append(encoded)
    return items


def read_gaps(connection: sqlite3.Connection, feed: FeedState, most: int) -> list[tuple[int, int]]:
    """The missing ranges (first, last) below a feed's head, lowest first, at most `most` of them."""
    rows = connection.execute(
        "SELECT before + 1, sequence - 1 FROM (SELECT sequence, LAG(sequence, 1, ?3) OVER (ORDER BY sequence) AS before"
        " FROM signals WHERE publisher = ?1 AND lane = ?2 AND sequence > ?3) WHERE sequence > before + 1"
        " ORDER BY sequence LIMIT ?4",
        (feed.publisher, feed.lane, feed.contiguous, most),
    )
    return [(first, last) for first, last in rows]


def _runs(envelopes: Sequence[Envelope]) -> Iterator[list[Envelope]]:
    """Split at gaps, so that one query per run reads no more than a run's neighbourhood."""
    run: list[Envelope] = []
    for envelope in envelopes:
        if run and envelope.sequence > run[-1].sequence + 1:
            yield run
            run = []
        run.append(envelope)
    if run:
        yield run


def _place_run(
    connection: sqlite3.Connection,
    domain: Domain,
    feed: Feed,
    run: list[Envelope],
    new: list[Envelope],
    proofs: list[bytes],
) -> None:
    rows = connection.execute(
        "SELECT sequence, digest, encoded FROM signals WHERE publisher = ? AND lane = ? AND sequence BETWEEN ? AND ?",
        (*feed, run[0].sequence - 1, run[-1].sequence + 1),
    )
    held: dict[int, tuple[bytes, bytes]] = {sequence: (digest, encoded) for sequence, digest, encoded in rows}

    def open_held(sequence: int) -> Envelope | None:
        return decode_envelope(domain, held[sequence][1]) if sequence in held else None

    for envelope in run:
        same, before = held.get(envelope.sequence), held.get(envelope.sequence - 1)
        after = open_held(envelope.sequence + 1) if same is None else None
        position = chain_position(envelope, same=same and same[0], before=before and before[0], after=after)
        if position in (Position.LINKED, Position.UNLINKED):
            held[envelope.sequence] = (envelope.digest, envelope.encoded)
            new.append(envelope)
        elif position is Position.EQUIVOCATION:
            neighbours = (open_held(envelope.sequence), open_held(envelope.sequence - 1), after)
            proofs.append(_prove(envelope, [other for other in neighbours if other is not None]))


def _prove(envelope: Envelope, others: list[Envelope]) -> bytes:
    for other in others:
        with suppress(DecodeError):
            return encode_equivocation(envelope, other)
    raise AssertionError("a contradiction without the signal it contradicts")


def _contiguous_from(connection: sqlite3.Connection, publisher: bytes, lane: int, contiguous: int) -> int:
    rows = connection.execute(
        "SELECT sequence FROM signals WHERE publisher = ? AND lane = ? AND sequence > ? ORDER BY sequence",
        (publisher, lane, contiguous),
    )
    for (sequence,) in rows:
        if sequence != contiguous + 1:
            break
        contiguous = sequence
    return contiguous
