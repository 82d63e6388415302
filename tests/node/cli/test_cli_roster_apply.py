"""A roster change comes into force at a running node."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def test_signed_change_is_applied_and_an_unsigned_one_is_not(
    tocsin: Any, lines: Any, node: Any, tmp_path: Path
) -> None:
    homes = {name: ("--home", node.home.parent / name) for name in ("lender", "dex")}
    current = ("--current", node.home / "genesis.roster")
    following = tmp_path / "next.roster"
    proposed = tocsin("roster", "propose", "remove", "watch", "--out", following, *homes["lender"])
    assert proposed.exit_code == 0
    assert tocsin("roster", "sign", following, *homes["lender"]).exit_code == 0
    refused = tocsin("roster", "apply", following, *homes["lender"])
    assert refused.exit_code == 1
    assert "1 root signatures where 2 are needed" in refused.stderr
    assert tocsin("roster", "sign", following, *current, *homes["dex"]).exit_code == 0
    (applied,) = lines(tocsin("roster", "apply", following, "--json", *homes["lender"]))
    assert applied["epoch"] == 1
    (status,) = lines(tocsin("status", "--json", *homes["lender"]))
    assert (status["epoch"], status["members"]) == (1, 2)
    (shown,) = lines(tocsin("roster", "show", "--json", *homes["lender"]))
    assert shown["hash"] == applied["hash"]
    again = tocsin("roster", "apply", node.home / "genesis.roster", *homes["lender"])
    assert again.exit_code == 1
