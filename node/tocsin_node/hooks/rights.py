"""The end of our right to use a lever, where the operator gave it one and no chain can be asked."""

from __future__ import annotations

from .hook import Answer, Check
from .message_config import BaseHookConfig


def describe_end(config: BaseHookConfig, now_ms: int) -> str | None:
    """Return that our right has ended, None while it holds or has no end."""
    until_ms = config.valid_until_ms
    # [HOOK] What we have no right to use any more is not used.
    if until_ms is None or now_ms <= until_ms:
        return None
    return f"our right to use it ended at {config.capability_valid_until:%Y-%m-%d %H:%M %Z} (capability_valid_until)"


def probe_right(config: BaseHookConfig, now_ms: int) -> tuple[Check, ...]:
    """Whether our right holds, and until when; nothing where it has no end."""
    if config.valid_until_ms is None:
        return ()
    ended = describe_end(config, now_ms)
    holds = f"our right to use it holds until {config.capability_valid_until:%Y-%m-%d %H:%M %Z}"
    return (Check("capability", Answer.NOT_OK if ended else Answer.OK, ended or holds, config.valid_until_ms),)
