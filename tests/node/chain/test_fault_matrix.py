"""Each fault with each hook: one effect on chain, or a refusal that says why. The page lists what came of each."""

from __future__ import annotations

from pathlib import Path

import pytest
from chain_kit import Bench
from fault_kit import CASES, LEVERS, Where, give_tokens, run_case
from tocsin_node.demo.faults import FAULTS, Fault

PAGE = Path(__file__).parents[3] / "specs" / "containment-faults.md"


@pytest.mark.parametrize("lever", LEVERS)
@pytest.mark.parametrize(("fault", "where"), CASES)
async def test_a_fault_leaves_one_effect_or_a_named_refusal(
    bench: Bench, lever: str, fault: Fault, where: Where
) -> None:
    await give_tokens(bench)
    outcome = await run_case(bench, LEVERS[lever], fault, where)
    row = f"| `{fault}` | {where} | {lever} | {outcome} |"
    assert row in PAGE.read_text().splitlines(), "the page has another row"


def test_the_page_lists_every_fault_and_nothing_else() -> None:
    lines = PAGE.read_text().splitlines()
    assert [line for line in lines if line.startswith("| `") and line.count("|") == 3] == [
        f"| `{fault}` | {sentence} |" for fault, sentence in FAULTS.items()
    ]
    assert sum(line.count("|") == 5 and line.startswith("| `") for line in lines) == len(CASES) * len(LEVERS)
