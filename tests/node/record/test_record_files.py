"""A log's files: whole where nothing was changed, and every change found where it is."""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from log_folder_kit import export_to, make_log
from tocsin_node.errors import NodeError
from tocsin_node.record import checking
from tocsin_node.record.checking import LogFault, check_log
from tocsin_node.record.files import LogFileError, LogFiles, LogFolder, LogServer
from tocsin_node.record.proving import Prover
from tocsin_node.store.database import DATABASE_NAME, StoreError
from tocsin_node.store.log_files import StoreLog
from tocsin_protocol.errors import ProofError, ProtocolError
from tocsin_protocol.log.bundle import verify_proof_bundle
from tocsin_protocol.log.checkpoint import Checkpoint, verify_checkpoint
from tocsin_protocol.log.note import VerifierKey
from tocsin_protocol.log.proofs import verify_consistency
from tocsin_protocol.log.tiles import TILE_WIDTH, decode_bundle, encode_bundle, read_edge, tile_at
from tocsin_protocol.log.tree import HASH_BYTES, leaf_hash
from tocsin_protocol.log.trust import TrustPolicy

SIZE = 2 * TILE_WIDTH + 44
LAST = f"tile/0/002.p/{SIZE - 2 * TILE_WIDTH}"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("log") / "data"
    make_log(directory, SIZE)
    return directory


@pytest.fixture
def folder(data_dir: Path, tmp_path: Path) -> Path:
    export_to(data_dir, tmp_path / "exported")
    return tmp_path / "exported"


@pytest.fixture
def key(data_dir: Path) -> VerifierKey:
    with closing(StoreLog(data_dir)) as own:
        return own.key


def faults_of(folder: Path, key: VerifierKey) -> list[LogFault]:
    files = LogFolder(folder)
    return check_log(files, verify_checkpoint(files.checkpoint(), [key]).checkpoint)


def change(path: Path, edit: Callable[[bytearray], object]) -> None:
    data = bytearray(path.read_bytes())
    edit(data)
    path.write_bytes(data)


def flip(at: int) -> Callable[[bytearray], None]:
    def edit(data: bytearray) -> None:
        data[at] ^= 1

    return edit


def swap_entries(first: int, second: int) -> Callable[[bytearray], None]:
    def edit(data: bytearray) -> None:
        entries = decode_bundle(bytes(data), TILE_WIDTH)
        entries[first], entries[second] = entries[second], entries[first]
        data[:] = encode_bundle(entries)

    return edit


@pytest.mark.parametrize("size", [0, 1, TILE_WIDTH - 1, TILE_WIDTH, TILE_WIDTH + 1, SIZE])
def test_a_log_is_whole_in_the_database_and_in_a_folder(tmp_path: Path, size: int) -> None:
    make_log(tmp_path / "data", size)
    export_to(tmp_path / "data", tmp_path / "folder")
    with closing(StoreLog(tmp_path / "data")) as own:
        assert (own.head.size, check_log(own, own.head), own.count_outside()) == (size, [], 0)
        assert faults_of(tmp_path / "folder", own.key) == []


