"""`tocsin recover claims`: a snapshot in, root, payouts and proofs out; each fault with its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tocsin_protocol.recovery.claims import Claim, is_proven

USDC, DAI = "0x" + "a5" * 20, "0x" + "da" * 20
ACCOUNTS = tuple("0x" + f"{n:040x}" for n in (1, 2, 3))
SNAPSHOT = "account,asset,amount\n" + "".join(
    f"{account},{USDC},{100 * (n + 1)}\n" for n, account in enumerate(ACCOUNTS)
)


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    path = tmp_path / "snapshot.csv"
    path.write_text(SNAPSHOT)
    return path


def test_each_payout_is_proven_by_the_root(tocsin: Any, lines: Any, snapshot: Path) -> None:
    (view,) = lines(tocsin("recover", "claims", snapshot, "--fund", 299, "--json"))
    assert (view["owed"], view["paid"]) == ({USDC: "600"}, {USDC: "299"})
    assert [payout["amount"] for payout in view["payouts"]] == ["50", "100", "149"]
    for payout in view["payouts"]:
        claim = Claim(bytes.fromhex(payout["account"][2:]), bytes.fromhex(payout["asset"][2:]), int(payout["amount"]))
        proof = [bytes.fromhex(node[2:]) for node in payout["proof"]]
        assert is_proven(bytes.fromhex(view["root"][2:]), claim, proof)


def test_people_see_the_totals_and_the_proofs_go_to_a_file(tocsin: Any, snapshot: Path, tmp_path: Path) -> None:
    out = tmp_path / "claims.json"
    result = tocsin("recover", "claims", snapshot, "--fund", f"{USDC}=300", "--out", out)
    assert result.exit_code == 0
    assert "300 of 600 paid (50.0 %)" in result.stdout
    assert len(json.loads(out.read_text())["payouts"]) == 3
    assert tocsin("recover", "claims", snapshot, "--fund", 300, "--out", out).exit_code == 78


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("account,asset,amount", "account,amount", "snapshot.csv:1: header = 'account,amount': account,asset"),
        (ACCOUNTS[1], "0x12", "snapshot.csv:3: account = '0x12': an address"),
        (",200", ",2e2", "snapshot.csv:3: amount = '2e2': a whole number above 0"),
        (",200", ",0", "snapshot.csv:3: amount = '0': a whole number"),
        (",200", "", "snapshot.csv:3: 3 columns are wanted"),
        (",200", f",{10**77 * 9}", "snapshot.csv:3: amount: claim of"),
    ],
)  # fmt: skip
def test_each_fault_is_named_with_its_line(tocsin: Any, snapshot: Path, old: str, new: str, wanted: str) -> None:
    snapshot.write_text(SNAPSHOT.replace(old, new, 1))
    result = tocsin("recover", "claims", snapshot, "--fund", 1)
    assert result.exit_code == 78
    assert wanted in result.stderr


def test_an_account_that_stands_twice_is_refused(tocsin: Any, snapshot: Path) -> None:
    snapshot.write_text(SNAPSHOT + SNAPSHOT.splitlines()[1] + "\n")
    result = tocsin("recover", "claims", snapshot, "--fund", 1)
    assert (result.exit_code, "one account stands twice" in result.stderr) == (1, True)


@pytest.mark.parametrize(
    ("funds", "wanted"),
    [
        (("x",), "AMOUNT or ASSET=AMOUNT is wanted"),
        (("5",), "the snapshot has 2 assets: say which"),
        ((f"{USDC}=5", f"{USDC}=6"), "is given twice"),
        ((f"{ACCOUNTS[0]}=5",), "is no asset of the snapshot"),
    ],
)
def test_a_fund_that_fits_nothing_is_refused(tocsin: Any, snapshot: Path, funds: tuple[str, ...], wanted: str) -> None:
    snapshot.write_text(SNAPSHOT + f"{ACCOUNTS[0]},{DAI},7\n")
    options = [part for fund in funds for part in ("--fund", fund)]
    result = tocsin("recover", "claims", snapshot, *options)
    assert result.exit_code == 78
    assert wanted in result.stderr


def test_assets_are_paid_each_from_its_own_fund(tocsin: Any, lines: Any, snapshot: Path) -> None:
    snapshot.write_text(SNAPSHOT + f"{ACCOUNTS[0]},{DAI},7\n")
    (view,) = lines(tocsin("recover", "claims", snapshot, "--fund", f"{DAI}=7", "--json"))
    assert view["paid"] == {USDC: "0", DAI: "7"}
    empty = tocsin("recover", "claims", snapshot, "--fund", f"{DAI}=0")
    assert (empty.exit_code, "a tree needs one at least" in empty.stderr) == (1, True)
