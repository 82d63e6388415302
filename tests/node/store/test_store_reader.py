"""Read-only views: pages by key that neither repeat nor leave out, while the writer goes on."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path as FilePath

import pytest
from protocol_kit import NAMES, NETWORK_ID, NOW_MS, Feed, make_roster, make_signal, make_standard, signed_by
from store_kit import HOOK, OWN, arm, file, make_rules
from tocsin_node.store.database import StoreError, open_writer
from tocsin_node.store.reader import MAX_PAGE, Reader
from tocsin_node.store.rosters import insert_roster, load_rosters
from tocsin_node.views import action_view, decision_view, incident_view, signal_view
from tocsin_protocol.audit import EntryKind
from tocsin_protocol.envelope import seal_envelope
from tocsin_protocol.ids import NO_DIGEST
from tocsin_protocol.model import Signal, Subject
from tocsin_protocol.taxonomy import STANDARD, Role, SubjectKind


@contextmanager
def opened(data_dir: FilePath) -> Iterator[tuple[sqlite3.Connection, Reader]]:
    connection, lock = open_writer(data_dir, Feed(OWN).publisher, NETWORK_ID)
    connection.execute("PRAGMA synchronous = OFF")
    load_rosters(connection, signed_by(make_roster()), NOW_MS)
    try:
        with Reader(data_dir) as reader:
            yield connection, reader
    finally:
        connection.close()
        lock.close()


def about(number: int) -> Signal:
    account = f"eip155:1:0x{number:040x}"
    return make_standard(subjects=(Subject(Role.VICTIM, SubjectKind.ACCOUNT, account),), incident=f"n{number}")


@pytest.mark.parametrize("limit", [1, 3, 7, 50])
def test_pages_of_signals_neither_repeat_nor_leave_out(tmp_path: FilePath, limit: int) -> None:
    feed = Feed("brook")
    with opened(tmp_path) as (database, reader):
        file(database, feed.seal_many(20))
        newest, before = [], None
        while page := reader.signals(before=before, limit=limit):
            newest += page
            before = page[-1].id
            # what comes meanwhile does not move the pages
            file(database, [feed.seal()])
        assert [row.envelope.sequence for row in newest] == list(range(20, 0, -1))
        oldest, after = [], 0
        while len(page := reader.signals(after=after, limit=limit)) > 0:
            oldest += page
            after = page[-1].id
        assert [row.envelope.sequence for row in oldest] == list(range(1, feed.heads[STANDARD][0] + 1))


def test_pages_of_incidents_neither_repeat_nor_leave_out_when_they_begin_together(tmp_path: FilePath) -> None:
    feed = Feed("brook")
    with opened(tmp_path) as (database, reader):
        file(database, [feed.seal(about(number)) for number in range(9)])
        file(database, [feed.seal(about(number)) for number in range(9, 12)], now_ms=NOW_MS + 5)
        seen, before = [], None
        while page := reader.incidents(before=before, limit=4):
            seen += page
            before = (page[-1].first_ms, page[-1].id)
        assert len({row.id for row in seen}) == len(seen) == 12
        assert [row.first_ms for row in seen] == [NOW_MS + 5] * 3 + [NOW_MS] * 9
        assert seen[0].publishers == (feed.publisher,)
        assert seen[0].signals == 1


def test_an_incident_is_found_by_the_beginning_of_its_id(tmp_path: FilePath) -> None:
    with opened(tmp_path) as (database, reader):
        envelope = Feed("brook").seal()
        file(database, [envelope])
        for spelling in (envelope.digest.hex()[:8], "0x" + envelope.digest.hex().upper()):
            assert reader.incident(spelling).id == envelope.digest
        with pytest.raises(StoreError, match="at least 4 hex digits"):
            reader.incident("abc")
        with pytest.raises(StoreError, match="no incident has an id that begins so"):
            reader.incident("zzzz")


def test_the_record_of_an_incident_is_whole(tmp_path: FilePath) -> None:
    with opened(tmp_path) as (database, reader):
        arm(database)
        rules = make_rules(organisations=1)
        envelope = Feed("brook").seal(make_signal())
        file(database, [envelope], rules=rules)
        row = reader.incident(envelope.digest.hex())
        (decision,) = reader.decisions(row.id)
        (action,) = reader.actions(incident=row.id)
        assert row.acts
        assert [(lever.hook, lever.verdict) for lever in decision.detail.levers] == [(HOOK, "fires")]
        assert [(term.member, term.answer) for term in decision.detail.terms] == [("brook", "counted")]
        assert decision.detail.policy_hash == rules.policy_hash
        assert reader.action(action.action.action_id) == action
        assert reader.action(b"\0" * 32) is None
        signal = reader.signal(envelope.digest)
        assert signal is not None
        roster = reader.roster()
        assert signal_view(signal, roster)["member"] == "brook"
        assert incident_view(row, roster)["members"] == ["brook"]
        assert decision_view(decision)["levers"][0]["verdict"] == "fires"
        assert action_view(action)["state"] == "planned"
        assert reader.incident_subjects(row.id)
        assert reader.arms()[HOOK].armed


def test_the_audit_is_paged_by_sequence(tmp_path: FilePath) -> None:
    with opened(tmp_path) as (database, reader):
        file(database, Feed("brook").seal_many(5))
        entries, after = [], 0
        while page := reader.audit(after=after, limit=2):
            entries += page
            after = page[-1].sequence
        assert [entry.sequence for entry in entries] == list(range(1, reader.audit_head() + 1))
        assert {entry.kind for entry in entries} == {
            EntryKind.ROSTER,
            EntryKind.SIGNAL,
            EntryKind.INCIDENT,
            EntryKind.BASIS,
            EntryKind.DECISION,
        }


def test_a_commit_of_the_writer_changes_the_data_version(tmp_path: FilePath) -> None:
    with opened(tmp_path) as (database, reader):
        before = reader.data_version()
        assert reader.data_version() == before
        file(database, [Feed("brook").seal()])
        assert reader.data_version() != before


def test_a_page_is_bounded_whatever_is_asked_for(tmp_path: FilePath) -> None:
    feed = Feed("brook")
    with opened(tmp_path) as (database, reader):
        file(database, feed.seal_many(MAX_PAGE + 1))
        assert len(reader.signals(limit=10**9)) == MAX_PAGE
        assert len(reader.signals(limit=-1)) == 1


def test_a_body_that_does_not_parse_is_kept_and_shown_as_such(tmp_path: FilePath) -> None:
    feed = Feed("brook")
    envelope = seal_envelope(feed.domain, feed.secret, feed.publisher, STANDARD, 1, NO_DIGEST, b"\xc1 no body")
    with opened(tmp_path) as (database, reader):
        file(database, [envelope])
        (row,) = reader.signals()
        assert (row.signal, row.standing.value, row.incident) == (None, "bad-body", None)
        assert signal_view(row, reader.roster())["signal"] is None


def test_rosters_are_served_from_an_epoch_on(tmp_path: FilePath) -> None:
    with opened(tmp_path) as (database, reader):
        signed = signed_by(make_roster(), *NAMES)
        for epoch in (1, 2, 3):
            insert_roster(database, epoch, signed, NOW_MS)
        assert len(reader.rosters(0, 10)) == 4
        assert len(reader.rosters(2, 10)) == 2
        assert len(reader.rosters(1, 2)) == 2
        insert_roster(database, 3, signed, NOW_MS)
        assert len(reader.rosters(0, 10)) == 4


def test_a_database_without_a_roster_says_so(tmp_path: FilePath) -> None:
    connection, lock = open_writer(tmp_path, Feed(OWN).publisher, NETWORK_ID)
    with Reader(tmp_path) as reader, pytest.raises(StoreError, match="holds no roster yet"):
        reader.roster()
    connection.close()
    lock.close()
