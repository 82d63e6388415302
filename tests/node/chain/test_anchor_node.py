"""A whole node that anchors its log, and the commands about it."""

from __future__ import annotations

import json
import re
import secrets
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from chain_kit import DEADLINE_S, Proxy, open_proxy
from click.testing import CliRunner, Result
from tocsin_node.app import Relay, open_relay
from tocsin_node.chain.guardian import Guardian
from tocsin_node.cli import cli
from tocsin_node.clock import now_ms
from tocsin_node.config import load_config
from tocsin_node.demo.anvil import Anvil
from tocsin_node.errors import ConfigError
from tocsin_node.keystore import LEAST_COST, create_anchor_keystore, open_anchor_keystore, open_keystore
from tocsin_node.roster_files import create_genesis, genesis_hash
from tocsin_node.setup_node import NodeHome, NodePlan, create_node_home, pin_genesis

ANCHOR = """
[log.anchor]
chain = "{chain}"
keystore = "anchor.json"
max_day_spend_wei = 10_000_000_000_000_000
"""
OPERATOR = b"\5" * 32


def make_home(folder: Path, anvil: Anvil, proxy: Proxy) -> NodeHome:
    chain = f'[[chain]]\nchain = "{anvil.chain}"\nendpoints = ["{anvil.url}", "{proxy.url}"]\npoll_max_ms = 50\n'
    chain += "request_timeout_ms = 30_000\n"
    plan = NodePlan("lender", "Lender Ltd", listen=("/ip4/127.0.0.1/tcp/0",))
    policy = f'[operators]\nalice = "{Guardian(OPERATOR).address}"\n'
    home = create_node_home(folder / "lender", plan, now_ms(), cost=LEAST_COST, extra_config=chain, policy=policy)
    signed = create_genesis([home.entry], secrets.token_bytes(32))
    pin_genesis(home.config_path, signed, genesis_hash(signed))
    return home


def use_anchor(home: NodeHome, anvil: Anvil) -> None:
    home.config_path.write_text(home.config_path.read_text() + ANCHOR.format(chain=anvil.chain))


async def tocsin(*arguments: object) -> Result:
    """The command, in a thread: it brings a loop of its own."""
    run = partial(CliRunner(env={"TOCSIN_HOME": None}).invoke, cli, [str(item) for item in arguments])
    result = await trio.to_thread.run_sync(run)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def json_of(result: Result) -> dict[str, Any]:
    """What a command printed as JSON; the node, in this process, may log to the same stream."""
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("{")]
    document: dict[str, Any] = json.loads(line)
    return document


async def wait_anchored(relay: Relay) -> dict[str, Any]:
    with trio.fail_after(DEADLINE_S):
        while "entries on" not in (status := await relay.operator.status({}))["anchored"]:  # noqa: ASYNC110 - as in chain_kit
            await trio.sleep(0.05)
    return status


async def gas_of(at: tuple[object, ...]) -> str:
    report = json_of(await tocsin("doctor", "--json", *at))
    (found,) = [c for c in report["checks"] if (c["area"], c["check"]) == ("log anchor", "gas")]
    return str(found["answer"])


async def wait_warning(relay: Relay, start: str) -> None:
    with trio.fail_after(DEADLINE_S):
        while not any(text.startswith(start) for text in (await relay.operator.status({}))["warnings"]):  # noqa: ASYNC110
            await trio.sleep(0.05)


