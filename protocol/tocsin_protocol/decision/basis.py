"""What a decision stood on, as the log keeps it: enough to take it again (specs/audit-log.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ..admission import Reason
from ..belief.outcomes import Tally
from ..belief.terms import Witness
from ..encoding import decode_canonical, encode_canonical
from ..errors import DecodeError
from ..evidence.answers import Answer
from ..fields import bool_of, bytes_of, enum_of, list_of, map_of, text_of, uint_of
from ..ids import DIGEST_BYTES, PUBLISHER_BYTES
from ..taxonomy import Category
from .budget import Charge
from .decide import LeverState
from .levers import MAX_BUCKET, MAX_LEVERS

MAX_PART_BYTES = 16 * 1024 * 1024
# Of one list in a part: signals of every feed of a full roster stay below.
MAX_PART_ITEMS = 131_072
MAX_FLOAT_CHARS = 32


class Part(StrEnum):
    """What an entry of kind `basis` holds."""

    POLICY = "policy"
    MANIFEST = "manifest"
    ROSTER = "roster"
    RULES = "rules"
    CHARGES = "charges"
    DECISION = "decision"
    FINDING = "finding"


@dataclass(frozen=True, slots=True)
class RulesBasis:
    """What holds for many decisions: policy, manifests and roster by the SHA-256 of their parts.

    `own` is our publisher and `protocol` the name of our own manifest, the first of `manifests`. `trusted` are
    contracts whose word evidence may rest on. `tallies` were counted at `tallied_ms`; `since`: from when each publisher
    with outcomes was heard. Times in UTC ms.
    """

    own: bytes
    protocol: str
    policy: bytes
    manifests: tuple[bytes, ...]
    roster: bytes
    trusted: tuple[str, ...]
    tallies: Mapping[tuple[bytes, Category], Tally]
    tallied_ms: int
    since: Mapping[bytes, int]


@dataclass(frozen=True, slots=True)
class Seen:
    """A signal as a decision saw it: by its digest, when it came (UTC ms), and whether it could still actuate."""

    digest: bytes
    received_ms: int
    standing: Reason


@dataclass(frozen=True, slots=True)
class Answered:
    """What was known of a claim (its canonical bytes) on our own endpoints."""

    claim: bytes
    answer: Answer
    is_disagreement: bool


@dataclass(frozen=True, slots=True)
class Basis:
    """What one decision stood on beside its incident and time. `rules` and `charges` are the SHA-256 of their parts."""

    rules: bytes
    charges: bytes
    seen: tuple[Seen, ...]
    answers: tuple[Answered, ...]
    states: Mapping[str, LeverState]
    witnesses: tuple[Witness, ...]


@dataclass(frozen=True, slots=True)
class FindingBasis:
    """What publishers' outcomes of one finding stood on: the signals of the incident, each with when it came (UTC ms),
    and the foreign publishers that declared to watch its category. `rules` is the SHA-256 of its part.
    """

    rules: bytes
    seen: tuple[tuple[bytes, int], ...]
    watching: tuple[bytes, ...]


def encode_basis(basis: Basis) -> bytes:
    """The bytes of the part `decision`."""
    return encode_canonical(
        {
            "answers": [[a.claim, a.answer.value, a.is_disagreement] for a in basis.answers],
            "charges": basis.charges,
            "rules": basis.rules,
            "seen": [[s.digest, s.received_ms, s.standing.value] for s in basis.seen],
            "states": {
                hook: [state.is_armed, state.is_spent, state.is_in_effect, list(state.uses_ms)]
                for hook, state in basis.states.items()
            },
            "witnesses": [[w.publisher, w.delay_ms, w.heartbeat_ms] for w in basis.witnesses],
        }
    )


def decode_basis(body: bytes) -> Basis:
    """Read what `encode_basis` wrote; raises DecodeError."""
    fields = _map("basis", body, ("answers", "charges", "rules", "seen", "states", "witnesses"))
    if type(fields["states"]) is not dict or len(fields["states"]) > MAX_LEVERS:
        raise DecodeError(f"states is not a map of up to {MAX_LEVERS} levers")
    return Basis(
        rules=bytes_of("rules", fields["rules"], DIGEST_BYTES),
        charges=bytes_of("charges", fields["charges"], DIGEST_BYTES),
        seen=tuple(map(_seen, _list("seen", fields["seen"]))),
        answers=tuple(map(_answered, _list("answers", fields["answers"]))),
        states={hook: _state(state) for hook, state in fields["states"].items()},
        witnesses=tuple(map(_witness, _list("witnesses", fields["witnesses"]))),
    )


def encode_finding_basis(basis: FindingBasis) -> bytes:
    """The bytes of the part `finding`."""
    seen = [[digest, received_ms] for digest, received_ms in basis.seen]
    return encode_canonical({"rules": basis.rules, "seen": seen, "watching": sorted(basis.watching)})


def decode_finding_basis(body: bytes) -> FindingBasis:
    """Read what `encode_finding_basis` wrote; raises DecodeError."""
    fields = _map("finding", body, ("rules", "seen", "watching"))
    seen = [list_of("seen", row, 2, 2) for row in _list("seen", fields["seen"])]
    return FindingBasis(
        rules=bytes_of("rules", fields["rules"], DIGEST_BYTES),
        seen=tuple((bytes_of("digest", row[0], DIGEST_BYTES), uint_of("received", row[1])) for row in seen),
        watching=tuple(bytes_of("watching", item, PUBLISHER_BYTES) for item in _list("watching", fields["watching"])),
    )


def encode_rules_basis(rules: RulesBasis) -> bytes:
    """The bytes of the part `rules`."""
    return encode_canonical(
        {
            "manifests": list(rules.manifests),
            "own": rules.own,
            "policy": rules.policy,
            "protocol": rules.protocol,
            "roster": rules.roster,
            "since": [[publisher, since_ms] for publisher, since_ms in sorted(rules.since.items())],
            "tallied_ms": rules.tallied_ms,
            "tallies": [_tally_row(*item) for item in sorted(rules.tallies.items())],
            "trusted": sorted(rules.trusted),
        }
    )


def decode_rules_basis(body: bytes) -> RulesBasis:
    """Read what `encode_rules_basis` wrote; raises DecodeError."""
    names = ("manifests", "own", "policy", "protocol", "roster", "since", "tallied_ms", "tallies", "trusted")
    fields = _map("rules", body, names)
    since = [list_of("since", row, 2, 2) for row in _list("since", fields["since"])]
    return RulesBasis(
        own=bytes_of("own", fields["own"], PUBLISHER_BYTES),
        protocol=text_of("protocol", fields["protocol"], least_bytes=0),
        policy=bytes_of("policy", fields["policy"], DIGEST_BYTES),
        manifests=tuple(bytes_of("manifest", item, DIGEST_BYTES) for item in _list("manifests", fields["manifests"])),
        roster=bytes_of("roster", fields["roster"], DIGEST_BYTES),
        trusted=tuple(text_of("trusted", item) for item in _list("trusted", fields["trusted"])),
        tallies=dict(map(_tally, _list("tallies", fields["tallies"]))),
        tallied_ms=uint_of("tallied_ms", fields["tallied_ms"]),
        since={bytes_of("since", row[0], PUBLISHER_BYTES): uint_of("since", row[1]) for row in since},
    )


def encode_charges(charges: Sequence[Charge]) -> bytes:
    """The bytes of the part `charges`."""
    return encode_canonical([[c.member, c.incident, c.minutes, c.at_ms, c.is_refunded] for c in charges])


def decode_charges(body: bytes) -> tuple[Charge, ...]:
    """Read what `encode_charges` wrote; raises DecodeError."""
    rows = _list("charges", decode_canonical(body, max_bytes=MAX_PART_BYTES, max_items=MAX_PART_ITEMS))
    return tuple(map(_charge, rows))


def parts_named(part: Part, body: bytes) -> tuple[bytes, ...]:
    """The SHA-256 of the parts that a part names; raises DecodeError."""
    if part is Part.DECISION:
        basis = decode_basis(body)
        return basis.rules, basis.charges
    if part is Part.FINDING:
        return (decode_finding_basis(body).rules,)
    if part is Part.RULES:
        rules = decode_rules_basis(body)
        return rules.policy, rules.roster, *rules.manifests
    return ()


def _map(where: str, body: bytes, names: tuple[str, ...]) -> dict[str, Any]:
    return map_of(where, decode_canonical(body, max_bytes=MAX_PART_BYTES, max_items=MAX_PART_ITEMS), names)


def _list(where: str, value: Any) -> list[Any]:
    return list_of(where, value, 0, MAX_PART_ITEMS)


def _seen(row: Any) -> Seen:
    digest, received_ms, standing = list_of("seen", row, 3, 3)
    return Seen(
        bytes_of("digest", digest, DIGEST_BYTES),
        uint_of("received", received_ms),
        enum_of("standing", standing, Reason),
    )


def _answered(row: Any) -> Answered:
    claim, answer, is_disagreement = list_of("answer", row, 3, 3)
    if type(claim) is not bytes:
        raise DecodeError("claim is not bytes")
    return Answered(claim, enum_of("answer", answer, Answer), bool_of("disagreement", is_disagreement))


def _state(row: Any) -> LeverState:
    armed, spent, in_effect, uses = list_of("state", row, 4, 4)
    return LeverState(
        bool_of("armed", armed),
        bool_of("spent", spent),
        bool_of("in_effect", in_effect),
        tuple(uint_of("use", use) for use in list_of("uses", uses, 0, MAX_BUCKET)),
    )


def _witness(row: Any) -> Witness:
    publisher, delay_ms, heartbeat_ms = list_of("witness", row, 3, 3)
    return Witness(
        bytes_of("publisher", publisher, PUBLISHER_BYTES), uint_of("delay", delay_ms), uint_of("heard", heartbeat_ms)
    )


def _tally_row(key: tuple[bytes, Category], tally: Tally) -> list[object]:
    # Canonical bytes have no floats; `repr` of one reads back as the same.
    counts = (tally.hits, tally.misses, tally.false_alarms, tally.hours)
    return [key[0], key[1].value, *(repr(float(count)) for count in counts)]


def _tally(row: Any) -> tuple[tuple[bytes, Category], Tally]:
    publisher, category, *counts = list_of("tally", row, 6, 6)
    key = bytes_of("publisher", publisher, PUBLISHER_BYTES), enum_of("category", category, Category)
    return key, Tally(*map(_float, counts))


def _float(value: Any) -> float:
    try:
        return float(text_of("count", value, MAX_FLOAT_CHARS))
    except ValueError as exc:
        raise DecodeError(f"count is {value!r}, not a number") from exc


def _charge(row: Any) -> Charge:
    member, incident, minutes, at_ms, is_refunded = list_of("charge", row, 5, 5)
    return Charge(
        text_of("member", member),
        bytes_of("incident", incident, DIGEST_BYTES),
        uint_of("minutes", minutes),
        uint_of("at", at_ms),
        bool_of("refunded", is_refunded),
    )
