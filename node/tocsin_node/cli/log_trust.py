"""Whose word about a log counts: a key, or a policy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from tocsin_protocol.log.note import decode_verifier_key
from tocsin_protocol.log.trust import MAX_TRUST_BYTES, NO_QUORUM, TrustPolicy, decode_trust

from ..errors import NodeError

_F = TypeVar("_F", bound=Callable[..., Any])


def trust_options(command: _F) -> _F:
    """--key and --policy, for `trust_of`."""
    key = click.option("--key", "log_key", help="The log's key. Its own word is then enough.")
    path = click.Path(path_type=Path, dir_okay=False)
    return key(click.option("--policy", type=path, help="A policy file (C2SP tlog-policy).")(command))


def trust_of(log_key: str | None, policy: Path | None) -> TrustPolicy:
    """What the options say; raises UsageError unless one of them is given."""
    if (log_key is None) == (policy is None):
        raise click.UsageError("give one of --key and --policy")
    if log_key is not None:
        return TrustPolicy((decode_verifier_key(log_key),), {}, {}, NO_QUORUM)
    return decode_trust(read_file(policy or Path(), MAX_TRUST_BYTES))


def read_file(path: Path, most: int) -> bytes:
    """Up to one byte more of a file than its reader takes; raises NodeError."""
    try:
        with path.open("rb") as file:
            return file.read(most + 1)
    except OSError as exc:
        raise NodeError(f"{path}: cannot be read ({exc.strerror})") from exc
