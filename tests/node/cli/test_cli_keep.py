"""Backups, pruning and reports of a real node: what people type, and what they are told."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tocsin_node.clock import now_ms
from tocsin_node.control_verbs import Verb
from tocsin_node.store.audit import append_audit
from tocsin_node.store.database import DATABASE_NAME, open_writer
from tocsin_protocol.audit import EntryKind
from tocsin_protocol.log.tiles import TILE_WIDTH

DAY_MS = 24 * 3600 * 1000
SUBJECT = "victim=eip155:31337:0x" + "11" * 20
SIGNAL = ("--category", "asset.drain", "--severity", "critical", "--confidence", 90, "--subject", SUBJECT)


@pytest.fixture
def at(node: Any) -> tuple[object, ...]:
    node.ask(Verb.RESUME)
    return ("--home", node.home)


def copy_home(home: Path, copy: Path) -> Path:
    """A node's files at another place, without its database."""
    for path in home.rglob("*"):
        if path.is_file() and not path.name.startswith(DATABASE_NAME):
            target = copy / path.relative_to(home)
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
            target.chmod(0o600)
    return copy


def test_a_backup_is_made_and_put_where_there_is_no_database(tocsin: Any, at: Any, node: Any, tmp_path: Path) -> None:
    made = tocsin("backup", tmp_path / "copy", *at)
    assert (made.exit_code, "Written and checked" in made.stdout) == (0, True), made.stderr
    again = tocsin("backup", tmp_path / "copy", "--json", *at)
    assert (again.exit_code, "a new folder is wanted" in again.stderr) == (1, True)
    home = copy_home(node.home, tmp_path / "home")
    restored = tocsin("restore", tmp_path / "copy", "--home", home)
    assert (restored.exit_code, "ledger confirm" in restored.stdout) == (0, True), restored.stderr
    (database,) = home.rglob(DATABASE_NAME)
    assert database.stat().st_mode & 0o777 == 0o600
    again = tocsin("restore", tmp_path / "copy", "--home", home)
    assert (again.exit_code, "is there already" in again.stderr) == (78, True)
    running = tocsin("restore", tmp_path / "copy", *at)
    assert (running.exit_code, "already in use" in running.stderr) == (1, True)


def test_a_restored_node_without_peers_is_brought_back_by_its_operator(
    tocsin: Any, lines: Any, at: Any, node: Any, start_home: Any, tmp_path: Path
) -> None:
    assert tocsin("publish", *SIGNAL, *at).exit_code == 0
    assert tocsin("backup", tmp_path / "copy", *at).exit_code == 0
    home = copy_home(node.home, tmp_path / "home")
    assert tocsin("restore", tmp_path / "copy", "--home", home).exit_code == 0
    start_home(home, tmp_path / "log")
    here = ("--home", home)

    def refused(*command: str) -> str:
        result = tocsin(*command, *here)
        assert result.exit_code == 1, result.output
        return str(result.stderr)

    assert "is a backup of" in lines(tocsin("status", "--json", *here))[0]["ledger"]
    assert "peers have to show us our own feed" in refused("resume", "--yes")
    assert "too few peers were asked" in refused("log", "confirm", "--yes")
    assert "it may not know of all that was done since" in refused("arm", "page", "--yes")
    assert tocsin("ledger", "confirm", "--yes", *here).exit_code == 0
    assert "`tocsin log confirm`" in refused("arm", "page", "--yes")
    assert "under no head" in tocsin("log", "fsck", *here).stdout
    assert "generation 2" in tocsin("log", "confirm", "--anew", "--yes", *here).stdout
    assert tocsin("arm", "page", "--yes", *here).exit_code == 0
    assert "Whole." in tocsin("log", "fsck", *here).stdout
    assert "The same." in tocsin("log", "replay", *here).stdout


def test_what_is_young_is_exported_and_stays(tocsin: Any, lines: Any, at: Any, tmp_path: Path) -> None:
    (told,) = lines(tocsin("log", "prune", tmp_path / "cold", "--json", *at))
    assert (told["pruned"], told["now"]) == (0, 0)
    assert (tmp_path / "cold/checkpoint").is_file()
    assert "Nothing dropped" in tocsin("log", "prune", tmp_path / "cold", *at).stdout
    assert tocsin("log", "prune", tmp_path / "cold", "--keep-days", 3, *at).exit_code == 2


def test_a_log_that_is_no_backups_has_nothing_to_confirm(tocsin: Any, at: Any) -> None:
    result = tocsin("log", "confirm", "--yes", *at)
    assert (result.exit_code, "nothing to confirm" in result.stderr) == (1, True)


