"""The demo as people run it: contained, then opened again in stages that two of three operators approve."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import tomllib
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tocsin_node.replay.taking import Result, replay_log
from tocsin_node.store.replay_source import ReplaySource
from tocsin_protocol.approval.files import decode_approval, decode_approval_request
from tocsin_protocol.approval.request import Purpose, Request, request_digest
from tocsin_protocol.signing import Domain, address_of_key, recover_key

# It takes a minute and a half; a machine that does much else may take its time.
DEMO_SECONDS = 1_200
WAY_BACK = ["halted", "exit-only", "canary-1", "exit-only", "canary-1", "canary-5", "canary-25", "normal"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a run that ended well, with what it said in `said.json`."""
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "tocsin_node.cli", "demo", "--json", "--keep", str(folder)]
    with (folder / "said.json").open("wb") as said, (folder / "errors").open("wb") as errors:
        code = subprocess.run(command, stdout=said, stderr=errors, timeout=DEMO_SECONDS, check=False).returncode
    assert code == 0, (folder / "errors").read_text()
    return folder


@pytest.fixture(scope="module")
def said(kept: Path) -> dict[str, Any]:
    return dict(json.loads((kept / "said.json").read_text()))


def rows_of(kept: Path, query: str, *values: object) -> list[tuple[Any, ...]]:
    """What the record of the lender's node says after the armed run."""
    with closing(sqlite3.connect(kept / "armed" / "lender" / "data" / "tocsin.db")) as connection:
        return connection.execute(query, values).fetchall()


def operators_of(kept: Path) -> dict[bytes, str]:
    """The operators by address, as the lender's policy names them."""
    policy = tomllib.loads((kept / "armed" / "lender" / "policy.toml").read_text())
    assert policy["approval"]["rule"] == [{"m": 2}]
    return {bytes.fromhex(address.removeprefix("0x")): name for name, address in policy["operators"].items()}


def signers_of(network_id: bytes, request: Request, approvals: list[bytes]) -> set[bytes]:
    digest = request_digest(Domain(network_id), request)
    return {address_of_key(recover_key(digest, decode_approval(file).signature)) for file in approvals}


def test_the_armed_run_saves_and_ends_open_and_the_disarmed_one_does_neither(said: dict[str, Any]) -> None:
    assert said["saved_micro_usd"] > 0
    assert sorted(said["armed"]["paused"]) == ["dex", "lender"]
    assert said["armed"]["reopened"] == WAY_BACK
    assert said["armed"]["open_again"]
    assert (said["disarmed"]["paused"], said["disarmed"]["reopened"]) == ([], [])
    assert not said["disarmed"]["open_again"]


def test_every_step_was_approved_by_two_of_three_operators_and_the_third_was_away(
    kept: Path, said: dict[str, Any]
) -> None:
    people = operators_of(kept)
    assert sorted(people.values()) == ["ana", "ben", "cleo"]
    granted = rows_of(kept, "SELECT id, body FROM requests WHERE state = 'granted' ORDER BY id")
    steps = []
    for number, body in granted:
        network_id, request = decode_approval_request(body)
        assert request.purpose is Purpose.REOPEN
        files = rows_of(kept, "SELECT approval FROM request_approvals WHERE request = ?", number)
        # the signatures themselves, not what the node says of them
        signers = signers_of(network_id, request, [file for (file,) in files])
        assert {people[signer] for signer in signers} == {"ana", "cleo"}
        steps.append(request.effect.split(" (")[0].split(" to ")[1])
    # each stage that was opened, with one approval of its own; the step back in between needed none
    assert steps == [after for before, after in pairwise(WAY_BACK) if (before, after) != ("canary-1", "exit-only")]
    lines = [moment["what"] for moment in said["armed"]["timeline"] if moment["who"] == "operators"]
    assert len(lines) == len(steps)
    assert all(line.startswith("cleo and ana approve: ") for line in lines)
    assert all("2 approved of 2 wanted: enough." in line for line in lines)


def test_the_record_ends_with_an_open_scope_and_a_lifted_lever(kept: Path) -> None:
    assert rows_of(kept, "SELECT scope, stage, backs FROM tracks") == [("funds", "normal", 1)]
    assert rows_of(kept, "SELECT state FROM actions WHERE ends_ms IS NOT NULL") == [("lifted",)]
    # the node has signed one transaction, the pause: it opened nothing
    assert rows_of(kept, "SELECT COUNT(DISTINCT action) FROM action_events WHERE event = 'sign'") == [(1,)]


def test_every_decision_of_every_node_comes_out_of_its_log_again(kept: Path) -> None:
    folders = sorted(path.parent for path in kept.glob("*/*/data/tocsin.db"))
    assert len(folders) == 8
    taken = []
    for folder in folders:
        with closing(ReplaySource(folder)) as source:
            taken += list(replay_log(source))
    assert [one for one in taken if one.result is not Result.EQUAL] == []
    # on the way somebody acted, somebody lied, and endpoints were asked
    assert len(taken) > 2 * len(folders)


def test_what_the_incident_was_is_on_record_at_both_that_paused(kept: Path, said: dict[str, Any]) -> None:
    lines = [m["who"] for m in said["armed"]["timeline"] if "records that the incident was real" in m["what"]]
    assert lines == ["dex", "lender"]
    assert rows_of(kept, "SELECT COUNT(*) FROM audit WHERE kind = 'adjudication'") == [(1,)]
