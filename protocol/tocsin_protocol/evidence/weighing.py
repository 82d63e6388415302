"""What the checked claims of all of an incident's signals come to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .answers import Answer, Checked


@dataclass(frozen=True, slots=True)
class Exhibit:
    """The checked claims of one signal that counts, all of which qualify; `member` is whom its publisher speaks for."""

    digest: bytes
    member: str
    checked: tuple[Checked, ...]

    def has(self, answer: Answer) -> bool:
        """Whether one of the claims was answered so."""
        return any(item.answer is answer for item in self.checked)


@dataclass(frozen=True, slots=True)
class Weighing:
    """What evidence says of an incident.

    `is_local`: something of it was confirmed here. `is_vetoed`: nothing of tier 2 or up may follow. `discredited` are
    the signals that no longer count for anything, `confirmed` those that showed what they claim. `disagreements`
    counts claims about which our endpoints disagree.
    """

    is_local: bool
    is_vetoed: bool
    discredited: frozenset[bytes]
    confirmed: frozenset[bytes]
    disagreements: int
    sentence: str


def weigh_evidence(exhibits: Iterable[Exhibit]) -> Weighing:
    """Sum up an incident; the order does not matter, and an exhibit given twice counts once."""
    given = frozenset(exhibits)
    # [EVIDENCE] A signal with a contradicted claim is discredited: it has no vote, and its other claims no weight.
    discredited = frozenset(item.digest for item in given if item.has(Answer.CONTRADICTED))
    deniable = {item.member for item in given if item.digest in discredited}
    # [EVIDENCE] There is local evidence while a signal that is not discredited has a confirmed claim.
    standing = [item for item in given if item.digest not in discredited and item.has(Answer.CONFIRMED)]
    # [EVIDENCE] A discredited signal vetoes T2 and up, unless a member with none of its own has a confirmed claim.
    is_vetoed = bool(discredited) and all(item.member in deniable for item in standing)
    disagreements = {checked.predicate for item in given for checked in item.checked if checked.is_disagreement}
    return Weighing(
        is_local=bool(standing),
        is_vetoed=is_vetoed,
        discredited=discredited,
        confirmed=frozenset(item.digest for item in standing),
        disagreements=len(disagreements),
        sentence=_explain(given, standing, deniable, is_vetoed, len(disagreements)),
    )


def _explain(
    given: frozenset[Exhibit], standing: list[Exhibit], deniable: set[str], is_vetoed: bool, disagreements: int
) -> str:
    members = ", ".join(sorted({item.member for item in standing}))
    liars = ", ".join(sorted(deniable))
    if is_vetoed:
        told = f"Our endpoints contradict what {liars} claims, and nobody else's claim is confirmed."
    elif standing:
        told = f"Our endpoints confirm what {members} claims."
        told += f" They contradict {liars}, whose signals no longer count." if liars else ""
    elif any(item.checked for item in given):
        told = "Our endpoints could confirm no claim."
    else:
        told = "No signal makes a claim that would be local evidence."
    if disagreements:
        told += f" They disagree about {'one claim' if disagreements == 1 else f'{disagreements} claims'}."
    return told
