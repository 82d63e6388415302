"""Proofs saved from the dashboard: who judges them without this project takes them; only the operator gets them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from api_kit import Desk, about
from protocol_kit import NETWORK_ID, NOW_MS, Feed
from tocsin_node.api.access import Scope
from tocsin_node.store.shown_heads import add_cosignature, read_best_shown
from tocsin_protocol.log.bundle import decode_proof_bundle
from tocsin_protocol.log.checkpoint import origin_of
from tocsin_protocol.log.note import Cosigner, decode_note
from tocsin_protocol.taxonomy import Tlp

VERIFIER = Path(__file__).parents[4] / "deploy" / "verifier" / "tocsin_verify.py"


def judge(file: Path, data: bytes, key: str) -> tuple[int, str]:
    file.write_bytes(data)
    command = [sys.executable, "-I", VERIFIER, file, "--key", key]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize(("kind", "other"), [("case", b"clear words"), ("proof", b"index ")])
def test_a_saved_proof_is_taken_by_the_verifier_of_one_file(
    desk: Desk, tmp_path: Path, kind: str, other: bytes
) -> None:
    (envelope,) = desk.say(about(1, text="clear words"))
    desk.say(about(2))
    desk.show_log()
    key = desk.get("/v1/log").json()["key"]
    found = desk.get(f"/dashboard/{kind}/{envelope.digest.hex()}")
    assert (found.status_code, found.headers["cache-control"]) == (200, "no-store")
    code, told = judge(tmp_path / "saved", found.content, key)
    assert (code, told.startswith("PROVEN\n")) == (0, True)
    assert f"signal       {envelope.digest.hex()[:16]}" in told
    changed = found.content.replace(other, other[:-1] + b"X" if kind == "case" else b"index 1")
    assert changed != found.content
    code, told = judge(tmp_path / "changed", changed, key)
    assert (code, told[:10]) == (1, "NOT PROVEN")


def test_a_signals_proof_is_of_the_entry_that_admitted_it(desk: Desk) -> None:
    first, second = desk.say(about(1), about(2))
    desk.show_log()
    indexes = [
        decode_proof_bundle(desk.get(f"/dashboard/proof/{one.digest.hex()}").content).index for one in (first, second)
    ]
    assert indexes == sorted(set(indexes))


@pytest.mark.parametrize("kind", ["case", "proof"])
def test_proofs_are_the_operators_and_of_what_is_there(desk: Desk, kind: str) -> None:
    (envelope,) = desk.say(about(1, tlp=Tlp.CLEAR))
    desk.show_log()
    path = f"/dashboard/{kind}/{envelope.digest.hex()}"
    statuses = {scope: desk.get(path, scope).status_code for scope in Scope}
    forbidden = dict.fromkeys((Scope.MEMBER, Scope.INSURER, Scope.SENDER), 403)
    assert statuses == {Scope.PUBLIC: 401, Scope.OPERATOR: 200} | forbidden
    assert desk.get(f"/dashboard/{kind}/{'0' * 64}").status_code == 404
    assert desk.get(f"/dashboard/{kind}/nothing").status_code == 422
    assert desk.get(path, limit=1).status_code == 422


def test_the_head_is_shown_with_whoever_cosigned_it(desk: Desk) -> None:
    desk.say(about(1))
    desk.show_log()
    assert desk.get("/v1/log", Scope.PUBLIC).json()["cosigned"] == []
    note = read_best_shown(desk.connection)
    assert note is not None
    text, witness = decode_note(note).text, Feed("brook").publisher
    for name in (origin_of(NETWORK_ID, witness), "somebody.example/w"):
        line = Cosigner(bytes(32), name).cosign(text, NOW_MS // 1000)
        assert desk.write(lambda c, line=line: add_cosignature(c, text, line))
    (cosigned,) = desk.get("/v1/log", Scope.PUBLIC).json()["cosigned"]
    assert cosigned == {"publisher": "0x" + witness.hex(), "member": "brook", "at_ms": NOW_MS // 1000 * 1000}
