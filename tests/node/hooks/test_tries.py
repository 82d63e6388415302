"""Tries of a message or a program: how many, how long, and what is said of what they came to."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio
from chain_kit import OCCASION, MemoryJournal
from tocsin_node.hooks.tries import NOT_KNOWN, Bounds, Tried, run_tries
from tocsin_protocol.containment.action import Action, Detail, new_action
from tocsin_protocol.containment.life_cycle import Event, State
from trio.testing import MockClock

DEADLINE_MS = 100_000
DONE = Tried(True, False, "done")
NOT_DONE = Tried(False, True, "not done")
REFUSED = Tried(False, False, "will not")
UNSURE = Tried(False, True, f"no answer; {NOT_KNOWN}", is_unsure=True)


def intend(journal: MemoryJournal) -> Action:
    return journal.add(
        new_action(
            ledger=bytes(16),
            hook="pager",
            target="pool",
            arm_epoch=1,
            incident_id=OCCASION.incident_id,
            decision_id=OCCASION.decision_id,
            payload=b"{}",
            created_ms=0,
            deadline_ms=DEADLINE_MS,
        )
    )


async def run(journal: MemoryJournal, action: Action, *becomes: Tried, tries: int = 3) -> tuple[Action, list[float]]:
    """Run with what becomes of each try, on trio's clock; returns the action and when, in s, each try was made."""
    left, made = list(becomes), list[float]()

    async def attempt(current: Action) -> Tried:
        made.append(trio.current_time() - start)
        return left.pop(0)

    start = trio.current_time()
    bounds = Bounds(max_attempts=tries, retry_min_ms=10_000, retry_max_ms=20_000)
    done = await run_tries(action, journal, bounds, attempt, lambda: round(1_000 * (trio.current_time() - start)))
    return done, made


@pytest.mark.parametrize(
    ("becomes", "state", "reason"),
    [
        ((NOT_DONE, DONE), State.EFFECTIVE, "done"),
        ((UNSURE, DONE), State.EFFECTIVE, "done"),
        ((NOT_DONE, NOT_DONE, NOT_DONE), State.FAILED, "not done; given up after try 3"),
        ((NOT_DONE, REFUSED), State.FAILED, "will not"),
        ((NOT_DONE, NOT_DONE, UNSURE), State.UNKNOWN, f"no answer; {NOT_KNOWN}; given up after try 3"),
        (
            (UNSURE, NOT_DONE, NOT_DONE),
            State.UNKNOWN,
            "not done; given up after try 3; whether an earlier try took effect is not known",
        ),
        ((UNSURE, REFUSED), State.UNKNOWN, "will not; whether an earlier try took effect is not known"),
    ],
)
async def test_one_try_that_may_have_taken_effect_makes_the_end_unknown_unless_it_is_confirmed(
    autojump_clock: MockClock, becomes: Sequence[Tried], state: State, reason: str
) -> None:
    journal = MemoryJournal()
    done, made = await run(journal, intend(journal), *becomes)
    assert (done.state, done.reason) == (state, reason)
    assert len(made) == len(becomes)


async def test_what_is_unknown_is_left_to_people(autojump_clock: MockClock) -> None:
    journal = MemoryJournal()
    unknown, _ = await run(journal, intend(journal), UNSURE, tries=1)
    count = len(journal.events)
    assert await run(journal, unknown, tries=9) == (unknown, [])
    assert len(journal.events) == count


async def test_the_wait_doubles_up_to_its_bound_and_there_is_none_after_the_last(autojump_clock: MockClock) -> None:
    journal, start = MemoryJournal(), trio.current_time()
    _, made = await run(journal, intend(journal), *[NOT_DONE] * 4, tries=4)
    assert made == [0, 10, 30, 50]
    assert trio.current_time() - start == 50


@pytest.mark.parametrize(("first", "state"), [(NOT_DONE, State.FAILED), (UNSURE, State.UNKNOWN)])
async def test_no_try_is_made_past_the_deadline(autojump_clock: MockClock, first: Tried, state: State) -> None:
    journal = MemoryJournal()
    done, made = await run(journal, intend(journal), first, *[NOT_DONE] * 8, tries=50)
    assert done.state is state
    assert "too old to be tried again" in done.reason
    assert max(made) * 1_000 <= DEADLINE_MS


@pytest.mark.parametrize(
    ("becomes", "tries", "state", "reason"),
    [
        ((), 1, State.UNKNOWN, f"cut off by a restart; {NOT_KNOWN}; given up after try 1"),
        ((DONE,), 2, State.EFFECTIVE, "done"),
        ((REFUSED,), 2, State.UNKNOWN, "will not; whether an earlier try took effect is not known"),
    ],
)
async def test_a_try_that_a_restart_cut_off_counts_and_may_have_taken_effect(
    autojump_clock: MockClock, becomes: Sequence[Tried], tries: int, state: State, reason: str
) -> None:
    journal = MemoryJournal()
    left = await journal.record(intend(journal).action_id, Event.SEND, {})
    done, _ = await run(journal, left, *becomes, tries=tries)
    assert (done.state, done.reason) == (state, reason)


class TakenBack(MemoryJournal):
    """The journal of a hook that was disarmed after the intent."""

    async def record(self, action_id: bytes, event: Event, detail: Detail) -> Action:
        return await super().record(action_id, Event.LAPSE, {"reason": "disarmed"})


async def test_what_is_disarmed_before_the_first_try_is_never_tried(autojump_clock: MockClock) -> None:
    journal = TakenBack()
    done, made = await run(journal, intend(journal))
    assert (done.state, done.reason, made) == (State.LAPSED, "disarmed", [])
