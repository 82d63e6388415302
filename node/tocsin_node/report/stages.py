"""How long each stage took on the way from somebody's sight to our effect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tocsin_protocol.containment.life_cycle import Event
from tocsin_protocol.postmortem.entries import Acted, AnyEntry, Heard
from tocsin_protocol.postmortem.lessons import step_ms

STAGES = ("detected", "issued", "arrived", "decided", "approved", "signed", "broadcast", "included", "effective")
_EVENTS = (
    ("approved", Event.GRANT),
    ("signed", Event.SIGN),
    ("broadcast", Event.SEND),
    ("included", Event.INCLUDE),
    ("effective", Event.CONFIRM),
)


@dataclass(frozen=True, slots=True)
class Stages:
    """When each stage of one action was reached, in UTC ms: those that are known, in their order.

    The first two are the publisher's clock, all others are ours.
    """

    action: str
    hook: str
    state: str
    known: tuple[tuple[str, int], ...]

    @property
    def total_ms(self) -> int:
        """From the first stage that is known to the last."""
        return self.known[-1][1] - self.known[0][1]

    def order_of(self, stage: str) -> int:
        """The place of a stage among all but the first."""
        return STAGES.index(stage) - 1


def stages_of(entries: Sequence[AnyEntry]) -> list[Stages]:
    """One row for each action, as far as its entries are shown."""
    heard = {entry.action: entry for entry in entries if isinstance(entry, Heard)}
    rows = []
    for action in sorted((e for e in entries if isinstance(e, Acted)), key=lambda e: e.decided_ms):
        known: list[tuple[str, int]] = []
        if before := heard.get(action.action):
            known = [("detected", before.detected_ms), ("issued", before.issued_ms), ("arrived", before.received_ms)]
        known.append(("decided", action.decided_ms))
        known += [(stage, at) for stage, event in _EVENTS if (at := step_ms(action, event)) is not None]
        rows.append(Stages(action.action, action.hook, action.state, tuple(known)))
    return rows
