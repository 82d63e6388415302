"""Keys of the feed: made, found, listed and revoked. What is stored opens nothing."""

from __future__ import annotations

import hmac
import re
import secrets
import sqlite3
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

KEY_ID_BYTES = 6
SECRET_BYTES = 32
MAX_LABEL_CHARS = 80
MAX_KEYS = 10_000

_KEY = re.compile(rf"tocsin_([0-9a-f]{{{2 * KEY_ID_BYTES}}})_([0-9a-f]{{{2 * SECRET_BYTES}}})")
_COLUMNS = "id, scope, label, created_ms, expires_ms, revoked_ms"


class Scope(StrEnum):
    """Who a key is for."""

    PUBLIC = "public"
    MEMBER = "member"
    INSURER = "insurer"
    OPERATOR = "operator"
    SENDER = "sender"


@dataclass(frozen=True, slots=True)
class FeedKey:
    """A key without its secret; times in UTC ms."""

    id: str
    scope: Scope
    label: str
    created_ms: int
    expires_ms: int
    revoked_ms: int | None

    def is_valid(self, now_ms: int) -> bool:
        """Whether it opens anything now."""
        return self.revoked_ms is None and now_ms < self.expires_ms


def create_key(connection: sqlite3.Connection, scope: Scope, label: str, now_ms: int, expires_ms: int) -> str:
    """Store a new key and return it: nothing else ever knows it. Raises ValueError."""
    if scope is Scope.PUBLIC:
        raise ValueError("what is public needs no key")
    if not 0 < len(label) <= MAX_LABEL_CHARS:
        raise ValueError(f"a label has 1 to {MAX_LABEL_CHARS} characters")
    if connection.execute("SELECT COUNT(*) FROM keys").fetchone()[0] >= MAX_KEYS:
        raise ValueError(f"there are {MAX_KEYS} keys already")
    key_id, secret = secrets.token_hex(KEY_ID_BYTES), secrets.token_bytes(SECRET_BYTES)
    connection.execute(
        "INSERT INTO keys (id, secret, scope, label, created_ms, expires_ms) VALUES (?, ?, ?, ?, ?, ?)",
        (key_id, sha256(secret).digest(), scope.value, label, now_ms, expires_ms),
    )
    return f"tocsin_{key_id}_{secret.hex()}"


def find_key(connection: sqlite3.Connection, text: str) -> FeedKey | None:
    """The key that somebody shows; None where it is none of ours. Whether it is still valid, it says itself."""
    match = _KEY.fullmatch(text)
    if match is None:
        return None
    row = connection.execute(f"SELECT {_COLUMNS}, secret FROM keys WHERE id = ?", (match[1],)).fetchone()  # noqa: S608
    if row is None or not hmac.compare_digest(row[-1], sha256(bytes.fromhex(match[2])).digest()):
        return None
    return _key(row[:-1])


def read_key(connection: sqlite3.Connection, key_id: str) -> FeedKey | None:
    """A key by its id."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM keys WHERE id = ?", (key_id,)).fetchone()  # noqa: S608
    return None if row is None else _key(row)


def list_keys(connection: sqlite3.Connection) -> list[FeedKey]:
    """All keys, oldest first."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM keys ORDER BY created_ms, id LIMIT {MAX_KEYS}")  # noqa: S608
    return [_key(row) for row in rows]


def revoke_key(connection: sqlite3.Connection, key_id: str, now_ms: int) -> bool:
    """Let a key open nothing from now on; returns whether there is one of that id."""
    done = connection.execute("UPDATE keys SET revoked_ms = COALESCE(revoked_ms, ?) WHERE id = ?", (now_ms, key_id))
    return done.rowcount == 1


def _key(row: tuple[str, str, str, int, int, int | None]) -> FeedKey:
    return FeedKey(row[0], Scope(row[1]), *row[2:])
