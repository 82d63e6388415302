"""Asking people before a lever is used: the request stands in the transaction of the intent."""

from __future__ import annotations

import sqlite3

from tocsin_protocol.approval.request import MAX_EFFECT_BYTES, MAX_NAME_BYTES, Purpose, Request
from tocsin_protocol.containment.action import Action
from tocsin_protocol.containment.life_cycle import Event
from tocsin_protocol.decision.levers import Lever
from tocsin_protocol.signing import keccak256

from ..people import scope_of
from .actions import append_event
from .requests import insert_request
from .rules import Rules

_SECOND_MS = 1000


def window_of(now_ms: int, window_ms: int) -> tuple[int, int]:
    """From when until when people may answer what they are asked now, in whole seconds."""
    begins_ms = now_ms // _SECOND_MS * _SECOND_MS
    return begins_ms, begins_ms + window_ms


def ask_operators(connection: sqlite3.Connection, rules: Rules, lever: Lever, action: Action, now_ms: int) -> Action:
    """Let an intent wait for the operators; returns it as it waits."""
    begins_ms, expires_ms = window_of(now_ms, rules.people.window_ms)
    scope = scope_of(lever)
    effect = f"{lever.tier.name.capitalize()} {scope} for {lever.minutes} min with {action.hook}."
    request = Request(
        purpose=Purpose.ACT,
        effect=effect[:MAX_EFFECT_BYTES],
        scope=scope,
        lever=action.hook,
        target=action.target[:MAX_NAME_BYTES],
        tier=int(lever.tier),
        payload=keccak256(action.payload),
        incident=action.incident_id,
        epoch=action.arm_epoch,
        not_before_ms=begins_ms,
        expires_ms=expires_ms,
        node=rules.own,
    )
    insert_request(connection, rules.roster.domain, request, action.action_id, now_ms)
    return append_event(connection, action.action_id, Event.ASK, {"reason": request.effect}, now_ms)
