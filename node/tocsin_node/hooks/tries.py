"""Trying a message or a program until it is done: bounded, counted in the ledger, honest about what is not known."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio
from tocsin_protocol.containment.action import Action
from tocsin_protocol.containment.life_cycle import Event, State

from .hook import Journal

NOT_KNOWN = "whether it took effect is not known"


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of one try. `is_unsure`: it may have taken effect all the same."""

    is_done: bool
    is_worth_another: bool
    sentence: str
    is_unsure: bool = False


@dataclass(frozen=True, slots=True)
class Bounds:
    """How often, and with what waits between, in ms; the wait doubles."""

    max_attempts: int
    retry_min_ms: int
    retry_max_ms: int


async def run_tries(
    action: Action,
    journal: Journal,
    bounds: Bounds,
    attempt: Callable[[Action], Awaitable[Tried]],
    now_ms: Callable[[], int],
) -> Action:
    """Try until it is done, or the tries or the time are used up; tries of earlier runs count.

    UNKNOWN where one of them may have taken effect and none was confirmed: then only people can tell.
    """
    # A try that a restart cut off may have been done.
    is_unsure, sentence = action.attempts > 0, f"cut off by a restart; {NOT_KNOWN}" if action.attempts else ""
    delay_ms = bounds.retry_min_ms
    while not action.is_settled and action.state is not State.UNKNOWN:
        if now_ms() > action.deadline_ms:
            if action.is_unsigned:
                return await _record(action, journal, Event.LAPSE, "too old to be sent")
            return await _give_up(action, journal, f"{sentence or 'not done'}; too old to be tried again", is_unsure)
        if action.attempts >= bounds.max_attempts:
            return await _give_up(action, journal, f"{sentence}; given up after try {action.attempts}", is_unsure)
        # Durable first: a try that was begun counts, whatever became of it.
        action = await journal.record(action.action_id, Event.SEND, {})
        if action.is_settled:
            break
        tried = await attempt(action)
        sentence, is_unsure = tried.sentence, is_unsure or tried.is_unsure
        if tried.is_done:
            return await _record(action, journal, Event.CONFIRM, sentence)
        if not tried.is_worth_another:
            return await _give_up(action, journal, sentence, is_unsure)
        if action.attempts < bounds.max_attempts:
            await trio.sleep(delay_ms / 1_000)
        delay_ms = min(delay_ms * 2, bounds.retry_max_ms)
    return action


async def _give_up(action: Action, journal: Journal, sentence: str, is_unsure: bool) -> Action:
    if not is_unsure:
        return await _record(action, journal, Event.FAIL, sentence)
    # [HOOK] A message that may have taken effect, and was never confirmed, is unknown and not failed.
    told = sentence if NOT_KNOWN in sentence else f"{sentence}; whether an earlier try took effect is not known"
    return await _record(action, journal, Event.LOSE, told)


async def _record(action: Action, journal: Journal, event: Event, sentence: str) -> Action:
    return await journal.record(action.action_id, event, {"reason": sentence})
