"""Each lever on a real chain: one effect, a refusal where it is there already, a probe that says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from chain_kit import MemoryJournal
from hook_kit import GUARDIAN_KEY, MAKERS
from tocsin_node.demo.anvil import Anvil
from tocsin_node.hooks.hook import Answer
from tocsin_node.hooks.presets import PRESETS
from tocsin_protocol.containment.life_cycle import State


@pytest.mark.parametrize("name", MAKERS)
async def test_a_lever_fires_once_and_what_is_in_effect_is_left_alone(anvil: Anvil, tmp_path: Path, name: str) -> None:
    stage = await MAKERS[name](anvil, GUARDIAN_KEY, tmp_path)
    journal, before = MemoryJournal(), await stage.count()
    async with stage.open_alone() as hook:
        checks = await hook.probe()
    assert {check.answer for check in checks} == {Answer.OK}, checks
    done = await stage.run(journal)
    assert done.state is State.EFFECTIVE, done.reason
    assert await stage.count() == before + 1
    assert (await stage.run(journal, done)).state is State.EFFECTIVE
    assert await stage.count() == before + 1
    if name != "generic":  # which has no check, and would go through again
        again = await stage.run(journal, await stage.intend(journal, epoch=2))
        assert again.state is State.REFUSED
        assert again.reason.startswith("already in effect")
        assert again.transactions == ()
        assert await stage.count() == before + 1


def test_every_preset_is_tried_on_a_chain() -> None:
    assert set(PRESETS) <= set(MAKERS)
