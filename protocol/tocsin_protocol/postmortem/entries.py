"""What a post-mortem says, entry by entry, as values that cannot be wrong. Hex without 0x, times in UTC ms."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from ..adjudication import Finding
from ..belief.outcomes import Verdict
from ..encoding import MAX_UINT
from ..evidence.answers import Answer
from ..log.note import MAX_NOTE_BYTES
from ..log.proofs import MAX_PROOF_HASHES
from ..taxonomy import Category, Relation, Severity, Stage, Tlp

MAX_TEXT_CHARS = 16_384
MAX_ROWS = 4096

_Hash = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
_Address = Annotated[str, Meta(pattern=r"^[0-9a-f]{40}\Z")]
_Text = Annotated[str, Meta(max_length=MAX_TEXT_CHARS)]
_Uint = Annotated[int, Meta(ge=0, le=MAX_UINT)]
_Rows = Meta(max_length=MAX_ROWS)


class _Part(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A part of an entry."""


class Entry(_Part, frozen=True, tag_field="section"):
    """One entry. `tlp` says who may read it."""

    tlp: Tlp


class Header(Entry, frozen=True, tag="header"):
    """Which incident, told by whom, when. `publisher` is the node whose record it is."""

    incident: _Hash
    network: _Hash
    publisher: _Address
    member: _Text
    made_ms: _Uint


class Tied(_Part, frozen=True):
    """Another incident that this one is tied to."""

    tie: _Text
    other: _Hash


class About(Entry, frozen=True, tag="about"):
    """What the incident is about. `hint` is what its first publisher called it."""

    family: _Text
    hint: _Text
    first_ms: _Uint
    last_ms: _Uint
    subjects: Annotated[tuple[_Text, ...], _Rows]
    ties: Annotated[tuple[Tied, ...], _Rows]


class Claim(_Part, frozen=True):
    """What a signal claims, for anybody to check."""

    kind: _Text
    chain: _Text
    block: _Uint
    reference: _Text
    detail: _Text


class Referred(_Part, frozen=True):
    """An earlier signal that one refers to."""

    relation: Relation
    digest: _Hash


class Statement(_Part, frozen=True):
    """What a signal says. Money in micro-USD."""

    category: Category
    stage: Stage
    severity: Severity
    confidence: _Uint
    detected_ms: _Uint
    issued_ms: _Uint
    drill: bool
    observed_micro_usd: _Uint
    rate_micro_usd_per_hour: _Uint
    at_risk_micro_usd: _Uint
    subjects: Annotated[tuple[_Text, ...], _Rows]
    claims: Annotated[tuple[Claim, ...], _Rows]
    references: Annotated[tuple[Referred, ...], _Rows]
    text: _Text


class Said(Entry, frozen=True, tag="signal"):
    """One signal, and how it came to us; `statement` is left out where its body does not parse."""

    digest: _Hash
    publisher: _Address
    member: _Text
    own: bool
    lane: _Uint
    sequence: _Uint
    path: _Text
    standing: _Text
    received_ms: _Uint
    statement: Statement | None = None


class Check(Entry, frozen=True, tag="evidence"):
    """What our own endpoints last answered to a claim."""

    at_ms: _Uint
    claim: Claim
    answer: Answer
    doubt: _Text
    disagrees: bool


class Believed(Entry, frozen=True, tag="belief"):
    """What a decision believed, in millionths, with how many independent groups, and how many actions it began."""

    decision: _Uint
    at_ms: _Uint
    belief_ppm: _Uint
    groups: _Uint
    acts: _Uint


class Voice(_Part, frozen=True):
    """One voice in a belief; weights in nats."""

    source: _Text
    publisher: Annotated[str, Meta(pattern=r"^([0-9a-f]{40})?\Z")]
    member: _Text
    weight: _Text
    answer: _Text


class Stake(_Part, frozen=True):
    """What a decision saw at stake, in micro-USD."""

    scope: _Text
    loss_micro_usd: _Uint


