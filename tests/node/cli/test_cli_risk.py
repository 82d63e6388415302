"""`tocsin oracle` and `tocsin risk` on files; with nodes and chains they are in tests/e2e and node/chain."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tocsin_node.clock import now_ms
from tocsin_node.config import load_config
from tocsin_node.keystore import LEAST_COST, generate_passphrase
from tocsin_node.operator_keys import create_operator_key
from tocsin_node.risk_model import load_model
from tocsin_node.risk_view import risk_report_view
from tocsin_node.store.writer import Store
from tocsin_protocol.ids import NO_DIGEST
from tocsin_protocol.risk.model import DAY_MS, DEFAULT_MODEL
from tocsin_protocol.risk.report import (
    MAX_LIFETIME_MS,
    OracleDomain,
    RiskReport,
    SignedReport,
    category_bytes,
    sign_report,
    subject_hash,
)
from tocsin_protocol.risk.states import RiskState
from tocsin_protocol.signing import address_of_key, public_key_of

SUBJECT = "eip155:1:0x" + "5a" * 20
ORACLE = "eip155:1:0x" + "0a" * 20
SECRETS = (b"\x07" * 32, b"\x08" * 32)
SIGNERS = tuple("0x" + address_of_key(public_key_of(secret)).hex() for secret in SECRETS)


def say(place: int, **changes: Any) -> SignedReport:
    at_ms = now_ms()
    fields: dict[str, Any] = {
        "subject": subject_hash(SUBJECT), "incident": NO_DIGEST, "state": RiskState.NONE,
        "category": category_bytes(None), "severity": 0, "posterior_ppm": 0, "tvl_at_risk": 5, "loss_observed": 0,
        "loss_p50": 1, "loss_p90": 2, "loss_p99": 3, "drain_rate": 0, "hazard_rate": 1, "multiplier_bps": 10_000,
        "capacity_bps": 10_000, "epoch": at_ms, "observed": at_ms, "expires": at_ms + MAX_LIFETIME_MS,
        "previous": NO_DIGEST, "evidence_root": NO_DIGEST, "model_hash": NO_DIGEST,
    }  # fmt: skip
    secret = SECRETS[place]
    signer = address_of_key(public_key_of(secret))
    return sign_report(OracleDomain(ORACLE), secret, RiskReport(**fields | changes), signer)


def write(path: Path, *signed: SignedReport) -> Path:
    path.write_text("".join(json.dumps(risk_report_view(one, ORACLE, None)) + "\n" for one in signed))
    return path


def test_reports_are_checked_without_a_node(tocsin: Any, lines: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "reports.jsonl", say(0), say(1))
    quorum = ("--signer", SIGNERS[0], "--signer", SIGNERS[1], "--threshold", 2)
    result = tocsin("oracle", "verify", path, "--oracle", ORACLE, *quorum, "--json")
    (whole,) = lines(result)
    assert (result.exit_code, whole["state"], sorted(whole["counted"])) == (0, "none", sorted(SIGNERS))
    shown = tocsin("oracle", "verify", path, "--oracle", ORACLE, *quorum)
    assert "none by 2 fresh reports" in shown.stdout
    assert [one["signer"] for one in lines(tocsin("oracle", "verify", path, "--oracle", ORACLE, "--json"))]


def test_two_stories_and_torn_reports_fail(tocsin: Any, tmp_path: Path) -> None:
    one = say(0)
    other = say(0, epoch=one.report.epoch, capacity_bps=1)
    result = tocsin("oracle", "verify", write(tmp_path / "two.jsonl", one, other), "--oracle", ORACLE)
    assert result.exit_code == 1
    assert "signed two different reports of one epoch" in result.stderr
    path = tmp_path / "torn.jsonl"
    path.write_text('{"signed": "0x00"}\n')
    result = tocsin("oracle", "verify", path, "--oracle", ORACLE)
    assert result.exit_code == 1
    assert "torn.jsonl: report 1" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [("--signer", SIGNERS[0]), ("--threshold", 1), ("--signer", "0xzz", "--threshold", 1)],
)
def test_half_a_quorum_is_wrong_usage(tocsin: Any, tmp_path: Path, arguments: tuple[object, ...]) -> None:
    path = write(tmp_path / "reports.jsonl", say(0))
    assert tocsin("oracle", "verify", path, "--oracle", ORACLE, *arguments).exit_code == 2


def test_a_push_needs_an_oracle_a_chain_and_a_key(tocsin: Any, make_homes: Any) -> None:
    (home,) = make_homes("lender")
    path = home.config_path
    path.write_text(path.read_text().replace('genesis_hash = ""', f'genesis_hash = "{"11" * 32}"'))
    result = tocsin("oracle", "push", "--calldata", "--home", home.directory)
    assert result.exit_code == 78
    assert "risk.oracle: is wanted" in result.stderr
    with path.open("a") as file:
        file.write(f'\n[risk]\noracle = "{ORACLE}"\n')
    result = tocsin("oracle", "push", "--calldata", "--home", home.directory)
    assert result.exit_code == 78
    assert "a [[chain]] section with chain = 'eip155:1' is wanted" in result.stderr
    with path.open("a") as file:
        file.write('\n[[chain]]\nchain = "eip155:1"\nendpoints = ["http://127.0.0.1:9"]\n')
    result = tocsin("oracle", "push", "--home", home.directory)
    assert result.exit_code == 2
    assert "--passphrase-file" in result.stderr
    for words in (
        ("--calldata", "--every", 15),
        ("--every", 31, "--calldata"),
        ("--key", "payer.json", "--passphrase-file", "one", "--passphrase-credential", "other"),
        ("--passphrase-file", "one"),
    ):
        assert tocsin("oracle", "push", *words, "--home", home.directory).exit_code == 2, words


def test_what_never_works_ends_with_78_and_is_not_tried_again(
    tocsin: Any, make_homes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home,) = make_homes("lender")
    path = home.config_path
    path.write_text(path.read_text().replace('genesis_hash = ""', f'genesis_hash = "{"11" * 32}"'))
    with path.open("a") as file:
        file.write(f'\n[risk]\noracle = "{ORACLE}"\n[[risk.feed]]\nurl = "http://127.0.0.1:9"\nkey_file = "away.key"\n')
        file.write('\n[[chain]]\nchain = "eip155:1"\nendpoints = ["http://127.0.0.1:9"]\n')
    passphrase = tmp_path / "payer-passphrase"
    passphrase.write_bytes(generate_passphrase())
    passphrase.chmod(0o600)
    push = ("oracle", "push", "--every", 1, "--key", tmp_path / "payer.json", "--home", home.directory)
    result = tocsin(*push, "--passphrase-file", passphrase)
    assert (result.exit_code, "payer.json" in result.stderr) == (78, True), result.stderr
    create_operator_key(tmp_path / "payer.json", passphrase, LEAST_COST)
    result = tocsin(*push, "--passphrase-credential", passphrase.name)
    assert (result.exit_code, "CREDENTIALS_DIRECTORY" in result.stderr) == (78, True), result.stderr
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    result = tocsin(*push, "--passphrase-credential", passphrase.name)
    assert (result.exit_code, "away.key" in result.stderr) == (78, True), result.stderr


def test_feeds_are_asked_with_a_key_each(tocsin: Any, tmp_path: Path) -> None:
    url, key = "http://127.0.0.1:9", tmp_path / "feed.key"
    for words in (
        (),
        ("--from", "feed.example"),
        ("--from", url, "--from", url, "--key-file", key),
        ("--key-file", key),
    ):
        assert tocsin("oracle", "verify", *words, "--oracle", ORACLE).exit_code == 2, words
    assert tocsin("oracle", "verify", "--from", url, "--key-file", key, "--oracle", ORACLE).exit_code == 78
    result = tocsin("oracle", "verify", "--from", url, "--oracle", ORACLE)
    assert (result.exit_code, f"{url}: " in result.stderr) == (1, True)


def test_a_node_shows_what_it_says(tocsin: Any, lines: Any, make_homes: Any) -> None:
    (home,) = make_homes("lender")
    path = home.config_path
    path.write_text(path.read_text().replace('genesis_hash = ""', f'genesis_hash = "{"11" * 32}"'))
    one, data_dir = say(0), load_config(path).node.data_dir
    store = Store(data_dir, home.entry.publisher.id, b"\x11" * 32, b"\x10" * 32)
    row = (ORACLE, SUBJECT, one.report.epoch, one.encoded, 0)
    with closing(store):
        assert "No reports" in tocsin("oracle", "show", "--home", home.directory).stdout
        store.writer.connection.execute("INSERT INTO risk_reports VALUES (?, ?, ?, ?, ?)", row)
    (shown,) = lines(tocsin("oracle", "show", "--home", home.directory, "--json"))
    assert (shown["signed"], shown["subject_id"]) == ("0x" + one.encoded.hex(), SUBJECT)
    table = tocsin("oracle", "show", "--home", home.directory).stdout
    assert all(words in table for words in (SUBJECT, "none", "100 %", "fresh"))


def incidents(path: Path, count: int) -> Path:
    rows = []
    for n in range(count):
        at = datetime.fromtimestamp(1_500_000_000 + n * 10 * DAY_MS / 1000, UTC)
        loss = DEFAULT_MODEL.severity.quantile(((n * 37) % count + 0.5) / count) / 1e6
        rows.append({"date": at.date().isoformat(), "loss_usd": loss, "attacker_addresses": [f"0x{n // 3}"]})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_calibration_says_what_it_found_and_writes_a_model(tocsin: Any, lines: Any, tmp_path: Path) -> None:
    path, model = incidents(tmp_path / "incidents.jsonl", 200), tmp_path / "model.json"
    result = tocsin("risk", "calibrate", path, "--protocols", 500, "--out", model)
    assert result.exit_code == 0, result.output
    for words in ("200 incidents in 5.5 years", "if that number is right", "Tail: index", "Not fitted", "Written to"):
        assert words in result.stdout, words
    written = load_model(model)
    assert written.severity.tail_index == pytest.approx(0.7, rel=0.3)
    (shown,) = lines(tocsin("risk", "model", model, "--json"))
    assert shown["hash"] == "0x" + written.hash.hex()
    assert "judgement" in tocsin("risk", "model").stdout
    again = tocsin("risk", "calibrate", path, "--protocols", 500, "--out", model)
    assert again.exit_code == 78
    assert "never overwritten" in again.stderr
    (found,) = lines(tocsin("risk", "calibrate", path, "--protocols", 500, "--json"))
    assert (found["incidents"], found["model"]["hash"]) == (200, shown["hash"])


def test_too_little_is_refused_with_a_sentence(tocsin: Any, tmp_path: Path) -> None:
    result = tocsin("risk", "calibrate", incidents(tmp_path / "few.jsonl", 10), "--protocols", 500)
    assert result.exit_code == 1
    assert "10 incidents where 50" in result.stderr
