"""An intent as an OpenC2 command (Language Specification 1.0): contain a target, from now on, for so long."""

from __future__ import annotations

from typing import Any

from .hook import Occasion

PROFILE = "x-tocsin"
"""Our actuator profile: the language has no target for an account of a chain."""
_MINUTE_MS = 60_000


def openc2_command(occasion: Occasion, hook: str, target: str, minutes: int | None) -> dict[str, Any]:
    """Return the command; `duration` (ms) is there only where the other side ends the effect by itself."""
    args: dict[str, Any] = {"start_time": occasion.decided_ms, "response_requested": "status"}
    if minutes is not None:
        args["duration"] = minutes * _MINUTE_MS
    why = {"incident": occasion.incident_id.hex(), "category": occasion.category, "severity": occasion.severity}
    return {
        "action": "contain",
        "target": {f"{PROFILE}:account" if ":" in target else f"{PROFILE}:name": target},
        "args": args | {PROFILE: why | {"subjects": list(occasion.subjects), "summary": occasion.summary}},
        "actuator": {PROFILE: {"hook": hook}},
        "command_id": occasion.id_for(hook),
    }