async def test_a_node_anchors_its_log_and_verifies_it_back(anvil: Anvil, tmp_path: Path) -> None:
    async with open_proxy(anvil) as proxy:
        home = make_home(tmp_path, anvil, proxy)
        at = ("--home", home.directory)
        made = await tocsin("log", "anchor-key", *at)
        assert "[log.anchor]" in made.stdout
        use_anchor(home, anvil)
        account = json_of(await tocsin("log", "anchor-key", "--json", *at))
        assert (account["is_new"], account["account"] in made.stdout) == (False, True)
        await anvil.fund(account["account"], 10**18)
        async with open_relay(load_config(home.config_path)) as relay:
            status = await wait_anchored(relay)
            assert status["anchor_account"] == account["account"]
            assert not any("anchored" in warning for warning in status["warnings"])
            text = (await tocsin("status", *at)).stdout
            assert account["account"] in text
            assert re.search(rf"entries on {anvil.chain}, \d+ min ago", text)
            assert await gas_of(at) == "ok"
            await anvil.fund(account["account"], 0)
            assert await gas_of(at) == "not-ok"
            shown = json_of(await tocsin("log", "anchors", "--json", *at))
            assert "effective" in (await tocsin("log", "anchors", *at)).stdout
            result = await tocsin("log", "verify", "--anchor", *at)
        (anchor,) = shown["anchors"]
        assert (anchor["account"], anchor["state"], shown["trouble"]) == (account["account"], "effective", "")
        assert result.exit_code == 0, result.output
        assert f"Anchored. {anchor['size']} entries stood at " in result.stdout
        proxy.lie = lambda method, said: None if method == "eth_getTransactionReceipt" else said
        result = await tocsin("log", "verify", "--anchor", *at)
        assert (result.exit_code, "does not know transaction" in result.stdout) == (1, True)


async def test_a_key_without_gas_is_a_warning(anvil: Anvil, tmp_path: Path) -> None:
    async with open_proxy(anvil) as proxy:
        home = make_home(tmp_path, anvil, proxy)
        await tocsin("log", "anchor-key", "--home", home.directory)
        use_anchor(home, anvil)
        async with open_relay(load_config(home.config_path)) as relay:
            await wait_warning(relay, "the log is not anchored: refused: every endpoint refuses it")
            status = await relay.operator.status({})
            assert status["anchored"].startswith("nothing of ")
        shown = await tocsin("log", "anchors", "--home", home.directory)
        assert "refused: every endpoint refuses it" in shown.stdout


@pytest.mark.parametrize("whose", ["guardian", "publisher", "operator"])
async def test_a_key_that_does_something_else_is_refused(anvil: Anvil, tmp_path: Path, whose: str) -> None:
    async with open_proxy(anvil) as proxy:
        home = make_home(tmp_path, anvil, proxy)
    use_anchor(home, anvil)
    config = load_config(home.config_path)
    passphrase = config.read_passphrase()
    keys = open_keystore(config.keys.keystore, passphrase)
    key = {"guardian": keys.guardian, "publisher": keys.publisher, "operator": OPERATOR}[whose]
    create_anchor_keystore(home.directory / "anchor.json", key, passphrase, LEAST_COST)
    assert open_anchor_keystore(home.directory / "anchor.json", passphrase) == key
    with pytest.RaisesGroup(
        pytest.RaisesExc(ConfigError, match="log.anchor.keystore = '0x.*a key of its own is wanted"),
        allow_unwrapped=True,
        flatten_subgroups=True,
    ):
        async with open_relay(config):
            pass


async def test_a_key_that_is_not_there_is_named(anvil: Anvil, tmp_path: Path) -> None:
    async with open_proxy(anvil) as proxy:
        home = make_home(tmp_path, anvil, proxy)
    use_anchor(home, anvil)
    with pytest.RaisesGroup(
        pytest.RaisesExc(ConfigError, match=r"anchor\.json"), allow_unwrapped=True, flatten_subgroups=True
    ):
        async with open_relay(load_config(home.config_path)):
            pass


async def test_usage_is_one_sentence(tmp_path: Path) -> None:
    for arguments, wanted in (
        (("verify",), "SOURCE is wanted"),
        (("verify", "--anchor", "--key", "x"), "SOURCE is wanted"),
        (("verify", tmp_path, "--key", "x", "--rpc", "http://127.0.0.1:9"), "--rpc goes with --anchor"),
        (("verify", tmp_path / "a.tocsin-case", "--key", "x", "--anchor"), "--anchor wants a whole log"),
    ):
        result = await tocsin("log", *arguments)
        assert (result.exit_code, wanted in result.stderr) == (2, True), result.output
