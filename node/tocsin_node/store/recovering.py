"""What an observation, an approval or an opening does to the recovery of our scopes, in one transaction each."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping
from dataclasses import replace

from tocsin_protocol.approval.judging import Granted, Tally
from tocsin_protocol.approval.request import Purpose, Request
from tocsin_protocol.decision.tiers import Tier
from tocsin_protocol.recovery.plan import Plan, is_let_go, make_plan, upstream_stage
from tocsin_protocol.recovery.stages import Stage
from tocsin_protocol.recovery.steps import Step, step_request
from tocsin_protocol.recovery.track import Approved, Ended, Note, Observed, Opened, Track, advance, void_approval

from .asking import window_of
from .requests import (
    RequestRow,
    RequestState,
    close_request,
    count_given,
    find_request,
    insert_request,
    is_granted_still,
    note_time,
    read_latest_ms,
    read_requests,
)
from .rules import Rules
from .scene import active_tracks, load_scene
from .tracks import (
    TrackRow,
    begin_track,
    lift_levers,
    note_levers,
    read_tracks,
    save_track,
    tell_track,
)

# These change nothing that people have to be told of.
_QUIET = frozenset((Note.WATCHED, Note.REPLAYED, Note.NOTHING_TO_OPEN))
# Somebody did what was not agreed, or the danger is back.
_ALARMING = frozenset((Note.ALARMED, Note.STEPPED_BACK, Note.NOT_APPROVED, Note.TOO_EARLY, Note.UPSTREAM_CLOSED))


def observe(connection: sqlite3.Connection, rules: Rules, opened: Collection[str], now_ms: int) -> list[TrackRow]:
    """One look at everything: levers that came into effect, what is believed, and which scopes the chain shows open.

    Returns the tracks that are active after it.
    """
    note_time(connection, now_ms)
    used: dict[str, Tier] = {}
    active = active_tracks(read_tracks(connection), rules)
    for lever in note_levers(connection, rules.policy.levers):
        for scope in lever.scopes:
            used[scope] = max(used.get(scope, lever.tier), lever.tier)
            if scope not in active and lever.tier >= Tier.FREEZE:
                active[scope] = begin_track(connection, scope, lever, now_ms)
    if not active:
        return []
    active |= void_stale(connection, rules, now_ms)
    scene, risen = load_scene(connection, rules, now_ms), list[str]()
    for scope, row in active.items():
        tier, stage = used.get(scope), row.track.stage
        number = row.track.last_number
        row = _advance(
            connection, rules, row, Observed(number + 1, now_ms, scene.views[scope].belief_ppm, tier), now_ms
        )
        # The end that no contract brings is told by the action that expires, and proposed by the plan.
        if row.track.stage is Stage.HALTED and is_let_go(scene.levers, scope, now_ms):
            row = _advance(connection, rules, row, Ended(number + 2), now_ms)
        # What was read was about the stage that it had then.
        if scope in opened and row.track.stage is stage:
            row = _advance(connection, rules, row, Opened(number + 3, now_ms, upstream_stage(scene, scope)), now_ms)
            risen += [scope] if row.track.stage is not stage else []
        active[scope] = row
    for scope in risen:
        lift_levers(connection, rules.people, active, scope, now_ms)
    withdraw_stale(connection, active, now_ms)
    return list(active.values())


def open_scope(connection: sqlite3.Connection, rules: Rules, scope: str, now_ms: int) -> TrackRow:
    """The operator says that governance made the calls of a scope's next step; the scope is under recovery."""
    voided = void_stale(connection, rules, now_ms)
    active = active_tracks(read_tracks(connection), rules)
    row, scene = active[scope], load_scene(connection, rules, now_ms)
    if scope not in voided:
        event = Opened(row.track.last_number + 1, now_ms, upstream_stage(scene, scope))
        active[scope] = row = _advance(connection, rules, replace(row, note=None), event, now_ms)
    if row.note is Note.OPENED:
        lift_levers(connection, rules.people, active, scope, now_ms)
    withdraw_stale(connection, active, now_ms)
    return row


def _advance(
    connection: sqlite3.Connection,
    rules: Rules,
    row: TrackRow,
    event: Observed | Approved | Opened | Ended,
    now_ms: int,
) -> TrackRow:
    outcome = advance(rules.people.recovery, row.track, event)
    note = row.note if outcome.note in _QUIET else outcome.note
    after = replace(row, track=outcome.track, note=note)
    save_track(connection, after)
    # What is so for as long as the chain shows it is told once.
    if outcome.note not in _QUIET and (note is not row.note or outcome.track.step != row.track.step):
        tell_track(connection, after, outcome.note.value, now_ms, is_alarm=outcome.note in _ALARMING)
    return after


def next_steps(connection: sqlite3.Connection, rules: Rules, now_ms: int) -> tuple[Plan, dict[str, Step]]:
    """The plan, and the next step of each scope."""
    void_stale(connection, rules, now_ms)
    tallies = _tallies(connection, rules, read_tracks(connection), now_ms)
    plan = make_plan(load_scene(connection, rules, now_ms, tallies), now_ms)
    return plan, {one.step.scope: one.step for one in plan.steps if one.waits is not None}


