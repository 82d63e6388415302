from __future__ import annotations

from dataclasses import replace

import pytest
from tocsin_node.action_words import end_text, next_step
from tocsin_protocol.containment.action import Action, new_action
from tocsin_protocol.containment.life_cycle import State

NOW_MS = 1_700_000_000_000
MINUTE_MS = 60_000


def action(state: State, ends_ms: int | None = None) -> Action:
    planned = new_action(
        ledger=bytes(16),
        hook="pause-pool",
        target="eip155:1:0x" + "ab" * 20,
        arm_epoch=1,
        incident_id=b"\1" * 32,
        decision_id=b"\2" * 8,
        payload=b"pause",
        created_ms=NOW_MS,
        deadline_ms=NOW_MS,
        ends_ms=ends_ms,
    )
    return replace(planned, state=state)


@pytest.mark.parametrize("state", list(State))
def test_every_state_has_words(state: State) -> None:
    assert next_step(action(state)).endswith((".", action(state).action_id.hex()[:12]))


@pytest.mark.parametrize("state", [State.REVERTED, State.REFUSED, State.FAILED, State.LAPSED, State.UNKNOWN])
def test_where_nothing_is_contained_for_sure_the_operator_is_sent_to_look(state: State) -> None:
    assert any(word in next_step(action(state)) for word in ("by hand", "Look at", "See whether"))


def test_a_notice_that_was_answered_is_done() -> None:
    assert next_step(action(State.EFFECTIVE)) == "Done. It has nothing to end."
    assert "before its end" in next_step(action(State.EFFECTIVE, NOW_MS))


def test_an_end_is_told_from_now() -> None:
    held = action(State.EFFECTIVE, NOW_MS + 15 * MINUTE_MS)
    assert end_text(held, NOW_MS) == "in 15 min"
    assert end_text(replace(held, state=State.EXPIRING), NOW_MS + 17 * MINUTE_MS) == "2 min ago"
    assert end_text(action(State.EFFECTIVE), NOW_MS) == ""
    assert end_text(replace(held, state=State.LIFTED), NOW_MS) == ""
