"""A manifest as tables."""

from __future__ import annotations

from typing import Any

from .output import Output, short_address, time_text


def show_manifest(out: Output, view: dict[str, Any]) -> None:
    """Print it as tables; what it does not name is left out."""
    out.say(("Manifest of ", "bold"), (view["protocol"], "bold cyan"))
    if "publisher" in view:
        issued = time_text(view["issued_ms"])[:-4]
        out.say(f"  says {view['publisher']}, {issued} UTC", ("   (signature not checked)", "yellow"))
    holdings = [
        (h["name"], h["kind"], _lines(h["subjects"]), _amount_text(h["amount"]), _source_text(h["amount"]))
        for h in view["holdings"]
    ]
    if holdings:
        out.table("Holdings", ("name", "kind", "our own subjects", "value", "read (UTC)"), holdings)
    else:
        out.say(("  no holdings: nothing is ever at stake", "yellow"))
    tokens = [(short_address(t["asset"]), t["kind"], t["holding"] or "all holdings") for t in view["tokens"]]
    if tokens:
        out.table("Tokens", ("asset", "kind", "a claim on"), tokens)
    dependencies = [
        (
            d["holding"] or "all holdings",
            d["link"],
            short_address(d["subject"]),
            d["provider"] or "",
            f"{d['share_percent']:g} %",
            _amount_text(d["amount"]) if d["amount"] else "all of it",
        )
        for d in view["dependencies"]
    ]
    if dependencies:
        columns = ("holding", "hangs on, as", "subject", "of member", "loses", "of")
        out.table("Dependencies", columns, dependencies)


def _lines(subjects: list[str]) -> str:
    return "\n".join(short_address(subject) for subject in subjects)


def _amount_text(amount: dict[str, Any] | None) -> str:
    return "not known" if amount is None else f"${amount['usd']:,.0f}"


def _source_text(amount: dict[str, Any] | None) -> str:
    return "" if amount is None else f"{time_text(amount['read_ms'])[:16]} {amount['source']}"
