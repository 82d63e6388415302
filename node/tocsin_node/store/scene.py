"""What a plan of the way back is made from: where our scopes are, what holds them, and what is believed now."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tocsin_protocol.approval.judging import Tally
from tocsin_protocol.decision.judge import weigh_incident
from tocsin_protocol.recovery.order import hangs_on
from tocsin_protocol.recovery.plan import Scene, View
from tocsin_protocol.taxonomy import Category

from .decision_detail import PPM, decode_detail
from .evidence_checks import load_exhibits
from .lever_states import read_charges, read_lever_states
from .rules import Rules
from .sightings import load_sightings
from .tracks import HeldLever, TrackRow, read_held, read_tracks, used_levers

# Of incidents about one scope, the latest; what more there are were decided before these.
MAX_INCIDENTS_WEIGHED = 32
# The latest decisions, of which those are taken that are about the scope.
MAX_DECISIONS_LOOKED_AT = 200


@dataclass(frozen=True, slots=True)
class Weighed:
    """What is believed of an incident now (millionths), and how many members say that it is over, of how many."""

    belief_ppm: int
    all_clear: int
    members: int


def active_tracks(rows: Mapping[str, TrackRow], rules: Rules) -> dict[str, TrackRow]:
    """The scopes that are not open yet, or not for long."""
    return {scope: row for scope, row in rows.items() if not row.track.is_over(rules.people.recovery)}


def load_scene(
    connection: sqlite3.Connection, rules: Rules, now_ms: int, tallies: Mapping[str, Tally] | None = None
) -> Scene:
    """Everything that the plan of all scopes under recovery is made from; `tallies` are of its next steps, to show."""
    rows, held = active_tracks(read_tracks(connection), rules), read_held(connection)
    decided = _read_decided(connection) if rows else []
    about = {scope: _incidents_of(row, held, decided) for scope, row in rows.items()}
    known = {one: weigh(connection, rules, one, now_ms) for one in {one for ones in about.values() for one in ones}}
    views = {}
    for scope, incidents in about.items():
        weighed = [known[incident] for incident in incidents]
        views[scope] = View(
            belief_ppm=max(one.belief_ppm for one in weighed),
            all_clear_seen=max(one.all_clear for one in weighed),
            all_clear_asked=weighed[0].members,
            tally=(tallies or {}).get(scope),
        )
    return Scene(
        policy=rules.people.recovery,
        tracks={scope: row.track for scope, row in rows.items()},
        hanging=hangs_on(rules.exposure.own),
        levers=used_levers(connection, rules, held),
        limits=rules.people.limits,
        remedies=rules.people.remedies,
        views=views,
    )


@dataclass(frozen=True, slots=True)
class _Decided:
    """The latest decision about an incident: when, and what it put at stake."""

    incident: bytes
    at_ms: int
    scopes: frozenset[str]


def _read_decided(connection: sqlite3.Connection) -> list[_Decided]:
    rows = connection.execute(
        "SELECT incident, at_ms, detail FROM decisions ORDER BY id DESC LIMIT ?", (MAX_DECISIONS_LOOKED_AT,)
    )
    found: dict[bytes, _Decided] = {}
    for incident, at_ms, detail in rows:
        if incident not in found:
            scopes = frozenset(scope for scope, _ in decode_detail(detail).stakes)
            found[incident] = _Decided(incident, at_ms, scopes)
    return list(found.values())


def _incidents_of(row: TrackRow, held: Iterable[HeldLever], decided: Iterable[_Decided]) -> list[bytes]:
    """The incidents that keep a scope from being calm: those it is held for, and what was decided about it since."""
    scope = row.track.scope
    found = dict.fromkeys((row.track.incident, *(lever.incident for lever in held if scope in lever.scopes)))
    found |= dict.fromkeys(one.incident for one in decided if one.at_ms >= row.started_ms and scope in one.scopes)
    return list(found)[:MAX_INCIDENTS_WEIGHED]


def weigh(connection: sqlite3.Connection, rules: Rules, incident: bytes, now_ms: int) -> Weighed:
    """An incident as it is believed now: words fade, and the last decision does not."""
    sightings = load_sightings(connection, rules.roster, rules.exposure.watched, incident, now_ms)
    states = read_lever_states(connection, rules.policy, incident, now_ms)
    exhibits, charges = load_exhibits(connection, rules, sightings), read_charges(connection, now_ms)
    judgement = weigh_incident(rules.world, incident, sightings, exhibits, states, charges, now_ms)
    own = rules.roster.member(rules.own)
    said = (s.publisher for s in sightings if s.signal.category is Category.META_ALL_CLEAR and not s.signal.drill)
    clear = {member.name for publisher in said if (member := rules.roster.member(publisher)) and member != own}
    others = sum(member != own for member in rules.roster.roster.members)
    return Weighed(round(judgement.belief.probability * PPM), len(clear), others)
