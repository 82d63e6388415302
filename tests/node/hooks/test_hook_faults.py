"""Each fault of an endpoint or a chain with each way to call: one effect, or a refusal that says why."""

from __future__ import annotations

from pathlib import Path

import pytest
from chain_kit import GUARDIAN_KEYS, open_bench
from fault_kit import CASES, Lever, Where, run_case
from hook_kit import MAKERS
from tocsin_node.demo.anvil import Anvil
from tocsin_node.demo.faults import Fault

# The ways that ask more of an endpoint than a direct call does, which has this test in tests/node/chain.
WAYS = ("safe-module 1.5.0", "safe-owners 1.5.0")


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize(("fault", "where"), CASES)
async def test_a_fault_leaves_one_effect_or_a_named_refusal(
    anvil: Anvil, tmp_path: Path, name: str, fault: Fault, where: Where
) -> None:
    bench = await open_bench(anvil)
    stage = await MAKERS[name](anvil, GUARDIAN_KEYS[1], tmp_path)
    before = await stage.count()

    async def count(_: object) -> int:
        return await stage.count() - before

    lever = Lever(lambda bench, sender, clock: stage.open(sender, clock), count)
    assert await run_case(bench, lever, fault, where)
