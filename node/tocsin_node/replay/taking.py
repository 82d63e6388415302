"""Taking every decision of a log again, and every finding, and comparing what comes of it with what was logged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from hashlib import sha256
from typing import Any

from tocsin_protocol.adjudication import verify_adjudication
from tocsin_protocol.admission import Reason
from tocsin_protocol.audit import AuditEntry, EntryKind
from tocsin_protocol.decision.basis import (
    Basis,
    Part,
    decode_basis,
    decode_charges,
    decode_finding_basis,
)
from tocsin_protocol.decision.decide import LeverState
from tocsin_protocol.decision.judge import Sighting, explain_judgement, weigh_incident
from tocsin_protocol.errors import ProtocolError
from tocsin_protocol.evidence.answers import Checked
from tocsin_protocol.evidence.predicates import Predicate
from tocsin_protocol.log.checkpoint import read_origin

from ..errors import NodeError
from ..record.source import LogSource, detail_of
from ..store.adjudications import foreign_outcomes
from ..store.decision_detail import decode_detail, encode_detail
from ..store.evidence_checks import claim_key, find_exhibits
from ..store.heard import Heard
from ..store.rules import Rules
from .charges import in_order
from .ground import Ground, NotReplayable

MAX_SHOWN_CHARS = 160


class Result(StrEnum):
    """What came of taking something again."""

    EQUAL = "equal"
    DIFFERS = "differs"
    NOT_REPLAYABLE = "not-replayable"


@dataclass(frozen=True, slots=True)
class Taken:
    """A decision, a finding, or the reputations that a decision counted with (`what`), taken again.

    `index` is its entry's, `about` its incident; `why` says what differs, or what is missing.
    """

    index: int
    at_ms: int
    what: str
    about: bytes
    result: Result
    why: tuple[str, ...] = ()


def replay_log(source: LogSource) -> Iterator[Taken]:
    """Take all of it again, in the log's order. Nothing is compared with the node as it is now."""
    log = read_origin(source.head.origin)
    with ExitStack() as stack:
        heard = None if log is None else stack.enter_context(Heard(source, log))
        replay = _Replay(source, heard)
        for entry in source.entries():
            yield from replay.take(entry)


