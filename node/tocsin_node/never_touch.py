"""What no hook of this node may ever act on, whoever asks for it: accounts, targets by name, and functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tocsin_protocol.ids import address_of, chain_of

from .chain.abi import Argument, parse_function
from .hooks.config import ContractHookConfig, HookConfig, plain

ADDRESS_CHARS = 42
SELECTOR_CHARS = 10
_WORD = 32
_PADDING = bytes(12)


@dataclass(frozen=True, slots=True)
class NeverTouch:
    """`listed` as in node.toml: accounts, names of targets, selectors; `own`: our own addresses, on any chain."""

    listed: frozenset[str]
    own: frozenset[str] = frozenset()

    def bars(self, target: str, payload: bytes) -> str | None:
        """Return why an action must not be begun, None where nothing stands against it."""
        on = target.partition(" ")[0]
        # [CARE] No hook acts on a target of the never-touch list, nor on an address of our own.
        if on in self.listed:
            return f"{on} is on the never-touch list"
        if ":" not in on:
            return None
        chain = chain_of(on)
        if address_of(on) in self.own:
            return f"{on} is an address of our own"
        # [CARE] No hook calls a function of the never-touch list, nor with an account of it or an address of our own.
        for selector in _selectors_in(payload) & self.listed:
            return f"the function {selector} is on the never-touch list"
        for address in sorted(self.own | {address_of(a) for a in self.listed if ":" in a and chain_of(a) == chain}):
            if _PADDING + bytes.fromhex(address[2:]) in payload:
                return f"it names {address}, which no hook may act on"
        return None

    def fault_of(self, hook: HookConfig) -> str | None:
        """Return why a configured hook can never act, None where nothing is known against it."""
        # [CARE] The list is asked when the node starts, and again before the first signature or message of each action.
        if hook.target in self.listed:
            return f"{hook.target} is on the never-touch list"
        if not isinstance(hook, ContractHookConfig):
            return None
        if hook.contract in self.own:
            return f"{hook.target} is an address of our own"
        selector = "0x" + parse_function(hook.function).selector.hex()
        if selector in self.listed:
            return f"the function {hook.function} ({selector}) is on the never-touch list"
        chain = chain_of(hook.target)
        barred = self.own | {address_of(a) for a in self.listed if ":" in a and chain_of(a) == chain}
        named = [value for value in (*_flat(plain(hook.arguments)), *hook.among) if isinstance(value, str)]
        return next((f"it names {value}, which no hook may act on" for value in named if value.lower() in barred), None)


def own_addresses(*addresses: str | bytes) -> frozenset[str]:
    """Addresses as 0x and lower-case hex, whatever they came as."""
    return frozenset(a.lower() if isinstance(a, str) else "0x" + a.hex() for a in addresses)


def _selectors_in(payload: bytes) -> frozenset[str]:
    """The first four bytes of a call, and of calls carried in it, which begin at a word of its arguments."""
    starts = (0, *range(4, len(payload), _WORD))
    return frozenset("0x" + payload[start : start + 4].hex() for start in starts)


def _flat(values: Sequence[Argument]) -> list[Argument]:
    flat: list[Argument] = []
    for value in values:
        flat += _flat(value) if isinstance(value, list) else [value]
    return flat