FAULTS: dict[str, tuple[str, Callable[[bytearray], object], list[str]]] = {
    "entry": ("tile/entries/001", flip(10), [f"entry {TILE_WIDTH}: is not the one whose hash stands in tile/0/001"]),
    "last-entry": (LAST.replace("0/002", "entries/002"), flip(-1), [f"entry {SIZE - 1}: is not the one"]),
    "reordered": ("tile/entries/000", swap_entries(3, 9), ["entry 3: is not", "entry 9: is not"]),
    "entries-cut": ("tile/entries/000", lambda data: data.pop(), ["tile/entries/000: a bundle ends in entry 255"]),
    "entries-more": ("tile/entries/000", lambda data: data.append(0), ["tile/entries/000: 1 bytes after the 256"]),
    "length": ("tile/entries/000", flip(1), ["tile/entries/000: "]),
    "leaf": ("tile/0/001", flip(HASH_BYTES), ["entry 257: is not", "tile/0/001: does not have the root"]),
    "tile-cut": ("tile/0/001", lambda data: data.pop(), ["tile/0/001: a tile of 8191 bytes where 256"]),
    "last-leaf": (LAST, flip(-1), [f"entry {SIZE - 1}: is not the one", "checkpoint: its root of 556 entries is not"]),
    "upper": ("tile/1/000.p/2", flip(0), ["tile/0/000: does not have the root", "checkpoint: its root of 556 entries"]),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_change_is_found_where_it_is(folder: Path, key: VerifierKey, name: str) -> None:
    path, edit, wanted = FAULTS[name]
    change(folder / path, edit)
    found = [f"{fault.where}: {fault.what}" for fault in faults_of(folder, key)]
    assert len(found) == len(wanted)
    for told, begin in zip(found, wanted, strict=True):
        assert told.startswith(begin)


@pytest.mark.parametrize("path", ["tile/0/000", "tile/entries/001", LAST, "tile/1/000.p/2"])
def test_a_missing_file_is_named(folder: Path, key: VerifierKey, path: str) -> None:
    (folder / path).unlink()
    faults = faults_of(folder, key)
    assert [fault.where for fault in faults] == [path]
    assert "No such file" in faults[0].what


def test_an_entry_changed_with_its_tile_is_found_by_the_level_above(folder: Path, key: VerifierKey) -> None:
    """Whoever writes history anew has to do it up to the head, and that is signed."""

    def rewrite(data: bytearray) -> None:
        entries = decode_bundle(bytes(data), TILE_WIDTH)
        entries[7] = b"another"
        data[:] = encode_bundle(entries)
        change(folder / "tile/0/000", partial(replace_hash, 7, leaf_hash(b"another")))

    def replace_hash(at: int, new: bytes, data: bytearray) -> None:
        data[at * HASH_BYTES : (at + 1) * HASH_BYTES] = new

    change(folder / "tile/entries/000", rewrite)
    assert [fault.where for fault in faults_of(folder, key)] == ["tile/0/000"]


def test_any_flipped_bit_of_any_file_is_found(folder: Path, key: VerifierKey) -> None:
    rng = random.Random(1)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    assert len(paths) == 8
    for path in paths:
        before = path.read_bytes()
        for _ in range(6):
            change(path, flip(rng.randrange(len(before))))
            if path.name == "checkpoint":
                with pytest.raises(ProtocolError):
                    faults_of(folder, key)
            else:
                assert faults_of(folder, key)
            path.write_bytes(before)
    assert faults_of(folder, key) == []


@pytest.mark.parametrize("size", [20_000, pytest.param(1_000_000, marks=pytest.mark.soak)])
def test_one_altered_entry_of_many_is_found(tmp_path: Path, size: int) -> None:
    make_log(tmp_path, size)
    altered = size // 3
    with closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as connection, connection:
        connection.execute("UPDATE audit SET at_ms = at_ms + 1 WHERE sequence = ?", (altered + 1,))
    with closing(StoreLog(tmp_path)) as own:
        assert [fault.where for fault in check_log(own, own.head)] == [f"entry {altered}"]


def test_no_more_faults_are_told_than_anybody_reads(
    folder: Path, key: VerifierKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "MAX_FAULTS", 5)
    change(folder / "tile/0/000", lambda data: data.__setitem__(slice(None), bytes(len(data))))
    assert len(faults_of(folder, key)) == 5


def test_an_older_head_is_whole_beside_newer_files(data_dir: Path) -> None:
    """What was signed once stays provable: the tiles of a smaller tree are beginnings of today's."""
    with closing(StoreLog(data_dir)) as own:
        for size in (1, TILE_WIDTH, TILE_WIDTH + 1, SIZE - 1):
            path = Prover(own, own.head, own.checkpoint()).prove_growth(size)
            root = root_at(own, size)
            verify_consistency(size, SIZE, path, root, own.head.root)
            assert check_log(own, Checkpoint(own.head.origin, size, root)) == []


def root_at(files: LogFiles, size: int) -> bytes:
    return read_edge(size, lambda level, number: files.tile(tile_at(level, number, size))).root


def test_proofs_of_entries_hold_under_the_signed_head(data_dir: Path, key: VerifierKey) -> None:
    trust = TrustPolicy((key,), {}, {}, "none")
    with closing(StoreLog(data_dir)) as own:
        prover = Prover(own, own.head, own.checkpoint())
        for index in (0, 1, TILE_WIDTH - 1, TILE_WIDTH, SIZE - 1):
            bundle = prover.prove_entry(index)
            assert bundle.index == index
            verify_proof_bundle(bundle, trust)
        with pytest.raises(ProofError, match=f"entry {SIZE} is not in a tree of {SIZE}"):
            prover.prove_entry(SIZE)


def test_entries_are_found_by_what_they_are_about(data_dir: Path) -> None:
    with closing(StoreLog(data_dir)) as own:
        about = own.find_id("00000105")
        assert about == bytes.fromhex("00000105") + bytes(28)
        assert own.find_entries(about, 10) == [0x105]
        with pytest.raises(StoreError, match="more than one id of the log is about '0000010'"):
            own.find_id("0000010")
        with pytest.raises(StoreError, match="no entry of the log is about 'ffff'"):
            own.find_id("ffff")


def test_a_second_export_writes_only_what_is_new(tmp_path: Path) -> None:
    make_log(tmp_path / "data", TILE_WIDTH + 5)
    # two files of the full tile, two of the partial one, one of the level above, the head
    assert export_to(tmp_path / "data", tmp_path / "folder") == 6
    full = (tmp_path / "folder/tile/0/000").stat().st_ino
    make_log(tmp_path / "data", TILE_WIDTH + 9)
    assert export_to(tmp_path / "data", tmp_path / "folder") == 4
    assert (tmp_path / "folder/tile/0/000").stat().st_ino == full
    with closing(StoreLog(tmp_path / "data")) as own:
        assert faults_of(tmp_path / "folder", own.key) == []


def test_an_export_that_cannot_be_written_says_where(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(NodeError, match="cannot be written"):
        export_to(data_dir, tmp_path / "folder")


def test_a_changed_detail_beside_the_log_is_found(tmp_path: Path) -> None:
    make_log(tmp_path, 1)
    detail = b"large"
    with closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as connection, connection:
        connection.execute("INSERT INTO large_details VALUES (?, ?)", (sha256(detail).digest(), detail))
    with closing(StoreLog(tmp_path)) as own:
        assert own.check_details() == []
    with closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as connection, connection:
        connection.execute("UPDATE large_details SET detail = ?", (b"other",))
    with closing(StoreLog(tmp_path)) as own:
        assert [fault.where for fault in own.check_details()] == [f"detail {sha256(detail).hexdigest()}"]


def test_there_is_no_log_before_the_first_start(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no database yet"):
        StoreLog(tmp_path)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_served_log_is_checked_as_one_in_a_folder(folder: Path, key: VerifierKey) -> None:
    with served(folder) as url, closing(LogServer(f"{url}/")) as files:
        head = verify_checkpoint(files.checkpoint(), [key]).checkpoint
        assert check_log(files, head) == []
        change(folder / "tile/entries/001", flip(10))
        assert [fault.where for fault in check_log(files, head)] == [f"entry {TILE_WIDTH}"]
        (folder / "tile/0/000").unlink()
        assert "answered 404" in check_log(files, head)[0].what
        (folder / "checkpoint").write_bytes(bytes(70_000))
        with pytest.raises(LogFileError, match="longer than 65536 bytes"):
            files.checkpoint()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://[", "nonsense"])
def test_a_server_that_is_not_there_is_named(url: str) -> None:
    with closing(LogServer(url)) as files, pytest.raises(LogFileError, match="cannot be fetched"):
        files.checkpoint()
