"""The way back as tables."""

from __future__ import annotations

from typing import Any

from .output import Output, count_text, styled, time_text

_PPM_PER_PERCENT = 10_000


def show_plan(out: Output, plan: dict[str, Any]) -> None:
    """Where each scope stands, the steps to come, and what governance is asked for now."""
    if not plan["scopes"]:
        out.say("Nothing is under recovery: no lever of tier freeze or pause came into effect for this incident.")
        return
    for scope in plan["scopes"]:
        _show_scope(out, scope)
    if plan["steps"]:
        out.table(
            "Steps, in the order in which they can come",
            ("scope", "from", "to", "opens", "new exposure", "earliest (UTC)", "waits for"),
            [
                (
                    step["scope"],
                    step["from"],
                    step["to"],
                    ", ".join(step["opens"]) or "nothing new",
                    f"{step['limit_percent']} %",
                    time_text(step["earliest_ms"])[:19],
                    "" if step["waits"] is None else _waits(step["waits"]),
                )
                for step in plan["steps"]
            ],
        )
    for proposal in plan["proposals"]:
        out.say(
            (f"Proposed to governance: {proposal['kind']} ", "bold yellow"), f"{proposal['scope']}: {proposal['why']}"
        )
        for call in proposal["calls"]:
            out.say(f"  to {call['to']}: {call['effect']}")
            out.say((f"     {call['data']}", "dim"))


def _show_scope(out: Output, scope: dict[str, Any]) -> None:
    out.say(
        (scope["scope"], "bold"),
        " is ",
        (scope["stage"], "bold green" if scope["stage"] == "normal" else "bold yellow"),
        ", and calm for good" if scope["over"] else "",
    )
    allowed = ", ".join(scope["allowed"]) or "nothing"
    out.say(f"  people may: {allowed}; new exposure up to {scope['limit_percent']} % of the usual")
    for lever in scope["held_by"]:
        out.say(f"  held by {lever['hook']} ({lever['state']}), until {time_text(lever['ends_ms'])[:19]} UTC")
    if scope["approved"]:
        out.say(f"  its next step is approved, until {time_text(scope['approved_until_ms'])[:19]} UTC")
    if scope["backs"]:
        out.say((f"  stepped back {count_text(scope['backs'], 'time')}: dwell times are doubled each time", "yellow"))
    if scope["note"] is not None:
        out.console.print("  last:", styled(scope["note"]))


def _waits(waits: dict[str, Any]) -> str:
    if waits["ready"]:
        return "governance: it may be taken now"
    parts = []
    advice = waits["advice"] or {}
    if not waits["approved"]:
        wanted = advice.get("approvals_wanted")
        of = f" ({advice['approvals']} of {wanted})" if wanted is not None else ""
        parts.append(f"approval{of}")
    if waits["dwell_left_ms"]:
        parts.append(f"{waits['dwell_left_ms'] / 1000:.0f} s of calm")
    parts += [f"{name} to open" for name in waits["upstream"]]
    parts += [f"{name} beside it" for name in waits["beside"]]
    if advice:
        parts.append(
            f"advice: belief {advice['belief_ppm'] / _PPM_PER_PERCENT:.0f} %, "
            f"all-clear {advice['all_clear_seen']} of {advice['all_clear_asked']}"
        )
    return "; ".join(parts)
