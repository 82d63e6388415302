"""What stops a node before it starts: one sentence that names file, key, value and what was wanted; and twins."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from e2e_kit import (
    START_SECONDS,
    VAULT,
    add_webhook,
    copy_data,
    make_network,
    make_notes,
    publish,
    restart,
    wait_held,
    wait_open,
)
from tocsin_node.demo.network import free_ports
from tocsin_node.demo.processes import NodeProcess, open_nodes
from tocsin_node.setup_node import NodeHome

EXIT_FAILED, EXIT_CONFIG = 1, 78


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tocsin_node.cli", "run", "--home", str(home), *arguments]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=START_SECONDS, stdin=subprocess.DEVNULL
    )


def sentence(result: subprocess.CompletedProcess[str]) -> str:
    """The one line that says what is wrong."""
    lines = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr
    return lines[0].removeprefix("Error: ")


def replace(file: str, old: str, new: str) -> Callable[[NodeHome], None]:
    def change(home: NodeHome) -> None:
        path = home.directory / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return change


def append(file: str, text: str) -> Callable[[NodeHome], None]:
    def change(home: NodeHome) -> None:
        with (home.directory / file).open("a") as opened:
            opened.write(text)

    return change


def flip_last_byte(home: NodeHome) -> None:
    path = home.directory / "genesis.roster"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def other_genesis(home: NodeHome) -> None:
    other = make_network(home.directory / "other")[0]
    shutil.copy(other.directory / "genesis.roster", home.directory / "genesis.roster")


def wrong_passphrase(home: NodeHome) -> None:
    path = home.directory / "passphrase"
    path.write_text("not the passphrase\n")


def open_passphrase(home: NodeHome) -> None:
    (home.directory / "passphrase").chmod(0o644)


def broken_keystore(home: NodeHome) -> None:
    path = home.directory / "keystore.json"
    document = json.loads(path.read_text())
    document.pop("kind", None)
    document["surprise"] = 1
    path.write_text(json.dumps(document))


def unknown_hook(home: NodeHome) -> None:
    add_webhook(home, "http://127.0.0.1:9/", subject=VAULT)
    policy = home.policy_path.read_text()
    home.policy_path.write_text(policy.replace('hook = "page"', 'hook = "pager"'))


FAULTS: dict[str, tuple[Callable[[NodeHome], None], str, tuple[str, ...]]] = {
    "config is no TOML": (replace("node.toml", "[node]", "[node"), "node.toml", ()),
    "config has an unknown key": (append("node.toml", "\n[surprise]\nkey = 1\n"), "node.toml", ("surprise",)),
    "config has a bad value": (
        replace("node.toml", 'listen = "127.0.0.1:', 'listen = "localhost:'),
        "node.toml",
        ("feed.listen", "localhost", "is not an address and port"),
    ),
    "config has a bad address": (
        replace("node.toml", "/ip4/127.0.0.1/tcp/", "/ip4/127.0.0.1/udp/"),
        "node.toml",
        ("mesh.listen", "is not a TCP address"),
    ),
    "config lacks a key": (replace("node.toml", "data_dir", "# data_dir"), "node.toml", ("node.data_dir",)),
    "hook on a chain that is not configured": (
        append(
            "node.toml",
            f'\n[[hook]]\nkind = "evm"\nname = "pause"\ntarget = "{VAULT}"\nfunction = "pause()"\n',
        ),
        "node.toml",
        ("chain",),
    ),
    "policy is no TOML": (append("policy.toml", "\n[[lever"), "policy.toml", ()),
    "policy has an unknown category": (
        append("policy.toml", '\n[belief.priors]\n"asset.gone" = 0.5\n'),
        "policy.toml",
        ("priors", "asset.gone"),
    ),
    "manifest names no subject": (
        append("manifest.toml", '\n[[holding]]\nname = "x"\nkind = "market"\nsubjects = ["nobody"]\n'),
        "manifest.toml",
        ("subjects", "nobody"),
    ),
    "policy names a hook that is not there": (unknown_hook, "policy.toml", ("hook", "pager")),
    "roster is damaged": (flip_last_byte, "genesis.roster", ()),
    "roster is another than the pinned one": (other_genesis, "genesis.roster", ("pinned",)),
    "roster is missing": (lambda home: (home.directory / "genesis.roster").unlink(), "genesis.roster", ()),
    "keystore is damaged": (broken_keystore, "keystore.json", ()),
    "keystore is missing": (lambda home: (home.directory / "keystore.json").unlink(), "keystore.json", ()),
    "passphrase is wrong": (wrong_passphrase, "keystore.json", ("passphrase",)),
    "passphrase may be read by others": (open_passphrase, "passphrase", ("600",)),
}


@pytest.mark.parametrize("fault", list(FAULTS))
def test_a_bad_file_stops_the_start_with_one_sentence(tmp_path: Path, fault: str) -> None:
    change, file, words = FAULTS[fault]
    home = make_network(tmp_path)[0]
    change(home)
    result = run(home.directory)
    told = sentence(result)
    assert result.returncode == EXIT_CONFIG, result.stderr
    assert file in told
    for word in words:
        assert word in told


async def test_a_second_node_on_one_database_is_refused(tmp_path: Path) -> None:
    homes = make_network(tmp_path)
    async with open_nodes(homes[:1]) as (node,):
        result = await trio.to_thread.run_sync(run, homes[0].directory)
        assert result.returncode == EXIT_FAILED
        data_dir = node.config.node.data_dir
        said = sentence(result)
        assert said.startswith(f"{data_dir}: already in use by process {node.pid} (instance ")
        assert said.endswith("; one node per database")
        assert (await node.ask("status"))["member"] == node.name


async def test_of_two_nodes_with_one_key_one_goes_silent_and_says_why(tmp_path: Path) -> None:
    homes = make_network(tmp_path / "nodes")
    async with open_nodes(homes) as nodes:
        await wait_open(nodes, 2)
        first, *peers = nodes
        await wait_held(nodes, await publish(first, make_notes(2, "before")))
        # of a database that is written meanwhile a copy of its files may be none
        first.kill()
        twin = make_twin(first, tmp_path / "twin")
        await restart(first)
        await wait_open(nodes, 2)
        async with open_nodes([twin]) as (second,):
            with trio.fail_after(START_SECONDS):
                while True:
                    # both go on publishing, each unaware of the other
                    for node in (first, second):
                        await publish(node, make_notes(1, node.home.directory.parent.name))
                    speech = [(await node.ask("status"))["publishing"] for node in (first, second)]
                    if any(said.startswith("silent") for said in speech):
                        break
                    await trio.sleep(0.1)
        said = next(said for said in speech if said.startswith("silent"))
        assert "our key" in said or "our own key" in said
        # the others go on
        await wait_held(peers, await publish(peers[0], make_notes(1, "after")))


def make_twin(node: NodeProcess, directory: Path) -> NodeHome:
    """The same keys and a copy of the database, elsewhere and on another port."""
    directory.mkdir()
    home = node.home
    for path in home.directory.iterdir():
        if path.is_file() and path.suffix != ".log":
            shutil.copy(path, directory / path.name)
    copy_data(node, directory / "data")
    (port,) = free_ports(1)
    own = node.config.mesh.listen[0]
    path = directory / "node.toml"
    path.write_text(path.read_text().replace(own, f"/ip4/127.0.0.1/tcp/{port}"))
    return NodeHome(directory, home.entry, home.guardian_address)
