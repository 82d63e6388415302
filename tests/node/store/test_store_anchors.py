"""Anchors on disk: one for each size, few rows for many tries, and trouble that is told once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from protocol_kit import NETWORK_ID, NOW_MS, Feed
from store_kit import LOG_SECRET
from tocsin_node.store.anchors import (
    Trouble,
    append_anchor_event,
    begin_anchor,
    clear_trouble,
    raise_trouble,
    read_anchor_status,
    read_anchors,
    read_open_anchor,
    read_unanchored,
)
from tocsin_node.store.audit import append_audit, read_audit
from tocsin_node.store.database import DATABASE_NAME
from tocsin_node.store.writer import Store
from tocsin_protocol.audit import EntryKind
from tocsin_protocol.containment.action import Action, SignedTransaction
from tocsin_protocol.containment.life_cycle import ContainmentError, Event, State
from tocsin_protocol.errors import SignatureError
from tocsin_protocol.log.checkpoint import Checkpoint
from tocsin_protocol.log.note import VerifierKey, verifier_key

CHAIN, ACCOUNT = "eip155:1", "0x" + "11" * 20
SIGNED = SignedTransaction(b"raw", b"\7" * 32, 0, 10, 1)
DETAIL = {"raw": b"raw", "hash": b"\7" * 32, "nonce": 0, "max_fee_wei": 10, "priority_fee_wei": 1}
INCLUDED = {"block_number": 9, "block_hash": b"\3" * 32, "hash": b"\7" * 32}


class Log:
    """A log of some entries, and a connection to its database; what is written by hand is in the tree when reopened."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = self.reopen()
        self.connection = sqlite3.connect(folder / DATABASE_NAME, isolation_level=None)

    def reopen(self) -> VerifierKey:
        store = Store(self.folder, Feed("alba").publisher, NETWORK_ID, LOG_SECRET)
        store.close()
        return store.record.key

    def grow(self, kind: EntryKind = EntryKind.NODE) -> None:
        append_audit(self.connection, NOW_MS, kind, b"", {"n": 1})
        self.reopen()

    def unanchored(self, chain: str = CHAIN) -> Checkpoint | None:
        return read_unanchored(self.connection, self.key, chain)

    def begin(self) -> Action:
        head = self.unanchored()
        assert head is not None
        return begin_anchor(self.connection, head, ACCOUNT, CHAIN, SIGNED, DETAIL, NOW_MS)

    def confirm(self, anchor: Action) -> Action:
        append_anchor_event(self.connection, anchor.action_id, Event.INCLUDE, INCLUDED, NOW_MS)
        return append_anchor_event(self.connection, anchor.action_id, Event.CONFIRM, {"reason": ""}, NOW_MS)

    def count(self, kind: EntryKind) -> int:
        return sum(entry.kind is kind for entry in read_audit(self.connection, 0, 1000))


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    made = Log(tmp_path)
    with closing(made.connection):
        yield made


def test_a_log_without_entries_has_nothing_to_anchor(log: Log) -> None:
    assert log.unanchored() is None


def test_a_head_is_anchored_once_on_each_chain(log: Log) -> None:
    log.grow()
    head = log.unanchored()
    assert head is not None
    log.begin()
    assert log.unanchored() is None
    assert log.unanchored("eip155:10") == head
    with pytest.raises(sqlite3.IntegrityError):
        begin_anchor(log.connection, head, ACCOUNT, CHAIN, SIGNED, DETAIL, NOW_MS)


def test_entries_of_anchors_are_no_news(log: Log) -> None:
    log.grow()
    log.confirm(log.begin())
    log.reopen()
    assert log.count(EntryKind.ANCHOR) == 1
    assert log.unanchored() is None
    log.grow()
    head = log.unanchored()
    assert head is not None
    assert head.size == 3


def test_what_failed_is_not_tried_again_at_its_size(log: Log) -> None:
    log.grow()
    append_anchor_event(log.connection, log.begin().action_id, Event.FAIL, {"reason": "refused"}, NOW_MS)
    assert log.unanchored() is None
    log.reopen()  # the alarm is an entry
    assert log.unanchored() is not None


