"""Debian's Prometheus on a loopback port with our rules, asked over its API, always stopped; our panels and alerts."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import trio
import yaml
from deploy_kit import DEPLOY, tool
from tocsin_node.demo.network import free_ports

RULES = DEPLOY / "prometheus" / "tocsin.rules.yml"
CONFIG = DEPLOY / "prometheus" / "prometheus.yml"
DASHBOARDS = sorted((DEPLOY / "grafana").glob("*.json"))
METRIC = re.compile(r"\b(?:tocsin_[a-z_]+|up\b)")
START_SECONDS = 120
STOP_SECONDS = 15


def alerts() -> list[dict[str, Any]]:
    """All alert rules."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """All panels with queries, of all dashboards."""
    boards = [json.loads(path.read_text()) for path in DASHBOARDS]
    return [panel for board in boards for panel in board["panels"] if panel["type"] != "row"]


def fill_in(query: str) -> str:
    """A panel's query with Grafana's variables filled in as Grafana would, for all nodes."""
    filled = query.replace("$instance", ".*").replace("$__rate_interval", "1m")
    assert "$" not in filled, query
    return filled


@dataclass(frozen=True)
class Prometheus:
    """A running one."""

    client: httpx.AsyncClient

    async def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its API; fails with Prometheus' own word for what is wrong."""
        answer = (await self.client.get(f"/api/v1/{path}", params=parameters)).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query."""
        return list((await self.ask("query", query=expression))["result"])

    async def missing(self, expressions: dict[str, str]) -> set[str]:
        """The names of those that return nothing now."""
        return {name for name, expression in expressions.items() if not await self.query(expression)}


@asynccontextmanager
async def open_prometheus(folder: Path, targets: list[str], key: str) -> AsyncIterator[Prometheus]:
    """Run it with our config and rules, the targets and the pace apart, and a key of the feed, until left."""
    log = folder / "prometheus.log"
    process, port = start_prometheus(folder, targets, key, log)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
            await _wait_ready(client, process, log)
            yield Prometheus(client)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def start_prometheus(folder: Path, targets: list[str], key: str, log: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Start it in a new folder; returns the process and its port."""
    config = yaml.safe_load(CONFIG.read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["static_configs"][0]["targets"] = targets
    folder.mkdir()
    shutil.copy(RULES, folder)
    (folder / "tocsin.key").write_text(key)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    (port,) = free_ports(1)
    command = [
        tool("prometheus", "prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with log.open("wb") as output:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output), port


async def _wait_ready(client: httpx.AsyncClient, process: subprocess.Popen[bytes], log: Path) -> None:
    with trio.fail_after(START_SECONDS):
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (await client.get("/-/ready")).status_code == 200:
                    return
            assert process.poll() is None, await trio.Path(log).read_text()
            await trio.sleep(0.1)
