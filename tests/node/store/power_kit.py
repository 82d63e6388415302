"""A disk that loses power: SQLite's real code on files whose unsynced writes a cut drops or tears, sector by sector."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import apsw

SECTOR_BYTES = 512
DATABASE = "tocsin.db"
ANCHOR = "ledger.anchor"


class PowerCut(Exception):
    """The lights are out; nothing that was not synced can be relied on."""


@dataclass
class File:
    """What a reader sees, what is on the platter, and the writes in between, in their order."""

    seen: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes] | int] = field(default_factory=list)
    has_durable_name: bool = False

    def write(self, offset: int, data: bytes) -> None:
        place(self.seen, offset, data)
        self.pending.append((offset, data))

    def truncate(self, size: int) -> None:
        del self.seen[size:]
        self.pending.append(size)

    def sync(self) -> None:
        for change in self.pending:
            apply(self.durable, change)
        self.pending.clear()
        # As SQLite does on a real disk: the first sync of a new file syncs its directory too.
        self.has_durable_name = True

    def lose(self, rng: random.Random) -> None:
        """Any subset of the sectors written since the last sync is there, some of them torn."""
        for change in self.pending:
            if isinstance(change, int):
                if rng.random() < 0.5:
                    apply(self.durable, change)
                continue
            offset, data = change
            for start in range(0, len(data), SECTOR_BYTES):
                fate = rng.random()
                sector = data[start : start + SECTOR_BYTES]
                if fate < 0.45:
                    place(self.durable, offset + start, sector)
                elif fate < 0.55:
                    place(self.durable, offset + start, sector[: rng.randrange(len(sector))])
        self.pending.clear()
        self.seen = bytearray(self.durable)


def place(content: bytearray, offset: int, data: bytes) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def apply(content: bytearray, change: tuple[int, bytes] | int) -> None:
    if isinstance(change, int):
        del content[change:]
    else:
        place(content, *change)


class Disk:
    """Files by name. After `steps` more changes or syncs the power is cut."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files: dict[str, File] = {}
        self.steps = -1
        for name, data in (files or {}).items():
            self.files[name] = File(bytearray(data), bytearray(data), [], True)

    def image(self) -> dict[str, bytes]:
        return {name: bytes(file.durable) for name, file in self.files.items()}

    def step(self) -> None:
        """One change or sync, or the end."""
        if self.steps == 0:
            raise PowerCut
        self.steps -= 1

    def cut(self, rng: random.Random) -> None:
        """What the machine finds when the power is back."""
        for name, file in list(self.files.items()):
            file.lose(rng)
            if not file.has_durable_name and rng.random() < 0.5:
                del self.files[name]
        self.steps = -1

    def create(self, name: str, data: bytes) -> None:
        """What `replace_file` does, as if no cut came between: a file that is there whole or not at all."""
        self.step()
        self.files[name] = File(bytearray(data), bytearray(data), [], True)

    def write(self, name: str, offset: int, data: bytes) -> None:
        """Write in place, and wait for the disk."""
        self.step()
        self.files[name].write(offset, data)
        self.step()
        self.files[name].sync()


class _Handle:
    """An open file, as apsw asks for it."""

    def __init__(self, disk: Disk, file: File) -> None:
        self._disk = disk
        self._file = file
        self._level = 0

    def xRead(self, amount: int, offset: int) -> bytes:
        return bytes(self._file.seen[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:
        self._disk.step()
        self._file.write(offset, bytes(data))

    def xTruncate(self, size: int) -> None:
        self._disk.step()
        self._file.truncate(size)

    def xSync(self, flags: int) -> None:
        self._disk.step()
        self._file.sync()

    def xFileSize(self) -> int:
        return len(self._file.seen)

    def xLock(self, level: int) -> None:
        self._level = max(self._level, level)

    def xUnlock(self, level: int) -> None:
        self._level = min(self._level, level)

    def xCheckReservedLock(self) -> bool:
        return self._level > 1

    def xFileControl(self, op: int, pointer: int) -> bool:
        return False

    def xSectorSize(self) -> int:
        return 4096

    def xDeviceCharacteristics(self) -> int:
        # As on Unix: a cut harms no byte beside those that were being written.
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE

    def xClose(self) -> None:
        return


class DiskVFS(apsw.VFS):
    """SQLite's way to a Disk."""

    def __init__(self, name: str) -> None:
        self.disk = Disk()
        self.name = name
        super().__init__(name, "", 1)

    def xOpen(self, name: Any, flags: list[int]) -> Any:
        key = name if isinstance(name, str) else name.filename() if name is not None else "(temporary)"
        if key not in self.disk.files:
            self.disk.files[key] = File()
        flags[1] = flags[0]
        return _Handle(self.disk, self.disk.files[key])

    def xDelete(self, name: str, sync_directory: bool) -> None:
        self.disk.step()
        self.disk.files.pop(name, None)

    def xAccess(self, name: str, flags: int) -> bool:
        return name in self.disk.files

    def xFullPathname(self, name: str) -> str:
        return name


class Cursor:
    """What sqlite3's cursor is to our code."""

    def __init__(self, connection: apsw.Connection, cursor: apsw.Cursor) -> None:
        self._connection = connection
        self._cursor = cursor

    @property
    def lastrowid(self) -> int:
        return self._connection.last_insert_rowid()

    @property
    def rowcount(self) -> int:
        return self._connection.changes()

    def fetchone(self) -> Any:
        return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        return self._cursor.fetchall()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cursor)


class Connection:
    """What sqlite3's connection is to our code: the calls that the ledger makes, on apsw."""

    def __init__(self, vfs: str) -> None:
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        self._connection = apsw.Connection(DATABASE, flags=flags, vfs=vfs)
        # The index of the log in memory: one process, and no shared memory on this disk.
        self.execute("PRAGMA locking_mode = EXCLUSIVE")

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Cursor:
        return Cursor(self._connection, self._connection.execute(sql, parameters))

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> Cursor:
        return Cursor(self._connection, self._connection.executemany(sql, rows))

    def executescript(self, sql: str) -> None:
        self._connection.execute(sql)

    def close(self) -> None:
        self._connection.close(True)
