"""Files that hold secrets: written whole or not at all, never over another, refused when others can read them."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from .errors import ConfigError

PRIVATE_FILE_MODE = 0o600
PRIVATE_DIRECTORY_MODE = 0o700
MAX_PRIVATE_FILE_BYTES = 64 * 1024


def make_private_directory(directory: Path) -> None:
    """Create a directory of mode 0700, parents included; one that is there is left as it is."""
    directory.mkdir(mode=PRIVATE_DIRECTORY_MODE, parents=True, exist_ok=True)


def write_new_file(path: Path, data: bytes, *, mode: int = PRIVATE_FILE_MODE) -> None:
    """Write a durable new file in one step; raises ConfigError where there already is one."""
    temporary = _write_temporary(path, data, mode)
    try:
        # a link, not a rename: a rename would replace what is there
        os.link(temporary, path)
    except FileExistsError as exc:
        raise ConfigError(path, "", "exists already and is never overwritten") from exc
    except OSError as exc:
        raise ConfigError(path, "", f"cannot be written: {exc.strerror}") from exc
    finally:
        temporary.unlink()
    sync_directory(path.parent)


def replace_file(path: Path, data: bytes, *, mode: int = PRIVATE_FILE_MODE) -> None:
    """Write a durable file in one step, in place of the one that may be there."""
    _write_temporary(path, data, mode).replace(path)
    sync_directory(path.parent)


def read_private_file(path: Path, *, acl_mask: bool = False) -> bytes:
    """Read a file that group and world cannot; raises ConfigError.

    `acl_mask` allows group bits: on a systemd credential they show the mask of an ACL, not a group's rights.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as exc:
        raise ConfigError(path, "", f"cannot be read: {exc.strerror}") from exc
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise ConfigError(path, "", "is not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        mode = stat.S_IMODE(status.st_mode)
        if mode & (0o007 if acl_mask else 0o077):
            raise ConfigError(path, "mode", f"0600 is wanted: run chmod 600 {path}", found=f"{mode:04o}")
        if status.st_uid not in (os.geteuid(), 0):
            raise ConfigError(path, "owner", "the user who runs the node is wanted", found=status.st_uid)
        data = file.read(MAX_PRIVATE_FILE_BYTES + 1)
    if len(data) > MAX_PRIVATE_FILE_BYTES:
        raise ConfigError(path, "", f"is longer than {MAX_PRIVATE_FILE_BYTES} bytes")
    return data


def _write_temporary(path: Path, data: bytes, mode: int) -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except OSError as exc:
        raise ConfigError(path, "", f"cannot be written: {exc.strerror}") from exc
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
    except OSError as exc:
        temporary.unlink()
        raise ConfigError(path, "", f"cannot be written: {exc.strerror}") from exc
    return temporary


def sync_directory(directory: Path) -> None:
    """What was made, renamed or removed in a directory is on disk when this returns; raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