class Ruled(_Part, frozen=True):
    """What was ruled about one lever. `would_with` is the least that would have used it, where that is known."""

    hook: _Text
    tier: _Uint
    verdict: _Text
    held: Annotated[tuple[_Text, ...], _Rows]
    cost_micro_usd: _Uint
    observe_micro_usd: _Uint
    would_with: Annotated[tuple[_Text, ...], _Rows]


class Decided(Entry, frozen=True, tag="decision"):
    """A decision with what it stood on. `sums` are prior, support, own, opposition and silence, in nats."""

    number: _Uint
    at_ms: _Uint
    sentence: _Text
    category: _Text
    policy: _Hash
    sums: Annotated[tuple[_Text, ...], _Rows]
    voices: Annotated[tuple[Voice, ...], _Rows]
    evidence: _Text
    stakes: Annotated[tuple[Stake, ...], _Rows]
    levers: Annotated[tuple[Ruled, ...], _Rows]


class Step(_Part, frozen=True):
    """One step of an action's life."""

    event: _Text
    at_ms: _Uint
    reason: _Text = ""


class Acted(Entry, frozen=True, tag="action"):
    """A use of a lever, and what anybody can see of it. `steps` are the first of each event."""

    action: _Hash
    hook: _Text
    target: _Text
    decision: _Uint
    state: _Text
    decided_ms: _Uint
    steps: Annotated[tuple[Step, ...], _Rows]
    transactions: Annotated[tuple[_Hash, ...], _Rows]
    ends_ms: _Uint | None = None


class Heard(Entry, frozen=True, tag="heard"):
    """How an action began: the signal that was detected first, of those that had come when it was decided."""

    action: _Hash
    digest: _Hash
    detected_ms: _Uint
    issued_ms: _Uint
    received_ms: _Uint


class Journal(Entry, frozen=True, tag="journal"):
    """The whole life of an action, with reasons."""

    action: _Hash
    reason: _Text
    steps: Annotated[tuple[Step, ...], _Rows]


class Answered(_Part, frozen=True):
    """One operator's approval."""

    operator: _Address
    name: _Text
    at_ms: _Uint


class Asked(Entry, frozen=True, tag="request"):
    """What the operators were asked, and who approved when."""

    request: _Hash
    purpose: _Text
    effect: _Text
    scope: _Text
    asked_ms: _Uint
    expires_ms: _Uint
    state: _Text
    reason: _Text
    answers: Annotated[tuple[Answered, ...], _Rows]
    closed_ms: _Uint | None = None


class Recovered(Entry, frozen=True, tag="recovery"):
    """A step on the way back of a scope, or one that was refused or taken back (`alarm`)."""

    at_ms: _Uint
    scope: _Text
    stage: _Text
    step: _Uint
    why: _Text
    alarm: bool


class Found(Entry, frozen=True, tag="adjudication"):
    """What the operator found the incident to have been."""

    at_ms: _Uint
    category: Category
    finding: Finding


class Earned(Entry, frozen=True, tag="outcome"):
    """What a publisher earned by it."""

    publisher: _Address
    member: _Text
    verdict: Verdict
    delay_ms: _Uint | None = None


class Head(Entry, frozen=True, tag="head"):
    """The signed head of the audit log, as the note that it is."""

    note: Annotated[str, Meta(max_length=MAX_NOTE_BYTES)]


class Proof(Entry, frozen=True, tag="proof"):
    """An entry of the audit log that this report stands on: its place, its leaf's hash, the path to the head's root."""

    sequence: Annotated[int, Meta(ge=1, le=MAX_UINT)]
    at_ms: _Uint
    kind: _Text
    about: Annotated[str, Meta(pattern=r"^([0-9a-f]{2}){0,64}\Z")]
    digest: _Hash
    path: Annotated[tuple[_Hash, ...], Meta(max_length=MAX_PROOF_HASHES)] = ()


class Lesson(Entry, frozen=True, tag="lesson"):
    """A fact that follows from the other entries, and the question that it leaves open."""

    kind: _Text
    fact: _Text
    question: _Text


AnyEntry = (
    Header
    | About
    | Said
    | Check
    | Believed
    | Decided
    | Acted
    | Heard
    | Journal
    | Asked
    | Recovered
    | Found
    | Earned
    | Head
    | Proof
    | Lesson
)
