"""What Prometheus is told of how a node stands, by a whole relay with its mesh beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from node_kit import Node, make_home, open_node, signal_about
from prometheus_client.parser import text_string_to_metric_families
from tocsin_node.control_verbs import Verb
from tocsin_protocol.containment.life_cycle import State

pytestmark = pytest.mark.usefixtures("never_frozen")
Series = dict[tuple[str, tuple[str, ...]], float]


async def scrape(node: Node) -> Series:
    """Every sample by its name and the values of its labels; a series that stands twice is a fault."""
    text = (await node.ask(Verb.METRICS))["text"]
    found: Series = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, tuple(sample.labels.values()))
            assert key not in found
            found[key] = sample.value
    return found


async def test_what_is_armed_and_what_disarmed_it_is_told(tmp_path: Path) -> None:
    async with open_node(make_home(tmp_path)) as node:
        assert (await scrape(node))["tocsin_hook_armed", ("tell-us",)] == 0
        await node.ask(Verb.ARM, hook="tell-us")
        series = await scrape(node)
        assert series["tocsin_hook_armed", ("tell-us",)] == 1
        assert not any(name == "tocsin_standstill" for name, _ in series)
        assert {labels for name, labels in series if name == "tocsin_actions"} == {(state.value,) for state in State}
        (node.control.parent / "disarm").touch()
        with trio.fail_after(60):
            # The cause holds at once; that the hook is disarmed is told once the ledger has it.
            while ("tocsin_standstill", ("disarm-file",)) not in series or series["tocsin_hook_armed", ("tell-us",)]:
                series = await scrape(node)
                await trio.sleep(0.02)


async def test_what_waits_to_be_sealed_is_told_and_how_long_deciding_took(tmp_path: Path) -> None:
    async with open_node(make_home(tmp_path, "alba", "brook")) as node:
        await node.ask(Verb.PUBLISH, signals=[signal_about()])
        series = await scrape(node)
        assert series["tocsin_publishing_open", ()] == 0
        assert series["tocsin_draft_signals", ()] == 1
        assert series["tocsin_decision_seconds_count", ("own",)] == 1
        connected = [value for (name, labels), value in series.items() if name == "tocsin_peer_connected"]
        assert connected == [0]
        # of whom nobody has heard no age can be told
        assert not any(name == "tocsin_peer_heard_age_seconds" for name, _ in series)
        assert series["tocsin_log_entries", ()] > 0


async def test_only_the_watchdog_counts_as_the_watchdog(tmp_path: Path) -> None:
    async with open_node(make_home(tmp_path)) as node:
        await node.ask(Verb.HEALTH)
        assert ("tocsin_watchdog_age_seconds", ()) not in await scrape(node)
        await node.ask(Verb.HEALTH, watchdog=True)
        assert (await scrape(node))["tocsin_watchdog_age_seconds", ()] < 3600


async def test_the_doctors_last_word_is_told_once_there_is_one(tmp_path: Path) -> None:
    async with open_node(make_home(tmp_path)) as node:
        assert ("tocsin_doctor_healthy", ()) not in await scrape(node)
        answer = await node.ask(Verb.DOCTOR)
        assert (await scrape(node))["tocsin_doctor_healthy", ()] == answer["healthy"]
