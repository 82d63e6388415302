"""Remembered message ids."""

from __future__ import annotations

import trio
from tocsin_node.mesh.seen import GENERATION_SECONDS, MAX_IDS_A_GENERATION, SeenIds


async def test_ids_are_remembered_for_one_to_two_generations(autojump_clock: trio.testing.MockClock) -> None:
    seen = SeenIds()
    seen.add(b"first")
    await trio.sleep(GENERATION_SECONDS)
    seen.add(b"second")
    assert b"first" in seen
    await trio.sleep(GENERATION_SECONDS)
    seen.add(b"third")
    assert b"first" not in seen
    assert b"second" in seen


async def test_memory_is_bounded_in_a_flood() -> None:
    seen = SeenIds()
    for n in range(3 * MAX_IDS_A_GENERATION):
        seen.add(n.to_bytes(8, "big"))
    assert len(seen._new) + len(seen._old) <= 2 * MAX_IDS_A_GENERATION
    assert (3 * MAX_IDS_A_GENERATION - 1).to_bytes(8, "big") in seen
