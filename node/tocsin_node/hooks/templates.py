"""Arguments of a call that are known only on the occasion: a small closed list of placeholders, each of one type."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tocsin_protocol.errors import DecodeError
from tocsin_protocol.ids import address_of, chain_of, check_account_id, check_asset_id, check_hash

from tocsin_node.chain.abi import Argument
from tocsin_node.chain.errors import AbiError

from .hook import Occasion

MAX_LATER_S = 366 * 86_400
"""As far as `{now+…}` reaches: what is meant to be closed for longer is for people."""
MAX_AMONG = 64
ANY = "*"
"""Says that whatever a signal names may become an argument."""

_PLACEHOLDER = re.compile(r"\{([a-z.]+?)(?:\.([0-9]{1,2})|\+([0-9]{1,9}))?\}")
_ADDRESS = re.compile(r"0x[0-9a-f]{40}")
_INTEGER = re.compile(r"u?int(?:40|48|56|64|[7-9][0-9]|[12][0-9]{2})")


class Placeholder(StrEnum):
    """What may stand in place of an argument."""

    ADDRESS = "subject.address"
    HASH = "subject.hash"
    NOW = "now"
    INCIDENT = "incident"
    ARGUMENT = "argument"


_WANTED_TYPE = {Placeholder.ADDRESS: "address", Placeholder.HASH: "bytes32", Placeholder.INCIDENT: "bytes32"}


class NoArgumentError(Exception):
    """The occasion does not say what a placeholder stands for."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One placeholder; `number` is the seconds after now, or which argument of the call is meant."""

    kind: Placeholder
    number: int = 0


def read_slot(value: object) -> Slot | None:
    """Return the placeholder that a configured argument is, None when it is a plain value; raises AbiError."""
    if not isinstance(value, str) or not value.startswith("{"):
        return None
    match = _PLACEHOLDER.fullmatch(value)
    # [HOOK] A placeholder is one of the list, or the hook is refused when the node starts.
    if match is None or match[1] not in set(Placeholder):
        known = ", ".join(f"{{{kind}}}" for kind in Placeholder)
        raise AbiError(f"{value[:80]!r} is none of {known}")
    kind = Placeholder(match[1])
    if (match[2] is not None) != (kind is Placeholder.ARGUMENT) or (match[3] and kind is not Placeholder.NOW):
        raise AbiError(f"{value[:80]!r}: {{argument.0}} takes a place, {{now+60}} takes seconds, the others neither")
    number = int(match[2] or match[3] or 0)
    if kind is Placeholder.NOW and number > MAX_LATER_S:
        raise AbiError(f"{value[:80]!r} is more than {MAX_LATER_S} seconds from now")
    return Slot(kind, number)


def check_arguments(
    types: Sequence[str], arguments: Sequence[Argument], *, of_call: Sequence[str] | None = None
) -> None:
    """Raise AbiError unless each placeholder stands where its type is wanted.

    With `of_call`, the types of the call, these are the arguments of its check or undo, which can only repeat its own.
    """
    if len(types) != len(arguments):
        raise AbiError(f"{len(arguments)} arguments where {len(types)} are wanted")
    for place, (kind, value) in enumerate(zip(types, arguments, strict=True)):
        if isinstance(value, list):
            check_arguments([kind.rpartition("[")[0]] * len(value), value, of_call=of_call)
            continue
        slot = read_slot(value)
        if slot is not None:
            _check_type(place, kind, slot, of_call)


def _check_type(place: int, kind: str, slot: Slot, of_call: Sequence[str] | None) -> None:
    if (slot.kind is Placeholder.ARGUMENT) != (of_call is not None):
        raise AbiError(f"argument {place}: {{argument.0}} is for a check or an undo, which take no other placeholder")
    if of_call is not None:
        if slot.number >= len(of_call):
            raise AbiError(f"argument {place}: the call has no argument {slot.number} that could stand there")
        wanted = of_call[slot.number]
        fits = wanted == kind
    elif slot.kind is Placeholder.NOW:
        wanted, fits = "an integer of 40 bits or more", _INTEGER.fullmatch(kind) is not None
    else:
        wanted = _WANTED_TYPE[slot.kind]
        fits = wanted == kind
    # [HOOK] A placeholder stands only where its own type is wanted.
    if not fits:
        raise AbiError(f"argument {place}: {{{slot.kind}}} is {wanted}, and {kind} is wanted there")


def takes_from_signals(arguments: Sequence[Argument]) -> bool:
    """Whether any argument is what a signal names."""
    slots = [slot for value in _flat(arguments) if (slot := read_slot(value)) is not None]
    return any(slot.kind in (Placeholder.ADDRESS, Placeholder.HASH) for slot in slots)


def _flat(arguments: Sequence[Argument]) -> list[Argument]:
    return [item for value in arguments for item in (value if isinstance(value, list) else [value])]


@dataclass(frozen=True, slots=True)
class Filling:
    """What stands for the placeholders of one hook: its chain, and what signals may name (`among`), or `*`.

    `never` are addresses that no signal can make an argument: the target's and the guardian's own.
    """

    chain: str
    among: tuple[str, ...]
    never: frozenset[str]

    def fill(self, arguments: Sequence[Argument], occasion: Occasion) -> list[Argument]:
        """Return the arguments of a call on this occasion; raises NoArgumentError."""
        return [
            [self._fill_one(item, occasion) for item in value]
            if isinstance(value, list)
            else self._fill_one(value, occasion)
            for value in arguments
        ]

    def _fill_one(self, value: Argument, occasion: Occasion) -> Argument:
        slot = read_slot(value)
        if slot is None:
            return value
        if slot.kind is Placeholder.NOW:
            return occasion.decided_ms // 1_000 + slot.number
        if slot.kind is Placeholder.INCIDENT:
            return occasion.incident_id.rjust(32, b"\0")
        named = self._addresses(occasion) if slot.kind is Placeholder.ADDRESS else _hashes(occasion)
        # [HOOK] What a signal names becomes an argument only if the operator listed it, or allowed any by `*`.
        allowed = [item for item in named if ANY in self.among or item in self.among]
        # [HOOK] Where the incident names none or several that are allowed, nothing is called.
        if len(allowed) != 1:
            found = "none" if not allowed else f"{len(allowed)} ({', '.join(allowed[:3])})"
            raise NoArgumentError(f"{{{slot.kind}}}: the incident names {found} of what this hook may take, not one")
        return allowed[0]

    def _addresses(self, occasion: Occasion) -> list[str]:
        found: set[str] = set()
        for subject in occasion.subjects:
            if _is_account_or_asset(subject) and chain_of(subject) == self.chain:
                found.add(address_of(subject))
        # [HOOK] The target's and the guardian's own address never become an argument.
        return sorted(item for item in found - self.never if _ADDRESS.fullmatch(item))


def _hashes(occasion: Occasion) -> list[str]:
    return sorted({subject for subject in occasion.subjects if _is_hash(subject)})


def _is_account_or_asset(subject: str) -> bool:
    try:
        check_asset_id(subject) if "/" in subject else check_account_id(subject)
    except DecodeError:
        return False
    return True


def _is_hash(subject: str) -> bool:
    try:
        check_hash(subject)
    except DecodeError:
        return False
    return True


def repeat_arguments(arguments: Sequence[Argument], called: Sequence[Argument]) -> list[Argument]:
    """Return arguments of a check or an undo, with `{argument.0}` replaced by what the call was given."""
    filled: list[Argument] = []
    for value in arguments:
        slot = read_slot(value)
        filled.append(value if slot is None else called[slot.number])
    return filled
