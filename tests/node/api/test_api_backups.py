"""The feed's own database goes with the record into a backup and out of it, for its owner's eyes alone."""

from __future__ import annotations

import os
import stat
from contextlib import closing
from pathlib import Path

import pytest
from api_kit import Desk, about
from protocol_kit import NOW_MS
from tocsin_node import backups
from tocsin_node.api.access import Scope
from tocsin_node.api.feed_db import FEED_DB_NAME, hold_feed, open_feed_db
from tocsin_node.api.keys import create_key, find_key, revoke_key
from tocsin_node.api.live.events import LiveFilter
from tocsin_node.api.subscriptions import add_webhook, list_webhooks
from tocsin_node.backups import FeedRestored
from tocsin_node.clock import now_ms
from tocsin_node.errors import NodeError
from tocsin_node.store.database import DATABASE_NAME
from tocsin_protocol.encoding import MAX_UINT

URL = "https://desk.example.org/tocsin"


def back_up(desk: Desk, folder: Path) -> tuple[str, bytes]:
    """A backup of a feed that runs; a reader's key, and the publisher."""
    desk.say(about(1))
    key = create_key(desk.feed.db, Scope.MEMBER, "a desk", now_ms(), MAX_UINT)
    add_webhook(desk.feed.db, URL, "a desk", Scope.MEMBER, LiveFilter(), b"s" * 32, now_ms(), 1)
    made = backups.back_up(desk.config.node.data_dir, folder, NOW_MS)
    assert made.has_feed
    return key, made.publisher


def test_keys_and_webhooks_are_restored_and_only_their_owner_can_read_them(desk: Desk, tmp_path: Path) -> None:
    copy, new = tmp_path / "copy", tmp_path / "new"
    umask = os.umask(0)
    try:
        key, publisher = back_up(desk, copy)
        restored = backups.restore(copy, new, publisher)
    finally:
        os.umask(umask)
    assert restored[1] is FeedRestored.RESTORED
    for path in (copy / FEED_DB_NAME, new / FEED_DB_NAME, copy / DATABASE_NAME, new / DATABASE_NAME):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(copy.stat().st_mode) == 0o700
    assert key.split("_")[2].encode() not in (copy / FEED_DB_NAME).read_bytes()
    with closing(open_feed_db(new)) as database:
        found = find_key(database, key)
        assert found is not None
        assert found.is_valid(now_ms())
        (webhook,) = list_webhooks(database)
        assert (webhook.url, webhook.secret, webhook.cursor) == (URL, b"s" * 32, 1)


def test_a_feed_that_is_there_stays_as_it_knows_of_what_was_revoked_since(desk: Desk, tmp_path: Path) -> None:
    copy, data = tmp_path / "copy", tmp_path / "new"
    key, publisher = back_up(desk, copy)
    backups.restore(copy, data, publisher)
    with closing(open_feed_db(data)) as database:
        assert revoke_key(database, key.split("_")[1], now_ms())
    (data / DATABASE_NAME).unlink()
    assert backups.restore(copy, data, publisher)[1] is FeedRestored.KEPT
    with closing(open_feed_db(data)) as database:
        found = find_key(database, key)
        assert found is not None
        assert found.revoked_ms is not None


def test_nothing_is_restored_while_a_feed_runs(desk: Desk, tmp_path: Path) -> None:
    copy, new = tmp_path / "copy", tmp_path / "new"
    _, publisher = back_up(desk, copy)
    new.mkdir()
    lock = hold_feed(new)
    try:
        with pytest.raises(NodeError, match="another feed of this node runs"):
            backups.restore(copy, new, publisher)
    finally:
        os.close(lock)
    assert not (new / DATABASE_NAME).exists()


@pytest.mark.parametrize(("damage", "told"), [(b"", "schema 0"), (b"x" * 8_192, "damaged")])
def test_a_damaged_copy_of_the_feed_is_refused_by_name(desk: Desk, tmp_path: Path, damage: bytes, told: str) -> None:
    copy, new = tmp_path / "copy", tmp_path / "new"
    _, publisher = back_up(desk, copy)
    (copy / FEED_DB_NAME).write_bytes(damage)
    with pytest.raises(NodeError, match=rf"feed\.db: .*{told}"):
        backups.restore(copy, new, publisher)
    assert not new.exists()


def test_a_node_without_a_feed_is_backed_up_without_one(desk: Desk, tmp_path: Path) -> None:
    copy, new = tmp_path / "copy", tmp_path / "new"
    made = backups.back_up(desk.config.node.data_dir, copy, NOW_MS)
    assert not made.has_feed
    assert [path.name for path in copy.iterdir()] == [DATABASE_NAME]
    assert backups.restore(copy, new, made.publisher)[1] is FeedRestored.NONE
    assert not (new / FEED_DB_NAME).exists()
