"""Hooks that an operator adds in Python: an entry point of the group `tocsin.hooks` that returns a Hook."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

from tocsin_node.errors import ConfigError

from .hook import Hook
from .message_config import PluginHookConfig

GROUP = "tocsin.hooks"
_PARTS = ("name", "target", "ends_after_minutes", "payload", "undo", "read_effect", "probe", "claim", "run")


def open_plugin(config: PluginHookConfig, config_file: Path) -> Hook:
    """Return the hook that the entry point makes of (name, target, settings); raises ConfigError."""
    key = f"hooks.{config.name}.entry_point"
    found = [point for point in entry_points(group=GROUP) if point.name == config.entry_point]
    if len(found) != 1:
        known = ", ".join(sorted({point.name for point in entry_points(group=GROUP)})) or "none is installed"
        wanted = f"one entry point of the group {GROUP} is wanted, {len(found)} are there ({known})"
        raise ConfigError(config_file, key, wanted, found=config.entry_point)
    try:
        hook = found[0].load()(config.name, config.target, dict(config.settings))
    except Exception as exc:  # whatever is wrong with somebody else's code, the node says so and does not start
        raise ConfigError(config_file, key, f"{type(exc).__name__}: {exc}", found=config.entry_point) from exc
    missing = [part for part in _PARTS if not hasattr(hook, part)]
    if missing or (hook.name, hook.target) != (config.name, config.target):
        wanted = (
            f"a hook with {', '.join(missing)} is wanted" if missing else "its name and target are to be the config's"
        )
        raise ConfigError(config_file, key, wanted, found=config.entry_point)
    checked: Hook = hook
    return checked
