"""What a hook for drills may be: something that has no effect, whoever looks at it."""

from __future__ import annotations

from collections.abc import Sequence

from tocsin_node.chain.abi import parse_function

from .config import ContractHookConfig, EvmHookConfig, HookConfig
from .message_config import WebhookHookConfig


def drill_fault(hook: HookConfig, hooks: Sequence[HookConfig]) -> str | None:
    """Return why a hook may not be a drill's, None where it has no effect."""
    # [DRILL] A webhook for drills posts a body that says `"drill": true`.
    if isinstance(hook, WebhookHookConfig):
        return None
    if not isinstance(hook, EvmHookConfig):
        return "a drill has no effect: kind = evm or webhook is wanted"
    # [DRILL] A call for drills is the view that a lever of the same contract is checked by, and takes nothing back.
    if hook.check is not None or hook.undo is not None or hook.arguments:
        return 'a drill has no effect: check = "" and neither undo nor arguments are wanted'
    views = {
        other.check.partition(")")[0] + ")"
        for other in hooks
        if isinstance(other, ContractHookConfig) and not other.drill and other.target == hook.target and other.check
    }
    called = hook.function.partition(")")[0] + ")"
    if called in views and not parse_function(hook.function).inputs:
        return None
    wanted = ", ".join(sorted(views)) or "none: it needs a lever on the same target"
    return f"a drill has no effect: function = a view that a lever of this target is checked by is wanted ({wanted})"
