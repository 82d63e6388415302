"""A manifest as JSON, and the same as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .output import Output, short_address, time_text

if TYPE_CHECKING:
    from tocsin_protocol.exposure.manifest import Amount, Dependency, Manifest

_MICRO = 1_000_000
_PPM_PERCENT = 10_000


def manifest_view(manifest: Manifest) -> dict[str, Any]:
    """All that a manifest says, in dollars and percent."""
    return {
        "protocol": manifest.protocol,
        "holdings": [
            {
                "name": holding.name,
                "kind": str(holding.kind),
                "subjects": [subject.value for subject in holding.subjects],
                "amount": _amount(holding.amount),
            }
            for holding in manifest.holdings
        ],
        "tokens": [{"asset": t.asset, "kind": str(t.kind), "holding": t.holding or None} for t in manifest.tokens],
        "dependencies": [_dependency(dependency) for dependency in manifest.dependencies],
    }


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


def _amount(amount: Amount | None) -> dict[str, Any] | None:
    if amount is None:
        return None
    return {"usd": amount.micro_usd / _MICRO, "read_ms": amount.read_ms, "source": str(amount.source)}


def _dependency(dependency: Dependency) -> dict[str, Any]:
    bounds = dependency.bounds
    return {
        "holding": dependency.holding or None,
        "link": str(dependency.link),
        "subject": dependency.subject.value,
        "provider": dependency.provider or None,
        "share_percent": dependency.share_ppm / _PPM_PERCENT,
        "amount": _amount(dependency.amount),
        "bounds": None if bounds is None else {
            "low_usd": bounds.low_micro_usd / _MICRO,
            "high_usd": bounds.high_micro_usd / _MICRO,
            "max_age_s": bounds.max_age_ms // 1000,
        },
    }  # fmt: skip


def _lines(subjects: list[str]) -> str:
    return "\n".join(short_address(subject) for subject in subjects)


def _amount_text(amount: dict[str, Any] | None) -> str:
    return "not known" if amount is None else f"${amount['usd']:,.0f}"


def _source_text(amount: dict[str, Any] | None) -> str:
    return "" if amount is None else f"{time_text(amount['read_ms'])[:16]} {amount['source']}"
