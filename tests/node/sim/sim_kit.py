"""A small scenario to change, and policies to fly it under."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

from tocsin_node.sim.fitting import DEFAULT_POLICY, load_any_policy
from tocsin_node.sim.scenario import Scenario
from tocsin_node.sim.scenario_files import list_scenarios, load_scenario
from tocsin_protocol.decision.policy import Policy
from tocsin_protocol.decision.tiers import Quorum

POOL = "eip155:1:0x" + "11" * 20
LENDER = "eip155:1:0x" + "22" * 20
REPORT = """
[[report]]
by = "{by}"
at_s = {at_s}
category = "asset.drain"
severity = "critical"
confidence = 90
subject = "{subject}"
evidence = {{ kind = "balance", answer = "{answer}" }}
"""
HEAD = f"""
title = "A lender is drained"
kind = "attack"
summary = "And we hold its receipts."
seat = "us"
starts = 2025-01-01T00:00:00Z
lasts_s = 7_200
threat = {{ from_s = 0, until_s = 10_800, first_harm_s = 60 }}
people = {{ who = "somebody", contained_s = 3_600 }}
member = [
  {{ name = "us", vendor = "ours", detector = "o", rpc_groups = ["a"] }},
  {{ name = "one", vendor = "v1", detector = "x", rpc_groups = ["b"] }},
  {{ name = "two", vendor = "v2", detector = "y", rpc_groups = ["c"] }},
]
scope = [{{ name = "pool", id = "{POOL}", at_stake_usd = 10_000_000, \
depends_on = [{{ subject = "{LENDER}", link = "deposit" }}], \
loss = [{{ at_s = 60, usd = 1_000_000 }}, {{ at_s = 600, until_s = 4_600, usd = 8_000_000 }}] }}]
"""


def report(by: str, at_s: int = 30, subject: str = LENDER, answer: str = "confirmed") -> str:
    """A drain of the lender, as TOML."""
    return REPORT.format(by=by, at_s=at_s, subject=subject, answer=answer)


TEXT = HEAD + report("one") + report("two", at_s=120)


def write(directory: Path, text: str = TEXT, name: str = "small") -> Path:
    """A scenario file."""
    path = directory / f"{name}.toml"
    path.write_text(text)
    return path


def load(directory: Path, text: str = TEXT) -> Scenario:
    """The small scenario, or one like it."""
    return load_scenario(write(directory, text))


@cache
def default_policy() -> Policy:
    """The one that flies without --policy."""
    return load_any_policy(DEFAULT_POLICY).policy


def weakened_policy() -> Policy:
    """One voice, with evidence, freezes: as weak as a policy can be."""
    return replace(default_policy(), quorum=Quorum(freeze=1, pause=1), budget_minutes=7 * 24 * 60)


@cache
def all_scenarios() -> dict[str, Scenario]:
    """Ours, by name."""
    return {path.stem: load_scenario(path) for path in list_scenarios()}


def replaced(*pairs: tuple[str, str]) -> Callable[[], str]:
    """The small scenario's text with something put in another's place."""

    def make() -> str:
        text = TEXT
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new, 1)
        return text

    return make
