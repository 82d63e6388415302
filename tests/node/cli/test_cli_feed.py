"""`tocsin feed`: keys that are shown once, webhooks that are kept, and neither said where others could read it."""

from __future__ import annotations

import json
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tocsin_node.api.feed_db import open_feed_db
from tocsin_node.api.keys import Scope, find_key
from tocsin_node.api.live.events import LiveFilter
from tocsin_node.api.subscriptions import bury, list_webhooks
from tocsin_node.clock import now_ms
from tocsin_node.config import load_config
from tocsin_node.webhook_signing import read_secret
from tocsin_protocol.audit import EntryKind
from tocsin_protocol.taxonomy import Category, Severity

URL = "https://desk.example.org/tocsin"


@pytest.fixture
def at(node: Any) -> tuple[object, ...]:
    return ("--home", node.home)


@pytest.fixture
def database(node: Any) -> Any:
    with closing(open_feed_db(load_config(node.home / "node.toml").node.data_dir)) as opened:
        yield opened


def test_a_key_is_printed_once_or_written_to_a_private_file(
    tocsin: Any, at: Any, database: Any, tmp_path: Path
) -> None:
    printed = tocsin("feed", "key", "add", "--scope", "member", "--label", "a desk", *at).stdout.strip()
    found = find_key(database, printed)
    assert found is not None
    assert (found.scope, found.label) == (Scope.MEMBER, "a desk")
    path = tmp_path / "key"
    told = tocsin("feed", "key", "add", "--scope", "insurer", "--label", "x", "--out", path, "--json", *at)
    written = path.read_text().strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert written not in told.output
    assert find_key(database, written) is not None
    again = tocsin("feed", "key", "add", "--scope", "insurer", "--label", "x", "--out", path, *at)
    assert again.exit_code == 1
    assert path.read_text().strip() == written
    listed = tocsin("feed", "key", "list", "--json", *at).stdout
    assert printed not in listed
    assert printed.split("_")[2] not in listed
    assert "a desk" in tocsin("feed", "key", "list", *at).stdout


def test_a_key_that_is_revoked_opens_nothing(tocsin: Any, at: Any, database: Any) -> None:
    text = tocsin("feed", "key", "add", "--scope", "operator", "--label", "x", *at).stdout.strip()
    assert tocsin("feed", "key", "revoke", text.split("_")[1], *at).exit_code == 0
    found = find_key(database, text)
    assert found is not None
    assert not found.is_valid(now_ms())
    assert tocsin("feed", "key", "revoke", "000000000000", *at).exit_code == 1


@pytest.mark.parametrize("options", [("--scope", "public"), ("--scope", "member", "--days", 0), ()])
def test_a_key_that_makes_no_sense_is_wrong_usage(tocsin: Any, at: Any, options: tuple[object, ...]) -> None:
    assert tocsin("feed", "key", "add", "--label", "x", *options, *at).exit_code == 2


def test_a_webhook_is_kept_with_its_filter_and_its_secret_in_a_private_file(
    tocsin: Any, at: Any, database: Any, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    wanted = ("--kind", "signal", "--category", "oracle", "--severity", "high", "--after", 7)
    added = tocsin(
        "feed", "hook", "add", URL, "--label", "d", "--scope", "member", *wanted, "--out", secret, "--json", *at
    )
    hook = json.loads(added.stdout)["id"]
    (kept,) = list_webhooks(database)
    oracle = tuple(category for category in Category if category.family == "oracle")
    assert kept.wanted == LiveFilter(frozenset((EntryKind.SIGNAL,)), None, oracle, Severity.HIGH)
    assert (kept.id, kept.cursor, kept.scope) == (hook, 7, Scope.MEMBER)
    assert read_secret(secret) == kept.secret
    bury(database, kept, 9, "answered 400", now_ms())
    assert json.loads(tocsin("feed", "hook", "list", "--json", *at).stdout)["webhooks"][0]["refused"] == 1
    assert "answered 400" in tocsin("feed", "hook", "dead", hook, "--again", *at).stdout
    assert tocsin("feed", "hook", "resume", hook, "--after", 3, *at).exit_code == 0
    assert list_webhooks(database)[0].cursor == 3
    assert tocsin("feed", "hook", "remove", hook, *at).exit_code == 0
    assert list_webhooks(database) == []
    for verb in ("resume", "remove"):
        assert tocsin("feed", "hook", verb, hook, *at).exit_code == 1


@pytest.mark.parametrize(
    ("url", "options"),
    [("ftp://x", ()), (URL, ("--kind", "secret")), (URL, ("--category", "nothing"))],
)
def test_a_webhook_that_cannot_be_is_wrong_usage(
    tocsin: Any, at: Any, tmp_path: Path, url: str, options: tuple[str, ...]
) -> None:
    path = tmp_path / "secret"
    added = tocsin("feed", "hook", "add", url, "--label", "d", "--scope", "member", "--out", path, *options, *at)
    assert added.exit_code == 2
    assert not path.exists()
