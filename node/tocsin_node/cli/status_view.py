"""The running node's answer to `tocsin status`, for people."""

from __future__ import annotations

from typing import Any

from .output import Output, plain, short_hex, styled, time_text

MAX_COUNTERS_SHOWN = 60


def show_status(out: Output, answer: dict[str, Any]) -> None:
    """Print what the node said about itself; what it did not say is left out."""
    out.say(("Node of ", "bold"), (str(answer.get("member", "?")), "bold cyan"))
    # What is wrong comes first, among the rest and not on another stream that a screen shows elsewhere.
    for warning in answer.get("warnings", []):
        out.say(("  ! ", "bold red"), (str(warning), "yellow"))
    for name in (
        "version",
        "publisher",
        "peer_id",
        "guardian",
        "anchor_account",
        "network",
        "epoch",
        "members",
        "tolerated_faults",
        "publishing",
        "ledger",
        "log",
        "doctor",
        "anchored",
    ):
        if name in answer:
            out.console.print(f"  {name.replace('_', ' '):<16}", styled(_text(answer[name])))
    if "started_ms" in answer:
        out.say(f"  {'started':<16} ", time_text(int(answer["started_ms"])))
    mesh = answer.get("mesh")
    if isinstance(mesh, dict):
        shown = ", ".join(f"{name} {_text(value)}" for name, value in mesh.items() if not isinstance(value, dict))
        out.say(f"  {'mesh':<16} ", shown)
    _show_rows(out, "Peers", answer.get("peers"))
    _show_rows(out, "Feeds", answer.get("feeds"))
    _show_rows(out, "Hooks", answer.get("hooks"))
    _show_rows(out, "Watchers", answer.get("watchers"))
    _show_counts(out, "Actions", "state", answer.get("actions"))
    _show_counts(out, "Counters", "what", answer.get("counters"))


def _show_counts(out: Output, title: str, what: str, counts: Any) -> None:
    if not isinstance(counts, dict) or not counts:
        return
    rows = [(name, f"{value:,}" if isinstance(value, int) else _text(value)) for name, value in counts.items()]
    out.table(title, (what, "count"), sorted(rows)[:MAX_COUNTERS_SHOWN])


def _show_rows(out: Output, title: str, rows: Any) -> None:
    """A table of a list of objects, whatever their keys: the node says what it knows."""
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        return
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[styled(_cell(name, row.get(name, ""))) for name in columns] for row in rows]
    out.table(title, [name.removesuffix("_ms").replace("_", " ") for name in columns], cells)


def _cell(name: str, value: Any) -> str:
    if name.endswith("_ms") and isinstance(value, int) and value > 10**11:
        return time_text(value)
    if name == "armed" and isinstance(value, bool):
        return "armed" if value else "disarmed"
    if name in ("publisher", "digest") and isinstance(value, str):
        return short_hex(value)
    return _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else plain(str(value))
