"""What our own endpoints said of the claims in signals, and which claims are still to be asked about."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from itertools import islice, zip_longest

from tocsin_protocol.admission import Reason
from tocsin_protocol.audit import EntryKind
from tocsin_protocol.decision.judge import Sighting
from tocsin_protocol.encoding import encode_canonical
from tocsin_protocol.evidence.answers import Answer, Checked, Doubt
from tocsin_protocol.evidence.grammar import encode_predicate
from tocsin_protocol.evidence.predicates import Predicate
from tocsin_protocol.evidence.relevance import qualifying_predicates
from tocsin_protocol.evidence.weighing import Exhibit
from tocsin_protocol.model import Subject

from .audit import append_audit
from .rules import Rules

# Of one incident at once: four exchanges with each endpoint.
MAX_ASKED = 64
MAX_KEYS_KEPT = 4096


def load_exhibits(connection: sqlite3.Connection, rules: Rules, sightings: Sequence[Sighting]) -> list[Exhibit]:
    """The checked claims of every signal that counts."""
    return find_exhibits(rules, sightings, partial(_read, connection))


def find_exhibits(
    rules: Rules, sightings: Sequence[Sighting], read: Callable[[Predicate], Checked | None]
) -> list[Exhibit]:
    """The same, from wherever `read` has the answers."""
    exhibits = []
    for sighting, predicates in _qualifying(rules, sightings):
        checked = tuple(found for p in predicates if (found := read(p)) is not None)
        if checked:
            member = rules.roster.member(sighting.publisher)
            exhibits.append(Exhibit(sighting.digest, member.name if member else "", checked))
    return exhibits


def unchecked_predicates(
    connection: sqlite3.Connection, rules: Rules, sightings: Sequence[Sighting]
) -> list[Predicate]:
    """At most MAX_ASKED claims that would be local evidence and that no answer is known of, each once.

    Publishers take turns, the newest claims of each first: a flood of one is not in the way of another's.
    """
    of_publisher: dict[bytes, list[Predicate]] = defaultdict(list)
    for sighting, predicates in _qualifying(rules, sightings):
        of_publisher[sighting.publisher] += predicates
    turns = zip_longest(*(reversed(claims) for claims in of_publisher.values()))
    in_turn = dict.fromkeys(claim for turn in turns for claim in turn if claim is not None)
    unknown = (claim for claim in in_turn if _is_unknown(_read(connection, claim)))
    return list(islice(unknown, MAX_ASKED))


def _said(checked: Checked) -> tuple[Answer, bool]:
    """What of an answer can change a decision."""
    return checked.answer, checked.is_disagreement


def _is_unknown(checked: Checked | None) -> bool:
    return checked is None or checked.answer is Answer.UNKNOWN


def insert_checks(connection: sqlite3.Connection, checks: Iterable[Checked], now_ms: int) -> None:
    """Keep what was answered; an answer that is known is never replaced by not knowing."""
    for checked in checks:
        before = _read(connection, checked.predicate)
        if before is not None and before.answer is not Answer.UNKNOWN and checked.answer is Answer.UNKNOWN:
            continue
        claim = claim_key(checked.predicate)
        doubt = "" if checked.doubt is None else checked.doubt.value
        connection.execute(
            "INSERT OR REPLACE INTO evidence_checks VALUES (?, ?, ?, ?, ?)",
            (claim, checked.answer.value, doubt, checked.is_disagreement, now_ms),
        )
        if before is None or _said(before) != _said(checked):
            detail = {
                "claim": claim,
                "answer": checked.answer.value,
                "doubt": doubt,
                "disagrees": checked.is_disagreement,
            }
            append_audit(connection, now_ms, EntryKind.EVIDENCE, b"", detail)


def _qualifying(rules: Rules, sightings: Sequence[Sighting]) -> list[tuple[Sighting, tuple[Predicate, ...]]]:
    """Each signal that counts with its claims that are worth checking: those about what ours hangs on."""
    standing = [s for s in sightings if s.standing is Reason.ADMITTED]
    named = {subject for s in standing if s.signal.evidence for subject in s.signal.subjects}
    subjects, vantage = [subject for subject in named if _touches_us(rules, subject)], rules.vantage
    return [(s, qualifying_predicates(s.signal, subjects, vantage)) for s in standing if s.signal.evidence]


def _touches_us(rules: Rules, subject: Subject) -> bool:
    # Else a liar could name a second subject, of which he can show something true.
    return rules.exposure.spread.graph.leads_to_us(subject.kind, subject.value)


def _read(connection: sqlite3.Connection, predicate: Predicate) -> Checked | None:
    row = connection.execute(
        "SELECT answer, doubt, disagrees FROM evidence_checks WHERE claim = ?", (claim_key(predicate),)
    ).fetchone()
    if row is None:
        return None
    return Checked(predicate, Answer(row[0]), Doubt(row[1]) if row[1] else None, bool(row[2]), ())


@lru_cache(MAX_KEYS_KEPT)
def claim_key(predicate: Predicate) -> bytes:
    """A claim in canonical bytes, by which its answers are kept and logged."""
    claim = encode_predicate(predicate)
    return encode_canonical([claim.kind.value, claim.chain, claim.block, claim.reference, claim.detail])