def void_stale(connection: sqlite3.Connection, rules: Rules, now_ms: int) -> dict[str, TrackRow]:
    """Void the approvals that hold no longer; returns their scopes."""
    rows = active_tracks(read_tracks(connection), rules)
    approved = {scope: row for scope, row in rows.items() if row.track.approved is not None}
    if not approved:
        return {}
    plan = make_plan(load_scene(connection, rules, now_ms), now_ms)
    steps = {one.step.scope: one.step.payload for one in plan.steps if one.waits is not None}
    domain, policy = rules.roster.domain, rules.people.approvals
    payloads = {row.track.approved for row in approved.values()}
    given = [
        row
        for row in read_requests(connection, is_open=False)
        if row.state is RequestState.GRANTED and row.request.payload in payloads
    ]
    granted = {row.request.payload for row in given if is_granted_still(domain, policy, row)}
    latest_ms = max(now_ms, read_latest_ms(connection))
    voided = {}
    for scope, row in approved.items():
        stale = _why_stale(row.track, steps.get(scope), granted, latest_ms)
        if stale is not None:
            note, why = stale
            voided[scope] = replace(row, track=void_approval(row.track), note=note)
            save_track(connection, voided[scope])
            tell_track(connection, voided[scope], f"{why}: ask anew", now_ms, is_alarm=note is not Note.EXPIRED)
    return voided


def _why_stale(track: Track, payload: bytes | None, granted: Collection[bytes], now_ms: int) -> tuple[Note, str] | None:
    if not track.is_approved(now_ms):
        return Note.EXPIRED, "the approval of its next step has expired"
    if track.approved != payload:
        return Note.NOT_THIS_STEP, "the calls of its next step are not those that were approved"
    # By the policy in force: who was removed meanwhile counts no more.
    if payload not in granted:
        return Note.NOT_APPROVED, "not enough of those who approved its next step may do so still"
    return None


def ask_step(connection: sqlite3.Connection, rules: Rules, scope: str, now_ms: int) -> tuple[RequestRow, Tally] | None:
    """Ask the operators for a scope's next step, or return what is asked already; None where there is no step."""
    _, steps = next_steps(connection, rules, now_ms)
    if (step := steps.get(scope)) is None:
        return None
    found = _asked_for(connection, step, now_ms)
    if found is None:
        request = _request(rules, step, read_tracks(connection)[scope], now_ms)
        digest = insert_request(connection, rules.roster.domain, request, None, now_ms)
        found = find_request(connection, digest)
        assert found is not None  # noqa: S101 - it was just inserted
    return found, count_given(connection, rules.roster.domain, rules.people.approvals, found, now_ms)


def _asked_for(connection: sqlite3.Connection, step: Step, now_ms: int) -> RequestRow | None:
    """The request for a step that people may still answer, or have granted."""
    now_ms = max(now_ms, read_latest_ms(connection))
    for row in read_requests(connection, is_open=False):
        is_alive = row.state is RequestState.GRANTED or (
            row.state is RequestState.OPEN and now_ms < row.request.expires_ms
        )
        if row.request.payload == step.payload and is_alive:
            return row
    return None


def approve_step(connection: sqlite3.Connection, rules: Rules, granted: Granted, now_ms: int) -> Note:
    """Let a step be taken that enough operators approved."""
    scope = granted.request.scope
    row, (_, steps) = read_tracks(connection)[scope], next_steps(connection, rules, now_ms)
    if (step := steps.get(scope)) is None:
        return Note.NOT_THIS_STEP
    event = Approved(row.track.last_number + 1, now_ms, step, rules.own, granted)
    outcome = advance(rules.people.recovery, row.track, event)
    _advance(connection, rules, row, event, now_ms)
    return outcome.note


def withdraw_stale(connection: sqlite3.Connection, tracks: Mapping[str, TrackRow], now_ms: int) -> None:
    """No request outlives the step that it was made for."""
    for asked in read_requests(connection, is_open=True):
        if asked.request.purpose is not Purpose.REOPEN:
            continue
        row = tracks.get(asked.request.scope)
        if row is None or row.track.step != asked.request.epoch:
            close_request(connection, asked, RequestState.WITHDRAWN, "the step it was made for is past or void", now_ms)


def _request(rules: Rules, step: Step, row: TrackRow, now_ms: int) -> Request:
    begins_ms, expires_ms = window_of(now_ms, rules.people.window_ms)
    return step_request(
        step,
        incident=row.track.incident,
        node=rules.own,
        tier=int(row.track.tier),
        not_before_ms=begins_ms,
        expires_ms=expires_ms,
    )


def _tallies(
    connection: sqlite3.Connection, rules: Rules, rows: Mapping[str, TrackRow], now_ms: int
) -> dict[str, Tally]:
    """How many approved the next step of each scope, where they were asked."""
    found = {}
    for asked in reversed(read_requests(connection, is_open=False)):
        row = rows.get(asked.request.scope)
        if asked.request.purpose is Purpose.REOPEN and row is not None and asked.request.epoch == row.track.step:
            found[asked.request.scope] = count_given(
                connection, rules.roster.domain, rules.people.approvals, asked, now_ms
            )
    return found
