"""`tocsin subscribe`: what a terminal and a program are told, and by which exit code they know."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from importlib import import_module
from itertools import chain, repeat
from pathlib import Path

import pytest
from api_kit import about
from click.testing import CliRunner, Result
from client_kit import GENESIS_HASH, Node, nobody
from lying_feed import between
from tocsin_client import FeedClient
from tocsin_node.api.access import Scope
from tocsin_node.cli import cli

ROOT = Path(__file__).parents[3]
GENESIS = GENESIS_HASH.hex()


def subscribe(*arguments: object, key: str | None = None) -> Result:
    result = CliRunner(env={"TOCSIN_HOME": None, "TOCSIN_FEED_KEY": key}).invoke(
        cli, ["subscribe", *(str(argument) for argument in arguments)]
    )
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def key_file(node: Node, folder: Path, scope: Scope = Scope.MEMBER) -> Path:
    path = folder / "feed.key"
    path.write_text(node.key(scope)["authorization"].removeprefix("Bearer ") + "\n")
    path.chmod(0o600)
    return path


def test_a_person_reads_one_line_for_each_event(node: Node, tmp_path: Path) -> None:
    node.say(about(1, text="first line\nsecond"), about(2))
    node.show_log()
    with node.served() as url:
        at = (url, "--genesis", GENESIS, "--key-file", key_file(node, tmp_path), "--after", 0, "--kind", "signal")
        found = subscribe(*at, "--count", 2)
    assert found.exit_code == 0, found.output
    lines = found.stdout.splitlines()
    assert len(lines) == 2
    assert "brook" in lines[0]
    assert lines[0].endswith("first line")
    assert "second" not in found.stdout
    # nobody runs the node
    assert "is not well" in found.stderr


def test_who_follows_is_told_when_the_node_is_not_well_and_when_it_is_again(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.say(*(about(n) for n in range(1, 5)))
    node.show_log()
    words = chain((True, False, False), repeat(True))
    monkeypatch.setattr(FeedClient, "is_healthy", lambda client: next(words))
    monkeypatch.setattr(import_module("tocsin_node.cli.subscribe"), "LOOK_SECONDS", 0.0)
    with node.served() as url:
        at = (url, "--genesis", GENESIS, "--key-file", key_file(node, tmp_path), "--after", 0, "--kind", "signal")
        found = subscribe(*at, "--count", 4)
    assert found.exit_code == 0, found.output
    assert [line.split("feed is ")[1].split(":")[0] for line in found.stderr.splitlines()] == ["not well", "well again"]


def test_a_program_reads_json_and_goes_on_where_it_was(node: Node, tmp_path: Path) -> None:
    sealed = node.say(*(about(n) for n in range(1, 4)))
    node.show_log()
    state = tmp_path / "state"
    with node.served() as url:
        at = (url, "--genesis", GENESIS, "--kind", "signal", "--json", "--resume", state, "--count", 1)
        key = node.key(Scope.MEMBER)["authorization"].removeprefix("Bearer ")
        shown = [
            [json.loads(line) for line in subscribe(*at, *begin, key=key).stdout.splitlines()]
            for begin in (("--after", 0), (), ())
        ]
    assert [one[0]["kind"] for one in shown] == ["head"] * 3
    signals = [one[1]["signal"] for one in shown]
    assert [one["digest"] for one in signals] == [envelope.digest.hex() for envelope in sealed]
    assert {(one["member"], one["pinned"]) for one in signals} == {("brook", True)}
    assert signals[0]["encoded"] == sealed[0].encoded.hex()


def test_files_of_rosters_do_without_a_key_and_unverified_says_so(node: Node, tmp_path: Path) -> None:
    node.say(about(1))
    node.show_log()
    rosters = [word for path in node.roster_files(tmp_path) for word in ("--roster", path)]
    with node.served() as url:
        end = ("--after", 0, "--kind", "signal", "--count", 1)
        pinned = subscribe(url, "--genesis", GENESIS, *rosters, *end)
        assert (pinned.exit_code, "unverified" in pinned.stdout) == (0, False), pinned.output
        told = subscribe(url, "--unverified", *end)
        assert (told.exit_code, "(unverified)" in told.stdout) == (0, True)
        refused = subscribe(url, "--genesis", GENESIS, *end)
        assert (refused.exit_code, "give their files" in refused.stderr) == (1, True)


def test_what_is_not_verified_is_told_and_is_the_exit_code(node: Node, tmp_path: Path) -> None:
    one, two = node.say(about(1), about(2))
    node.show_log()

    def lie(path: str, body: bytes) -> bytes:
        if not path.startswith("/v1/live"):
            return body
        shown = {"received_ms": 1, "path": "gossip", "standing": "admitted", "incident": None}
        events = [
            {"sequence": n, "at_ms": 1, "kind": "signal", "about": digest.hex()}
            | {"signal": shown | {"digest": digest.hex(), "encoded": two.encoded.hex()}}
            for n, digest in enumerate((one.digest, two.digest), 1)
        ]
        return b"".join(b"id: %d\ndata: %s\n\n" % (e["sequence"], json.dumps(e).encode()) for e in events)

    rosters = [word for path in node.roster_files(tmp_path) for word in ("--roster", path)]
    with node.served() as url, between(url, lie, endless=("/v1/live",)) as liar:
        found = subscribe(liar, "--genesis", GENESIS, *rosters, "--count", 1, "--json")
    assert found.exit_code == 1, found.output
    _, refused, believed = (json.loads(line) for line in found.stdout.splitlines())
    assert refused["kind"] == "refused"
    assert one.digest.hex() in refused["why"]
    assert believed["about"] == two.digest.hex()


def test_a_feed_cannot_write_lines_of_its_own(node: Node) -> None:
    def lie(path: str, body: bytes) -> bytes:
        event = {"sequence": 1, "at_ms": 1, "kind": "node\nforged\u2028line\u001b[2J", "about": "\nforged"}
        return b"id: 1\ndata: %s\n\n" % json.dumps(event).encode()

    with node.served() as url, between(url, lie, endless=("/v1/live",)) as liar:
        found = subscribe(liar, "--unverified", "--count", 1)
    assert found.exit_code == 0, found.output
    assert len(found.stdout.splitlines()) == 1
    assert "\x1b" not in found.stdout


def test_a_log_that_was_rolled_back_is_told_with_both_heads(node: Node, tmp_path: Path) -> None:
    node.show_log()
    state = tmp_path / "state"
    rosters = [word for path in node.roster_files(tmp_path) for word in ("--roster", path)]
    with node.served() as url:
        first = node.get("/log/checkpoint", Scope.PUBLIC).content
        node.say(about(1))
        node.show_log()
        at = ("--genesis", GENESIS, *rosters, "--resume", state, "--after", 0, "--kind", "signal", "--count", 1)
        assert subscribe(url, *at).exit_code == 0
        with between(url, lambda path, body: first if path == "/log/checkpoint" else body) as back:
            state.write_text(state.read_text().replace(url, back))
            found = subscribe(back, *at, "--json")
    assert found.exit_code == 1
    assert json.loads(found.stderr)["error"]["code"] == "log-rolled-back"
    evidence = (tmp_path / "state.evidence").read_bytes()
    assert first in evidence
    assert evidence.count(b"\ntocsin/") + evidence.startswith(b"tocsin/") == 2


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (("http://feed.example",), 2, "one of --genesis and --unverified"),
        (("http://feed.example", "--unverified", "--genesis", GENESIS), 2, "one of"),
        (("http://feed.example", "--genesis", "abc"), 78, "64 hex digits"),
        (("ftp://feed.example", "--unverified"), 78, "http"),
        (("http://feed.example", "--unverified", "--key-file", "/nowhere/key"), 78, "/nowhere/key"),
        (("http://feed.example", "--unverified", "--resume", "/dev/null/state"), 78, "/dev/null/state"),
    ],
)
def test_what_is_wrong_from_the_start_has_its_exit_code(arguments: tuple[str, ...], code: int, why: str) -> None:
    found = subscribe(*arguments)
    assert (found.exit_code, why in found.stderr) == (code, True), found.stderr


def test_an_interrupt_ends_it_with_130_and_its_place_is_kept(node: Node, tmp_path: Path) -> None:
    node.say(about(1), about(2))
    state = tmp_path / "state"
    command = [sys.executable, "-m", "tocsin_node.cli", "subscribe"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with node.served() as url:
        options = ["--unverified", "--after", "0", "--kind", "signal", "--json", "--resume", str(state)]
        with subprocess.Popen([*command, url, *options], stdout=subprocess.PIPE, env=environment, text=True) as process:
            try:
                assert process.stdout is not None
                lines = [json.loads(process.stdout.readline()) for _ in range(2)]
                process.send_signal(signal.SIGINT)
                assert process.wait(60) == 130
            finally:
                process.kill()
    kept = json.loads(state.read_bytes())["cursor"]
    # the last one may come again: it was shown, and not yet marked
    assert kept >= lines[0]["sequence"]


def test_a_feed_that_is_not_there_is_69() -> None:
    with nobody() as url:
        assert subscribe(url, "--genesis", GENESIS).exit_code == 69


def test_the_example_of_the_readme_runs(node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    section = (ROOT / "README.md").read_text().split("## For whoever reads a feed", 1)[1]
    code = section.split("```python\n", 1)[1].split("```", 1)[0]
    node.say(about(1, text="drained"))
    node.show_log()
    with node.served() as url:
        for name, value in {
            "https://feed.example": url,
            "GENESIS_HASH": GENESIS,
            "feed.key": str(key_file(node, tmp_path)),
            "feed.state": str(tmp_path / "feed.state"),
            # the stream has no end, an example in a test has one
            'feed.live(kind=["signal"])': 'feed.live(kind=["signal"], after=0)',
        }.items():
            assert code.count(name) == 1
            code = code.replace(name, value)
        exec(compile(code + "        break\n", "README.md", "exec"), {})  # noqa: S102 - text of ours
    size, high, live = capsys.readouterr().out.splitlines()
    assert size.endswith("entries, and the log goes on from what it showed before")
    assert high.startswith("brook ")
    assert live.endswith(" brook drained")


def test_limits_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| ([A-Z_]+) \| `(\w+)` \| (\S+) \|", (ROOT / "specs/client.md").read_text(), re.MULTILINE)
    for name, where, value in rows:
        assert getattr(import_module(f"tocsin_client.{where}"), name) == float(value), name
    assert len(rows) == 19
