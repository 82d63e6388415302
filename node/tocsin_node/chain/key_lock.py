"""One writer per chain and key: two processes that hand out nonces of one account lose each other's actions.

The locks lie outside of every data directory: who copies one, and starts both, is to be told.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import ChainConfigError

_MAX_PID_BYTES = 32
_OF_OTHERS = 0o022


def lock_folder() -> Path:
    """Where all processes of this user see one another's locks; the same in every session of his."""
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "tocsin"


@contextmanager
def hold_key(chain_id: int, address: str) -> Iterator[None]:
    """Be the only process of this user that sends for this account on this chain, for as long as the context lasts.

    Raises ChainConfigError when another process is.
    """
    # [SEND] One process of a user sends for one key on one chain; a second one does not start.
    folder = lock_folder()
    path = folder / f"guardian-{chain_id}-{address.lower()}.lock"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_own(folder)
        lock = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b")
    except OSError as exc:
        why = f"cannot be used as a lock ({exc.strerror}); XDG_STATE_HOME may name a folder that can"
        raise ChainConfigError(f"{path}: {why}") from exc
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            owner = lock.read(_MAX_PID_BYTES).decode(errors="replace").strip() or "unknown"
            raise ChainConfigError(
                f"guardian {address} on eip155:{chain_id} is in use by process {owner} ({path.name}); "
                "one process for each key and chain is wanted"
            ) from exc
        lock.truncate(0)
        lock.write(str(os.getpid()).encode())
        lock.flush()
        yield


def _check_own(folder: Path) -> None:
    """A folder that others may write to would let them keep this node from starting, or start a second one."""
    status = folder.stat()
    if status.st_uid != os.geteuid() or status.st_mode & _OF_OTHERS:
        raise ChainConfigError(
            f"{folder}: a folder of the user who runs the node, which only he can write to, is wanted"
        )
