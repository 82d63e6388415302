"""`tocsin roster`: from entries to a pinned network, and through a change of members."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tocsin_node.config import load_config
from tocsin_node.setup_node import NodeHome

Homes = Callable[..., list[NodeHome]]


@pytest.fixture
def network(tocsin: Any, lines: Any, make_homes: Homes, tmp_path: Path) -> list[NodeHome]:
    """Four members whose nodes have pinned one genesis."""
    homes = make_homes("dex", "lender", "vault", "watch")
    genesis = tmp_path / "genesis.roster"
    (made,) = lines(tocsin("roster", "create", *(home.entry_path for home in homes), "--out", genesis, "--json"))
    for home in homes:
        result = tocsin("roster", "pin", genesis, "--hash", made["hash"], "--home", home.directory)
        assert result.exit_code == 0
    return homes


def test_pinned_hash_is_in_the_config_and_the_others_are_proposed_as_pins(
    tocsin: Any, lines: Any, network: list[NodeHome], tmp_path: Path
) -> None:
    pinned = load_config(network[0].config_path).network.genesis_hash
    again = tocsin("roster", "pin", tmp_path / "genesis.roster", "--hash", pinned, "--home", network[0].directory)
    assert again.exit_code == 0
    for member in ("lender", "vault", "watch"):
        assert f"{member} = {{ min = 2.5, max = 3.9 }}" in again.stdout
    assert "dex = {" not in again.stdout
    (shown,) = lines(tocsin("roster", "show", "--home", network[0].directory, "--json"))
    assert shown["hash"] == pinned
    assert [member["name"] for member in shown["members"]] == ["dex", "lender", "vault", "watch"]


def test_roster_is_shown_to_people(tocsin: Any, network: list[NodeHome]) -> None:
    result = tocsin("roster", "show", "--home", network[0].directory)
    assert result.exit_code == 0
    assert "4 members, 3 signatures for a change, 1 faulty" in result.stdout
    assert network[0].entry.publisher.peer_id in result.stdout


def test_other_hash_is_refused(tocsin: Any, make_homes: Homes, tmp_path: Path) -> None:
    (home,) = make_homes("dex")
    genesis = tmp_path / "genesis.roster"
    tocsin("roster", "create", home.entry_path, "--out", genesis)
    result = tocsin("roster", "pin", genesis, "--hash", "ab" * 32, "--home", home.directory)
    assert result.exit_code == 78
    assert "was expected" in result.stderr
    assert load_config(home.config_path, pinned=False).network.genesis_hash == ""
    assert tocsin("roster", "pin", genesis, "--hash", "abc", "--home", home.directory).exit_code == 2


def test_pin_is_never_changed(tocsin: Any, lines: Any, network: list[NodeHome], tmp_path: Path) -> None:
    other = tmp_path / "other.roster"
    (made,) = lines(tocsin("roster", "create", network[0].entry_path, "--out", other, "--json"))
    before = network[0].config_path.read_bytes()
    result = tocsin("roster", "pin", other, "--hash", made["hash"], "--home", network[0].directory)
    assert result.exit_code == 78
    assert "is pinned already" in result.stderr
    assert network[0].config_path.read_bytes() == before


def test_network_without_this_member_is_refused(tocsin: Any, lines: Any, make_homes: Homes, tmp_path: Path) -> None:
    dex, lender = make_homes("dex", "lender")
    genesis = tmp_path / "genesis.roster"
    (made,) = lines(tocsin("roster", "create", dex.entry_path, "--out", genesis, "--json"))
    result = tocsin("roster", "pin", genesis, "--hash", made["hash"], "--home", lender.directory)
    assert result.exit_code == 78
    assert "'lender', the member of this node, is not there" in result.stderr


def test_removal_needs_the_others_signatures(tocsin: Any, network: list[NodeHome], tmp_path: Path) -> None:
    dex, lender, vault, watch = network
    following = tmp_path / "next.roster"
    propose = ("roster", "propose", "remove", "watch", "--out", following, "--home", dex.directory)
    assert tocsin(*propose).exit_code == 0
    assert tocsin(*propose).exit_code == 78  # never over a file that is there
    for signer in (dex, lender):
        assert tocsin("roster", "sign", following, "--home", signer.directory).exit_code == 0
    short = tocsin("roster", "verify", following, "--home", vault.directory)
    assert short.exit_code == 1
    assert "2 root signatures where 3 are needed" in short.stderr
    refused = tocsin("roster", "sign", following, "--home", watch.directory)
    assert refused.exit_code == 1
    assert "no vote on its own removal" in refused.stderr
    assert tocsin("roster", "sign", following, "--home", vault.directory).exit_code == 0
    assert tocsin("roster", "verify", following, "--home", watch.directory).exit_code == 0


def test_new_member_is_added(
    tocsin: Any, lines: Any, network: list[NodeHome], make_homes: Homes, tmp_path: Path
) -> None:
    (bridge,) = make_homes("bridge")
    following = tmp_path / "next.roster"
    tocsin("roster", "propose", "add", bridge.entry_path, "--out", following, "--home", network[0].directory)
    stranger = tocsin("roster", "sign", following, "--home", bridge.directory, "--current", tmp_path / "genesis.roster")
    assert stranger.exit_code == 1
    assert "not one of a member's" in stranger.stderr
    for signer in network[:3]:
        assert tocsin("roster", "sign", following, "--home", signer.directory).exit_code == 0
    verified = lines(tocsin("roster", "verify", following, "--home", network[3].directory, "--json"))
    assert verified == [{"valid": True, "epoch": 1, "signatures": 3}]


def test_key_is_rotated_and_revoked(tocsin: Any, lines: Any, network: list[NodeHome], tmp_path: Path) -> None:
    dex = network[0]
    root = ("--root", dex.root_path, "--root-passphrase-file", dex.root_passphrase_path)
    new = tmp_path / "dex-2"
    listen = ("--listen", "/ip4/192.0.2.1/tcp/9400")
    assert tocsin("init", "--home", new, "--member", "dex", "--organisation", "dex ltd", *root, *listen).exit_code == 0
    old = "0x" + dex.entry.publisher.id.hex()
    rotated, revoked = tmp_path / "rotated.roster", tmp_path / "revoked.roster"
    result = tocsin("roster", "propose", "rotate", old, new / "entry.json", "--out", rotated, "--home", dex.directory)
    assert result.exit_code == 0
    (shown,) = lines(tocsin("roster", "show", rotated, "--json"))
    assert [publisher["id"] for publisher in shown["members"][0]["publishers"]] != [old]
    result = tocsin(
        "roster", "propose", "revoke", old, "--critical", 7, "--standard", 0, "--out", revoked, "--home", dex.directory
    )
    assert result.exit_code == 0
    (shown,) = lines(tocsin("roster", "show", revoked, "--json"))
    assert shown["members"][0]["publishers"][0]["revoked"] == {"critical": 7, "standard": 0}


def test_change_about_nobody_is_refused(tocsin: Any, network: list[NodeHome], tmp_path: Path) -> None:
    where = ("--out", tmp_path / "next.roster", "--home", network[0].directory)
    result = tocsin("roster", "propose", "remove", "nobody", *where)
    assert result.exit_code == 1
    assert "the roster has no member 'nobody' (it has dex, lender, vault, watch)" in result.stderr
    result = tocsin("roster", "propose", "revoke", "0x" + "00" * 20, "--critical", 1, "--standard", 1, *where)
    assert result.exit_code == 1
    assert tocsin("roster", "propose", "rotate", "0x00", network[1].entry_path, *where).exit_code == 2
    assert not (tmp_path / "next.roster").exists()


@pytest.mark.parametrize("data", [b"", b"{}", b"\x00" * 100])
def test_file_that_is_no_roster_is_refused(tocsin: Any, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.roster"
    path.write_bytes(data)
    result = tocsin("roster", "show", path)
    assert result.exit_code == 78
    assert f"{path}: is not a roster: " in result.stderr


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kind": "x"}', "\x00"])
def test_file_that_is_no_entry_is_refused(tocsin: Any, tmp_path: Path, text: str) -> None:
    path = tmp_path / "entry.json"
    path.write_text(text)
    result = tocsin("roster", "create", path, "--out", tmp_path / "g.roster")
    assert result.exit_code == 78
    assert f"{path}: is not a roster entry: " in result.stderr


def test_apply_needs_a_running_node(tocsin: Any, network: list[NodeHome], tmp_path: Path) -> None:
    result = tocsin("roster", "apply", tmp_path / "genesis.roster", "--home", network[0].directory)
    assert result.exit_code == 69
    assert "start it with `tocsin run`" in result.stderr