class _Replay:
    def __init__(self, source: LogSource, heard: Heard | None) -> None:
        self._source = source
        self._ground = Ground(source, heard)
        self._counted: dict[bytes, tuple[str, ...]] = {}

    def take(self, entry: AuditEntry) -> Iterator[Taken]:
        try:
            if entry.kind is EntryKind.DECISION:
                yield self._answer(entry, self._decision(entry))
            elif entry.kind is EntryKind.ADJUDICATION:
                yield self._answer(entry, self._finding(entry))
            else:
                self._ground.add(entry)
        # [REPLAY] What cannot be taken again is said to be so, with what is missing; it never counts as equal.
        except (ProtocolError, NodeError) as exc:
            yield self._missing(entry, str(exc))
        # The log may be a stranger's: what else an entry may lack, or have of another type, is said of that entry.
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as exc:
            yield self._missing(entry, f"it is not as this version writes it ({type(exc).__name__}: {exc})")

    def _missing(self, entry: AuditEntry, why: str) -> Taken:
        return Taken(entry.sequence - 1, entry.at_ms, entry.kind.value, entry.reference, Result.NOT_REPLAYABLE, (why,))

    def _answer(self, entry: AuditEntry, faults: Iterable[str]) -> Taken:
        why = tuple(faults)
        result = Result.DIFFERS if why else Result.EQUAL
        return Taken(entry.sequence - 1, entry.at_ms, entry.kind.value, entry.reference, result, why)

    def _decision(self, entry: AuditEntry) -> list[str]:
        """What differs between a decision and what comes of taking it again."""
        logged = detail_of(self._source, entry)
        if "basis" not in logged:
            raise NotReplayable("it does not say what it stood on")
        basis = decode_basis(self._ground.part(logged["basis"], Part.DECISION))
        rules = self._ground.rules(basis.rules)
        sightings = [self._ground.sighting(rules, seen.digest, entry.at_ms) for seen in basis.seen]
        again = self._decide(entry, basis, rules, sightings)
        faults = self._reputation(basis.rules, rules) + self._unsaid(basis) + self._unseen(basis, sightings)
        faults += self._left_out(rules, entry, {seen.digest for seen in basis.seen})
        faults += self._levers(entry, basis, rules, logged["decision"]) + self._charged(entry, basis)
        # [REPLAY] A decision stands on the policy that was loaded last, until the node begins anew.
        faults += self._ground.policies.check(rules.policy_hash, entry.at_ms)
        if logged["policy"] != rules.policy_hash:
            faults.append(f"the policy has the hash {rules.policy_hash.hex()} where {logged['policy'].hex()} is told")
        if (sentence := decode_detail(again).sentence) != logged["sentence"]:
            faults.append(f"its entry says {_shown(logged['sentence'])}, and {_shown(sentence)} comes out")
        done = again
        # [REPLAY] A decision is the same where all that was kept of it comes out again, byte by byte.
        if sha256(again).digest() != logged["detail"]:
            kept = self._source.read_decision(logged["decision"], logged["detail"])
            kept = None if kept is None or sha256(kept).digest() != logged["detail"] else kept
            faults += _differences(kept, again)
            # What was charged is what it did, and not what it should have done.
            done = again if kept is None else kept
        used = self._ground.levers.used_by(logged["decision"])
        self._ground.charges.charge(rules.policy, decode_detail(done), used, entry.reference, entry.at_ms)
        return faults

    def _decide(self, entry: AuditEntry, basis: Basis, rules: Rules, sightings: Sequence[Sighting]) -> bytes:
        if basis.states.keys() != {lever.hook for lever in rules.policy.levers}:
            raise NotReplayable("the levers that it tells of are not those of its policy")
        answers = {answered.claim: answered for answered in basis.answers}

        def read(predicate: Predicate) -> Checked | None:
            said = answers.get(claim_key(predicate))
            return None if said is None else Checked(predicate, said.answer, None, said.is_disagreement, ())

        exhibits = find_exhibits(rules, sightings, read)
        charges = decode_charges(self._ground.part(basis.charges, Part.CHARGES))
        world = replace(rules.world, witnesses_of=lambda _: basis.witnesses)
        incident, at_ms = entry.reference, entry.at_ms
        judgement = weigh_incident(world, incident, sightings, exhibits, basis.states, charges, at_ms)
        judgement = explain_judgement(world, judgement, basis.states, charges, at_ms)
        return encode_detail(judgement, rules.policy_hash)

    def _unseen(self, basis: Basis, sightings: Sequence[Sighting]) -> list[str]:
        """Signals that a decision saw otherwise than they came and stood."""
        wrong = [
            (told, found)
            for told, found in zip(basis.seen, sightings, strict=True)
            if (told.received_ms, told.standing) != (found.received_ms, found.standing)
        ]
        # That its publisher had equivocated may stand in what was pruned.
        if self._ground.missing and any(told.standing is Reason.EQUIVOCATOR for told, _ in wrong):
            raise NotReplayable(self._ground.missing)
        return [
            f"signal {told.digest.hex()[:12]} came at {found.received_ms} and was {found.standing} by the log,"
            f" and {told.received_ms} and {told.standing} are told"
            for told, found in wrong
        ]

    def _left_out(self, rules: Rules, entry: AuditEntry, seen: Set[bytes], *, ever: bool = False) -> list[str]:
        """Signals that had been admitted and belonged to it, and were left out; and those that did not belong."""
        # [REPLAY] Which signals a decision or a finding had to see follows from those that were logged before.
        ground, incident = self._ground, entry.reference
        found = ground.heard_ever(rules, incident) if ever else ground.heard(rules, incident, entry.at_ms)
        by = {sighting.digest: sighting for sighting in found}
        if seen != by.keys() and ground.missing:
            raise NotReplayable(ground.missing)
        return [
            f"signal {digest.hex()[:12]} of {by[digest].publisher.hex()}, logged before it, was left out"
            for digest in sorted(by.keys() - seen)
        ] + [f"signal {digest.hex()[:12]} was seen, and is not of this incident" for digest in sorted(seen - by.keys())]

    def _charged(self, entry: AuditEntry, basis: Basis) -> list[str]:
        """Charges that a decision counted with otherwise than the log has them."""
        # [REPLAY] What members stood charged with follows from the uses and the findings that were logged before.
        told = in_order(decode_charges(self._ground.part(basis.charges, Part.CHARGES)))
        found = self._ground.charges.by(entry.at_ms)
        if told == found:
            return []
        if self._ground.missing:
            raise NotReplayable(self._ground.missing)
        wrong = sorted({charge.member for charge in {*told} ^ {*found}} or {charge.member for charge in told})
        return [f"{member} stood charged with something else by the log" for member in wrong]

    def _unsaid(self, basis: Basis) -> list[str]:
        """Answers that a decision counted with, and that the log does not have so before it."""
        known = self._ground.answers
        if self._ground.missing and any(a.claim not in known for a in basis.answers):
            raise NotReplayable(self._ground.missing)
        wrong = [a.claim for a in basis.answers if known.get(a.claim) != (a.answer, a.is_disagreement)]
        return [
            f"the log has another answer, or none, to the claim {sha256(claim).hexdigest()[:12]}" for claim in wrong
        ]

    def _levers(self, entry: AuditEntry, basis: Basis, rules: Rules, number: bytes) -> list[str]:
        """Levers that a decision found otherwise than the log tells that they were."""
        # [REPLAY] What the levers had done follows from the armings and actions that were logged before.
        counted = self._ground.levers.states(rules.policy, entry.reference, number, entry.at_ms)
        wrong = [hook for hook, state in sorted(basis.states.items()) if state != counted[hook]]
        if wrong and self._ground.missing:
            raise NotReplayable(self._ground.missing)
        return [
            f"lever {hook} was {_lever_text(counted[hook])} by the log, and {_lever_text(basis.states[hook])} is told"
            for hook in wrong
        ]

    def _reputation(self, about: bytes, rules: Rules) -> list[str]:
        """Whether the reputations of those rules follow from the findings before them."""
        if about not in self._counted:
            # [REPLAY] Reputations have to follow from the signed findings that were logged before.
            found, counted = self._ground.tallies(rules), rules.tallies
            # [REPLAY] Where entries were pruned, what does not follow from the others is not known to be wrong.
            if found != counted and self._ground.missing:
                raise NotReplayable(self._ground.missing)
            wrong = sorted(key for key in found.keys() | counted.keys() if found.get(key) != counted.get(key))
            self._counted[about] = tuple(
                f"what {publisher.hex()} has earned in {category} does not follow from the findings"
                for publisher, category in wrong
            )
        return list(self._counted[about])

    def _finding(self, entry: AuditEntry) -> list[str]:
        """What differs between what publishers earned and what comes of counting again."""
        logged = detail_of(self._source, entry)
        if "basis" not in logged:
            raise NotReplayable("it does not say what it stood on")
        basis = decode_finding_basis(self._ground.part(logged["basis"], Part.FINDING))
        rules = self._ground.rules(basis.rules)
        publisher = rules.roster.publisher(rules.own)
        if publisher is None:
            raise NotReplayable("the roster did not list this node, so its signature cannot be checked")
        finding, earned = verify_adjudication(publisher.key, logged["body"], logged["signature"])
        self._ground.add_finding(finding, earned)
        sightings = [self._ground.sighting(rules, digest, entry.at_ms) for digest, _ in basis.seen]
        again = tuple(foreign_outcomes(rules, finding, sightings, basis.watching))
        faults = [] if finding.incident == entry.reference else ["it is signed for another incident"]
        faults += self._left_out(rules, entry, {digest for digest, _ in basis.seen}, ever=True)
        late = {seen[0] for seen, found in zip(basis.seen, sightings, strict=True) if seen[1] != found.received_ms}
        faults += [f"signal {digest.hex()[:12]} did not come when it is told" for digest in sorted(late)]
        # [REPLAY] What publishers earned is the same where counting again gives the outcomes that were signed.
        if again != earned:
            wrong = {item.publisher for item in set(again) ^ set(earned)}
            faults += [f"{publisher_id.hex()} earned something else" for publisher_id in sorted(wrong)]
        return faults


def _differences(kept: bytes | None, again: bytes) -> list[str]:
    """Which parts of a decision came out differently, where what was logged is still kept."""
    if kept is None:
        return ["another decision comes out; what was logged is not kept, so where they differ cannot be told"]
    was, now = decode_detail(kept), decode_detail(again)
    names = [field.name for field in fields(was) if getattr(was, field.name) != getattr(now, field.name)]
    return [f"{name} comes out as {_shown(getattr(now, name))}, not {_shown(getattr(was, name))}" for name in names]


def _lever_text(state: LeverState) -> str:
    words = ["armed" if state.is_armed else "disarmed"]
    words += ["used up"] * state.is_spent + ["in effect"] * state.is_in_effect
    return f"{', '.join(words)} (uses: {len(state.uses_ms)})"


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= MAX_SHOWN_CHARS else text[: MAX_SHOWN_CHARS - 1] + "…"
