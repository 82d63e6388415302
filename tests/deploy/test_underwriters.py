"""What deploy/README.md tells an underwriter, typed against two members' feeds."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import closing, redirect_stdout
from pathlib import Path

import trio
from e2e_kit import (
    VAULT,
    feed_key,
    make_network,
    make_notes,
    publish,
    wait_indexed,
    wait_open,
    wait_reported,
    wait_served,
)
from guide_kit import BLOCKS, TEXT, shell_lines, split, tocsin_words
from tocsin_node.api.keys import Scope
from tocsin_node.demo.processes import NodeProcess, open_nodes
from tocsin_node.roster_files import genesis_hash, read_roster

ORACLE = "eip155:31337:0x" + "0a" * 20
SECTION = TEXT[TEXT.index("\n## For underwriters\n") : TEXT.index("\n## In containers\n")]
# Of the section what is not typed here: to install is what test_guide.py and the tests of the wheel look at.
INSTALLING = ("make", "python3", "tocsin-client/bin/pip", "alias", "chmod")


class Desk:
    """An underwriter's folder, with what the members gave him."""

    def __init__(self, folder: Path, nodes: list[NodeProcess]) -> None:
        self.folder = folder
        (folder / "genesis.roster").write_bytes((nodes[0].home.directory / "genesis.roster").read_bytes())
        self.words = {
            "HASH": genesis_hash(read_roster(folder / "genesis.roster")).hex(),
            "OTHER-SIGNER": "0x" + nodes[1].home.entry.publisher.id.hex(),
            "SIGNER": "0x" + nodes[0].home.entry.publisher.id.hex(),
            "ORACLE": ORACLE,
        }
        for node, name in zip(nodes, ("brook", "cedar"), strict=True):
            key = folder / f"{name}.key"
            key.touch(mode=0o600)
            key.write_text(feed_key(node, Scope.INSURER)["Authorization"].removeprefix("Bearer ") + "\n")
            self.words[f"https://feed.{name}.example.org:9480"] = f"http://{node.config.feed.listen}"

    def here(self, text: str) -> str:
        """The guide's text with what it leaves open."""
        for word, own in self.words.items():
            text = text.replace(word, own)
        return text

    def type(self, line: str, *more: str) -> subprocess.CompletedProcess[str]:
        words = tocsin_words(self.here(line))
        assert words is not None
        command = [sys.executable, "-m", "tocsin_node.cli", *words, *more]
        # from his own folder, the same code
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(str(Path(path).resolve()) for path in sys.path if path)
        }
        return subprocess.run(
            command, capture_output=True, text=True, timeout=300, check=False, cwd=self.folder, env=environment
        )


async def test_an_underwriter_gets_from_nothing_to_a_verified_report(tmp_path: Path) -> None:
    homes = make_network(tmp_path / "nodes", "brook", "cedar")
    for home in homes:
        with home.config_path.open("a") as config:
            config.write(f'\n[risk]\noracle = "{ORACLE}"\n[[risk.subject]]\nid = "{VAULT}"\ntvl_usd = 5_000_000\n')
    folder = tmp_path / "desk"
    folder.mkdir()
    async with open_nodes(homes, "up") as nodes:
        await wait_open(nodes, 1)
        for node in nodes:
            await wait_served(node)
            await wait_reported(node, ORACLE)
        await publish(nodes[0], [note | {"tlp": "green"} for note in make_notes(1, "note")])
        await wait_indexed(nodes[0])
        await trio.to_thread.run_sync(_walk, Desk(folder, nodes), abandon_on_cancel=True)


def _walk(desk: Desk) -> None:
    lines = [line for line in shell_lines(SECTION) if split(line)[0] not in INSTALLING]
    alone, together, follow = lines
    shown = desk.type(alone)
    assert shown.returncode == 0, shown.stderr
    assert "none" in shown.stdout
    whole = desk.type(together)
    assert whole.returncode == 0, whole.stderr
    assert "none by 2 fresh reports" in whole.stdout
    assert json.loads(desk.type(together, "--json").stdout)["state"] == "none"
    seen = desk.type(follow, "--after", "0", "--kind", "signal", "--count", "1")
    assert seen.returncode == 0, seen.stderr
    assert "note 0" in seen.stdout
    # a feed that is not asked in the right way is told of, and is not a success
    refused = desk.type(together.replace("cedar.key", "brook.key"))
    assert refused.returncode == 1
    assert "answers with the status 401" in refused.stderr
    _run_example(desk)


def _run_example(desk: Desk) -> None:
    (code,) = [block for kind, block in BLOCKS if kind == "python"]
    assert code in SECTION
    for name in ("genesis.roster", "brook.key"):
        code = code.replace(f'"{name}"', repr(str(desk.folder / name)))
    printed = io.StringIO()
    with closing(printed), redirect_stdout(printed):
        exec(compile(desk.here(code), "README.md", "exec"), {})  # noqa: S102 - text of ours
        assert printed.getvalue().split() == ["brook", VAULT, "none", "1.0", "True"]
