"""`tocsin log` on the log of a real node, and on what it exported."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tocsin_node.control_verbs import Verb
from tocsin_node.store.database import DATABASE_NAME
from tocsin_protocol.log.note import Algorithm, verifier_key

VERIFIER = Path(__file__).parents[3] / "deploy" / "verifier" / "tocsin_verify.py"
SUBJECT = "victim=eip155:31337:0x" + "11" * 20
SIGNAL = ("--category", "asset.drain", "--severity", "critical", "--confidence", 90, "--subject", SUBJECT)


@pytest.fixture
def at(node: Any) -> tuple[object, ...]:
    node.ask(Verb.RESUME)
    return ("--home", node.home)


@pytest.fixture
def key(tocsin: Any, at: Any) -> str:
    return str(tocsin("log", "key", *at).stdout.strip())


@pytest.fixture
def exported(tocsin: Any, at: Any, tmp_path: Path) -> Path:
    result = tocsin("log", "export", tmp_path / "log", *at)
    assert result.exit_code == 0, result.output
    return tmp_path / "log"


def test_the_log_of_a_running_node_is_whole(tocsin: Any, lines: Any, at: Any, key: str) -> None:
    result = tocsin("log", "fsck", "--json", *at)
    (report,) = lines(result)
    assert (result.exit_code, report["faults"], report["outside"]) == (0, [], 0)
    assert report["size"] > 0
    assert key.startswith(report["origin"] + "+")
    assert "Whole." in tocsin("log", "fsck", *at).stdout


def test_an_exported_log_is_checked_with_the_key_alone(tocsin: Any, lines: Any, exported: Path, key: str) -> None:
    result = tocsin("log", "verify", exported, "--key", key, "--json")
    (report,) = lines(result)
    assert (result.exit_code, report["faults"], report["cosigned"]) == (0, [], {})
    (entries,) = (exported / "tile/entries/000.p").iterdir()
    data = bytearray(entries.read_bytes())
    data[-1] ^= 1
    entries.write_bytes(data)
    result = tocsin("log", "verify", exported, "--key", key)
    assert result.exit_code == 1
    assert f"entry {report['size'] - 1}: is not the one" in result.stdout


def test_a_log_of_another_key_is_refused(tocsin: Any, exported: Path, key: str) -> None:
    other = verifier_key(bytes(32), key.split("+")[0], Algorithm.ED25519)
    result = tocsin("log", "verify", exported, "--key", other)
    assert result.exit_code == 1
    assert "signed by none of" in result.stderr


def test_a_policy_may_want_witnesses_that_are_not_there(tocsin: Any, exported: Path, key: str, tmp_path: Path) -> None:
    witness = verifier_key(bytes(32), "brook.example/w", Algorithm.COSIGNATURE)
    policy = tmp_path / "policy"
    policy.write_text(f"log {key}\nwitness brook {witness}\nquorum brook\n")
    result = tocsin("log", "verify", exported, "--policy", policy)
    assert result.exit_code == 1
    assert "cosigned by nobody, which is not the quorum 'brook'" in result.stderr
    policy.write_text(f"log {key}\nquorum none\n")
    assert tocsin("log", "verify", exported, "--policy", policy).exit_code == 0
    policy.write_text("")
    assert "no quorum line" in tocsin("log", "verify", exported, "--policy", policy).stderr


def test_one_of_key_and_policy_is_wanted(tocsin: Any, exported: Path, key: str, tmp_path: Path) -> None:
    for options in ((), ("--key", key, "--policy", tmp_path / "policy")):
        result = tocsin("log", "verify", exported, *options)
        assert result.exit_code == 2
        assert "one of --key and --policy" in result.stderr
    assert "cannot be read" in tocsin("log", "verify", exported, "--policy", tmp_path / "none").stderr


def run_alone(file: Path, key: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", VERIFIER, file, "--key", key]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_what_a_signal_left_is_proven_by_files(tocsin: Any, lines: Any, at: Any, key: str, tmp_path: Path) -> None:
    (answer,) = lines(tocsin("publish", *SIGNAL, "--json", *at))
    digest = answer["sealed"][0]["digest"]
    file = tmp_path / "signal.tocsin-case"
    (told,) = lines(tocsin("log", "prove", digest, "--out", file, "--json", *at))
    # an incident has the id of its first signal: what was decided of it is there as well
    assert (told["entries"] > 1, told["signals"]) == (True, 1)
    (shown,) = lines(tocsin("log", "verify", file, "--key", key, "--json"))
    assert shown["signals"] == [{"digest": digest, "publisher": "0x" + key.split("+")[0][-40:]}]
    assert "Proven." in tocsin("log", "verify", file, "--key", key).stdout
    done = run_alone(file, key)
    assert (done.returncode, done.stdout[:7]) == (0, "PROVEN\n")
    file.write_bytes(file.read_bytes().replace(b"asset.drain", b"asset.drein"))
    assert tocsin("log", "verify", file, "--key", key).exit_code == 1
    done = run_alone(file, key)
    assert (done.returncode, done.stdout[:10]) == (1, "NOT PROVEN")


def test_an_incident_is_proven_with_all_that_belongs_to_it(
    tocsin: Any, lines: Any, at: Any, key: str, tmp_path: Path
) -> None:
    assert tocsin("publish", *SIGNAL, *at).exit_code == 0
    incident = lines(tocsin("incidents", "--json", *at))[0]["id"]
    assert tocsin("log", "prove", incident[:12], "--out", tmp_path / "a.tocsin-case", *at).exit_code == 0
    (shown,) = lines(tocsin("log", "verify", tmp_path / "a.tocsin-case", "--key", key, "--json"))
    kinds = [entry["kind"] for entry in shown["entries"]]
    assert {"signal", "incident", "decision"} <= set(kinds)
    # what each decision stood on, and what that names: rules, charges, policy, roster, manifest
    assert kinds.count("basis") >= kinds.count("decision") + 5
    assert kinds.index("basis") < kinds.index("decision")
    assert {entry["about"] for entry in shown["entries"] if entry["kind"] == "decision"} == {incident}
    assert len(shown["signals"]) == kinds.count("signal")


def test_an_entry_has_a_proof_file_that_others_can_check(
    tocsin: Any, lines: Any, at: Any, key: str, tmp_path: Path
) -> None:
    file = tmp_path / "first.tlog-proof"
    assert tocsin("log", "entry", 0, "--out", file, *at).exit_code == 0
    (shown,) = lines(tocsin("log", "verify", file, "--key", key, "--json"))
    assert (shown["index"], shown["kind"]) == (0, "roster")
    assert "Proven." in tocsin("log", "verify", file, "--key", key).stdout
    file.write_text(file.read_text().replace("index 0", "index 1"))
    assert tocsin("log", "verify", file, "--key", key).exit_code == 1
    refused = tocsin("log", "entry", 10**6, "--out", file, *at)
    assert (refused.exit_code, "entry 1000000 is not in a tree of" in refused.stderr) == (1, True)


@pytest.mark.parametrize("about", ["abc", "xyz12", "0x"])
def test_what_is_no_id_is_refused(tocsin: Any, at: Any, tmp_path: Path, about: str) -> None:
    result = tocsin("log", "prove", about, "--out", tmp_path / "x", *at)
    assert result.exit_code == 2
    assert "hex digits of an id" in result.stderr


def test_an_id_that_nothing_is_about_is_said(tocsin: Any, at: Any, tmp_path: Path) -> None:
    result = tocsin("log", "prove", "ab" * 32, "--out", tmp_path / "x", *at)
    assert (result.exit_code, "no entry of the log is about" in result.stderr) == (1, True)


def copy_of(home: Path, copy: Path) -> tuple[Path, Path]:
    """A node's files at another place, and the database among them, which its node may be writing to meanwhile."""
    copy.mkdir(mode=0o700)
    (database,) = home.rglob(DATABASE_NAME)
    for path in home.rglob("*"):
        if path.is_file():
            target = copy / path.relative_to(home)
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not path.name.startswith(DATABASE_NAME):
                target.write_bytes(path.read_bytes())
                target.chmod(0o600)
    copied = copy / database.relative_to(home)
    with closing(sqlite3.connect(database, timeout=60)) as source, closing(sqlite3.connect(copied)) as target_database:
        source.backup(target_database)
    copied.chmod(0o600)
    return copy, copied


