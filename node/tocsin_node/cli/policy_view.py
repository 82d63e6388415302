"""A policy as JSON, and the same as tables."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .output import Output

if TYPE_CHECKING:
    from tocsin_protocol.approval.policy import ApprovalPolicy
    from tocsin_protocol.decision.levers import Lever
    from tocsin_protocol.decision.policy import LossLimit, Policy
    from tocsin_protocol.exposure.manifest import Manifest

    from ..policy_file import LoadedPolicy

_MICRO = 1_000_000
_TIER_STYLES = {"notify": "dim", "tighten": "yellow", "freeze": "red", "pause": "bold red"}
_TIER_DOES = {
    "notify": "tells people",
    "tighten": "tightens caps, adds delay",
    "freeze": "freezes a part",
    "pause": "pauses all of it",
}


def policy_view(loaded: LoadedPolicy, manifest: Manifest | None) -> dict[str, Any]:
    """Everything a policy says, in whole dollars; `worth` is from which belief each lever is worth using."""
    from ..policy_worth import find_worth

    policy = loaded.policy
    return {
        "hash": loaded.hash.hex(),
        "condition": policy.condition,
        "own_detector_nats": policy.own_llr,
        "levers": [_lever(lever) for lever in policy.levers],
        "worth": [] if manifest is None else [
            {
                "holding": worth.holding,
                "amount_usd": None if worth.micro_usd is None else worth.micro_usd // _MICRO,
                "from_belief": dict(worth.steps),
                "never": {hook: list(better) for hook, better in worth.never},
            }
            for worth in find_worth(policy, manifest)
        ],
        "opens": _opens(policy),
        "budget_minutes": policy.budget_minutes,
        "limits": [_limit(limit) for limit in policy.limits],
        "pins": {name: {"min": pin.min_llr, "max": pin.max_llr} for name, pin in policy.pins.items()},
        "vouching": {
            "cap": policy.vouch_cap,
            "words": [{"by": word.by, "of": word.of, "weight": word.llr} for word in policy.words],
        },
        "priors": {str(category): prior for category, prior in policy.priors.items()},
        "half_life_minutes": {str(category): ms // 60_000 for category, ms in policy.half_lives_ms.items()},
        "approvals": _approvals(loaded.people.approvals),
        "asks": sorted(lever.hook for lever in policy.levers if lever.asks),
        "faults": list(policy.faults()),
        "warnings": list(loaded.notes),
    }  # fmt: skip


def show_policy(out: Output, view: dict[str, Any]) -> None:
    """Print it as tables; what it does not say is left out."""
    out.say(("Policy ", "bold"), (view["file"], "bold cyan"))
    out.say("  hash       ", (view["hash"], "cyan"))
    out.say("  condition  ", view["condition"] or "none")
    out.say("  own word   ", f"our own detectors count {_odds(view['own_detector_nats'])}")
    if not view["levers"]:
        out.say(("  no levers: this node never acts", "yellow"))
    _show_levers(out, view["levers"])
    _show_worth(out, view["worth"])
    if view["levers"]:
        rows = [(_tier(tier), _TIER_DOES[tier], "\nor ".join(rows)) for tier, rows in view["opens"].items()]
        out.table("What opens a tier", ("tier", "what it does", "needs"), rows)
    minutes = view["budget_minutes"]
    out.say(f"Budget: {minutes} min of levers for each foreign group in 30 days, back when the incident is confirmed")
    _show_limits(out, view["limits"])
    _show_pins(out, view["pins"])
    _show_vouching(out, view["vouching"])
    _show_overrides(out, view["priors"], view["half_life_minutes"])
    for rule in view["approvals"]:
        out.say(
            f"Approval of tier {rule['tier']} in {rule['scope']}: {rule['m']} of {len(rule['operators'])}",
            f" ({', '.join(rule['operators'])})",
        )
    if view["asks"]:
        out.say(f"Fires only when they have approved: {', '.join(view['asks'])}")
    for fault in view["faults"]:
        out.say(("✗ may not be armed: ", "bold red"), fault)


def _approvals(policy: ApprovalPolicy) -> list[dict[str, Any]]:
    from tocsin_protocol.decision.tiers import Tier

    return [
        {
            "tier": "any" if rule.tier is None else Tier(rule.tier).name.lower(),
            "scope": rule.scope,
            "m": rule.m,
            "operators": sorted(policy.operators[operator] for operator in rule.operators),
        }
        for rule in policy.rules
    ]


def _lever(lever: Lever) -> dict[str, Any]:
    return {
        "hook": lever.hook,
        "tier": lever.tier.name.lower(),
        "scopes": sorted(lever.scopes),
        "effectiveness_percent": lever.effectiveness_percent,
        "cost_usd": lever.cost_micro_usd // _MICRO,
        "minutes": lever.minutes,
        "cooldown_minutes": lever.cooldown_minutes,
        "uses": lever.tokens,
        "refill_hours": lever.refill_minutes // 60,
    }


def _limit(limit: LossLimit) -> dict[str, Any]:
    from tocsin_protocol.loss import feasibility

    return {
        "holding": limit.scope,
        "mal_usd": limit.mal_micro_usd // _MICRO,
        "drain_usd_per_s": limit.drain_micro_usd_per_hour // 3600 // _MICRO,
        "latency_s": limit.latency_ms // 1000,
        "trigger_usd": limit.trigger_micro_usd // _MICRO,
        "feasibility": feasibility(limit.mal_micro_usd, limit.drain_micro_usd_per_hour, limit.latency_ms),
        "acknowledged": limit.is_acknowledged,
        "opens_freeze": limit.opens_freeze,
    }


def _opens(policy: Policy) -> dict[str, list[str]]:
    """The rows of each tier in words, from the core's own table."""
    from tocsin_protocol.decision.tiers import NEEDS, Condition

    quorum = policy.quorum
    words = {
        Condition.LOCAL_EVIDENCE: "evidence confirmed on our own endpoints",
        Condition.SIGNAL: "1 signal",
        Condition.OWN_DETECTOR: "our own detector",
        Condition.PINNED: "1 pinned member",
        Condition.TIGHTEN_GROUPS: _groups(quorum.tighten),
        Condition.FREEZE_GROUPS: _groups(quorum.freeze),
        Condition.GROUPS_BESIDE_OWN: f"{_groups(quorum.freeze_beside_own)} beside it",
        Condition.PAUSE_GROUPS: f"{_groups(quorum.pause)} (or more than a third of the other members, if that is more)",
        Condition.OWN_OUTFLOW: "our own measured outflow past a limit that opens a freeze",
        Condition.OWN_APPROVAL: "our own operators' approval, of a lever that asks",
    }
    order = list(words)
    return {
        tier.name.lower(): [" and ".join(words[c] for c in sorted(row, key=order.index)) for row in rows]
        for tier, rows in NEEDS.items()
    }


