"""Levers that many protocols have, by name: what is called, how its effect is read, what takes it back, how it ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Value = str | int | bool


@dataclass(frozen=True, slots=True)
class Preset:
    """One lever. `{name}` stands for a parameter of the hook, `{argument.0}` for what the call was given.

    `position` is which value of the view counts, `wants` what it is, or is at most or at least, while the effect is
    there. Without `undo`, people choose what comes after: no hook knows what a cap should be tomorrow. `ends` is how
    the contract ends the effect by itself: after as many seconds as that parameter says, or as it is set up.
    `is_mute` says that where it is in effect a second call goes through, or is refused without saying why.
    """

    sentence: str
    function: str
    arguments: tuple[Value, ...] = ()
    check: str = ""
    check_arguments: tuple[Value, ...] = ()
    position: int = 0
    wants: Value = True
    compare: Literal["is", "at-most", "at-least"] = "is"
    zero_is_open: bool = False
    undo: str = ""
    undo_arguments: tuple[Value, ...] = ()
    ends: Literal["", "seconds", "set-up"] = ""
    is_mute: bool = False

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of what the hook must give, in the order of the call."""
        texts = [value for value in (*self.arguments, *self.check_arguments, self.wants) if isinstance(value, str)]
        names = [text[1:-1] for text in texts if text.startswith("{") and not text.startswith("{argument.")]
        return tuple(dict.fromkeys(names))


_FIRST = ("{argument.0}",)

PRESETS: Mapping[str, Preset] = {
    "pausable": Preset(
        "OpenZeppelin Pausable: stop the contract",
        *("pause()", (), "paused()(bool)"),
        undo="unpause()",
    ),
    "access-manager": Preset(
        "OpenZeppelin AccessManager: close one contract to everybody but its admins",
        *("setTargetClosed(address,bool)", ("{contract}", True), "isTargetClosed(address)(bool)", _FIRST),
        undo="setTargetClosed(address,bool)",
        undo_arguments=("{argument.0}", False),
        is_mute=True,
    ),
    "timelock-cancel": Preset(
        "OpenZeppelin TimelockController: cancel a queued operation",
        *("cancel(bytes32)", ("{operation}",), "isOperation(bytes32)(bool)", _FIRST),
        wants=False,
        is_mute=True,
    ),
    "expiring-pause": Preset(
        "a pause that ends by itself, to restricted",
        *("pauseFor(uint32)", ("{seconds}",), "paused()(bool)"),
        undo="reset()",
        ends="seconds",
    ),
    "restrict": Preset(
        "let users leave and not enter",
        *("restrict()", (), "level()(uint8)"),
        wants=1,
        compare="at-least",
        undo="reset()",
    ),
    "breaker-trip": Preset(
        "ERC-7265 style breaker: let nothing of one asset leave",
        *("trip(address)", ("{asset}",), "levelOf(address)(uint8)", _FIRST),
        wants=2,
        undo="resetAsset(address)",
        undo_arguments=_FIRST,
        ends="set-up",
    ),
    "breaker-tighten": Preset(
        "ERC-7265 style breaker: put one asset under its restricted limit",
        *("tighten(address)", ("{asset}",), "levelOf(address)(uint8)", _FIRST),
        wants=1,
        compare="at-least",
        undo="resetAsset(address)",
        undo_arguments=_FIRST,
    ),
    "oracle-fallback": Preset(
        "switch the oracle to its fallback",
        *("switchToFallback()", (), "isFallback()(bool)"),
        undo="restore()",
    ),
    "oracle-freeze": Preset(
        "hold the oracle's last price",
        *("freeze()", (), "isFrozen()(bool)"),
        undo="restore()",
    ),
    "market-freeze": Preset(
        "close one market",
        *("setFrozen(bytes32,bool)", ("{market}", True), "isFrozen(bytes32)(bool)", _FIRST),
        undo="setFrozen(bytes32,bool)",
        undo_arguments=("{argument.0}", False),
        is_mute=True,
    ),
    "supply-cap": Preset(
        "lower what one market takes in",
        *("setSupplyCap(bytes32,uint256)", ("{market}", "{cap}"), "supplyCap(bytes32)(uint256)", _FIRST),
        wants="{cap}",
        compare="at-most",
        zero_is_open=True,
        is_mute=True,
    ),
    "borrow-cap": Preset(
        "lower what one market lends",
        *("setBorrowCap(bytes32,uint256)", ("{market}", "{cap}"), "caps(bytes32)(uint256,uint256)", _FIRST),
        position=1,
        wants="{cap}",
        compare="at-most",
        zero_is_open=True,
        is_mute=True,
    ),
    "max-leverage": Preset(
        "lower the leverage that one market allows",
        *("setMaxLeverage(bytes32,uint256)", ("{market}", "{bps}"), "maxLeverage(bytes32)(uint256)", _FIRST),
        wants="{bps}",
        compare="at-most",
        is_mute=True,
    ),
    "interest-rate": Preset(
        "raise what borrowing in one market costs",
        *("setRate(bytes32,uint256)", ("{market}", "{bps}"), "rate(bytes32)(uint256)", _FIRST),
        wants="{bps}",
        compare="at-least",
        is_mute=True,
    ),
    "order-type": Preset(
        "close one kind of order in one market",
        "setOrderTypeClosed(bytes32,uint8,bool)",
        ("{market}", "{order_type}", True),
        "isOrderTypeClosed(bytes32,uint8)(bool)",
        ("{argument.0}", "{argument.1}"),
        undo="setOrderTypeClosed(bytes32,uint8,bool)",
        undo_arguments=("{argument.0}", "{argument.1}", False),
        is_mute=True,
    ),
}

TELLING = frozenset(preset.function for preset in PRESETS.values() if not preset.is_mute)
"""Functions whose revert says that they are in effect already: a simulation tells, and nothing else need be asked."""


def expand(name: object, parameters: object, minutes: object) -> dict[str, object]:
    """Return the settings of a hook that a preset stands for; raises ValueError naming what is wrong.

    `minutes` are after how many the contract ends the effect, where the operator says so.
    """
    preset = PRESETS.get(name) if isinstance(name, str) else None
    if preset is None:
        raise ValueError(f"preset: {str(name)[:80]!r} is none of {', '.join(PRESETS)}")
    given = parameters if isinstance(parameters, dict) else {}
    if set(given) != set(preset.parameters):
        wanted = ", ".join(preset.parameters) or "none"
        raise ValueError(f"parameters: {', '.join(map(str, given)) or 'none'} where {wanted} is wanted for {name}")
    # [HOOK] No hook claims an end that its contract does not enforce.
    if minutes is not None and preset.ends != "set-up":
        known = "its seconds say that already" if preset.ends else "no such contract ends it by itself"
        raise ValueError(f"ends_after_minutes: {known} ({name})")
    seconds = given.get("seconds") if preset.ends == "seconds" else None

    def put(value: Value) -> object:
        key = value[1:-1] if isinstance(value, str) and value.startswith("{") else None
        return given.get(key, value)

    return {
        "function": preset.function,
        "arguments": [put(value) for value in preset.arguments],
        "check": preset.check,
        "check_arguments": [put(value) for value in preset.check_arguments],
        "check_position": preset.position,
        "check_is": put(preset.wants),
        "check_compare": preset.compare,
        "check_zero_is_open": preset.zero_is_open,
        "undo": preset.undo,
        "undo_arguments": [put(value) for value in preset.undo_arguments],
        "ends_after_minutes": -(-seconds // 60) if isinstance(seconds, int) else minutes,
    }
