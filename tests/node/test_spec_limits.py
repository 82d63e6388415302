"""The numbers by which a node bounds its peers stand in the specs, so that nobody is barred by a secret."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tocsin_protocol.body import MAX_LIFETIME_MS
from tocsin_protocol.freshness import DEFAULT_FRESHNESS_MS, FRESHNESS_MS, MAX_CLOCK_SKEW_MS
from tocsin_protocol.heartbeat import HEARTBEAT_INTERVAL_MS

SPECS = Path(__file__).parents[2] / "specs"
# Everything these bound is felt by a peer; of the others, the pages name what is.
WHOLE = {
    "gossip": ("mesh.hardening", "mesh.seen", "mesh.waste"),
    "sync": ("mesh.sync_stream",),
    "drills": ("relay.drills",),
    "audit-log": (
        *("store.record", "record.files", "record.checking", "store.shown_heads", "relay.witnessing"),
        "relay.anchoring",
    ),
    "retention": ("store.pruning",),
    "api": (
        "api.queries",
        "api.live.ring",
        "api.live.listeners",
        "api.live.delivering",
        "api.subscriptions",
        "api.web.sessions",
    ),
    "stix": ("api.taxii.wire", "api.suggestions", "api.taxii.importing", "api.taxii.pulling"),
    "risk": ("store.risk_sight", "store.risk", "risk_gather", "risk_push", "risk_carry"),
    "sending": ("chain.sender", "chain.spending", "chain.finality", "hooks.pursuit"),
}


def table(page: str, heading: str) -> list[list[str]]:
    """The rows of the table whose first heading is this."""
    rows = (SPECS / f"{page}.md").read_text().split(f"| {heading} |", 1)[1].split("\n")[2:]
    body = rows[: next(n for n, row in enumerate(rows) if not row.startswith("|"))]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in body]


def module(name: str) -> ModuleType:
    return importlib.import_module(f"tocsin_node.{name.strip('`')}")


def shown(value: Any) -> str:
    return f"`{value}`" if isinstance(value, str) else str(value) if isinstance(value, int) else f"{value:g}"


@pytest.mark.parametrize("page", WHOLE)
def test_limits_are_those_of_the_code(page: str) -> None:
    rows = table(page, "limit")
    for name, where, value, _ in rows:
        assert shown(getattr(module(where), name)) == value, f"{where} {name}"
    named = [(name, where) for name, where, _, _ in rows]
    assert len(set(named)) == len(named)


@pytest.mark.parametrize(("page", "name"), [(page, name) for page, names in WHOLE.items() for name in names])
def test_no_limit_of_these_modules_is_left_out(page: str, name: str) -> None:
    source = Path(str(module(name).__file__)).read_text()
    limits = set(re.findall(r"^([A-Z][A-Z0-9_]+)\b[^=\n]*=(?!=)", source, re.MULTILINE))
    assert limits == {row[0] for row in table(page, "limit") if row[1] == f"`{name}`"}


def test_clocks_in_gossip_are_those_of_the_signals() -> None:
    clocks = {row[0]: int(row[1]) for row in table("gossip", "clock")}
    assert clocks == {
        "MAX_CLOCK_SKEW_MS": MAX_CLOCK_SKEW_MS,
        "MAX_LIFETIME_MS": MAX_LIFETIME_MS,
        "DEFAULT_FRESHNESS_MS": DEFAULT_FRESHNESS_MS,
    }
    bounds = {name: int(row[1]) for row in table("gossip", "categories") for name in re.findall(r"`(.+?)`", row[0])}
    assert bounds == {str(category): bound for category, bound in FRESHNESS_MS.items()}


def test_heartbeats_may_come_at_half_the_interval() -> None:
    assert {"MIN_HEARTBEAT_GAP_MS": str(HEARTBEAT_INTERVAL_MS // 2)}.items() <= {
        row[0]: row[2] for row in table("gossip", "limit")
    }.items()
