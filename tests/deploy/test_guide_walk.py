"""The walk of deploy/README.md, command by command on this machine: to an armed node, and back from its backup."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from e2e_kit import START_SECONDS, add_webhook, open_receiver
from guide_kit import section, shell_lines, split, tocsin_words
from tocsin_node.clock import now_ms
from tocsin_node.config import load_config
from tocsin_node.control_verbs import Verb
from tocsin_node.demo.network import free_ports
from tocsin_node.demo.processes import NodeProcess, open_nodes
from tocsin_node.keystore import LEAST_COST
from tocsin_node.roster_files import genesis_hash, read_entry, read_roster
from tocsin_node.setup_node import NodeHome, NodePlan, create_node_home, pin_genesis

OTHERS = ("brook", "cedar", "delta")
# Lines of the walk that are not run, by what they begin with, and why.
NOT_RUN = {
    "sudo install --mode=0644 deploy/systemd/": "there is no systemd to give units to: test_systemd.py judges them",
    "sudo systemctl daemon-reload": "there is no systemd",
    "sudo systemctl enable --now tocsin-watchdog.service": "test_monitoring.py runs the watchdog",
    "sudo systemctl start tocsin-watchdog.service": "test_monitoring.py runs the watchdog",
    "systemctl list-timers": "there is no systemd",
    "promtool": "test_alerts.py runs it",
    "alias": "the test is the alias",
    "sudo mkdir -p /etc/credstore.encrypted": "credentials lie in a folder of the test's",
    "tocsin disarm --statement": "tests/node/cli has the statement of an offline key",
    "tocsin simulate": "it takes a minute, and tests/node/sim has it",
}
# What may say by exit code 1 that something is not right here, and why that is no fault of the walk.
MAY_FAIL = {
    "tocsin doctor": "one member's node is down, and nobody promises a free disk",
    "tocsin log confirm": "nothing waits for it where the log was begun anew",
}


class Walk:
    """One operator's machine, as folders of the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home, self.data, self.srv = folder / "etc", folder / "var", folder / "srv"
        for place in (self.home, self.data, self.srv, folder / "credentials", folder / "backups"):
            place.mkdir(mode=0o700)
        self.others = [self._make_other(name) for name in OTHERS]
        self.node: NodeProcess | None = None
        self.said: dict[str, str] = {}

    def _make_other(self, name: str) -> NodeHome:
        (mesh, feed) = free_ports(2)
        address = f"/ip4/127.0.0.1/tcp/{mesh}"
        plan = NodePlan(name, name.title(), (address,), (address,), feed_listen=f"127.0.0.1:{feed}")
        home = create_node_home(self.folder / name, plan, now_ms(), cost=LEAST_COST)
        shutil.copy(home.entry_path, self.srv / f"{name}.json")
        return home

    def here(self, text: str) -> str:
        """A line with this machine's places in it."""
        for place, own in (
            ("/etc/tocsin", self.home),
            ("/var/lib/tocsin", self.data),
            ("/srv/tocsin", self.srv),
            ("/var/backups/tocsin", self.folder / "backups"),
        ):
            text = text.replace(place, str(own))
        if "HASH" in text:
            text = text.replace("HASH", genesis_hash(read_roster(self.srv / "genesis.roster")).hex())
        return text

    async def take(self, number: int) -> None:
        """Do what a section says."""
        for line in shell_lines(section(number)):
            if not line.startswith(tuple(NOT_RUN)):
                await self._do(line)

    async def _do(self, line: str) -> None:
        if tocsin_words(line) is not None:
            await self._ask(line)
            return
        words = split(self.here(line))
        match words[:2]:
            case ["systemd-creds", "encrypt"]:
                shutil.copy(words[-2], self.folder / "credentials" / "tocsin-passphrase")
            case ["systemctl", "enable" | "start"]:
                await self.start()
            case ["systemctl", "stop"]:
                await self.stop()
                self.lose_database()
            case _:
                await trio.run_process(words)

    async def _ask(self, line: str) -> None:
        words = tocsin_words(self.here(line)) or []
        needs_yes = (["arm"], ["ledger", "confirm"], ["log", "confirm"])
        if words[:1] in needs_yes or words[:2] in needs_yes:
            words.append("--yes")  # nobody sits at this terminal
        command = [sys.executable, "-m", "tocsin_node.cli", *words]
        environment = os.environ | {"TOCSIN_HOME": str(self.home)}
        if line.startswith("tocsin-with-keys"):
            environment["CREDENTIALS_DIRECTORY"] = str(self.folder / "credentials")
        done = await trio.run_process(
            command, check=False, capture_stdout=True, capture_stderr=True, env=environment, stdin=b""
        )
        self.said[line] = (done.stdout + done.stderr).decode()
        allowed = (0, 1) if line.startswith(tuple(MAY_FAIL)) else (0,)
        assert done.returncode in allowed, f"{line}: {self.said[line]}"

    async def start(self) -> None:
        """Do what `tocsin.service` does, and wait until the node publishes: on a backup, once peers were asked."""
        self.node = NodeProcess(NodeHome(self.home, read_entry(self.home / "entry.json"), ""))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CREDENTIALS_DIRECTORY", str(self.folder / "credentials"))
            self.node.start()
        with trio.fail_after(START_SECONDS):
            await self.node.wait_ready()
            await self.node.wait_status(lambda status: status["publishing"].startswith("open"))

    async def stop(self) -> None:
        if self.node is not None:
            await self.node.stop()

    def lose_database(self) -> None:
        """What makes a backup wanted."""
        for path in self.data.glob("tocsin.db*"):
            path.unlink()

    def listen_elsewhere(self) -> None:
        """Ports of this test, in place of those that a machine has once."""
        mesh, feed = free_ports(2)
        path = self.home / "node.toml"
        text = path.read_text().replace("/ip4/0.0.0.0/tcp/9400", f"/ip4/127.0.0.1/tcp/{mesh}")
        path.write_text(text.replace("127.0.0.1:9480", f"127.0.0.1:{feed}"))

    def sign_manifest_of_brook(self) -> None:
        """What another member does meanwhile."""
        genesis = read_roster(self.srv / "genesis.roster")
        for home in self.others:
            pin_genesis(home.config_path, genesis, genesis_hash(genesis))
        brook = self.others[0]
        add_webhook(brook, "http://127.0.0.1:9/")
        command = [sys.executable, "-m", "tocsin_node.cli", "manifest", "sign", str(self.srv / "brook.manifest")]
        subprocess.run([*command, "--home", str(brook.directory)], check=True, capture_output=True)

    def write_what_only_people_know(self, url: str) -> None:
        """A manifest, a policy, the lever that the guide arms, and one for drills."""
        home = NodeHome(self.home, read_entry(self.home / "entry.json"), "")
        add_webhook(home, url, names=("pause-vault",))
        text = home.config_path.read_text()
        last = text[text.index("\n[[hook]]") :]
        drill = last.replace("pause-vault", "drill-vault").replace("[[hook]]\n", "[[hook]]\ndrill = true\n")
        home.config_path.write_text(text + drill)


async def test_the_guide_leads_from_nothing_to_armed_and_back_from_a_backup(tmp_path: Path) -> None:
    walk = Walk(tmp_path)
    async with open_receiver() as receiver:
        try:
            await walk.take(2)
            walk.listen_elsewhere()
            await walk.take(3)
            walk.sign_manifest_of_brook()
            walk.write_what_only_people_know(receiver.url)
            await walk.take(4)
            async with open_nodes(walk.others[:2]):
                await walk.take(7)
                await walk.take(8)
                assert re.search(r"pause-vault .*\barmed", walk.said["tocsin status"])
                assert "drill-vault" in walk.said["tocsin drill report"]
                # the third way to disarm holds until the file is gone
                (walk.data / "disarm").unlink()
                await walk.take(10)
                assert walk.node is not None
                status = await walk.node.ask(Verb.STATUS)
                assert [hook["armed"] for hook in status["hooks"]] == [True]
        finally:
            await walk.stop()
    config = load_config(walk.home / "node.toml")
    assert config.keys.passphrase_credential == "tocsin-passphrase"
    assert not (walk.home / "passphrase").exists()