def test_a_head_of_another_key_is_not_anchored(log: Log) -> None:
    log.grow()
    with pytest.raises(SignatureError):
        read_unanchored(log.connection, verifier_key(b"\1" * 32, log.key.name, log.key.algorithm), CHAIN)


def test_an_anchor_under_way_is_found_by_its_key_and_chain(log: Log) -> None:
    log.grow()
    begun = log.begin()
    assert begun.state is State.SIGNED
    assert read_open_anchor(log.connection, CHAIN, ACCOUNT) == begun
    assert read_open_anchor(log.connection, CHAIN, "0x" + "22" * 20) is None
    assert read_open_anchor(log.connection, "eip155:10", ACCOUNT) is None
    log.confirm(begun)
    assert read_open_anchor(log.connection, CHAIN, ACCOUNT) is None


def test_tries_again_leave_no_rows(log: Log) -> None:
    log.grow()
    begun = log.begin()
    for _ in range(100):
        append_anchor_event(log.connection, begun.action_id, Event.SEND, {}, NOW_MS)
    assert log.connection.execute("SELECT COUNT(*) FROM anchor_events").fetchone() == (2,)


def test_a_reorg_of_what_held_is_logged_and_one_before_is_not(log: Log) -> None:
    log.grow()
    begun = log.begin()
    append_anchor_event(log.connection, begun.action_id, Event.INCLUDE, INCLUDED, NOW_MS)
    append_anchor_event(log.connection, begun.action_id, Event.REORG, {"reason": "replaced"}, NOW_MS)
    assert log.count(EntryKind.ANCHOR) == 0
    log.confirm(begun)
    append_anchor_event(log.connection, begun.action_id, Event.REORG, {"reason": "replaced"}, NOW_MS)
    assert log.count(EntryKind.ANCHOR) == 2
    assert read_open_anchor(log.connection, CHAIN, ACCOUNT) is not None


def test_trouble_is_told_once_until_it_is_over(log: Log) -> None:
    for _ in range(3):
        raise_trouble(log.connection, Trouble.SPEND, CHAIN, "the cap", NOW_MS)
    assert log.count(EntryKind.ALARM) == 1
    assert read_anchor_status(log.connection).trouble == "spend: the cap"
    assert raise_trouble(log.connection, Trouble.ENDPOINTS, CHAIN, "none answers", NOW_MS)
    log.grow()
    log.confirm(log.begin())
    assert read_anchor_status(log.connection).trouble == ""
    assert raise_trouble(log.connection, Trouble.SPEND, CHAIN, "the cap", NOW_MS)
    clear_trouble(log.connection)
    assert log.count(EntryKind.ALARM) == 3


def test_an_outcome_that_is_not_known_is_trouble_and_stays_under_way(log: Log) -> None:
    log.grow()
    begun = log.begin()
    append_anchor_event(log.connection, begun.action_id, Event.LOSE, {"reason": "not in a block"}, NOW_MS)
    assert read_anchor_status(log.connection).trouble == "unconfirmed: not in a block"
    still = read_open_anchor(log.connection, CHAIN, ACCOUNT)
    assert still is not None
    assert still.state is State.UNKNOWN


def test_the_newest_that_is_confirmed_is_the_status(log: Log) -> None:
    log.grow()
    log.confirm(log.begin())
    log.grow()
    log.begin()
    newest = read_anchor_status(log.connection).newest
    assert newest is not None
    assert (newest.chain, newest.size) == (CHAIN, 1)
    assert [row.size for row in read_anchors(log.connection)] == [3, 1]


def test_an_anchor_that_is_not_on_disk_has_no_events(log: Log) -> None:
    with pytest.raises(ContainmentError, match="is not on disk"):
        append_anchor_event(log.connection, b"\1" * 32, Event.SEND, {}, NOW_MS)