def test_fsck_tells_what_was_changed_behind_the_nodes_back(
    tocsin: Any, lines: Any, node: Any, exported: Path, tmp_path: Path
) -> None:
    """On a copy: the running node keeps its own."""
    copy, database = copy_of(node.home, tmp_path / "copy")
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE audit SET at_ms = at_ms + 1 WHERE sequence = 1")
    result = tocsin("log", "fsck", "--json", "--home", copy)
    (report,) = lines(result)
    assert result.exit_code == 1
    assert [fault["where"] for fault in report["faults"]] == ["entry 0"]
    assert "entry 0: is not the one" in tocsin("log", "fsck", "--home", copy).stdout


def test_what_a_node_decided_and_found_is_taken_again(tocsin: Any, lines: Any, at: Any, node: Any) -> None:
    assert tocsin("publish", *SIGNAL, *at).exit_code == 0
    incident = lines(tocsin("incidents", "--json", *at))[0]["id"]
    assert tocsin("adjudicate", incident[:12], "confirmed", "--yes", *at).exit_code == 0
    result = tocsin("log", "replay", "--incident", incident[:12], "--json", *at)
    (told,) = lines(result)
    assert (result.exit_code, told["differs"], told["not-replayable"], told["told"]) == (0, 0, 0, [])
    assert told["equal"] >= 2
    assert "The same." in tocsin("log", "replay", *at).stdout


