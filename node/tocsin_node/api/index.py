"""The index of the record's signals: filled by the feed's one reader of the record, asked by every request."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from tocsin_protocol.ids import chain_of
from tocsin_protocol.model import Signal
from tocsin_protocol.taxonomy import SubjectKind, Tlp

from tocsin_node.store.database import StoreError
from tocsin_node.store.reader import Reader, SignalRow

from .feed_db import BUSY_TIMEOUT_MS, transaction
from .index_schema import SCHEMA_VERSION, TABLES
from .markings import tlp_rank

INDEX_NAME = "feed-index.db"
LEVELS = len(Tlp)
PAGE = 2_000
# Most of a page's rows go to places all over the indexes: the fewer of them are read and written again, the better.
CACHE_KIB = 128 * 1024
CHECKPOINT_PAGES = 16_384

Facet = tuple[str, str, int, int]


def open_index(data_dir: Path) -> sqlite3.Connection:
    """Open the index for its one writer, made anew where it is of another schema or no database at all."""
    path = data_dir / INDEX_NAME
    try:
        try:
            return _open(path)
        except sqlite3.DatabaseError as exc:
            if not is_spoilt(exc):
                raise
        drop_index(data_dir)
        return _open(path)
    except (sqlite3.DatabaseError, OSError) as exc:
        raise StoreError(f"{path}: cannot be used ({exc})") from exc


def is_spoilt(error: sqlite3.DatabaseError) -> bool:
    """Whether it says that a file is no database or is damaged, or of another schema: not that it is locked or full."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def drop_index(data_dir: Path) -> None:
    """Remove the index, to be made anew: it holds nothing that the record does not."""
    for suffix in ("", "-wal", "-shm"):
        (data_dir / (INDEX_NAME + suffix)).unlink(missing_ok=True)


def open_index_reader(data_dir: Path) -> sqlite3.Connection:
    """Open the index to ask it; use it from one thread at a time. Raises StoreError where there is none."""
    path = data_dir / INDEX_NAME
    if not path.exists():
        raise StoreError(f"{path}: no index yet; the feed makes it when it starts")
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA query_only = ON")
    if connection.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
        connection.close()
        raise StoreError(f"{path}: of another version; the feed makes it anew when it starts")
    return connection


def catch_up(index: sqlite3.Connection, reader: Reader) -> int:
    """Bring the index up to what the record holds, a page at most; returns how many signals were new.

    An index that was made from another record, or from a later state of this one, is emptied first.
    """
    position, digest = index.execute("SELECT signal, digest FROM position").fetchone()
    if position and not _is_of(reader, position, digest):
        with transaction(index):
            for table in ("signals", "subjects", "chains", "incidents", "facets"):
                index.execute(f"DELETE FROM {table}")  # noqa: S608 - one of five
            index.execute("UPDATE position SET signal = 0, digest = x''")
        position = 0
    rows = reader.signals(after=position, limit=PAGE)
    if rows:
        with transaction(index):
            # A feed that is being replaced may have been faster.
            if index.execute("SELECT signal FROM position").fetchone() == (position,):
                _insert(index, rows)
    return len(rows)


def _open(path: Path) -> sqlite3.Connection:
    path.touch(mode=0o600, exist_ok=True)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA journal_mode = WAL")
        # What a power cut takes is read from the record again.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            connection.executescript(f"BEGIN IMMEDIATE; {TABLES} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        elif version != SCHEMA_VERSION:
            raise sqlite3.DatabaseError(f"schema {version}")
    except BaseException:
        connection.close()
        raise
    return connection


def _is_of(reader: Reader, position: int, digest: bytes) -> bool:
    last = reader.signals(after=position - 1, limit=1)
    return bool(last) and (last[0].id, last[0].envelope.digest) == (position, digest)


def _insert(index: sqlite3.Connection, rows: Sequence[SignalRow]) -> None:
    signals, subjects, chains = [], [], []
    incidents: dict[tuple[int, bytes], list[int]] = {}
    facets: dict[tuple[str, str, int], int] = {}
    numbers: dict[bytes, int] = {}
    for row in rows:
        # [API] A signal whose body cannot be read is RED.
        signal, tlp = row.signal, tlp_rank(row.signal.tlp if row.signal else None)
        severity = signal.severity.rank if signal else 0
        category, stage = (signal.category.value, signal.stage.value) if signal else ("", "")
        publisher = row.envelope.publisher
        signals.append((row.id, row.received_ms, tlp, severity, category, stage, publisher, row.incident))
        named = _names(signal)
        subjects += [(value, tlp, row.received_ms, row.id) for kind, value in named if kind == "subject"]
        chains += [(value, tlp, row.received_ms, row.id) for kind, value in named if kind == "chain"]
        if row.incident is None:
            continue
        number = numbers.get(row.incident) or _number(index, row.incident) or row.id
        numbers[row.incident] = number
        for level in range(tlp, LEVELS):
            _merge(incidents, (level, row.incident), row.received_ms, severity)
        for kind, value in (*named, ("publisher", publisher.hex()), ("category", category)):
            facets[kind, value, number] = min(tlp, facets.get((kind, value, number), tlp))
    index.executemany("INSERT INTO signals VALUES (?, ?, ?, ?, ?, ?, ?, ?)", signals)
    index.executemany("INSERT INTO subjects VALUES (?, ?, ?, ?)", subjects)
    index.executemany("INSERT INTO chains VALUES (?, ?, ?, ?)", chains)
    index.executemany(
        "INSERT INTO incidents VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (level, number) DO UPDATE SET"
        " first_ms = min(first_ms, excluded.first_ms), last_ms = max(last_ms, excluded.last_ms),"
        " signals = signals + excluded.signals, severity = max(severity, excluded.severity)",
        ((level, numbers[incident], incident, *counted) for (level, incident), counted in incidents.items()),
    )
    index.executemany(
        "INSERT INTO facets VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET tlp = min(tlp, excluded.tlp)"
        " WHERE excluded.tlp < tlp",
        ((*key, tlp) for key, tlp in facets.items()),
    )
    index.execute("UPDATE position SET signal = ?, digest = ?", (rows[-1].id, rows[-1].envelope.digest))


def _merge(incidents: dict[tuple[int, bytes], list[int]], key: tuple[int, bytes], at_ms: int, severity: int) -> None:
    first_ms, last_ms, signals, worst = incidents.get(key, (at_ms, at_ms, 0, severity))
    incidents[key] = [min(first_ms, at_ms), max(last_ms, at_ms), signals + 1, max(worst, severity)]


def _number(index: sqlite3.Connection, incident: bytes) -> int | None:
    row = index.execute("SELECT number FROM incidents WHERE id = ? AND level = ?", (incident, LEVELS - 1)).fetchone()
    return None if row is None else row[0]


def _names(signal: Signal | None) -> set[tuple[str, str]]:
    """The subjects and chains that a signal names, each once."""
    if signal is None:
        return set()
    return {("subject", subject.value) for subject in signal.subjects} | set(_chains(signal))


def _chains(signal: Signal) -> Iterable[tuple[str, str]]:
    for subject in signal.subjects:
        match subject.kind:
            case SubjectKind.CHAIN:
                yield "chain", subject.value
            case SubjectKind.ACCOUNT | SubjectKind.ASSET:
                yield "chain", chain_of(subject.value)
    for evidence in signal.evidence:
        yield "chain", evidence.chain
