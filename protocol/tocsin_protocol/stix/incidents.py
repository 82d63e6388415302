"""An incident as one circle sees it, and what a node did about it and found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..adjudication import Finding
from ..containment.action import Action
from ..taxonomy import Severity, Stage, Tlp
from .common import (
    PROPERTY_EXTENSION,
    Object,
    Statement,
    head,
    property_extension,
    relationship,
    transaction_references,
)
from .marking import Circle
from .naming import stix_id, stix_time, time_of
from .statements import title_of

INCIDENT_EXTENSION = "extension-definition--ef765651-680c-498d-9894-99799f2fa126"
# What of a busy incident is listed; the signals themselves tell the rest.
MAX_LISTED = 64

_DETERMINATION = {Finding.CONFIRMED: "confirmed", Finding.FALSE: "false-positive"}
_LOSS_NAMES = ("observed_micro_usd", "rate_micro_usd_per_hour", "at_risk_micro_usd")


def incident_id(circle: Circle, first: bytes) -> str:
    """The id of an incident in a circle, by the digest of the first signal that the circle holds of it."""
    # [STIX] An incident is told to each circle by what that circle holds of it, under an id of that circle.
    return stix_id("incident", circle.value, first.hex())


def grow_incident(before: Object | None, circle: Circle, statement: Statement, author: str, at_ms: int) -> Object:
    """The incident with one more signal, received at `at_ms`; `before` is its last version, `author` our identity."""
    signal = statement.signal
    told = {} if before is None else before["extensions"][PROPERTY_EXTENSION]
    if before is None:
        made = head("incident", statement.incident, stix_time(at_ms), by=author, tlp=circle.most)
        made |= {"name": title_of(signal), "labels": [], "extensions": _core("suspected", "open")}
    else:
        made = before | {"modified": later_than(before["modified"], at_ms)}
    fields = {
        "incident": "0x" + told.get("incident", statement.digest.hex()).removeprefix("0x"),
        "category": told.get("category", signal.category.value),
        "severity": _worst(told.get("severity", signal.severity.value), signal.severity),
        "stage": _furthest(told.get("stage", signal.stage.value), signal.stage),
        "members": _joined(told.get("members", []), [statement.member]),
        "signals": told.get("signals", 0) + 1,
        "subjects": _joined(
            told.get("subjects", []),
            [{"role": s.role.value, "kind": s.kind.value, "value": s.value} for s in signal.subjects],
        ),
        # [STIX] An incident tells the highest loss that any of its signals told, the worst severity and the last stage.
        "loss": {name: max(told.get("loss", {}).get(name, 0), getattr(signal.loss, name)) for name in _LOSS_NAMES},
    }
    made["labels"] = _joined(made["labels"], [signal.category.value])
    references = _joined(made.get("external_references", []), transaction_references(signal))
    if references:
        made["external_references"] = references
    made["description"] = f"{fields['signals']} signals of {len(fields['members'])} members"
    made["extensions"] = made["extensions"] | property_extension(fields)
    return made


def judge_incident(before: Object, finding: Finding, author: str, at_ms: int) -> list[Object]:
    """The incident as our operator found it, and his opinion of it."""
    # [STIX] What the operator found an incident to be, and what his levers did, is told to the RED circle alone.
    core = _core(_DETERMINATION[finding], "closed")
    after = before | {
        "modified": later_than(before["modified"], at_ms),
        "extensions": before["extensions"] | core,
    }
    opinion = head("opinion", stix_id("opinion", author, before["id"]), stix_time(at_ms), by=author, tlp=Tlp.RED)
    word = "strongly-agree" if finding is Finding.CONFIRMED else "strongly-disagree"
    return [after, opinion | {"opinion": word, "object_refs": [before["id"]]}]


def export_action(action: Action, incident: str | None, author: str, at_ms: int) -> list[Object]:
    """A lever of ours that was used, in the state it has come to by `at_ms`."""
    created = stix_time(action.created_ms)
    object_id = stix_id("course-of-action", action.action_id.hex())
    made = head("course-of-action", object_id, created, by=author, tlp=Tlp.RED)
    made |= {
        "modified": later_than(created, at_ms) if at_ms > action.created_ms else created,
        "name": f"{action.hook} on {action.target}",
        "description": f"Containment by the hook {action.hook}: {action.state.value}",
        "extensions": property_extension({"action": action.action_id.hex(), "state": action.state.value}),
    }
    if incident is None:
        return [made]
    return [made, relationship(object_id, "related-to", incident, created, by=author, tlp=Tlp.RED, words="containment")]


def later_than(before: str, at_ms: int) -> str:
    """A time that is later than a version's, and no earlier than now."""
    return stix_time(max(at_ms, time_of("modified", before) + 1))


def _core(determination: str, status: str) -> Object:
    return {
        INCIDENT_EXTENSION: {
            "extension_type": "property-extension",
            "determination": determination,
            "investigation_status": status,
        }
    }


def _worst(before: str, severity: Severity) -> str:
    return max(Severity(before), severity, key=lambda item: item.rank).value


def _furthest(before: str, stage: Stage) -> str:
    order = list(Stage)
    return max(Stage(before), stage, key=order.index).value


def _joined(listed: Iterable[Any], more: Iterable[Any]) -> list[Any]:
    """What is listed and what is new, each once, up to MAX_LISTED."""
    joined = list(listed)
    joined += [item for item in more if item not in joined]
    return joined[:MAX_LISTED]
