"""Whether a signal may still actuate, by the receiver's clock and whatever path brought it (specs/signal.md)."""

from __future__ import annotations

from .admission import Reason
from .model import Signal
from .taxonomy import Category

MAX_CLOCK_SKEW_MS = 5_000
DEFAULT_FRESHNESS_MS = 60 * 60 * 1000

# How long after issue a signal may still set a lever off: short where the harm is done within blocks and a late
# pause only hurts users, long where the threat stays open until somebody acts.
FRESHNESS_MS = {
    Category.ASSET_DRAIN: 10 * 60 * 1000,
    Category.FLASHLOAN_ATTACK: 10 * 60 * 1000,
    Category.ORACLE_MANIPULATION: 10 * 60 * 1000,
    Category.ORACLE_STALE: 10 * 60 * 1000,
    Category.BRIDGE_MINT_MISMATCH: 15 * 60 * 1000,
    Category.BRIDGE_MESSAGE_FORGERY: 15 * 60 * 1000,
    Category.KEY_COMPROMISE: 6 * 60 * 60 * 1000,
    Category.GOVERNANCE_MALICIOUS_PROPOSAL: 24 * 60 * 60 * 1000,
    Category.GOVERNANCE_TAKEOVER: 24 * 60 * 60 * 1000,
}


def freshness_bound_ms(category: Category) -> int:
    """How many ms after its issue a signal of this category may still actuate."""
    return FRESHNESS_MS.get(category, DEFAULT_FRESHNESS_MS)


def actionable_until_ms(signal: Signal) -> int:
    """The first moment at which age or expiry keep a signal from actuating."""
    return min(signal.expires_ms, signal.issued_ms + freshness_bound_ms(signal.category) + 1)


def check_actionable(signal: Signal, now_ms: int, received_ms: int | None = None) -> Reason:
    """ADMITTED when a signal may actuate at `now_ms`, else why not; `received_ms` is when it first came (default: now).

    Judging the future by the time of arrival keeps a post-dated signal from ripening into one that actuates.
    """
    # [FRESH] A drill never actuates.
    if signal.drill or signal.category is Category.META_DRILL:
        return Reason.DRILL
    # [FRESH] A signal issued more than MAX_CLOCK_SKEW_MS after its arrival never actuates.
    if signal.issued_ms > (now_ms if received_ms is None else received_ms) + MAX_CLOCK_SKEW_MS:
        return Reason.FROM_FUTURE
    # [FRESH] A signal actuates only before its expires time.
    if now_ms >= signal.expires_ms:
        return Reason.EXPIRED
    # [FRESH] A signal actuates only while its age since issue is within its category's freshness bound.
    if now_ms - signal.issued_ms > freshness_bound_ms(signal.category):
        return Reason.STALE
    return Reason.ADMITTED