def _show_levers(out: Output, levers: list[dict[str, Any]]) -> None:
    rows = [
        (
            _tier(lever["tier"]),
            lever["hook"],
            ", ".join(lever["scopes"]),
            f"{lever['effectiveness_percent']} %" if lever["tier"] != "notify" else "",
            f"${lever['cost_usd']:,}" if lever["tier"] != "notify" else "",
            f"{lever['minutes']} min" if lever["minutes"] else "",
            f"{lever['uses']}, and 1 in {lever['refill_hours']} h",
            f"{lever['cooldown_minutes']} min" if lever["cooldown_minutes"] else "",
        )
        for lever in levers
    ]
    if rows:
        columns = ("tier", "hook", "covers", "averts", "costs if false", "ends after", "uses", "rests")
        out.table("Levers", columns, rows)


def _show_worth(out: Output, worth: list[dict[str, Any]]) -> None:
    rows = []
    for item in worth:
        amount = item["amount_usd"]
        lines = [f"{hook} above {_percent(belief)}" for hook, belief in item["from_belief"].items()]
        lines += [f"{hook} never: {' and '.join(better)} do better" for hook, better in item["never"].items()]
        if amount is None:
            lines = ["nothing, for its value is not known"]
        text = "\n".join(lines or ["nothing but to notify covers it"])
        rows.append((item["holding"], "not known" if amount is None else f"${amount:,}", text))
    if rows:
        out.table("Worth using, if that holding alone were lost", ("holding", "value", "at a belief"), rows)


def _show_limits(out: Output, limits: list[dict[str, Any]]) -> None:
    from rich.text import Text

    rows = [
        (
            limit["holding"],
            f"${limit['mal_usd']:,}",
            f"${limit['drain_usd_per_s']:,}/s",
            f"{limit['latency_s']} s",
            f"${limit['trigger_usd']:,}",
            Text(_feasibility(limit), "green" if limit["feasibility"] >= 1 else "bold red"),
            "yes" if limit["opens_freeze"] else "no",
        )
        for limit in limits
    ]
    if rows:
        columns = ("holding", "may be lost", "drains at", "a lever takes", "trigger", "feasible", "opens freeze")
        out.table("Limits", columns, rows)


def _show_pins(out: Output, pins: dict[str, dict[str, float]]) -> None:
    if pins:
        rows = [(name, _odds(pin["min"]), _odds(pin["max"])) for name, pin in pins.items()]
        out.table("Pins: what a member's word counts", ("member", "from the first day", "at most"), rows)
    else:
        out.say("Pins: none, so nobody's word counts before it has earned it")


def _show_vouching(out: Output, vouching: dict[str, Any]) -> None:
    if vouching["words"]:
        rows = [(word["of"], word["by"], _odds(word["weight"])) for word in vouching["words"]]
        title = f"Vouching: for who has earned nothing here, together at most {_odds(vouching['cap'])}"
        out.table(title, ("member", "is vouched for by", "with"), rows)


def _show_overrides(out: Output, priors: dict[str, float], half_lives: dict[str, int]) -> None:
    rows = [
        (category, f"{priors[category]:g}" if category in priors else "", f"{half_lives.get(category, '')}")
        for category in sorted({*priors, *half_lives})
    ]
    if rows:
        out.table("Categories of your own", ("category", "prior", "half-life (min)"), rows)


def _tier(name: str) -> Any:
    from rich.text import Text

    return Text(name, _TIER_STYLES[name])


def _groups(count: int) -> str:
    return f"{count} foreign {'group' if count == 1 else 'groups'}"


def _odds(nats: float) -> str:
    return f"{math.exp(nats):.0f} to 1" if nats else "nothing"


def _feasibility(limit: dict[str, Any]) -> str:
    kept = limit["feasibility"]
    if kept >= 1:
        return "always" if kept >= 1e9 else f"{kept:.2f}"
    return f"{kept:.2f}: too slow" + (", acknowledged" if limit["acknowledged"] else "")


def _percent(belief: float) -> str:
    """0.03 %, 4.5 %, 60 %; 100 % is never passed."""
    percent = 100 * belief
    return "never" if belief >= 1 else f"{percent:.2g} %" if percent < 10 else f"{percent:.0f} %"
