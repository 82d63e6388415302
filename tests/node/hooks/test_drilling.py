"""What a hook for drills may be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tocsin_node.hooks.config import EvmHookConfig, HookConfig, SafeProposalHookConfig
from tocsin_node.hooks.drilling import drill_fault
from tocsin_node.hooks.message_config import CommandHookConfig, WebhookHookConfig

VAULT = "eip155:1:0x" + "11" * 20
OTHER = "eip155:1:0x" + "22" * 20


def lever(**changes: Any) -> EvmHookConfig:
    return EvmHookConfig(**({"kind": "evm", "name": "pause", "target": VAULT, "preset": "pausable"} | changes))


def drill(**changes: Any) -> EvmHookConfig:
    given = {"kind": "evm", "name": "drill", "drill": True, "target": VAULT, "function": "paused()", "check": ""}
    return EvmHookConfig(**(given | changes))


WEBHOOK = WebhookHookConfig(
    kind="webhook", name="w", target="t", url="https://a.example.org/", secret_file=Path("s"), drill=True
)


@pytest.mark.parametrize("hook", [drill(), WEBHOOK])
def test_a_view_of_a_lever_and_a_marked_webhook_may_be_a_drill(hook: HookConfig) -> None:
    assert drill_fault(hook, [lever(), hook]) is None


@pytest.mark.parametrize(
    ("hook", "beside"),
    [
        (drill(function="pause()"), lever()),
        (drill(function="paused(uint256)", arguments=[1]), lever()),
        (drill(target=OTHER), lever()),
        (drill(), lever(drill=True)),
        (drill(check="paused()(bool)"), lever()),
        (drill(undo="unpause()"), lever()),
        (CommandHookConfig(kind="command", name="c", target="t", argv=["/bin/true"], drill=True), lever()),
        (
            SafeProposalHookConfig(
                kind="safe-proposal",
                name="p",
                target=VAULT,
                preset="pausable",
                safe="0x" + "44" * 20,
                folder=Path("f"),
                drill=True,
            ),
            lever(),
        ),
    ],
)
def test_what_could_have_an_effect_is_no_drill(hook: HookConfig, beside: HookConfig) -> None:
    assert str(drill_fault(hook, [beside, hook])).startswith("a drill has no effect")
