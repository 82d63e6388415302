"""`tocsin init`: what it makes, and what it never does."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from tocsin_node.config import load_config
from tocsin_node.keystore import open_keystore, open_root_keystore, read_passphrase
from tocsin_node.roster_files import read_entry

LISTEN = ("--listen", "/ip4/192.0.2.1/tcp/9400")


def test_home_is_whole(tocsin: Any, tmp_path: Path) -> None:
    home = tmp_path / "home"
    result = tocsin("init", "--home", home, "--member", "lender", "--organisation", "Lender Ltd", *LISTEN)
    assert result.exit_code == 0
    assert "offline" in result.stdout
    assert "roster create" in result.stdout
    config = load_config(home / "node.toml", pinned=False)
    keys = open_keystore(config.keys.keystore, config.read_passphrase())
    entry = read_entry(home / "entry.json")
    assert (entry.member, entry.organisation) == ("lender", "Lender Ltd")
    assert entry.publisher.key == keys.publisher_key
    assert entry.publisher.addresses == ("/ip4/192.0.2.1/tcp/9400",)
    assert keys.guardian_address in result.stdout
    open_root_keystore(home / "root.json", read_passphrase(home / "root.passphrase"))
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    for path in home.iterdir():
        wanted = {"entry.json": 0o644, "data": 0o700}.get(path.name, 0o600)
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


def test_secrets_are_not_printed(tocsin: Any, tmp_path: Path) -> None:
    home = tmp_path / "home"
    result = tocsin("init", "--home", home, "--member", "lender", "--json", *LISTEN)
    assert result.exit_code == 0
    for name in ("passphrase", "root.passphrase"):
        assert read_passphrase(home / name).decode() not in result.output


def test_second_init_changes_nothing(tocsin: Any, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert tocsin("init", "--home", home, "--member", "lender", *LISTEN).exit_code == 0
    before = {path.name: path.read_bytes() for path in home.iterdir() if path.is_file()}
    result = tocsin("init", "--home", home, "--member", "lender", *LISTEN)
    assert result.exit_code == 78
    assert "exists already" in result.stderr
    assert {path.name: path.read_bytes() for path in home.iterdir() if path.is_file()} == before


def test_own_passphrase_file_is_used_and_named_in_the_config(tocsin: Any, tmp_path: Path) -> None:
    passphrase = tmp_path / "secret"
    passphrase.write_text("correct horse battery staple\n")
    passphrase.chmod(0o600)
    home = tmp_path / "home"
    result = tocsin("init", "--home", home, "--member", "lender", "--passphrase-file", passphrase, *LISTEN)
    assert result.exit_code == 0
    assert not (home / "passphrase").exists()
    config = load_config(home / "node.toml", pinned=False)
    assert config.keys.passphrase_file == passphrase
    open_keystore(config.keys.keystore, b"correct horse battery staple")


def test_passphrase_file_that_others_can_read_is_refused(tocsin: Any, tmp_path: Path) -> None:
    passphrase = tmp_path / "secret"
    passphrase.write_text("correct horse battery staple\n")
    passphrase.chmod(0o644)
    home = tmp_path / "home"
    result = tocsin("init", "--home", home, "--member", "lender", "--passphrase-file", passphrase, *LISTEN)
    assert result.exit_code == 78
    assert "0600 is wanted" in result.stderr
    assert not (home / "keystore.json").exists()


def test_bad_names_and_addresses_are_refused(tocsin: Any, tmp_path: Path) -> None:
    result = tocsin("init", "--home", tmp_path / "a", "--member", "Lender Ltd")
    assert result.exit_code == 78
    assert "not a short name" in result.stderr
    result = tocsin("init", "--home", tmp_path / "b", "--member", "lender", "--listen", "localhost:9400")
    assert result.exit_code == 78
    assert not (tmp_path / "b" / "keystore.json").exists()


def test_further_node_of_a_member_has_the_same_root(tocsin: Any, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert tocsin("init", "--home", first, "--member", "lender", *LISTEN).exit_code == 0
    root = ("--root", first / "root.json", "--root-passphrase-file", first / "root.passphrase")
    assert tocsin("init", "--home", second, "--member", "lender", *root, *LISTEN).exit_code == 0
    assert read_entry(second / "entry.json").root == read_entry(first / "entry.json").root
    assert read_entry(second / "entry.json").publisher.key != read_entry(first / "entry.json").publisher.key
    assert not (second / "root.json").exists()


def test_entry_nobody_can_dial_is_noted(tocsin: Any, tmp_path: Path) -> None:
    result = tocsin("init", "--home", tmp_path / "home", "--member", "lender")
    assert result.exit_code == 0
    assert "cannot dial you" in result.stderr
