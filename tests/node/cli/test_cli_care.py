"""`tocsin doctor`, `disarm`, `sign-disarm` and `drill` against a real node."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tocsin_node.clock import now_ms
from tocsin_node.config import load_config
from tocsin_node.control_verbs import Verb
from tocsin_node.demo.network import create_local_network
from tocsin_node.keystore import LEAST_COST, create_root_keystore, open_keystore
from tocsin_node.store.database import DATABASE_NAME
from tocsin_protocol.drill import DrillRecord, DrillStage, sign_record

SECRET = b"\x21" * 32


@pytest.fixture
def at(node: Any) -> tuple[object, ...]:
    node.ask(Verb.RESUME)
    return ("--home", node.home)


def test_doctor_tells_people_and_programs_and_exits_with_what_it_found(
    tocsin: Any, lines: Any, node: Any, at: Any
) -> None:
    result = tocsin("doctor", "--json", *at)
    (report,) = lines(result)
    # nobody listens at the webhook's port
    assert (result.exit_code, report["healthy"]) == (1, False)
    wrong = {(c["area"], c["check"]) for c in report["checks"] if c["answer"] == "not-ok"}
    assert ("page", "receiver") in wrong
    shown = tocsin("doctor", *at)
    assert shown.exit_code == 1
    assert "NOT OK" in shown.stdout
    assert "not right" in shown.stdout
    assert "not all right" in tocsin("status", *at).stdout


def test_doctor_without_a_node_says_so(tocsin: Any, make_homes: Any, tmp_path: Path) -> None:
    (home,) = make_homes("lender")
    assert tocsin("doctor", "--home", home.directory).exit_code == 78  # not pinned yet


def test_all_hooks_are_disarmed_and_the_file_goes_with_them(tocsin: Any, lines: Any, node: Any, at: Any) -> None:
    assert tocsin("arm", "page", "--yes", *at).exit_code == 0
    (answer,) = lines(tocsin("disarm", "--all", "--json", *at))
    assert answer == {"disarmed": ["page"]} or node.ask(Verb.STATUS)["hooks"][0]["armed"] is False
    assert not (load_config(node.home / "node.toml").node.data_dir / "disarm").exists()
    assert "Disarmed" in tocsin("disarm", "--all", *at).stdout


def test_disarm_wants_one_thing(tocsin: Any, at: Any) -> None:
    for wrong in ((), ("page", "--all"), ("--all", "--statement", "x")):
        assert tocsin("disarm", *wrong, *at).exit_code == 2


def test_a_node_that_does_not_answer_is_disarmed_by_the_file(tocsin: Any, node: Any, tmp_path: Path) -> None:
    text = (node.home / "node.toml").read_text()
    away = tmp_path / "away"
    away.mkdir()
    for name in ("keystore.json", "passphrase", "genesis.roster", "policy.toml", "manifest.toml", "webhook.secret"):
        (away / name).write_bytes((node.home / name).read_bytes())
        (away / name).chmod(0o600)
    (away / "node.toml").write_text(text)
    data = load_config(away / "node.toml").node.data_dir
    data.mkdir(parents=True, exist_ok=True)
    result = tocsin("disarm", "--all", "--home", away)
    assert result.exit_code == 69
    assert "nothing acts until you remove it" in result.stderr
    assert (data / "disarm").exists()


def test_an_offline_key_signs_a_line_and_a_stranger_to_the_config_disarms_nothing(
    tocsin: Any, lines: Any, node: Any, at: Any, tmp_path: Path
) -> None:
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse battery")
    passphrase.chmod(0o600)
    create_root_keystore(tmp_path / "root.json", SECRET, b"correct horse battery", LEAST_COST)
    status = node.ask(Verb.STATUS)
    signed = tocsin(
        *("sign-disarm", tmp_path / "root.json", "--passphrase-file", passphrase),
        *("--network", status["network"], "--publisher", status["publisher"], "--json"),
    )
    (answer,) = lines(signed)
    assert answer["statement"].startswith("tocsin-disarm:")
    (tmp_path / "statement").write_text(answer["statement"] + "\n")
    refused = tocsin("disarm", "--statement", tmp_path / "statement", *at)
    assert refused.exit_code == 1
    assert answer["key"] in refused.stderr


def test_a_drill_without_drill_hooks_has_no_record(tocsin: Any, lines: Any, at: Any, tmp_path: Path) -> None:
    (told,) = lines(tocsin("drill", "--wait-seconds", 60, "--json", *at))
    assert told["records"] == []
    assert "drill = true" in tocsin("drill", "report", *at).stdout
    (report,) = lines(tocsin("drill", "report", "--json", *at))
    assert report["records"] == []
    assert report["percentiles"]["effective"] == {"p50": None, "p90": None, "p99": None}
    garbage = tmp_path / "records"
    garbage.write_text(json.dumps({"body": "00", "signature": "00" * 64}) + "\n")
    assert tocsin("drill", "verify", garbage, *at).exit_code == 1
    garbage.write_text("{}\n")
    assert "body and signature in hex are wanted" in tocsin("drill", "verify", garbage, *at).stderr


def keep_record(node: Any) -> DrillRecord:
    """Put a record into the node's database, as a drill would have."""
    config = load_config(node.home / "node.toml")
    keys = open_keystore(config.keys.keystore, config.read_passphrase())
    at_ms = now_ms()
    stages = tuple((stage, at_ms + 250 * place) for place, stage in enumerate(DrillStage))
    record = DrillRecord(b"\7" * 32, keys.publisher_id, keys.publisher_id, "drill-vault", "effective", stages)
    body, signature = sign_record(keys.publisher, record)
    row = (b"\1" * 32, record.drill, record.publisher, stages[0][1], stages[2][1], body, signature)
    with contextlib.closing(sqlite3.connect(config.node.data_dir / DATABASE_NAME, timeout=60)) as database, database:
        database.execute("INSERT INTO drills VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    return record


def test_what_was_measured_is_shown_exported_and_verified(
    tocsin: Any, lines: Any, node: Any, at: Any, tmp_path: Path
) -> None:
    record = keep_record(node)
    (report,) = lines(tocsin("drill", "report", "--export", tmp_path / "slo.jsonl", "--json", *at))
    assert (report["records"][0]["ttc_ms"], report["records"][0]["hook"]) == (1500, "drill-vault")
    assert report["percentiles"]["signed"] == {"p50": 750, "p90": 750, "p99": 750}
    shown = tocsin("drill", "report", *at).stdout
    assert "drill-vault" in shown
    assert "Percentiles over 1 record," in shown
    (verified,) = lines(tocsin("drill", "verify", tmp_path / "slo.jsonl", "--json", *at))
    assert (verified["fault"], verified["record"]["drill"]) == ("", record.drill.hex())
    text = (tmp_path / "slo.jsonl").read_text()
    (tmp_path / "forged.jsonl").write_text(text.replace(b"drill-vault".hex(), b"drill-mault".hex()))
    forged = tocsin("drill", "verify", tmp_path / "forged.jsonl", *at)
    assert forged.exit_code == 1
    assert "line 1: signature" in forged.stdout


def test_a_node_tells_systemd_that_it_is_ready_and_that_its_loop_turns(tmp_path: Path) -> None:
    home = create_local_network(tmp_path, ("lender",), now_ms())[0].directory
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(120)
        asked = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"}
        process = subprocess.Popen(
            [sys.executable, "-m", "tocsin_node.cli", "run", "--home", str(home)],
            stderr=subprocess.DEVNULL,
            env={**os.environ, **asked},
        )
        try:
            assert [systemd.recv(64) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]
        finally:
            process.terminate()
            assert process.wait(60) == 0