def test_nothing_is_taken_again_from_a_log_that_was_changed(tocsin: Any, node: Any, tmp_path: Path) -> None:
    copy = copy_of(node.home, tmp_path / "copy")
    with closing(sqlite3.connect(copy[1])) as connection, connection:
        connection.execute("UPDATE audit SET at_ms = at_ms + 1 WHERE sequence = 1")
    result = tocsin("log", "replay", "--home", copy[0])
    assert (result.exit_code, "the log is not whole" in result.stderr) == (1, True)


def test_a_decision_that_comes_out_differently_is_shown(tocsin: Any, at: Any, node: Any, tmp_path: Path) -> None:
    assert tocsin("publish", *SIGNAL, *at).exit_code == 0
    copy = copy_of(node.home, tmp_path / "copy")
    with closing(sqlite3.connect(copy[1])) as connection, connection:
        connection.execute("DELETE FROM signals")
    result = tocsin("log", "replay", "--home", copy[0])
    assert result.exit_code == 1
    assert "cannot be taken again" in result.stdout
    assert "is not kept" in result.stdout
    assert "0 come out differently" in result.stdout


def test_an_export_is_taken_again_without_the_node(tocsin: Any, lines: Any, at: Any, key: str, tmp_path: Path) -> None:
    assert tocsin("publish", *SIGNAL, *at).exit_code == 0
    whole, bare = tmp_path / "whole", tmp_path / "bare"
    assert tocsin("log", "export", whole, "--whole", *at).exit_code == 0
    assert {path.stat().st_mode & 0o777 for path in whole.glob("signals/*/*")} == {0o600}
    elsewhere = ("--home", tmp_path / "nowhere")
    result = tocsin("log", "replay", "--from", whole, "--key", key, "--json", *elsewhere)
    (told,) = lines(result)
    assert (result.exit_code, told["differs"], told["not-replayable"]) == (0, 0, 0), told
    assert told["equal"] >= 1
    assert tocsin("log", "verify", whole, "--key", key).exit_code == 0
    # without what stands beside the tiles nothing counts as equal
    assert tocsin("log", "export", bare, *at).exit_code == 0
    result = tocsin("log", "replay", "--from", bare, "--key", key, *elsewhere)
    assert (result.exit_code, "signals/000" in result.stdout) == (1, True)
    other = tocsin("log", "replay", "--from", whole, "--key", key[:-4] + "AAA=", *elsewhere)
    assert other.exit_code == 1
    assert tocsin("log", "replay", "--from", whole, *elsewhere).exit_code == 2
    assert tocsin("log", "replay", "--key", key, *at).exit_code == 2
    none = tocsin("log", "replay", "--incident", "00" * 32, *at)
    assert (none.exit_code, "no decision and no finding" in none.stderr) == (1, True)


def test_a_policy_names_the_log_and_its_witnesses(tocsin: Any, at: Any, exported: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy"
    policy.write_text(tocsin("log", "policy", "--least", 0, *at).stdout)
    assert tocsin("log", "verify", exported, "--policy", policy).exit_code == 0
    refused = tocsin("log", "policy", "--least", 9, *at)
    assert refused.exit_code == 1
    assert "9 members are to cosign" in refused.stderr
