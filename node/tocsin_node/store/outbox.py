"""Own signals on disk: sealed into the feed and queued for the mesh in one transaction, before anything is sent."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from tocsin_protocol.body import encode_body
from tocsin_protocol.envelope import Envelope, seal_envelope
from tocsin_protocol.freshness import check_actionable
from tocsin_protocol.ids import NO_DIGEST
from tocsin_protocol.model import Signal

from tocsin_node.errors import NodeError

from .arrivals import Filed, Opened, Path, file_arrivals
from .feeds import read_feed
from .rosters import read_equivocators
from .rules import Rules

# More may wait on disk; they are sent when these are out.
MAX_OUTBOX_READ = 1024
OWN_KEY_EXCLUDED = "our own key has signed two histories: rotate it in the roster"


class OwnKeyExcluded(NodeError):
    """Nothing can be published with this key any more."""


def publish_signals(
    connection: sqlite3.Connection,
    rules: Rules,
    secret: bytes,
    publisher: bytes,
    signals: Sequence[Signal],
    now_ms: int,
) -> tuple[list[Envelope], Filed]:
    """Seal signals into their feeds, store and decide them like any other, and queue them for the mesh.

    Raises OwnKeyExcluded, and seals nothing, when our own key is proven to have told two histories.
    """
    if publisher in read_equivocators(connection):
        raise OwnKeyExcluded(OWN_KEY_EXCLUDED)
    heads: dict[int, tuple[int, bytes]] = {}
    opened = []
    for signal in signals:
        if signal.lane not in heads:
            feed = read_feed(connection, publisher, signal.lane)
            heads[signal.lane] = (feed.head, feed.head_digest) if feed else (0, NO_DIGEST)
        sequence, previous = heads[signal.lane]
        envelope = seal_envelope(
            rules.roster.domain, secret, publisher, signal.lane, sequence + 1, previous, encode_body(signal)
        )
        heads[signal.lane] = (envelope.sequence, envelope.digest)
        opened.append(Opened(envelope, signal, check_actionable(signal, now_ms)))
    filed = file_arrivals(connection, rules, opened, Path.OWN, now_ms)
    envelopes = [o.envelope for o in opened]
    connection.executemany("INSERT INTO outbox VALUES (?, ?)", ((e.lane, e.sequence) for e in envelopes))
    return envelopes, filed


def read_outbox(connection: sqlite3.Connection, publisher: bytes) -> list[tuple[int, int, bytes]]:
    """(lane, sequence, encoded) of own signals not yet handed to gossip, CRITICAL first."""
    rows = connection.execute(
        "SELECT o.lane, o.sequence, s.encoded FROM outbox o JOIN signals s"
        " ON s.publisher = ? AND s.lane = o.lane AND s.sequence = o.sequence ORDER BY o.lane, o.sequence LIMIT ?",
        (publisher, MAX_OUTBOX_READ),
    )
    return rows.fetchall()


def clear_outbox(connection: sqlite3.Connection, sent: Sequence[tuple[int, int]]) -> None:
    """Forget (lane, sequence) entries that gossip has taken over."""
    connection.executemany("DELETE FROM outbox WHERE lane = ? AND sequence = ?", sent)
