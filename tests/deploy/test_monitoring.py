"""Debian's Prometheus scrapes a live node with our config: every panel has something to show, every rule is sound."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from e2e_kit import add_webhook, feed_key, make_network, make_signal, open_receiver, publish, wait_open
from prometheus_kit import (
    DASHBOARDS,
    METRIC,
    Prometheus,
    alerts,
    fill_in,
    open_prometheus,
    panels,
)
from tocsin_node.control_verbs import Verb
from tocsin_node.demo.anvil import Anvil, open_anvil
from tocsin_node.demo.processes import NodeProcess, open_nodes
from tocsin_node.demo.scenario_chain import Guardians, deploy_scenario
from tocsin_node.setup_node import NodeHome

# Heads of logs go out with heartbeats, each 15 s, and come back cosigned with the next.
SETTLE_SECONDS = 300
# Panels and metrics that a node which is well may have nothing of, and why.
MAY_BE_EMPTY = {
    "Disarmed itself": "nothing has disarmed it",
    "Signals refused": "nobody here sends what is refused",
    "Dropped": "no queue was full, and no peer is bad",
    "Anchors": "this node writes its log to no chain",
    "Claims checked": "the signal of this test claims nothing that could be checked",
}
MAY_BE_MISSING = {
    "tocsin_standstill": "nothing has disarmed it",
    "tocsin_dropped_total": "no queue was full, and no peer is bad",
}
# What may fire at a node that is well but new, and why.
MAY_FIRE = {
    "TocsinHookDisarmed": "its hook has fired, once for its arming",
    "TocsinDoctorUnhappy": "its doctor may know of what no test has: free space, a webhook that is not asked",
    "TocsinDecidesSlowly": "a slow machine takes more than a second for the one signal there is",
    "TocsinDropping": "on a slow machine a peer may not answer in time, and is asked again",
}


@asynccontextmanager
async def open_live_node(folder: Path) -> AsyncIterator[tuple[NodeProcess, Prometheus]]:
    """A node with a peer, a chain, a lever that fires, a watchdog, and a doctor who looks: scraped from the start."""
    homes = make_network(folder / "nodes", "alba", "brook")
    async with open_anvil("--block-time", "1") as anvil, open_receiver() as receiver:
        add_webhook(homes[0], receiver.url)
        await watch_chain(homes[0], anvil)
        async with open_nodes(homes, "up") as nodes:
            await wait_open(nodes, 1)
            targets = [nodes[0].config.feed.listen]
            key = feed_key(nodes[0])["Authorization"].removeprefix("Bearer ")
            async with open_prometheus(folder / "prometheus", targets, key) as prometheus, run_watchdog(homes[0]):
                # what has not been scraped before it rises has not risen
                await wait_for(prometheus, {"armed": "tocsin_hook_armed == 0"}, set())
                await nodes[0].ask(Verb.ARM, hook="page")
                await publish(nodes[1], [make_signal()])
                await receiver.wait_calls(1)
                await nodes[0].ask(Verb.DOCTOR)
                yield nodes[0], prometheus


async def watch_chain(home: NodeHome, anvil: Anvil) -> None:
    guardian = home.guardian_address
    scenario = await deploy_scenario(anvil, Guardians(lender=guardian, dex=guardian, vault=guardian))
    with home.config_path.open("a") as config:
        config.write(
            f'\n[[chain]]\nchain = "{anvil.chain}"\nendpoints = ["{anvil.url}"]\n'
            f'\n[[watcher]]\nname = "outflow"\naccounts = ["{scenario.account(scenario.lender)}"]\n'
            f'[[watcher.assets]]\nasset = "{scenario.asset}"\ndecimals = 6\nprice_micro_usd = 1000000\n'
        )


@asynccontextmanager
async def run_watchdog(home: NodeHome) -> AsyncIterator[None]:
    command = [sys.executable, "-m", "tocsin_node.cli", "watchdog", "--home", str(home.directory)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(trio.run_process, command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        yield
        nursery.cancel_scope.cancel()


async def wait_for(prometheus: Prometheus, expressions: dict[str, str], without: set[str]) -> None:
    """Wait until all but some return something; fails naming what does not."""
    missing = set(expressions)
    with trio.move_on_after(SETTLE_SECONDS):
        while missing := await prometheus.missing(expressions) - without:  # noqa: ASYNC110 - another process
            await trio.sleep(1)
    assert missing == set()


async def test_every_panel_shows_something_of_a_live_node_and_every_alert_is_sound(tmp_path: Path) -> None:
    async with open_live_node(tmp_path) as (node, prometheus):
        queries = {
            f"{panel['title']}/{target['refId']}": fill_in(target["expr"])
            for panel in panels()
            for target in panel["targets"]
        }
        may_be_empty = {name for name in queries if name.partition("/")[0] in MAY_BE_EMPTY}
        await wait_for(prometheus, queries, may_be_empty)
        metrics = {name: name for rule in alerts() for name in METRIC.findall(rule["expr"])}
        await wait_for(prometheus, metrics, set(MAY_BE_MISSING))
        await check_rules(prometheus)
        await check_that_a_standstill_pages(prometheus, node)


async def check_rules(prometheus: Prometheus) -> None:
    """Prometheus could evaluate each rule, and at a node that is well none is about to fire."""
    await wait_for(prometheus, {"cosigned": "tocsin_log_cosignatures > 0"}, set())
    firing: set[str] = set()
    with trio.move_on_after(SETTLE_SECONDS):
        while True:
            groups = (await prometheus.ask("rules", type="alert"))["groups"]
            rules = [rule for group in groups for rule in group["rules"]]
            assert {rule["name"] for rule in rules} == {rule["alert"] for rule in alerts()}
            assert {rule["name"]: rule.get("lastError", "") for rule in rules if rule["health"] != "ok"} == {}
            firing = {rule["name"] for rule in rules if rule["state"] != "inactive"} - set(MAY_FIRE)
            if not firing:
                break
            await trio.sleep(1)
    assert firing == set()


async def check_that_a_standstill_pages(prometheus: Prometheus, node: NodeProcess) -> None:
    (node.config.node.data_dir / "disarm").touch()
    fires = {"page": 'ALERTS{alertname="TocsinDisarmedItself", alertstate="firing", cause="disarm-file"}'}
    await wait_for(prometheus, fires, set())
    shown = [panel for panel in panels() if panel["title"] == "Disarmed itself"]
    assert await prometheus.query(fill_in(shown[0]["targets"][0]["expr"]))


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.name)
def test_a_dashboard_is_one_that_grafana_can_lay_out(path: Path) -> None:
    board = json.loads(path.read_text())
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    places = [place for panel in board["panels"] for place in _squares(panel["gridPos"])]
    assert len(set(places)) == len(places)
    assert all(x < 24 for x, _ in places)
    variables = {variable["name"] for variable in board["templating"]["list"]}
    assert variables == {"datasource", "instance"}
    titles = [panel["title"] for panel in board["panels"]]
    assert len(set(titles)) == len(titles)
    for panel in board["panels"]:
        if panel["type"] != "row":
            assert panel["description"]
            assert panel["datasource"]["uid"] == "${datasource}"


def test_what_may_be_empty_is_there() -> None:
    assert set(MAY_BE_EMPTY) <= {panel["title"] for panel in panels()}
    assert set(MAY_FIRE) <= {rule["alert"] for rule in alerts()}
    assert set(MAY_BE_MISSING) <= {name for rule in alerts() for name in METRIC.findall(rule["expr"])}


def _squares(place: dict[str, Any]) -> list[tuple[int, int]]:
    return [(place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])]
