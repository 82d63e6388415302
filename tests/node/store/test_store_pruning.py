"""What may be dropped of the log, what stays, and that every proof of what is left stands."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from protocol_kit import DAY_MS, NETWORK_ID, NOW_MS, Feed, make_signal
from store_kit import LOG_SECRET, OWN, arm, file
from tocsin_node.errors import NodeError
from tocsin_node.record.beside import write_beside
from tocsin_node.record.checking import check_log
from tocsin_node.record.export import export_log
from tocsin_node.record.exported import check_exported
from tocsin_node.record.files import LogFileError, LogFolder
from tocsin_node.record.proving import Prover
from tocsin_node.store.audit import append_audit
from tocsin_node.store.database import open_writer
from tocsin_node.store.log_files import StoreLog
from tocsin_node.store.pruning import MAX_PRUNED_AT_ONCE, find_prunable, keep_since, prune_log, read_pruned
from tocsin_node.store.record import Record
from tocsin_node.store.replay_source import ReplaySource
from tocsin_protocol.audit import MAX_DETAIL_BYTES, EntryKind
from tocsin_protocol.errors import ProtocolError
from tocsin_protocol.log.bundle import verify_proof_bundle
from tocsin_protocol.log.checkpoint import origin_of
from tocsin_protocol.log.tiles import TILE_WIDTH
from tocsin_protocol.log.trust import NO_QUORUM, TrustPolicy
from tocsin_protocol.model import Subject
from tocsin_protocol.taxonomy import Role, SubjectKind

OLD_MS = NOW_MS - 1_000 * DAY_MS
BEFORE_MS = NOW_MS - 365 * DAY_MS
MANY = 3 * TILE_WIDTH + 10


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection, lock = open_writer(tmp_path, Feed(OWN).publisher, NETWORK_ID)
    connection.execute("PRAGMA synchronous = OFF")
    yield connection
    connection.close()
    lock.close()


def note(database: sqlite3.Connection, count: int, at_ms: int = OLD_MS, reference: bytes = b"") -> None:
    for number in range(count):
        append_audit(database, at_ms, EntryKind.NODE, reference, {"number": number})


def long_ago(database: sqlite3.Connection) -> None:
    """Whatever was written until now; it is in no tree yet."""
    database.execute("UPDATE audit SET at_ms = ?", (OLD_MS,))
    database.execute("UPDATE incidents SET last_ms = ?", (OLD_MS,))


def log_of(database: sqlite3.Connection) -> Record:
    return Record(database, origin_of(NETWORK_ID, Feed(OWN).publisher), LOG_SECRET)


def prune(database: sqlite3.Connection, to: int = 10**9) -> int:
    return prune_log(database, to, log_of(database).edge.size, BEFORE_MS, NOW_MS)


def test_old_entries_go_in_whole_tiles_and_the_log_stays_whole(database: sqlite3.Connection, tmp_path: Path) -> None:
    note(database, MANY)
    key = log_of(database).key
    with closing(StoreLog(tmp_path)) as own:
        export_log(own, own.head, own.checkpoint(), tmp_path / "cold")
    assert prune(database) == 3 * TILE_WIDTH
    assert database.execute("SELECT MIN(sequence) FROM audit").fetchone() == (3 * TILE_WIDTH + 1,)
    note(database, 2 * TILE_WIDTH, NOW_MS)
    record = log_of(database)
    assert (record.fault, record.edge.size) == ("", MANY + 1 + 2 * TILE_WIDTH)
    trust = TrustPolicy((key,), {}, {}, NO_QUORUM)
    with closing(StoreLog(tmp_path)) as own:
        assert check_log(own, own.head, own.pruned) == []
        prover = Prover(own, own.head, own.checkpoint())
        for index in (3 * TILE_WIDTH, MANY, own.head.size - 1):
            verify_proof_bundle(prover.prove_entry(index), trust)
        prover.prove_growth(TILE_WIDTH)
        with pytest.raises(LogFileError, match="were pruned"):
            prover.prove_entry(5)
        # what was exported before goes on being added to, and is whole
        export_log(own, own.head, own.checkpoint(), tmp_path / "cold")
        cold = LogFolder(tmp_path / "cold")
        assert check_log(cold, own.head) == []
        verify_proof_bundle(Prover(cold, own.head, own.checkpoint()).prove_entry(5), trust)
        with pytest.raises(NodeError, match="were pruned"):
            export_log(own, own.head, own.checkpoint(), tmp_path / "new")
    with closing(ReplaySource(tmp_path)) as own, pytest.raises(NodeError, match="were pruned"):
        write_beside(own, tmp_path / "new")


def test_what_is_written_and_dropped_while_a_log_is_checked_is_no_fault(
    database: sqlite3.Connection, tmp_path: Path
) -> None:
    note(database, MANY)
    log_of(database)
    with closing(StoreLog(tmp_path)) as own:
        assert prune(database) == 3 * TILE_WIDTH
        note(database, TILE_WIDTH)
        assert log_of(database).edge.size == MANY + 1 + TILE_WIDTH
        assert (check_log(own, own.head, own.pruned), own.count_outside(), own.head.size) == ([], 0, MANY)


def test_the_last_tile_never_goes(database: sqlite3.Connection) -> None:
    note(database, 2 * TILE_WIDTH)
    assert prune(database) == TILE_WIDTH
    assert log_of(database).fault == ""


def test_a_transaction_drops_so_many_and_the_next_goes_on(database: sqlite3.Connection) -> None:
    note(database, MAX_PRUNED_AT_ONCE + TILE_WIDTH + 1)
    assert prune(database, to=TILE_WIDTH + 5) == TILE_WIDTH
    assert prune(database, to=TILE_WIDTH + 5) == TILE_WIDTH
    assert prune(database) == MAX_PRUNED_AT_ONCE + TILE_WIDTH
    assert read_pruned(database) == MAX_PRUNED_AT_ONCE + TILE_WIDTH


def test_what_is_young_stays_and_all_after_it_whatever_a_clock_said(database: sqlite3.Connection) -> None:
    note(database, TILE_WIDTH)
    note(database, 1, NOW_MS)
    note(database, 3 * TILE_WIDTH)
    assert find_prunable(database, 4 * TILE_WIDTH + 1, BEFORE_MS) == TILE_WIDTH


def _heard_of(database: sqlite3.Connection, incident: bytes) -> None:
    database.execute("UPDATE incidents SET last_ms = ?", (NOW_MS,))


def _holding(database: sqlite3.Connection, incident: bytes) -> None:
    database.execute("INSERT INTO held_levers VALUES (x'01', 'pause', 2, x'90', 5, ?)", (incident,))


def _unsettled(database: sqlite3.Connection, incident: bytes) -> None:
    database.execute("UPDATE actions SET state = 'unknown'")


@pytest.mark.parametrize("is_open", [_heard_of, _holding, _unsettled])
def test_what_is_about_something_open_stays(
    database: sqlite3.Connection, is_open: Callable[[sqlite3.Connection, bytes], None]
) -> None:
    note(database, TILE_WIDTH)
    arm(database)
    for name in ("brook", "cedar"):
        decided = file(database, [Feed(name).seal()]).decided
    assert decided[0].actions
    database.execute("UPDATE actions SET state = 'lifted'")
    long_ago(database)
    note(database, TILE_WIDTH)
    size = log_of(database).edge.size
    assert find_prunable(database, size, BEFORE_MS) == 2 * TILE_WIDTH
    is_open(database, decided[0].incident)
    assert find_prunable(database, size, BEFORE_MS) == TILE_WIDTH


def test_large_details_go_with_their_last_entry(database: sqlite3.Connection, tmp_path: Path) -> None:
    alone, again = ({"text": letter * MAX_DETAIL_BYTES} for letter in "ab")
    for detail in (alone, again):
        append_audit(database, OLD_MS, EntryKind.NODE, b"", detail)
    note(database, TILE_WIDTH)
    append_audit(database, NOW_MS, EntryKind.NODE, b"", again)
    log_of(database)
    with closing(ReplaySource(tmp_path)) as own:
        write_beside(own, tmp_path / "cold")
        export_log(own, own.head, own.checkpoint(), tmp_path / "cold")
        details = sorted((tmp_path / "cold/detail").iterdir())
        assert [path.stat().st_mode & 0o777 for path in details] == [0o600] * 2
        check_exported(own, tmp_path / "cold", 0, TILE_WIDTH, own.head)
        # one that is not there, and one that is another
        kept = details[0].read_bytes()
        for found in (None, kept + b"x"):
            details[0].unlink() if found is None else details[0].write_bytes(found)
            with pytest.raises(LogFileError, match="is not there, or not what entry"):
                check_exported(own, tmp_path / "cold", 0, TILE_WIDTH, own.head)
    assert prune(database) == TILE_WIDTH
    assert database.execute("SELECT COUNT(*) FROM large_details").fetchone() == (1,)
    with closing(StoreLog(tmp_path)) as own:
        assert own.check_details() == []


def test_nothing_goes_that_an_export_does_not_hold(database: sqlite3.Connection, tmp_path: Path) -> None:
    note(database, MANY)
    log_of(database)
    cold = tmp_path / "cold"
    with closing(StoreLog(tmp_path)) as own:
        with pytest.raises(LogFileError):
            check_exported(own, cold, 0, TILE_WIDTH, own.head)
        export_log(own, own.head, own.checkpoint(), cold)
        check_exported(own, cold, 0, 3 * TILE_WIDTH, own.head)
        bundle = cold / "tile/entries/001"
        data = bytearray(bundle.read_bytes())
        data[-1] ^= 1
        bundle.write_bytes(data)
        check_exported(own, cold, 0, TILE_WIDTH, own.head)
        with pytest.raises((LogFileError, ProtocolError)):
            check_exported(own, cold, 0, 2 * TILE_WIDTH, own.head)


def test_a_part_that_went_is_logged_again_when_it_is_stood_on_again(database: sqlite3.Connection) -> None:
    def parts() -> int:
        count: int = database.execute("SELECT COUNT(*) FROM audit WHERE kind = 'basis'").fetchone()[0]
        return count

    feed = Feed("brook")
    file(database, [feed.seal()])
    assert parts() == 6
    long_ago(database)
    note(database, TILE_WIDTH)
    assert prune(database) == TILE_WIDTH
    assert parts() == 0
    elsewhere = (Subject(Role.VICTIM, SubjectKind.ACCOUNT, "eip155:1:0x" + "77" * 20),)
    file(database, [feed.seal(make_signal(subjects=elsewhere, incident="another"))])
    assert parts() == 6


def test_a_clock_that_is_years_ahead_makes_nothing_old(database: sqlite3.Connection) -> None:
    for day in range(40):
        note(database, 1, NOW_MS - (40 - day) * DAY_MS)
    today = NOW_MS // DAY_MS
    assert keep_since(database, 30, NOW_MS) == (today - 30) * DAY_MS
    ahead_ms = NOW_MS + 3_650 * DAY_MS
    assert keep_since(database, 30, ahead_ms) == (today - 30) * DAY_MS
    # What it logs by that clock counts as the days that it has gone on so.
    note(database, 5, ahead_ms)
    assert keep_since(database, 30, ahead_ms) == (today - 29) * DAY_MS
    # Put right again, it does not count what was logged by the wrong one.
    assert keep_since(database, 30, NOW_MS) == (today - 30) * DAY_MS


def test_a_log_that_is_not_so_many_days_old_keeps_everything(database: sqlite3.Connection) -> None:
    for day in range(29):
        note(database, 1, OLD_MS + day * DAY_MS)
    assert keep_since(database, 30, NOW_MS) == 0
    note(database, 1, NOW_MS)
    assert keep_since(database, 30, NOW_MS) == OLD_MS // DAY_MS * DAY_MS
