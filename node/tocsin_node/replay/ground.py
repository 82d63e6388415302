"""What logged decisions stand on, read back: parts by their SHA-256, rules made of them, signals, claims, findings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache

from tocsin_protocol.adjudication import Adjudication, Earned, Finding
from tocsin_protocol.admission import Reason
from tocsin_protocol.audit import AuditEntry, EntryKind
from tocsin_protocol.belief.outcomes import Outcome, Tally
from tocsin_protocol.body import decode_body
from tocsin_protocol.decision.basis import Part, RulesBasis, decode_rules_basis
from tocsin_protocol.decision.judge import Sighting
from tocsin_protocol.envelope import decode_envelope
from tocsin_protocol.errors import ProtocolError
from tocsin_protocol.evidence.answers import Answer
from tocsin_protocol.exposure.manifest import Manifest
from tocsin_protocol.exposure.manifest_encoding import decode_manifest
from tocsin_protocol.freshness import check_actionable
from tocsin_protocol.log.checkpoint import origin_of, read_origin
from tocsin_protocol.roster import RosterIndex
from tocsin_protocol.roster_encoding import decode_roster
from tocsin_protocol.signing import address_of_key, keccak256, recover_key
from tocsin_protocol.taxonomy import Category

from ..exposure import make_exposure
from ..policy_file import read_policy
from ..record.source import LogSource, detail_of
from ..store.adjudications import MAX_OUTCOME_AGE_MS, tally_all
from ..store.heard import Heard
from ..store.rules import Rules
from ..store.sightings import stand_now
from .charges import Charges
from .levers import Levers
from .policies import Policies

# Rules change with every reading of amounts; decisions come in the order in which they were taken.
MAX_RULES_KEPT = 16
_ABOUT_LEVERS = {EntryKind.OPERATOR, EntryKind.ACTION, EntryKind.OUTCOME, EntryKind.ALARM}


class NotReplayable(ProtocolError):
    """Something cannot be taken again. The message says what is missing."""


class Ground:
    """What the log has said so far, for who reads it from its beginning. `add` each entry in its order.

    `heard` is the same of its signals, None where the log is no node's.
    """

    def __init__(self, source: LogSource, heard: Heard | None) -> None:
        self._source = source
        self._heard = heard
        self._parts: dict[bytes, int] = {}
        # When signals and drafts came, and how the signals stood then; and whose words count no more.
        self._signals: dict[bytes, tuple[int, str]] = {}
        self._equivocators: set[bytes] = set()
        self._findings: dict[bytes, list[tuple[Adjudication, tuple[Earned, ...]]]] = defaultdict(list)
        # What our endpoints last answered to a claim.
        self.answers: dict[bytes, tuple[Answer, bool]] = {}
        self.levers = Levers()
        self.charges = Charges()
        self.policies = Policies()
        self.rules = lru_cache(MAX_RULES_KEPT)(self._make_rules)

    @property
    def missing(self) -> str:
        """What the log is without because it was pruned, or nothing."""
        pruned = self._source.pruned
        return f"the first {pruned} entries were pruned" if pruned else ""

    def add(self, entry: AuditEntry) -> None:
        """Hear one entry; raises ProtocolError where it cannot be read."""
        if entry.kind is EntryKind.BASIS:
            self._parts[entry.reference] = entry.sequence
        elif entry.kind is EntryKind.SIGNAL:
            detail = detail_of(self._source, entry)
            self._signals[entry.reference] = (entry.at_ms, detail.get("verdict", Reason.ADMITTED.value))
            if self._heard is not None:
                self._heard.add(entry, detail)
        elif entry.kind is EntryKind.EQUIVOCATION:
            self._equivocators.add(entry.reference)
        elif entry.kind is EntryKind.EVIDENCE:
            detail = detail_of(self._source, entry)
            if "disagrees" in detail:
                self.answers[detail["claim"]] = Answer(detail["answer"]), detail["disagrees"]
        elif entry.kind is EntryKind.NODE:
            if "publishing" in detail_of(self._source, entry):
                self.policies.begin()
        elif entry.kind in _ABOUT_LEVERS:
            detail = detail_of(self._source, entry)
            if entry.kind is EntryKind.OPERATOR and detail.get("verb") == "reload-policy":
                self.policies.load(detail["policy"], entry.at_ms)
            self.levers.add(entry, detail)

    def add_finding(self, finding: Adjudication, earned: tuple[Earned, ...]) -> None:
        """Hear what an incident was found to have been; the last finding about one counts."""
        self._findings[finding.incident].append((finding, earned))
        if finding.finding is Finding.CONFIRMED:
            self.charges.refund(finding.incident)

    def part(self, about: bytes, wanted: Part) -> bytes:
        """The bytes of a part that was logged before; raises NotReplayable."""
        sequence = self._parts.get(about)
        if sequence is None:
            raise NotReplayable(self._lacking(f"{wanted} {about.hex()[:12]}"))
        detail = detail_of(self._source, self._source.entry(sequence))
        body = detail.get("body")
        if detail.get("part") != wanted.value or type(body) is not bytes:
            raise NotReplayable(f"entry {sequence - 1} is no {wanted}")
        return body

    def sighting(self, rules: Rules, digest: bytes, now_ms: int) -> Sighting:
        """A signal as it stood at a time; raises NotReplayable where it is not kept, or was not logged before."""
        short = digest.hex()[:12]
        # [REPLAY] What a decision stood on has to be in the log before it: signals, answers of endpoints, parts.
        if digest not in self._signals:
            raise NotReplayable(self._lacking(f"signal {short}"))
        received_ms, verdict = self._signals[digest]
        encoded = self._source.read_signal(digest)
        if encoded is None:
            body = self._source.read_draft(digest)
            if body is None:
                raise NotReplayable(f"the signal {short} is not kept")
            if keccak256(body) != digest:
                raise NotReplayable(f"what is kept as signal {short} is another")
            signal = decode_body(body)
            return Sighting(digest, rules.own, signal, check_actionable(signal, now_ms, received_ms), received_ms)
        envelope = decode_envelope(rules.roster.domain, encoded)
        if envelope.digest != digest:
            raise NotReplayable(f"what is kept as signal {short} is another")
        # [REPLAY] Signals are signed by the keys of their publishers.
        if address_of_key(recover_key(envelope.digest, envelope.signature)) != envelope.publisher:
            raise NotReplayable(f"the signal {short} is not signed by its publisher")
        publisher = rules.roster.publisher(envelope.publisher)
        signal, standing = decode_body(envelope.body), Reason(verdict)
        if envelope.publisher in self._equivocators:
            standing = Reason.EQUIVOCATOR
        # [REPLAY] When a signal came, and whether it could still act, follows from the log, the roster and the time.
        # A finding is about those who have left the roster, too.
        if publisher is not None:
            standing = stand_now(envelope, signal, publisher, standing, received_ms, now_ms)
        return Sighting(digest, envelope.publisher, signal, standing, received_ms)

    def heard(self, rules: Rules, incident: bytes, now_ms: int) -> list[Sighting]:
        """What a decision about an incident had to hear; raises NotReplayable where a signal is not kept."""
        return self._all_kept().about(rules, incident, now_ms)

    def heard_ever(self, rules: Rules, incident: bytes) -> list[Sighting]:
        """Every signal of an incident; raises NotReplayable where a signal is not kept."""
        return self._all_kept().all_of(rules, incident)

    def _all_kept(self) -> Heard:
        if self._heard is None:
            raise NotReplayable(f"the log {self._source.head.origin} is no node's")
        if (lost := self._heard.lost) is not None:
            raise NotReplayable(f"the signal {lost.hex()[:12]} is not kept, so what it belongs to is not known")
        return self._heard

    def tallies(self, rules: Rules) -> Mapping[tuple[bytes, Category], Tally]:
        """What the findings that were logged by then come to, as those rules counted them."""
        last = [
            found
            for findings in self._findings.values()
            for found in [f for f in findings if f[0].at_ms <= rules.tallied_ms][-1:]
            if found[0].at_ms > rules.tallied_ms - MAX_OUTCOME_AGE_MS
        ]
        outcomes: dict[tuple[bytes, Category], list[Outcome]] = defaultdict(list)
        for finding, earned in sorted(last, key=lambda found: (-found[0].at_ms, found[0].incident)):
            for item in earned:
                outcomes[item.publisher, finding.category].append(item.outcome)
        unknown = {publisher for publisher, _ in outcomes} - rules.since.keys()
        if unknown:
            raise NotReplayable(f"since when {min(unknown).hex()} was heard is not logged")
        return tally_all(outcomes, rules.since, rules.tallied_ms)

    def _lacking(self, what: str) -> str:
        return f"the log has no {what} before it" + (f": {self.missing}" if self.missing else "")

    def _make_rules(self, about: bytes) -> Rules:
        basis = decode_rules_basis(self.part(about, Part.RULES))
        text = self.part(basis.policy, Part.POLICY).decode()
        own, *others = self._manifests(basis)
        exposure = make_exposure(own, others)
        roster = RosterIndex(decode_roster(self.part(basis.roster, Part.ROSTER)))
        # [REPLAY] What is taken again was decided by the node whose log it is, in its network.
        wanted, named = (roster.domain.network_id, basis.own), read_origin(self._source.head.origin)
        if named is None or (named.network_id, named.publisher) != wanted:
            raise NotReplayable(
                f"its rules are those of {origin_of(*wanted)}, and the log is {self._source.head.origin}"
            )
        return Rules(
            policy=read_policy(text, exposure.holdings),
            policy_hash=basis.policy,
            hooks={},
            roster=roster,
            exposure=exposure,
            own=basis.own,
            tallies=basis.tallies,
            trusted=frozenset(basis.trusted),
            policy_text=text,
            tallied_ms=basis.tallied_ms,
            since=basis.since,
        )

    def _manifests(self, basis: RulesBasis) -> list[Manifest]:
        bodies = [self.part(about, Part.MANIFEST) for about in basis.manifests]
        return [decode_manifest(body) if body else Manifest(basis.protocol, (), (), ()) for body in bodies]
