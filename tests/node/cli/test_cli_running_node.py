"""The commands against a real node, alone in reach of a network of three."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

ACCOUNT = "eip155:31337:0x" + "11" * 20
SIGNAL = ("--category", "asset.drain", "--severity", "critical", "--confidence", 90)
ABOUT_US = (*SIGNAL, "--subject", f"victim={ACCOUNT}")


@pytest.fixture
def at(node: Any) -> tuple[object, ...]:
    """--home of a node that publishes without waiting for peers."""
    assert node.ask("resume")["publishing"].startswith("open")
    return ("--home", node.home)


def test_signal_waits_until_the_operator_vouches_for_the_database(tocsin: Any, lines: Any, node: Any) -> None:
    home = ("--home", node.home)
    waiting = tocsin("publish", *ABOUT_US, *home)
    assert waiting.exit_code == 0
    assert "Waiting" in waiting.stdout
    assert tocsin("resume", *home).exit_code == 2  # no terminal to ask at
    assert tocsin("resume", "--yes", *home).exit_code == 0
    assert lines(tocsin("signals", "--json", *home))[0]["sequence"] == 1


def test_status_is_told_to_people_and_programs(tocsin: Any, lines: Any, at: Any) -> None:
    (status,) = lines(tocsin("status", "--json", *at))
    assert (status["member"], status["members"], status["epoch"]) == ("lender", 3, 0)
    shown = tocsin("status", *at)
    assert shown.exit_code == 0
    assert status["publisher"] in shown.stdout
    assert "page" in shown.stdout
    assert "below 4 nothing Byzantine is tolerated" in shown.stdout


def test_signal_is_published_listed_and_explained(tocsin: Any, lines: Any, at: Any) -> None:
    (answer,) = lines(tocsin("publish", *ABOUT_US, "--text", "it [bold]drains[/bold]", "--json", *at))
    digest = answer["sealed"][0]["digest"]
    (found,) = [row for row in lines(tocsin("signals", "--json", *at)) if row["digest"] == digest]
    assert (found["member"], found["path"], found["standing"]) == ("lender", "own", "admitted")
    assert found["signal"]["text"] == "it [bold]drains[/bold]"
    (incident,) = [row for row in lines(tocsin("incidents", "--json", *at)) if row["id"] == found["incident"]]
    assert incident["members"] == ["lender"]
    (told,) = lines(tocsin("explain", incident["id"], "--json", *at))
    assert digest in [signal["digest"] for signal in told["signals"]]
    assert told["decisions"][0]["levers"][0]["verdict"] == "tier-closed"
    assert told["actions"] == []
    assert lines(tocsin("explain", digest, "--json", *at)) == [told]
    shown = tocsin("explain", incident["id"][:8], *at)
    assert "by our own detector alone" in shown.stdout
    assert "our own detector: weight 5.000" in shown.stdout
    assert "vault $8,000,000" in shown.stdout
    assert "No action." in shown.stdout
    for command in ("signals", "incidents", "actions"):
        assert tocsin(command, *at).exit_code == 0


def test_signal_is_read_from_a_file_and_options_override_it(tocsin: Any, lines: Any, at: Any, tmp_path: Path) -> None:
    document = {"category": "oracle.stale", "severity": "low", "confidence": 10}
    document |= {"subjects": [{"role": "at-risk", "value": "eip155:31337"}]}
    path = tmp_path / "signal.json"
    path.write_text(json.dumps(document))
    options = ("--confidence", 20, "--evidence", "call", "eip155:31337", "5", "0xabc", "--json")
    assert tocsin("publish", "--file", path, *options, *at).exit_code == 0
    assert tocsin("publish", "--file", "-", "--json", *at, stdin=json.dumps(document)).exit_code == 0
    second, first = lines(tocsin("signals", "--json", "--limit", 2, *at))[::-1]
    assert (first["signal"]["confidence"], second["signal"]["confidence"]) == (20, 10)
    assert first["signal"]["evidence"][0]["reference"] == "0xabc"


@pytest.mark.parametrize(
    ("options", "code", "wanted"),
    [
        ((), 1, "lacks the key"),
        (SIGNAL, 1, "lacks the key 'subjects'"),
        ((*SIGNAL, "--subject", "victim"), 2, "two parts with ="),
        ((*SIGNAL, "--subject", "victim=eip155:1:0xAA"), 1, "0x and 40 lower-case hex digits"),
        ((*ABOUT_US, "--severity", "huge"), 2, "'huge' is not one of"),
        ((*ABOUT_US, "--category", "asset.drains"), 1, "category is 'asset.drains'"),
        ((*ABOUT_US, "--refers-to", "disputes=0x12"), 1, "reference digest is not 32 bytes"),
        ((*ABOUT_US, "--evidence", "call", "eip155:1", "five", "x"), 2, "'five' is not a number"),
        (("--file", "/no/such/file"), 1, "cannot be read"),
    ],
)
def test_signal_that_is_none_is_refused(tocsin: Any, at: Any, options: Any, code: int, wanted: str) -> None:
    result = tocsin("publish", *options, *at)
    assert result.exit_code == code
    assert wanted in result.stderr


def test_hook_is_armed_and_disarmed(tocsin: Any, lines: Any, at: Any) -> None:
    assert tocsin("arm", "page", *at).exit_code == 2  # no terminal to ask at
    (armed,) = lines(tocsin("arm", "page", "--yes", "--json", *at))
    assert armed["armed"] is True
    assert "disarmed" in tocsin("disarm", "page", *at).stdout
    (status,) = lines(tocsin("status", "--json", *at))
    assert (status["hooks"][0]["armed"], status["hooks"][0]["epoch"]) == (False, armed["epoch"])


def test_ledger_is_shown_and_only_confirmed_when_in_doubt(tocsin: Any, lines: Any, at: Any) -> None:
    assert "The ledger is confirmed" in tocsin("ledger", "show", *at).stdout
    (shown,) = lines(tocsin("ledger", "show", "--json", *at))
    assert (shown["doubt"], shown["anchor"]) == ("", shown["database"])
    assert tocsin("ledger", "confirm", *at).exit_code == 2  # no terminal to ask at
    refused = tocsin("ledger", "confirm", "--yes", *at)
    assert refused.exit_code == 1
    assert "nothing to confirm" in refused.stderr
    unknown = tocsin("ledger", "lifted", "abcdef", "--yes", *at)
    assert unknown.exit_code == 1
    assert "no action has an id that begins so" in unknown.stderr


def test_hook_that_is_not_configured_is_refused(tocsin: Any, at: Any) -> None:
    for command in (("arm", "pauze", "--yes"), ("disarm", "pauze")):
        result = tocsin(*command, *at)
        assert result.exit_code == 2
        assert "has no hook 'pauze' (it has page)" in result.stderr


def test_drill_is_decided_on_and_never_acted_on(tocsin: Any, lines: Any, at: Any) -> None:
    tocsin("arm", "page", "--yes", *at)
    (told,) = lines(tocsin("drill", "--wait-seconds", 60, "--json", *at))
    assert told["decision"].startswith("No action")
    (drill,) = [row for row in lines(tocsin("signals", "--json", *at)) if row["digest"] == told["digest"]]
    assert drill["signal"]["drill"] is True
    assert lines(tocsin("actions", "--json", *at)) == []
    assert drill["signal"]["subjects"][0]["value"] == ACCOUNT
    elsewhere = tocsin("drill", "--subject", "vyper 0.2.15", "--wait-seconds", 0, "--json", *at)
    assert elsewhere.exit_code == 0


def test_new_signals_are_followed(tocsin: Any, at: Any) -> None:
    command = [sys.executable, "-m", "tocsin_node.cli", "signals", "--follow", "--limit", "1", "--json"]
    with subprocess.Popen([*command, *map(str, at)], stdout=subprocess.PIPE) as follower:
        give_up = threading.Timer(60, follower.kill)
        give_up.start()
        try:
            assert follower.stdout is not None
            # the first line shows that it has begun to follow
            assert tocsin("publish", *ABOUT_US, "--text", "before", *at).exit_code == 0
            first = json.loads(follower.stdout.readline())
            assert tocsin("publish", *ABOUT_US, "--text", "after", *at).exit_code == 0
            seen = [first]
            while seen[-1]["signal"]["text"] != "after":
                seen.append(json.loads(follower.stdout.readline()))
        finally:
            give_up.cancel()
            follower.kill()
    assert [row["id"] for row in seen] == sorted({row["id"] for row in seen})


def test_incident_that_is_not_there_is_said_so(tocsin: Any, at: Any) -> None:
    for text, wanted in (
        ("ffffffff", "begins so"),
        ("ff", "at least"),
        ("f" * 64, "begins so"),
        ("x" * 64, "begins so"),
    ):
        result = tocsin("explain", text, *at)
        assert result.exit_code == 1
        assert wanted in result.stderr


def test_second_node_on_the_same_database_refuses_to_start(node: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tocsin_node.cli", "run", "--home", str(node.home)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert "already in use by process" in done.stderr
    assert "Traceback" not in done.stderr


def test_policy_is_read_anew_and_a_wrong_one_changes_nothing(tocsin: Any, lines: Any, at: Any, node: Any) -> None:
    path = node.home / "policy.toml"
    good = path.read_text()
    (before,) = lines(tocsin("policy", "reload", "--json", *at))
    try:
        path.write_text(good.replace('tier = "freeze"', 'tier = "frost"'))
        refused = tocsin("policy", "reload", *at)
        assert refused.exit_code == 1
        assert "lever[0].tier = 'frost'" in refused.stderr
        assert "the policy in force stays" in refused.stderr
        path.write_text(good.replace("minutes = 60", "minutes = 0"))
        (endless,) = lines(tocsin("policy", "reload", "--json", *at))
        assert endless["policy"] != before["policy"]
        unarmed = tocsin("arm", "page", "--yes", *at)
        assert unarmed.exit_code == 1
        assert "the policy may not be armed: lever 'page' has no end" in unarmed.stderr
    finally:
        path.write_text(good)
        assert lines(tocsin("policy", "reload", "--json", *at)) == [before]


def test_incident_is_adjudicated(tocsin: Any, lines: Any, at: Any) -> None:
    (answer,) = lines(tocsin("publish", *ABOUT_US, "--json", *at))
    (row,) = [s for s in lines(tocsin("signals", "--json", *at)) if s["digest"] == answer["sealed"][0]["digest"]]
    (told,) = lines(tocsin("adjudicate", row["incident"], "confirmed", "--yes", "--json", *at))
    assert told == {"incident": row["incident"], "publishers": 0}
    (told,) = lines(tocsin("adjudicate", row["incident"], "false", "--share", "--yes", "--json", *at))
    (shared,) = [s for s in lines(tocsin("signals", "--json", *at)) if s["digest"] == told["sealed"][0]["digest"]]
    assert shared["incident"] == row["incident"]
    assert shared["signal"]["category"] == "meta.update"
    assert [reference["relation"] for reference in shared["signal"]["references"]] == ["disputes"]
    assert tocsin("adjudicate", row["incident"], "perhaps", "--yes", *at).exit_code == 2
    assert tocsin("adjudicate", "ffff" * 16, "false", "--yes", *at).exit_code != 0


def test_actions_are_told_with_their_end_and_what_to_do_and_lifted_by_the_operator(
    tocsin: Any, lines: Any, node: Any
) -> None:
    action_id, ends_ms = bytes.fromhex("ab" * 32), 8
    with contextlib.closing(
        sqlite3.connect(node.home / "data" / "tocsin.db", isolation_level=None, timeout=60)
    ) as connection:
        connection.execute(
            "INSERT INTO actions VALUES (?, 'page', 'on-call', 99, x'01', x'02', x'03', 1, 2, 'expiring', ?)",
            (action_id, ends_ms),
        )
        for event in ("send", "confirm", "expire"):
            connection.execute("INSERT INTO action_events VALUES (NULL, ?, 7, ?, x'80')", (action_id, event))
    at = ("--home", node.home)
    (told,) = lines(tocsin("actions", "--json", *at))
    assert (told["state"], told["since_ms"], told["ends_ms"]) == ("expiring", 7, ends_ms)
    assert told["next"].endswith("tocsin ledger lifted abababababab")
    shown = tocsin("actions", *at).stdout
    assert "expiring" in shown
    assert "tocsin ledger lifted" in shown
    assert any(warning.startswith("page on on-call (end: ") for warning in node.ask("status")["warnings"])
    assert tocsin("ledger", "lifted", "abababab", "--yes", *at).exit_code == 0
    assert lines(tocsin("actions", "--json", *at))[0]["state"] == "lifted"
    again = tocsin("ledger", "lifted", "abababab", "--yes", *at)
    assert again.exit_code == 1
    assert "event lift is not possible in state lifted" in again.stderr


def test_an_unknown_outcome_is_first_in_status_and_settled_by_the_operator(tocsin: Any, lines: Any, node: Any) -> None:
    action_id = bytes.fromhex("cd" * 32)
    with contextlib.closing(
        sqlite3.connect(node.home / "data" / "tocsin.db", isolation_level=None, timeout=60)
    ) as connection:
        connection.execute(
            "INSERT INTO actions VALUES (?, 'page', 'the-desk', 98, x'01', x'02', x'03', 1, 2, 'unknown', NULL)",
            (action_id,),
        )
        for event in ("send", "lose"):
            connection.execute("INSERT INTO action_events VALUES (NULL, ?, 7, ?, x'80')", (action_id, event))
    at = ("--home", node.home)
    (told,) = [row for row in lines(tocsin("actions", "--json", *at)) if row["state"] == "unknown"]
    assert told["next"].endswith("tocsin ledger settle cdcdcdcdcdcd")
    assert any(
        warning.startswith("page on the-desk: There may be an effect.") for warning in node.ask("status")["warnings"]
    )
    assert tocsin("ledger", "settle", "cdcdcdcd", "perhaps", "--yes", *at).exit_code == 2
    (settled,) = lines(tocsin("ledger", "settle", "cdcdcdcd", "no-effect", "--yes", "--json", *at))
    assert settled == {"action": action_id.hex(), "state": "failed"}
    again = tocsin("ledger", "settle", "cdcdcdcd", "in-effect", "--yes", *at)
    assert again.exit_code == 1
    assert "only of an unknown outcome people say what it was" in again.stderr
