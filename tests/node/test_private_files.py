"""Files that hold secrets are written whole, once, and for their owner."""

from __future__ import annotations

import os
import resource
import stat
import threading
from pathlib import Path

import pytest
from tocsin_node.errors import ConfigError
from tocsin_node.private_files import make_private_directory, read_private_file, replace_file, write_new_file


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_new_file_is_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_new_file(tmp_path / "a", b"secret")
        make_private_directory(tmp_path / "d" / "e")
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "a") == 0o600
    assert mode_of(tmp_path / "d" / "e") == 0o700
    assert read_private_file(tmp_path / "a") == b"secret"


def test_existing_file_is_left_alone(tmp_path: Path) -> None:
    write_new_file(tmp_path / "a", b"first")
    with pytest.raises(ConfigError, match="exists already"):
        write_new_file(tmp_path / "a", b"second")
    assert (tmp_path / "a").read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["a"]


def test_link_to_nowhere_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="exists already"):
        write_new_file(tmp_path / "a", b"secret")
    assert not (tmp_path / "elsewhere").exists()


def test_of_many_writers_one_wins_whole(tmp_path: Path) -> None:
    won: list[bytes] = []

    def write(data: bytes) -> None:
        try:
            write_new_file(tmp_path / "a", data)
        except ConfigError:
            return
        won.append(data)

    writers = [threading.Thread(target=write, args=(bytes([n]) * 4096,)) for n in range(16)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(won) == 1
    assert (tmp_path / "a").read_bytes() == won[0]
    assert os.listdir(tmp_path) == ["a"]


def test_replacing_keeps_the_old_file_or_has_the_new(tmp_path: Path) -> None:
    write_new_file(tmp_path / "a", b"first")
    replace_file(tmp_path / "a", b"second")
    assert (tmp_path / "a").read_bytes() == b"second"
    assert os.listdir(tmp_path) == ["a"]


def test_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written: No such file"):
        write_new_file(tmp_path / "no" / "a", b"x")


def test_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    replace_file(tmp_path / "a", b"first")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # a file may not grow past this: the nearest to a full disk without one
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        for write in (write_new_file, replace_file):
            with pytest.raises(ConfigError, match="cannot be written: File too large"):
                write(tmp_path / "a", bytes(4096))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"first"


def test_pipe_in_place_of_a_file_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a", 0o600)
    with pytest.raises(ConfigError, match="is not a regular file"):
        read_private_file(tmp_path / "a")
