"""An intent as JSON: what a webhook posts and a command reads."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from .hook import Occasion
from .message_config import MessageHookConfig
from .openc2 import openc2_command

MESSAGE_TYPE = "tocsin.containment"
CLOUDEVENTS_TYPE = "application/cloudevents+json"
_STANDARD_TYPE = "application/json"


def write_message(config: MessageHookConfig, occasion: Occasion) -> bytes:
    """Return the JSON of an intent in the form that the hook is configured for.

    Standard: type, timestamp and data, as Standard Webhooks recommend. CloudEvents 1.0: structured mode.
    """
    time = datetime.fromtimestamp(occasion.decided_ms / 1_000, UTC).isoformat()
    data: dict[str, Any] = {
        "hook": config.name,
        "target": config.target,
        "incident": occasion.incident_id.hex(),
        "decision": occasion.decision_id.hex(),
        "category": occasion.category,
        "severity": occasion.severity,
        "subjects": list(occasion.subjects),
        "summary": occasion.summary,
    }
    if config.drill:
        data["drill"] = True
    if config.openc2:
        data["openc2"] = openc2_command(occasion, config.name, config.target, config.ends_after_minutes)
    if config.form == "standard":
        return _write({"type": MESSAGE_TYPE, "timestamp": time, "data": data})
    return _write(
        {
            "specversion": "1.0",
            "id": occasion.id_for(config.name),
            "source": f"urn:tocsin:hook:{config.name}",
            "type": MESSAGE_TYPE,
            "subject": config.target,
            "time": time,
            "datacontenttype": _STANDARD_TYPE,
            "data": data,
        }
    )


def content_type_of(config: MessageHookConfig) -> str:
    """Return the media type of a message."""
    return _STANDARD_TYPE if config.form == "standard" else CLOUDEVENTS_TYPE


def _write(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
