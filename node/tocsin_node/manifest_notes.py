"""What a manifest says that its operator may not have meant: none of it is wrong."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from tocsin_protocol.exposure.local_loss import is_stale
from tocsin_protocol.exposure.manifest import Manifest

_DAY_MS = 24 * 3600 * 1000


def find_manifest_notes(manifest: Manifest, held: Collection[str] | None, now_ms: int) -> tuple[str, ...]:
    """One sentence each. `held`: the protocols whose manifests we hold; None where that is not known."""
    if not manifest.holdings:
        return ("our manifest names no holding: nothing is ever at stake here, and no lever is ever worth using",)
    return (*_about_amounts(manifest, now_ms), *_about_dependencies(manifest, held))


def _about_amounts(manifest: Manifest, now_ms: int) -> Iterator[str]:
    for holding in manifest.holdings:
        if holding.amount is None:
            yield (
                f"holding {holding.name} has no amount: nothing is at stake there, "
                "and no lever above 'notify' is ever worth using for it"
            )
        elif holding.amount.read_ms > now_ms:
            yield f"the amount of {holding.name} was read in the future"
        elif is_stale(holding.amount, now_ms):
            days = (now_ms - holding.amount.read_ms) // _DAY_MS
            yield f"the amount of {holding.name} was read {days} {'day' if days == 1 else 'days'} ago, and still counts"


def _about_dependencies(manifest: Manifest, held: Collection[str] | None) -> Iterator[str]:
    if not manifest.dependencies:
        yield "our manifest names no dependency: only signals about our own contracts reach us"
    if held is None:
        return
    providers = {dependency.provider for dependency in manifest.dependencies} - {"", manifest.protocol}
    for provider in sorted(providers - set(held)):
        yield f"no manifest of {provider} is held: what hits it reaches us only where a signal names what we hang on"
