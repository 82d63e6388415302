"""The record's rows as the feed shows them to somebody: what he may not see does not stand there (specs/api.md)."""

from __future__ import annotations

from typing import Any

from tocsin_protocol.containment.life_cycle import Event
from tocsin_protocol.roster import RosterIndex
from tocsin_protocol.taxonomy import Tlp

from tocsin_node.errors import NodeError
from tocsin_node.store.reader import ActionRow, SignalRow
from tocsin_node.views import action_view, decision_view, incident_view, member_name, signal_view, tie_view

from .access import Access, Scope
from .context import Source
from .queries import IncidentSight, facets_of

SEEN_EVENTS = (Event.INCLUDE, Event.CONFIRM)
# What an action shows once anybody can see its effect: not why, nor what was decided.
_SEEN_OF_ACTION = (
    "id",
    "hook",
    "target",
    "incident",
    "state",
    "since_ms",
    "created_ms",
    "ends_ms",
    "transactions",
)


def tlp_of(row: SignalRow) -> Tlp:
    """A signal's own marking; RED where its body cannot be read."""
    return Tlp.RED if row.signal is None else row.signal.tlp


def signal_sight(access: Access, row: SignalRow | None, roster: RosterIndex) -> dict[str, Any] | None:
    """A signal, with the bytes that its publisher signed; None where it may not be seen."""
    if row is None or not access.may_see(tlp_of(row)):
        return None
    return signal_view(row, roster) | {"encoded": row.envelope.encoded.hex()}


def incident_sight(access: Access, source: Source, row: IncidentSight, roster: RosterIndex) -> dict[str, Any]:
    """An incident, made of the signals that may be seen; the operator sees what came of it, too."""
    # [API] An incident is shown as if the signals that may not be seen had never come.
    publishers = facets_of(source.index, access, row.number, "publisher")
    categories = facets_of(source.index, access, row.number, "category")
    view = {
        "id": row.id.hex(),
        "families": sorted({category.partition(".")[0] for category in categories} - {""}),
        "categories": [category for category in categories if category],
        "severity": row.severity.value,
        "first_ms": row.first_ms,
        "last_ms": row.last_ms,
        "signals": row.signals,
        "publishers": ["0x" + publisher for publisher in publishers],
        "members": sorted({member_name(roster, bytes.fromhex(publisher)) for publisher in publishers}),
    }
    if access.scope is not Scope.OPERATOR:
        return view
    try:
        whole = incident_view(source.reader.incident(row.id.hex()), roster)
    except NodeError:
        # the record was replaced by an older one, and the index is not there yet
        return view
    return view | {key: whole[key] for key in ("hint", "decision", "acted")}


def incident_detail(access: Access, source: Source, row: IncidentSight, roster: RosterIndex) -> dict[str, Any]:
    """An incident with what its signals name, and what was done."""
    actions = [action_sight(access, action) for action in source.reader.actions(incident=row.id)]
    view = incident_sight(access, source, row, roster) | {
        "subjects": facets_of(source.index, access, row.number, "subject"),
        "chains": facets_of(source.index, access, row.number, "chain"),
        "actions": [action for action in actions if action is not None],
    }
    if access.scope is Scope.OPERATOR:
        view |= {
            "decisions": [decision_view(decision) for decision in source.reader.decisions(row.id)],
            "ties": [tie_view(tie) for tie in source.reader.incident_ties(row.id)],
        }
    return view


def action_sight(access: Access, row: ActionRow | None) -> dict[str, Any] | None:
    """An action; None where it may not be seen."""
    if row is None:
        return None
    view = action_view(row)
    if access.scope is Scope.OPERATOR:
        return view
    # [API] A use of a lever is seen by all once it was in a block or in effect, and before that by the operator alone.
    if not any(event.event in SEEN_EVENTS for event in row.events):
        return None
    return {key: view[key] for key in _SEEN_OF_ACTION}
