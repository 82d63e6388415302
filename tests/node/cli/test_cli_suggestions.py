"""What others found, from the import of an archive to a signal of one's own, by the commands of a real node."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tocsin_node.api.feed_db import open_feed_db
from tocsin_node.api.suggestions import suggest
from tocsin_node.api.taxii.objects import read_collections
from tocsin_node.config import load_config
from tocsin_protocol.stix.alerts import forta_drafts
from tocsin_protocol.stix.drafting import Draft

ACCOUNT = "eip155:31337:0x" + "11" * 20
ALERT = {
    "alertId": "DRAIN-1",
    "name": "Funds left\x1b[31m the vault",
    "severity": "HIGH",
    "findingType": "EXPLOIT",
    "addresses": ["0x" + "11" * 20],
    "chainId": 31337,
}


@pytest.fixture
def at(node: Any) -> tuple[object, ...]:
    assert node.ask("resume")["publishing"].startswith("open")
    return ("--home", node.home)


def data_dir(node: Any) -> Path:
    return load_config(node.home / "node.toml").node.data_dir


def found(node: Any, **changes: Any) -> int:
    """Keep one finding; its number."""
    (draft,) = forta_drafts(ALERT | changes)
    with closing(open_feed_db(data_dir(node))) as connection:
        assert suggest(connection, "forta", Draft(draft.origin, draft.version, draft.document, draft.notes), 1)
        number: int = connection.execute("SELECT MAX(number) FROM suggestions").fetchone()[0]
        return number


def test_a_suggestion_becomes_a_signal_when_the_operator_says_so(tocsin: Any, lines: Any, node: Any, at: Any) -> None:
    number = found(node, alertId="A")
    before = len(lines(tocsin("signals", "--json", *at)))
    listed = tocsin("suggestions", "list", *at)
    assert listed.exit_code == 0
    assert "asset.drain" in listed.stdout
    shown = tocsin("suggestions", "show", number, *at)
    assert "Funds left" in shown.stdout
    assert "\x1b[31m" not in shown.stdout
    assert tocsin("suggestions", "publish", number, *at).exit_code == 2  # no terminal to ask at
    assert len(lines(tocsin("signals", "--json", *at))) == before
    published = tocsin("suggestions", "publish", number, "--yes", "--json", *at)
    assert published.exit_code == 0, published.stderr
    digest = json.loads(published.stdout)["sealed"][0]["digest"]
    (signal,) = [row for row in lines(tocsin("signals", "--json", *at)) if row["digest"] == digest]
    assert signal["signal"]["subjects"] == [{"role": "related", "kind": "account", "value": ACCOUNT}]
    again = tocsin("suggestions", "publish", number, "--yes", *at)
    assert (again.exit_code, "published already" in again.stderr) == (1, True)
    assert lines(tocsin("suggestions", "list", "--json", *at))[0]["suggestions"] == []


def test_a_dropped_suggestion_is_gone_and_an_unknown_one_is_named(tocsin: Any, lines: Any, node: Any, at: Any) -> None:
    number = found(node, alertId="B")
    assert tocsin("suggestions", "drop", number, *at).exit_code == 0
    assert tocsin("suggestions", "drop", number, *at).exit_code == 1
    (told,) = lines(tocsin("suggestions", "list", "--all", "--json", *at))
    assert told["suggestions"][0]["state"] == "dropped"
    missing = tocsin("suggestions", "show", 999, *at)
    assert (missing.exit_code, "none of this number" in missing.stderr) == (1, True)


def test_an_archive_is_imported_and_its_faults_are_told(
    tocsin: Any, lines: Any, node: Any, at: Any, tmp_path: Path
) -> None:
    note = {
        "type": "note",
        "spec_version": "2.1",
        "id": "note--00000000-0000-4000-8000-000000000001",
        "created": "2026-01-01T00:00:00Z",
        "modified": "2026-01-01T00:00:00Z",
        "content": "x",
        "object_refs": ["note--00000000-0000-4000-8000-000000000001"],
    }
    dump = tmp_path / "dump.jsonl"
    dump.write_text(json.dumps({"date_added": "2026-01-02T00:00:00.000001Z", "object": note}) + "\n{\n")
    options = ("taxii", "import", dump, "--name", "old", "--tlp", "green", *at)
    (told,) = lines(tocsin(*options, "--json"))
    assert (told["added"], told["refused"]) == (1, 1)
    again = tocsin(*options)
    assert "1 were there already" in again.stdout
    assert "line 2" in again.stderr
    assert tocsin("taxii", "import", dump, "--name", "red", "--tlp", "green", *at).exit_code == 1
    assert tocsin("taxii", "import", dump, "--name", "No Name", "--tlp", "green", *at).exit_code == 1
    with closing(open_feed_db(data_dir(node))) as connection:
        assert [c.alias for c in read_collections(connection)] == ["old"]


def test_a_feed_that_does_not_answer_is_told_and_its_key_is_guarded(tocsin: Any, at: Any, tmp_path: Path) -> None:
    gone = tocsin("taxii", "pull", "other", "http://127.0.0.1:1/c", *at)
    assert (gone.exit_code, "does not answer" in gone.stderr) == (1, True)
    key = tmp_path / "key"
    key.write_text("secret")
    key.chmod(0o644)
    open_to_all = tocsin("taxii", "pull", "other", "http://127.0.0.1:1/c", "--key-file", key, *at)
    assert (open_to_all.exit_code, "chmod 600" in open_to_all.stderr) == (78, True)
    assert tocsin("taxii", "pull", "other", "http://127.0.0.1:1/c", "--user", "me", *at).exit_code == 2
