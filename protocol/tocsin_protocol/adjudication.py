"""What an operator finds an incident to have been, once it is over: signed, and what each publisher earns by it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from .belief.outcomes import Outcome, Verdict
from .decision.judge import Sighting
from .encoding import decode_canonical, encode_canonical
from .fields import bytes_of, enum_of, list_of, uint_of
from .ids import DIGEST_BYTES, PUBLISHER_BYTES
from .signing import SIGNATURE_BYTES, keccak256, sign_digest, verify_digest
from .taxonomy import Category, Relation, Severity

MAX_ADJUDICATION_BYTES = 256 * 1024
# As many publishers as a roster holds.
MAX_EARNED = 2048
_DOMAIN = b"tocsin/adjudication/2"


class Finding(StrEnum):
    """What it was."""

    CONFIRMED = "confirmed"
    FALSE = "false"


@dataclass(frozen=True, slots=True)
class Adjudication:
    """An operator's finding about one incident, of one category, at a time (UTC ms)."""

    incident: bytes
    category: Category
    finding: Finding
    at_ms: int


@dataclass(frozen=True, slots=True)
class Earned:
    """What one publisher earned by an adjudicated incident.

    `delay_ms` is how long after the first report of anybody its own came to us; None where it has no hit.
    """

    publisher: bytes
    outcome: Outcome
    delay_ms: int | None = None


def sign_adjudication(secret: bytes, adjudication: Adjudication, earned: Sequence[Earned]) -> tuple[bytes, bytes]:
    """The bytes of a finding with what publishers earned by it, and a publisher's signature over them."""
    # [BELIEF] A finding is signed together with what every publisher earned by it.
    head = [adjudication.incident, adjudication.category.value, adjudication.finding.value, adjudication.at_ms]
    body = encode_canonical([*head, [_earned_row(item) for item in earned]])
    return body, sign_digest(secret, keccak256(_DOMAIN + body))


def verify_adjudication(public_key: bytes, body: bytes, signature: bytes) -> tuple[Adjudication, tuple[Earned, ...]]:
    """Check and read a finding; raises DecodeError or SignatureError."""
    verify_digest(public_key, keccak256(_DOMAIN + body), bytes_of("signature", signature, SIGNATURE_BYTES))
    return decode_adjudication(body)


def decode_adjudication(body: bytes) -> tuple[Adjudication, tuple[Earned, ...]]:
    """Read a finding whose signature was checked; raises DecodeError."""
    value = decode_canonical(body, max_bytes=MAX_ADJUDICATION_BYTES, max_items=MAX_EARNED)
    fields = list_of("adjudication", value, 5, 5)
    adjudication = Adjudication(
        bytes_of("incident", fields[0], DIGEST_BYTES),
        enum_of("category", fields[1], Category),
        enum_of("finding", fields[2], Finding),
        uint_of("at", fields[3]),
    )
    rows = list_of("earned", fields[4], 0, MAX_EARNED)
    return adjudication, tuple(_earned(row, adjudication.at_ms) for row in rows)


def _earned_row(earned: Earned) -> list[object]:
    row: list[object] = [earned.publisher, earned.outcome.verdict.value, earned.outcome.severity.value]
    return row if earned.delay_ms is None else [*row, earned.delay_ms]


def _earned(row: object, at_ms: int) -> Earned:
    fields = list_of("earned", row, 3, 4)
    return Earned(
        bytes_of("publisher", fields[0], PUBLISHER_BYTES),
        Outcome(at_ms, enum_of("verdict", fields[1], Verdict), enum_of("severity", fields[2], Severity)),
        uint_of("delay", fields[3]) if len(fields) == 4 else None,
    )


def outcomes_of(
    adjudication: Adjudication, sightings: Iterable[Sighting], watching: Collection[bytes]
) -> tuple[Earned, ...]:
    """What every publisher earned: by reporting, by taking it back unasked, or by watching and saying nothing.

    `sightings` are all signals of the incident; `watching` are publishers that declare to cover the category.
    """
    seen = [sighting for sighting in sightings if not sighting.signal.drill]
    worst: dict[bytes, Severity] = {}
    first_ms: dict[bytes, int] = {}
    taken_back = {s.publisher for s in seen if any(r.relation is Relation.RETRACTS for r in s.signal.references)}
    for sighting in seen:
        if sighting.signal.category is adjudication.category:
            severity = worst.get(sighting.publisher, sighting.signal.severity)
            worst[sighting.publisher] = max(severity, sighting.signal.severity, key=lambda s: s.rank)
            before_ms = first_ms.get(sighting.publisher, sighting.received_ms)
            first_ms[sighting.publisher] = min(before_ms, sighting.received_ms)
    is_real = adjudication.finding is Finding.CONFIRMED
    earned = []
    for publisher, severity in sorted(worst.items()):
        # [BELIEF] Who reported a real incident has a hit, who reported a false one a false alarm.
        verdict = Verdict.HIT if is_real else Verdict.FALSE_ALARM
        # [BELIEF] Who took his report back has no hit by it, and half a false alarm.
        if publisher in taken_back:
            verdict = Verdict.MISS if is_real else Verdict.SELF_RETRACTED
        delay_ms = first_ms[publisher] - min(first_ms.values()) if verdict is Verdict.HIT else None
        earned.append(Earned(publisher, Outcome(adjudication.at_ms, verdict, severity), delay_ms))
    # [BELIEF] Who declares to watch a category and says nothing of a real incident of it has a miss.
    silent = sorted(set(watching) - set(worst)) if is_real else []
    earned += [Earned(publisher, Outcome(adjudication.at_ms, Verdict.MISS, Severity.LOW)) for publisher in silent]
    return tuple(earned)
