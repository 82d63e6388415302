"""What is kept of a decision: every number it stands on, as integers and texts, for whoever asks why."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from tocsin_protocol.belief.terms import Belief, Term
from tocsin_protocol.decision.counterfactual import Change
from tocsin_protocol.decision.decide import Choice
from tocsin_protocol.decision.judge import Judgement
from tocsin_protocol.encoding import decode_canonical, encode_canonical

MAX_DETAIL_BYTES = 1024 * 1024
MAX_SENTENCE_CHARS = 4096
# Of an incident that hundreds report; the sums count them all.
MAX_TERMS = 256
PPM = 1_000_000
# Belief moves with every second. What is of note is that it crosses one of these.
_STEPS_OF_BELIEF = 20


@dataclass(frozen=True, slots=True)
class TermRow:
    """One voice in a belief: weights in nats as text, shares in ppm."""

    source: str
    publisher: bytes
    member: str
    llr: str
    confidence_ppm: int
    decay_ppm: int
    weight: str
    answer: str
    shared: str


@dataclass(frozen=True, slots=True)
class LeverRow:
    """One lever in a decision. Money in micro-USD; `held` are the conditions that hold for it."""

    hook: str
    tier: int
    verdict: str
    held: tuple[str, ...]
    scopes: tuple[str, ...]
    cost_micro_usd: int
    observe_micro_usd: int
    charged: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Detail:
    """A recorded decision in full. `sums` are prior, support, own, opposition and silence, in nats as text."""

    sentence: str
    category: str
    policy_hash: bytes
    belief_ppm: int
    groups: int
    sums: tuple[str, ...]
    terms: tuple[TermRow, ...]
    evidence: str
    stakes: tuple[tuple[str, int], ...]
    levers: tuple[LeverRow, ...]
    counterfactuals: tuple[tuple[str, tuple[str, ...]], ...]


def shape_of(judgement: Judgement) -> bytes:
    """What must change for a decision to be recorded anew: verdicts, voices, evidence, stakes, belief by 5 %."""
    situation = judgement.situation
    shape = [
        [[choice.lever.hook, choice.verdict.value] for choice in judgement.decision.choices],
        list(judgement.belief.quorum),
        situation.own_detector,
        judgement.evidence.sentence,
        [stake.scope for stake in situation.stakes],
        int(situation.probability * _STEPS_OF_BELIEF),
    ]
    return hashlib.sha256(encode_canonical(shape)).digest()


def encode_detail(judgement: Judgement, policy_hash: bytes) -> bytes:
    """The bytes that are kept."""
    belief = judgement.belief
    return encode_canonical(
        {
            "belief": round(belief.probability * PPM),
            "category": judgement.category.value,
            "changes": [[c.hook, [change.value for change in c.changes]] for c in judgement.counterfactuals],
            "evidence": judgement.evidence.sentence,
            "groups": belief.groups,
            "levers": [_lever(choice) for choice in judgement.decision.choices],
            "policy": policy_hash,
            "sentence": judgement.sentence[:MAX_SENTENCE_CHARS],
            "stakes": [[stake.scope, stake.loss_micro_usd] for stake in judgement.situation.stakes],
            "sums": [_nats(value) for value in _sums(belief)],
            "terms": [_term(term) for term in belief.terms[:MAX_TERMS]],
        }
    )


def decode_detail(data: bytes) -> Detail:
    """Read what `encode_detail` wrote."""
    fields = decode_canonical(data, max_bytes=MAX_DETAIL_BYTES)
    return Detail(
        sentence=fields["sentence"],
        category=fields["category"],
        policy_hash=fields["policy"],
        belief_ppm=fields["belief"],
        groups=fields["groups"],
        sums=tuple(fields["sums"]),
        terms=tuple(TermRow(*term) for term in fields["terms"]),
        evidence=fields["evidence"],
        stakes=tuple((scope, loss) for scope, loss in fields["stakes"]),
        levers=tuple(_read_lever(lever) for lever in fields["levers"]),
        counterfactuals=tuple((hook, tuple(changes)) for hook, changes in fields["changes"]),
    )


def _read_lever(fields: list[Any]) -> LeverRow:
    hook, tier, verdict, held, scopes, cost, observe, charged = fields
    return LeverRow(hook, tier, verdict, tuple(held), tuple(scopes), cost, observe, tuple(charged))


def is_kept_by_arming(detail: Detail, hook: str) -> bool:
    """Whether the lever would have been used, had it been armed."""
    return (hook, (Change.ARMED.value,)) in detail.counterfactuals


def _sums(belief: Belief) -> tuple[float, ...]:
    return (belief.prior_logit, belief.support, belief.own, -belief.opposition, -belief.silence)


def _term(term: Term) -> list[object]:
    shared = "" if term.shared is None else f"{term.shared.label} with {term.shared.publisher.hex()}"
    return [
        term.source.value,
        term.publisher,
        term.member,
        _nats(term.llr),
        round(term.confidence * PPM),
        round(term.decay * PPM),
        _nats(term.weight),
        term.answer.value,
        shared,
    ]


def _lever(choice: Choice) -> list[object]:
    return [
        choice.lever.hook,
        int(choice.lever.tier),
        choice.verdict.value,
        sorted(condition.value for condition in choice.held),
        list(choice.scopes),
        round(choice.cost_micro_usd),
        round(choice.observe_micro_usd),
        list(choice.charged),
    ]


def _nats(value: float) -> str:
    return f"{value:+.3f}"
