"""A manifest as a JSON object: what the CLI prints with --json and what the feed serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
