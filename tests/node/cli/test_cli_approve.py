"""Approvals on the command line: keys, files that travel, a node that counts them, and what it refuses."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

ACCOUNT = "eip155:31337:0x" + "11" * 20
ABOUT_US = ("--category", "asset.drain", "--severity", "critical", "--confidence", 90, "--subject", f"victim={ACCOUNT}")
NAMES = ("ana", "ben", "cleo")
POLICY = """
[belief]
own_detector = 6.9
[pins]
dex = {{ min = 2.5, max = 3.9 }}
[[lever]]
hook = "page"
tier = "tighten"
scopes = ["vault"]
effectiveness_percent = 90
cost_usd = 1
minutes = 60
uses = 10
ask = true
[operators]
ana = "{ana}"
ben = "{ben}"
cleo = "{cleo}"
[[approval.rule]]
m = 2
[[recovery.undo]]
hook = "page"
target = "eip155:1:0x1111111111111111111111111111111111111111"
function = "unpause()"
effect = "start it"
"""


@pytest.fixture(scope="module")
def keys(tocsin: Any, lines: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[object, ...]]:
    """Of each operator, the options that name his key; `address` as the last."""
    found = {}
    for name in NAMES:
        folder = tmp_path_factory.mktemp(name)
        passphrase = folder / "passphrase"
        passphrase.write_text(f"{name} has a long passphrase\n")
        passphrase.chmod(0o600)
        made = tocsin("approve", "new-key", folder / "key.json", "--passphrase-file", passphrase, "--json")
        assert stat.S_IMODE((folder / "key.json").stat().st_mode) == 0o600
        found[name] = ("--key-file", folder / "key.json", "--passphrase-file", passphrase, lines(made)[0]["address"])
    return found


@pytest.fixture(scope="module")
def at(start_node: Any, keys: dict[str, tuple[object, ...]]) -> tuple[object, ...]:
    """--home of a node whose lever asks its operators."""
    node = start_node(POLICY.format(**{name: options[-1] for name, options in keys.items()}))
    assert node.ask("resume")["publishing"].startswith("open")
    return ("--home", node.home)


@pytest.fixture
def asked(tocsin: Any, lines: Any, at: Any) -> dict[str, Any]:
    """A request that was made just now."""
    assert tocsin("arm", "page", "--yes", *at).exit_code == 0
    assert tocsin("publish", *ABOUT_US, *at).exit_code == 0
    (row,) = lines(tocsin("approve", "list", "--json", *at))
    return dict(row)


def test_two_of_three_approve_by_files_and_one_machine_is_down(
    tocsin: Any, lines: Any, at: Any, asked: Any, keys: Any, tmp_path: Path
) -> None:
    assert f"the operators are asked: {asked['effect']}" in tocsin("status", *at).stdout
    listed = tocsin("approve", "list", *at).stdout
    assert "Tighten vault for 60 min with page." in listed
    shown = tocsin("approve", "show", asked["id"][:8], *at).stdout
    assert all(word in shown for word in (asked["id"], "ana, ben, cleo", asked["window"], "0 of 2"))
    wallet, signed = tmp_path / "request.json", tmp_path / "ana.json"
    assert tocsin("approve", "export", asked["id"][:8], "--out", wallet, *at).exit_code == 0
    assert json.loads(wallet.read_text()) == asked["typed_data"]
    # on her own machine, where there is no node
    nowhere = ("--home", tmp_path / "nowhere", "--yes")
    mine = tocsin("approve", "sign", wallet, *keys["ana"][:-1], "--out", signed, "--json", *nowhere)
    assert lines(mine) == [{"signed_by": keys["ana"][-1], "file": str(signed)}]
    assert "1 approved of 2 wanted: not enough yet." in tocsin("approve", "import", signed, *at).stdout
    # and the other one on the machine of the node
    (answer,) = lines(tocsin("approve", "sign", asked["id"][:8], *keys["cleo"][:-1], "--yes", "--json", *at))
    assert (answer["state"], answer["sentence"]) == ("granted", "2 approved of 2 wanted: enough.")
    assert tocsin("approve", "list", *at).stdout == "Nothing waits for the operators.\n"
    (row,) = [row for row in lines(tocsin("approve", "list", "--all", "--json", *at)) if row["id"] == asked["id"]]
    assert (row["state"], row["approved_by"]) == ("granted", ["ana", "cleo"])
    (action,) = [a for a in lines(tocsin("actions", "--json", *at)) if a["arm_epoch"] == asked["epoch"]]
    assert [event["event"] for event in action["events"]][:4] == ["ask", "approve", "approve", "grant"]
    again = tocsin("approve", "import", signed, "--json", *at)
    assert again.exit_code == 1
    assert json.loads(again.stderr)["error"]["code"] == "used"


def test_declined_is_told_and_can_be_approved_no_more(tocsin: Any, lines: Any, at: Any, asked: Any, keys: Any) -> None:
    assert tocsin("approve", "decline", asked["id"], *at).exit_code == 2  # no terminal to ask at
    assert "Declined: Tighten vault" in tocsin("approve", "decline", asked["id"], "--yes", *at).stdout
    late = tocsin("approve", "sign", asked["id"], *keys["ben"][:-1], "--yes", *at)
    assert late.exit_code == 1
    assert "declined already" in late.stderr


def test_a_file_that_does_not_count_does_not_keep_the_others_from_counting(
    tocsin: Any, at: Any, asked: Any, keys: Any, tmp_path: Path
) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    assert tocsin("approve", "sign", asked["id"], *keys["ben"][:-1], "--out", good, "--yes", *at).exit_code == 0
    bad.write_text(good.read_text().replace("Tighten vault", "Tighten nothing"))
    result = tocsin("approve", "import", bad, good, *at)
    assert result.exit_code == 1
    assert "1 approved of 2 wanted" in result.stdout
    assert f"{bad}: other-request: effect is 'Tighten nothing" in result.stderr
    # the same from a wallet, which returns a signature and no file
    wallet = json.loads(good.read_text())["signature"]
    again = tocsin("approve", "sign", asked["id"], "--signature", wallet, "--yes", *at)
    assert (again.exit_code, "duplicate-signer" in again.stderr) == (1, True)
    assert tocsin("approve", "sign", asked["id"], "--yes", *at).exit_code == 2
    assert tocsin("approve", "sign", asked["id"], "--signature", "0x12", "--yes", *at).exit_code == 1
    assert tocsin("approve", "decline", asked["id"], "--yes", *at).exit_code == 0


def test_a_wrong_passphrase_a_readable_key_and_an_unknown_request_are_named(
    tocsin: Any, at: Any, keys: Any, tmp_path: Path
) -> None:
    unknown = tocsin("approve", "show", "abcdef", *at)
    assert (unknown.exit_code, "names 0 requests" in unknown.stderr) == (1, True)
    wallet = tmp_path / "request.json"
    wallet.write_text("{}")
    lacking = tocsin("approve", "sign", wallet, *keys["ana"][:-1], "--yes", *at)
    assert (lacking.exit_code, "request lacks the key 'types'" in lacking.stderr) == (1, True)


def test_keys_are_never_overwritten_and_passphrases_are_private(tocsin: Any, keys: Any, tmp_path: Path) -> None:
    _, key_file, _, passphrase, _ = keys["ana"]
    taken = tocsin("approve", "new-key", key_file, "--passphrase-file", passphrase)
    assert (taken.exit_code, "never overwritten" in taken.stderr) == (78, True)
    open_to_all = tmp_path / "passphrase"
    open_to_all.write_text("a passphrase for everybody\n")
    open_to_all.chmod(0o644)
    readable = tocsin("approve", "new-key", tmp_path / "key.json", "--passphrase-file", open_to_all)
    assert (readable.exit_code, "0600 is wanted" in readable.stderr) == (78, True)


def test_the_time_is_confirmed_by_the_operator(tocsin: Any, lines: Any, at: Any) -> None:
    assert tocsin("approve", "confirm-time", *at).exit_code == 2
    (told,) = lines(tocsin("approve", "confirm-time", "--yes", "--json", *at))
    assert told["now_ms"] >= told["record_ms"] > 0


def test_recover_says_when_nothing_is_contained(tocsin: Any, lines: Any, at: Any, asked: Any, tmp_path: Path) -> None:
    result = tocsin("recover", asked["incident"][:12], *at)
    assert result.exit_code == 0
    assert "Nothing is under recovery" in result.stdout
    out = tmp_path / "proposals.json"
    (plan,) = lines(tocsin("recover", asked["incident"][:12], "--out", out, "--json", *at))
    assert (plan["scopes"], plan["steps"]) == ([], [])
    assert json.loads(out.read_text()) == {"proposals": []}
    for verb in (("approve",), ("opened", "--yes")):
        refused = tocsin("recover", verb[0], "vault", *verb[1:], *at)
        assert (refused.exit_code, "is not under recovery" in refused.stderr) == (1, True)
    assert tocsin("recover", "00000000", *at).exit_code == 1
    assert tocsin("approve", "decline", asked["id"], "--yes", *at).exit_code == 0
