"""`tocsin manifest`: from one member's file to another member's node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tocsin_node.setup_node import NodeHome

DEPLOY = Path(__file__).parents[3] / "deploy"
MANIFEST = f"""
protocol = "dex"
[[holding]]
name = "usdc"
kind = "market"
subjects = ["eip155:1:0x{"11" * 20}"]
amount = {{ usd = 1_000_000, read = 2023-11-14T12:00:00Z }}
[[dependency]]
link = "collateral"
subject = "eip155:1/erc20:0x{"22" * 20}"
provider = "lender"
"""


@pytest.fixture
def network(
    tocsin: Any, lines: Any, make_homes: Callable[..., list[NodeHome]], tmp_path: Path
) -> tuple[NodeHome, NodeHome]:
    """Two members with one roster; the first has a manifest."""
    dex, lender = make_homes("dex", "lender")
    genesis = tmp_path / "genesis.roster"
    (made,) = lines(tocsin("roster", "create", dex.entry_path, lender.entry_path, "--out", genesis, "--json"))
    for home in (dex, lender):
        assert tocsin("roster", "pin", genesis, "--hash", made["hash"], "--home", home.directory).exit_code == 0
    dex.manifest_path.write_text(MANIFEST)
    return dex, lender


def test_manifest_is_checked_and_what_is_missing_is_told(tocsin: Any, lines: Any, network: Any) -> None:
    dex, _ = network
    result = tocsin("manifest", "check", "--home", dex.directory)
    assert result.exit_code == 0
    assert "1 holding, 0 tokens, 1 dependency" in result.stdout
    assert "days ago, and still counts" in result.stdout
    assert "no manifest of lender is held" in result.stdout
    (checked,) = lines(tocsin("manifest", "check", "--home", dex.directory, "--json"))
    assert len(checked["warnings"]) == 2
    assert tocsin("manifest", "check", "--strict", "--home", dex.directory).exit_code == 1


def test_fault_exits_with_78_and_names_file_line_and_key(tocsin: Any, network: Any, tmp_path: Path) -> None:
    dex, _ = network
    dex.manifest_path.write_text(MANIFEST.replace('"market"', '"shop"'))
    result = tocsin("manifest", "check", "--home", dex.directory)
    assert result.exit_code == 78
    assert f"{dex.manifest_path}:5: holding[0].kind = 'shop': " in result.stderr
    assert tocsin("manifest", "check", "--home", tmp_path / "nowhere").exit_code == 78


def test_file_is_checked_and_shown_without_a_node(tocsin: Any, lines: Any, tmp_path: Path) -> None:
    example, nowhere = DEPLOY / "manifest.example.toml", ("--home", tmp_path / "nowhere")
    assert tocsin("manifest", "check", example, *nowhere).exit_code == 0
    result = tocsin("manifest", "show", example, *nowhere)
    assert result.exit_code == 0
    for text in ("usdc-market", "$80,000,000", "collateral", "brook", "60 %", "all holdings"):
        assert text in result.stdout
    (shown,) = lines(tocsin("manifest", "show", example, *nowhere, "--json"))
    assert shown["holdings"][1]["amount"]["usd"] == 80_000_000
    assert shown["dependencies"][-1]["share_percent"] == 60
    assert tocsin("manifest", "show", tmp_path / "none.toml", *nowhere).exit_code == 78


def test_manifest_goes_signed_from_one_member_to_another(tocsin: Any, lines: Any, network: Any, tmp_path: Path) -> None:
    dex, lender = network
    signed = tmp_path / "dex.bin"
    result = tocsin("manifest", "sign", signed, "--home", dex.directory)
    assert result.exit_code == 0
    assert "1 holding" in result.stdout
    assert "signature not checked" in tocsin("manifest", "show", signed, "--home", lender.directory).stdout
    assert "No manifests in" in tocsin("manifest", "list", "--home", lender.directory).stdout
    (kept,) = lines(tocsin("manifest", "import", signed, "--home", lender.directory, "--json"))
    assert (kept["member"], kept["protocol"], kept["holdings"]) == ("dex", "dex", 1)
    assert kept["publisher"] == "0x" + dex.entry.publisher.id.hex()
    (listed,) = lines(tocsin("manifest", "list", "--home", lender.directory, "--json"))
    assert listed == {"manifests": [kept], "warnings": []}
    assert "dex.bin" in tocsin("manifest", "list", "--home", lender.directory).stdout
    again = tocsin("manifest", "import", signed, "--home", lender.directory)
    assert again.exit_code == 78
    assert "is not newer than" in again.stderr
    assert tocsin("manifest", "sign", signed, "--home", dex.directory).exit_code == 0
    assert "Kept dex" in tocsin("manifest", "import", signed, "--home", lender.directory).stdout


def test_an_amount_that_the_chain_cannot_tell_is_shown_and_signed_as_declared(
    tocsin: Any, lines: Any, network: Any, tmp_path: Path
) -> None:
    dex, _ = network
    account, asset = (f"eip155:7:0x{'11' * 20}", f"eip155:7/erc20:0x{'22' * 20}")
    balance = f'balances = [{{ account = "{account}", asset = "{asset}", decimals = 6, usd_each = 1 }}]'
    dex.manifest_path.write_text(MANIFEST.replace("12:00:00Z }", f"12:00:00Z, {balance} }}"))
    (shown,) = lines(tocsin("manifest", "show", "--read", "--home", dex.directory, "--json"))
    why = "usdc could not be read on chain, so it stays as declared: the node's configuration has no chain eip155:7"
    assert shown["warnings"] == [why]
    assert shown["holdings"][0]["amount"]["source"] == "declared"
    signed = tocsin("manifest", "sign", tmp_path / "dex.bin", "--home", dex.directory)
    assert signed.exit_code == 0
    assert "stays as declared" in " ".join(signed.stdout.split())
    refused = tocsin("manifest", "show", tmp_path / "dex.bin", "--read", "--home", dex.directory)
    assert refused.exit_code == 2
    assert "stays as it was signed" in refused.stderr


def test_what_cannot_be_used_is_listed_with_its_reason(tocsin: Any, network: Any) -> None:
    _, lender = network
    folder = lender.directory / "manifests"
    folder.mkdir()
    (folder / "junk.bin").write_bytes(b"junk")
    result = tocsin("manifest", "list", "--home", lender.directory)
    assert result.exit_code == 0
    assert "junk.bin: is not a signed manifest" in result.stdout


def test_manifest_that_was_changed_on_the_way_is_not_kept(tocsin: Any, network: Any, tmp_path: Path) -> None:
    dex, lender = network
    signed = tmp_path / "dex.bin"
    tocsin("manifest", "sign", signed, "--home", dex.directory)
    signed.write_bytes(signed.read_bytes().replace(b"lender", b"lendre"))
    result = tocsin("manifest", "import", signed, "--home", lender.directory)
    assert result.exit_code == 78
    assert "is not what dex signed" in result.stderr
    assert not (lender.directory / "manifests").exists()


def test_signing_writes_over_no_other_file_and_nothing_that_is_empty(tocsin: Any, network: Any) -> None:
    dex, lender = network
    before = dex.policy_path.read_bytes()
    assert tocsin("manifest", "sign", dex.policy_path, "--home", dex.directory).exit_code == 78
    assert dex.policy_path.read_bytes() == before
    result = tocsin("manifest", "sign", lender.directory / "x.bin", "--home", lender.directory)
    assert result.exit_code == 78
    assert "there is nothing to sign yet" in result.stderr


def test_signing_needs_a_roster(tocsin: Any, make_homes: Callable[..., list[NodeHome]], tmp_path: Path) -> None:
    (alone,) = make_homes("alone")
    result = tocsin("manifest", "sign", tmp_path / "x.bin", "--home", alone.directory)
    assert result.exit_code == 78
    assert "run tocsin roster pin" in result.stderr


def test_secrets_are_not_printed(tocsin: Any, network: Any, tmp_path: Path) -> None:
    dex, _ = network
    result = tocsin("manifest", "sign", tmp_path / "x.bin", "--home", dex.directory, "--json")
    passphrase = (dex.directory / "passphrase").read_text().strip()
    assert passphrase not in result.output
