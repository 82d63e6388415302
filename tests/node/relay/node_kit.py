"""A whole relay in this process, with its real mesh beside it, asked at its control socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tocsin_node.app import Relay, open_relay
from tocsin_node.clock import now_ms
from tocsin_node.config import load_config
from tocsin_node.control import call_control
from tocsin_node.demo.network import create_local_network
from tocsin_node.setup_node import NodeHome

VAULT = "eip155:1:0x" + "5a" * 20
HOOK = """
[[hook]]
kind = "webhook"
name = "tell-us"
target = "desk"
url = "http://127.0.0.1:9/"
secret_file = "hook.secret"
"""


def signal_about(account: str = VAULT, **changes: Any) -> dict[str, Any]:
    return {
        "category": "asset.drain",
        "severity": "high",
        "confidence": 90,
        "subjects": [{"role": "victim", "value": account}],
    } | changes


class Node:
    """One node of this process, and its control socket."""

    def __init__(self, home: NodeHome, relay: Relay) -> None:
        self.relay = relay
        self.control = load_config(home.config_path).control_path

    async def ask(self, verb: str, **arguments: Any) -> dict[str, Any]:
        return await call_control(self.control, verb, **arguments)


@asynccontextmanager
async def open_node(home: NodeHome) -> AsyncIterator[Node]:
    async with open_relay(load_config(home.config_path)) as relay:
        yield Node(home, relay)


def make_home(folder: Path, *members: str) -> NodeHome:
    home = create_local_network(folder, members or ("alba",), now_ms())[0]
    secret = home.directory / "hook.secret"
    secret.write_text("whsec_" + "A" * 43 + "=")
    secret.chmod(0o600)
    with home.config_path.open("a") as config:
        config.write(HOOK)
    return home