def test_the_proofs_of_a_report_are_checked_and_its_root_is_logged(
    tocsin: Any, lines: Any, at: Any, tmp_path: Path
) -> None:
    assert tocsin("publish", *SIGNAL, *at).exit_code == 0
    incident = lines(tocsin("incidents", "--json", *at))[0]["id"]
    assert tocsin("report", incident[:12], "--public", "--out", tmp_path / "out", *at).exit_code == 0
    key = tocsin("log", "key", *at).stdout.strip()
    (told,) = lines(tocsin("report", "verify", tmp_path / "out/report.json", "--key", key, "--json"))
    assert told["proven"] > 0
    (logged,) = lines(tocsin("report", "log", tmp_path / "out/report.json", "--json", *at))
    assert logged["root"] == told["root"]
    assert tocsin("log", "entry", logged["index"], "--out", tmp_path / "root.tlog-proof", *at).exit_code == 0
    (shown,) = lines(tocsin("log", "verify", tmp_path / "root.tlog-proof", "--key", key, "--json"))
    assert (shown["kind"], shown["about"]) == ("report", incident)
    document = json.loads((tmp_path / "out/report.json").read_text())
    assert logged["root"] == document["root"]
    other = tocsin("report", "verify", tmp_path / "out/report.json", "--key", key[:-4] + "AAA=")
    assert other.exit_code == 1


def test_a_clock_that_is_years_ahead_drops_nothing(
    tocsin: Any, at: Any, node: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2 * TILE_WIDTH):
        node.ask(Verb.DISARM, hook="page")
    now = now_ms()
    monkeypatch.setattr("tocsin_node.clock.now_ms", lambda: now + 1_000 * DAY_MS)
    assert "Nothing dropped" in tocsin("log", "prune", tmp_path / "cold", "--yes", *at).stdout


def begin_long_ago(home: Path, like: Path) -> None:
    """Give a home a database whose log has entries of each day for more than a year."""
    (database,) = like.rglob(DATABASE_NAME)
    with closing(sqlite3.connect(database)) as connection:
        network_id, publisher = connection.execute("SELECT network, publisher FROM node").fetchone()
    connection, lock = open_writer(home / database.parent.relative_to(like), publisher, network_id)
    now = now_ms()
    for age in [900] * 2 * TILE_WIDTH + list(range(400, 0, -1)):
        append_audit(connection, now - age * DAY_MS, EntryKind.NODE, b"", {"age": age})
    connection.close()
    lock.close()


def test_old_entries_go_and_are_in_the_export(
    tocsin: Any, lines: Any, node: Any, start_home: Any, tmp_path: Path
) -> None:
    home = copy_home(node.home, tmp_path / "home")
    begin_long_ago(home, node.home)
    start_home(home, tmp_path / "log")
    at = ("--home", home)
    assert tocsin("resume", "--yes", *at).exit_code == 0
    assert tocsin("publish", *SIGNAL, *at).exit_code == 0
    key, cold = tocsin("log", "key", *at).stdout.strip(), tmp_path / "cold"
    asked = tocsin("log", "prune", cold, *at)
    assert (asked.exit_code, "give --yes" in asked.stderr) == (2, True)
    assert tocsin("log", "entry", 0, "--out", tmp_path / "first.tlog-proof", *at).exit_code == 0
    (told,) = lines(tocsin("log", "prune", cold, "--yes", "--json", *at))
    assert told["now"] == told["pruned"] >= 2 * TILE_WIDTH
    assert "Nothing dropped" in tocsin("log", "prune", cold, "--yes", *at).stdout
    gone = tocsin("log", "entry", 0, "--out", tmp_path / "gone.tlog-proof", *at)
    assert (gone.exit_code, "were pruned" in gone.stderr) == (1, True)
    # the node goes on, its log is whole, and what is missing is said to be so
    assert tocsin("publish", *SIGNAL[:-1], SUBJECT[:-2] + "99", *at).exit_code == 0
    assert "Whole." in tocsin("log", "fsck", *at).stdout
    here = tocsin("log", "replay", *at)
    assert f"The first {told['pruned']} entries were pruned" in here.stdout
    assert tocsin("log", "verify", cold, "--key", key).exit_code == 0
    (again,) = lines(tocsin("log", "replay", "--from", cold, "--key", key, "--json"))
    assert (again["equal"] >= 1, again["differs"], again["not-replayable"]) == (True, 0, 0)
    other = tocsin("log", "prune", tmp_path / "new", "--yes", *at)
    assert (other.exit_code, "were pruned" in other.stderr) == (1, True)
