"""One writer per chain and key: two processes that hand out nonces of one account lose each other's actions."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import ChainConfigError

_MAX_PID_BYTES = 32


@contextmanager
def hold_key(folder: Path, chain_id: int, address: str) -> Iterator[None]:
    """Be the only process that sends for this account on this chain, for as long as the context lasts.

    Raises ChainConfigError when another process is.
    """
    # [SEND] One process sends for one key on one chain; a second one does not start.
    path = folder / f"guardian-{chain_id}-{address}.lock"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
    except OSError as exc:
        raise ChainConfigError(f"{path}: cannot be used as a lock ({exc.strerror})") from exc
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
