"""The recovery of each scope on disk, and the levers that hold it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tocsin_protocol.audit import EntryKind
from tocsin_protocol.containment.life_cycle import WITHOUT_EFFECT, Event, State
from tocsin_protocol.decision.levers import Lever
from tocsin_protocol.decision.tiers import Tier
from tocsin_protocol.encoding import decode_canonical, encode_canonical
from tocsin_protocol.recovery.plan import MAX_LEVERS_USED, MAX_TRACKS, EndKind, UsedLever
from tocsin_protocol.recovery.stages import Stage
from tocsin_protocol.recovery.steps import Call
from tocsin_protocol.recovery.track import Level, Note, Track, start_track

from ..people import People, Undoing
from .actions import append_event, find_action
from .audit import append_audit
from .rules import Rules

MAX_SCOPES_BYTES = 64 * 1024
# Its effect is there, or was and nobody has lifted it.
_HOLDING = (State.EFFECTIVE.value, State.EXPIRING.value)
_OVER = tuple(sorted(state.value for state in WITHOUT_EFFECT | {State.LIFTED}))
_LIFTABLE = frozenset((State.EFFECTIVE, State.EXPIRING))
_FIELDS = (
    *("scope", "incident", "tier", "stage", "step", "last_number", "last_ms"),
    *("calm_ms", "watched_ms", "exit_ms", "backs", "level", "approved", "approved_until_ms"),
)


@dataclass(frozen=True, slots=True)
class TrackRow:
    """A track, since when it runs, and the last note that was worth telling."""

    track: Track
    started_ms: int
    note: Note | None


@dataclass(frozen=True, slots=True)
class HeldLever:
    """A lever in effect: the action that used it, and what it holds until when."""

    action: bytes
    state: State
    hook: str
    tier: Tier
    scopes: frozenset[str]
    ends_ms: int
    incident: bytes


def read_tracks(connection: sqlite3.Connection) -> dict[str, TrackRow]:
    """All scopes that were ever contained."""
    rows = connection.execute(
        f"SELECT {', '.join(_FIELDS)}, started_ms, note FROM tracks ORDER BY scope LIMIT ?",  # noqa: S608
        (MAX_TRACKS,),
    )
    return {row[0]: _row_of(row) for row in rows}


def _row_of(row: tuple[Any, ...]) -> TrackRow:
    fields = dict(zip(_FIELDS, row, strict=False))
    track = Track(
        **fields
        | {
            "tier": Tier(fields["tier"]),
            "stage": Stage(fields["stage"]),
            "level": Level(fields["level"]),
        }
    )
    started_ms, note = row[len(_FIELDS) :]
    return TrackRow(track, started_ms, Note(note) if note else None)


def save_track(connection: sqlite3.Connection, row: TrackRow) -> None:
    """Keep where a track is."""
    track = row.track
    kept = {name: getattr(track, name) for name in _FIELDS}
    kept |= {"tier": int(track.tier), "stage": track.stage.value, "level": int(track.level)}
    marks = ", ".join("?" * (len(_FIELDS) + 2))
    connection.execute(
        f"INSERT OR REPLACE INTO tracks ({', '.join(_FIELDS)}, started_ms, note) VALUES ({marks})",  # noqa: S608
        (*kept.values(), row.started_ms, "" if row.note is None else row.note.value),
    )


def begin_track(connection: sqlite3.Connection, scope: str, lever: HeldLever, now_ms: int) -> TrackRow:
    """Start the recovery of a scope that a lever holds, above every step it ever had."""
    before = read_tracks(connection).get(scope)
    step = before.track.step + 1 if before else 1
    track = start_track(scope, lever.incident, lever.tier, step, step, now_ms)
    row = TrackRow(track, now_ms, None)
    save_track(connection, row)
    tell_track(connection, row, f"{lever.hook} holds it: {track.stage}", now_ms)
    return row


def tell_track(connection: sqlite3.Connection, row: TrackRow, why: str, now_ms: int, *, is_alarm: bool = False) -> None:
    """Leave an audit entry about a track."""
    detail = {"recovery": row.track.scope, "stage": row.track.stage.value, "step": row.track.step, "why": why}
    kind = EntryKind.ALARM if is_alarm else EntryKind.OUTCOME
    append_audit(connection, now_ms, kind, row.track.incident, detail)


def note_levers(connection: sqlite3.Connection, levers: Iterable[Lever]) -> list[HeldLever]:
    """Keep the levers that have come into effect since; returns the new ones."""
    known = {lever.hook: lever for lever in levers if lever.tier >= Tier.TIGHTEN}
    marks = ", ".join("?" * len(_HOLDING))
    rows = connection.execute(
        "SELECT id, hook, ends_ms, incident, state FROM actions"  # noqa: S608 - marks only
        f" WHERE state IN ({marks}) AND ends_ms IS NOT NULL AND id NOT IN (SELECT action FROM held_levers) LIMIT ?",
        (*_HOLDING, MAX_LEVERS_USED),
    ).fetchall()
    new = []
    for action, hook, ends_ms, incident, state in rows:
        if (lever := known.get(hook)) is None:
            continue
        connection.execute(
            "INSERT INTO held_levers VALUES (?, ?, ?, ?, ?, ?)",
            (action, hook, int(lever.tier), encode_canonical(sorted(lever.scopes)), ends_ms, incident),
        )
        new.append(HeldLever(action, State(state), hook, lever.tier, lever.scopes, ends_ms, incident))
    return new


def read_held(connection: sqlite3.Connection) -> list[HeldLever]:
    """The levers whose effect nobody has lifted yet; a reorg may have taken one back for a while."""
    marks = ", ".join("?" * len(_OVER))
    rows = connection.execute(
        "SELECT action, state, h.hook, tier, scopes, h.ends_ms, h.incident FROM held_levers h"  # noqa: S608 - marks only
        f" JOIN actions a ON a.id = h.action WHERE a.state NOT IN ({marks}) ORDER BY h.hook LIMIT ?",
        (*_OVER, MAX_LEVERS_USED),
    )
    return [
        HeldLever(action, State(state), hook, Tier(tier), _scopes(scopes), ends_ms, incident)
        for action, state, hook, tier, scopes, ends_ms, incident in rows
    ]


def read_opening(connection: sqlite3.Connection) -> frozenset[bytes]:
    """The actions whose levers hold a scope of which the next step is approved: that step lifts them."""
    opening = {scope for scope, row in read_tracks(connection).items() if row.track.approved is not None}
    return frozenset(lever.action for lever in read_held(connection) if lever.scopes & opening)


def used_levers(connection: sqlite3.Connection, rules: Rules, held: Iterable[HeldLever]) -> tuple[UsedLever, ...]:
    """Levers as a plan sees them: undone as the policy says, else as the hook does; where neither does, by people."""
    return tuple(
        UsedLever(lever.hook, lever.scopes, back.end, lever.ends_ms, back.call, back.at)
        for lever in held
        for back in (rules.people.undoing.get(lever.hook) or _undoing_of_hook(connection, rules, lever),)
    )


def _undoing_of_hook(connection: sqlite3.Connection, rules: Rules, lever: HeldLever) -> Undoing:
    hook, action = rules.hooks.get(lever.hook), find_action(connection, lever.action)
    if hook is None or action is None:
        return Undoing(None, Stage.EXIT_ONLY, EndKind.PEOPLE)
    end = EndKind.PEOPLE if hook.ends_after_minutes is None else EndKind.CONTRACT
    call = None
    # A sentence too long for a call leaves it to people, who are shown it with the action; so does a stumbling hook.
    with suppress(Exception):
        proposal = hook.undo(action)
        if proposal is not None and proposal.target is not None and proposal.calldata is not None:
            call = Call(proposal.target, proposal.calldata, proposal.sentence)
    return Undoing(call, Stage.EXIT_ONLY, end)


def lift_levers(
    connection: sqlite3.Connection, people: People, tracks: Mapping[str, TrackRow], opened: str, now_ms: int
) -> None:
    """Note that the levers are lifted which the stage has undone that the scope `opened` was just opened to."""
    for lever in read_held(connection):
        if opened not in lever.scopes:
            continue
        undoing = people.undoing.get(lever.hook)
        at = undoing.at if undoing else Stage.EXIT_ONLY
        ranks = [tracks[scope].track.stage.rank for scope in lever.scopes if scope in tracks]
        if lever.state in _LIFTABLE and ranks and min(ranks) >= at.rank:
            reason = {"reason": f"reopened to {at} by the operators"}
            append_event(connection, lever.action, Event.LIFT, reason, now_ms)


def _scopes(data: bytes) -> frozenset[str]:
    return frozenset(decode_canonical(data, max_bytes=MAX_SCOPES_BYTES))
