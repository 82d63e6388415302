"""What every containment lever is to the rest of the node."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from tocsin_protocol.containment.action import Action, Detail
from tocsin_protocol.containment.life_cycle import Event


@dataclass(frozen=True, slots=True)
class Occasion:
    """Why a hook is used: what a payload may tell of it. Subjects as CAIP ids, time in UTC milliseconds."""

    incident_id: bytes
    decision_id: bytes
    category: str
    severity: str
    subjects: tuple[str, ...]
    summary: str
    decided_ms: int

    def id_for(self, hook: str) -> str:
        """Return the 32 hex digits that a message of one hook is known by, inside of the message.

        Decisions are counted from one in each database, and drills not at all: the incident and the time tell apart.
        """
        named = f"{self.incident_id.hex()} {self.decided_ms} {hook}"
        return hashlib.sha256(named.encode()).hexdigest()[:32]


class Answer(StrEnum):
    """What a look at one part of a lever found."""

    OK = "ok"
    NOT_OK = "not-ok"
    NOT_KNOWN = "not-known"


@dataclass(frozen=True, slots=True)
class Check:
    """One part of a lever that must be right before the night it is needed.

    `valid_until_ms` is when what is right today ends by itself, None where it does not.
    """

    name: str
    answer: Answer
    sentence: str
    valid_until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """What would take an effect back, to be shown to people; no hook ever sends one.

    `target` (CAIP-10) and `calldata` are for a transaction of those who may; None where the sentence is all there is.
    """

    sentence: str
    target: str | None = None
    calldata: bytes | None = None


class Journal(Protocol):
    """Where actions are durable."""

    async def record(self, action_id: bytes, event: Event, detail: Detail) -> Action:
        """Apply one event and return the action after it; the event is durable before this returns, and of a first
        SIGN or SEND the ledger's anchor tells as well.

        The first SIGN or SEND of a hook that was disarmed meanwhile becomes a LAPSE: look at the state returned
        before doing anything.
        """
        ...


class Hook(Protocol):
    """One configured lever on one target."""

    @property
    def name(self) -> str:
        """Its name in the config, the policy and the audit log."""
        ...

    @property
    def target(self) -> str:
        """What it acts on, as a CAIP-10 account or a short name."""
        ...

    @property
    def ends_after_minutes(self) -> int | None:
        """After how many minutes the contract itself ends the effect; None where people must."""
        ...

    def payload(self, occasion: Occasion) -> bytes:
        """Return the bytes of the intent; they are made durable with it and never made again."""
        ...

    def undo(self, action: Action) -> Proposal | None:
        """Return what would take the effect of an action back, None where nothing is configured."""
        ...

    async def read_effect(self, action: Action) -> bool | None:
        """Say whether the effect of an action is there now; None where that is not known or cannot be asked."""
        ...

    async def probe(self) -> tuple[Check, ...]:
        """Look, without changing anything, whether the lever would work now."""
        ...

    def claim(self, action: Action) -> None:
        """Take in what an action of an earlier run used, or still holds.

        Call it for every unfinished and every signed action before the first `run` of a process: a new action must not
        take the nonce of one that is signed, and what was signed within a day counts against the spend cap.
        """
        ...

    async def run(self, action: Action, journal: Journal) -> Action:
        """Drive an action from the state it is in, fresh or left by a crash, until it is settled, or to UNKNOWN."""
        ...
