"""What a decision is made with: the operator's policy, his levers, who is who, and what hangs on what."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from tocsin_protocol.belief.independence import labels_of
from tocsin_protocol.belief.outcomes import Tally
from tocsin_protocol.belief.reputation import Standing, Vouch, assess_standing
from tocsin_protocol.belief.terms import Speaker, Witness
from tocsin_protocol.decision.basis import Part, RulesBasis, encode_rules_basis
from tocsin_protocol.decision.judge import World
from tocsin_protocol.decision.policy import Policy
from tocsin_protocol.evidence.relevance import Vantage
from tocsin_protocol.roster import RosterIndex
from tocsin_protocol.roster_encoding import encode_roster
from tocsin_protocol.taxonomy import Category

from ..conditions import holds
from ..exposure import Exposure
from ..hooks.hook import Hook
from ..people import People

NO_TALLY = Tally(0.0, 0.0, 0.0, 0.0)
Watching = Callable[[Category], Sequence[tuple[bytes, int]]]


def no_watching(category: Category) -> Sequence[tuple[bytes, int]]:
    """Of a node that has heard nobody's heartbeat yet."""
    return ()


@dataclass(frozen=True, slots=True)
class Rules:
    """One version of all of it; when any part changes, a new one is made.

    `own` is our publisher, `trusted` are contracts whose word evidence may rest on beside those our manifest names.
    `delays` are reporting delays (ms) as far as they are known, `watching` says who declares to watch for a category
    now, and when it was last heard (UTC ms). The tallies were counted at `tallied_ms`, of hours from `since` on.
    `policy_text` is the file that the policy was read from.
    """

    policy: Policy
    policy_hash: bytes
    hooks: Mapping[str, Hook]
    roster: RosterIndex
    exposure: Exposure
    own: bytes
    tallies: Mapping[tuple[bytes, Category], Tally] = field(default_factory=dict)
    trusted: frozenset[str] = frozenset()
    people: People = field(default_factory=People)
    delays: Mapping[tuple[bytes, Category], int] = field(default_factory=dict)
    watching: Watching = no_watching
    policy_text: str = ""
    tallied_ms: int = 0
    since: Mapping[bytes, int] = field(default_factory=dict)
    _speakers: dict[Category, dict[bytes, Speaker]] = field(default_factory=dict)
    _parts: list[tuple[Part, bytes]] = field(default_factory=list, init=False, compare=False)

    @property
    def vantage(self) -> Vantage:
        """Whose contracts' word evidence may rest on."""
        return Vantage(own=frozenset(self.exposure.subjects), trusted=self.trusted | self.exposure.dependencies)

    @property
    def world(self) -> World:
        """The same, as the core asks for it."""
        ours = self._own_publishers()
        labels = frozenset[str]().union(*(self._labels(publisher) for publisher in ours)) if ours else frozenset()
        return World(
            policy=self.policy,
            own=ours,
            own_labels=labels,
            members=len(self.roster.roster.members),
            exposure=self.exposure.spread,
            speakers_of=self.speakers_of,
            witnesses_of=self.witnesses_of,
            holds=lambda values: holds(self.policy.condition, dict(values)),
        )

    @property
    def parts(self) -> Sequence[tuple[Part, bytes]]:
        """What the log keeps of it; the last names the others by their SHA-256."""
        if not self._parts:
            policy, roster = self.policy_text.encode(), encode_roster(self.roster.roster)
            basis = RulesBasis(
                own=self.own,
                protocol=self.exposure.own.protocol,
                policy=sha256(policy).digest(),
                manifests=tuple(sha256(body).digest() for body in self.exposure.bodies),
                roster=sha256(roster).digest(),
                trusted=tuple(self.trusted),
                tallies=self.tallies,
                tallied_ms=self.tallied_ms,
                since=self.since,
            )
            self._parts.extend([(Part.POLICY, policy), (Part.ROSTER, roster)])
            self._parts.extend((Part.MANIFEST, body) for body in self.exposure.bodies)
            self._parts.append((Part.RULES, encode_rules_basis(basis)))
        return self._parts

    def speakers_of(self, category: Category) -> Mapping[bytes, Speaker]:
        """Every foreign publisher with what its word is worth in a category."""
        if category not in self._speakers:
            ours = self._own_publishers()
            self._speakers[category] = {
                publisher: self._speaker(publisher, category)
                for publisher in self.roster.publishers
                if publisher not in ours
            }
        return self._speakers[category]

    def witnesses_of(self, category: Category) -> Sequence[Witness]:
        """Who watches for a category, as far as it is known how long its reports take."""
        return [
            Witness(publisher, self.delays[publisher, category], heard_ms)
            for publisher, heard_ms in self.watching(category)
            if (publisher, category) in self.delays
        ]

    def _speaker(self, publisher: bytes, category: Category) -> Speaker:
        member = self.roster.member(publisher)
        name = member.name if member else ""
        vouches = [
            Vouch(word.by, word.llr, self._weight_of_member(word.by, category))
            for word in self.policy.words
            if word.of == name
        ]
        standing = self._standing(publisher, name, category, vouches)
        return Speaker(publisher, name, self._labels(publisher), standing)

    def _standing(self, publisher: bytes, member: str, category: Category, vouches: Sequence[Vouch]) -> Standing:
        tally = self.tallies.get((publisher, category), NO_TALLY)
        pin, cap = self.policy.pins.get(member), self.policy.vouch_cap
        return assess_standing(tally, pin, vouches=vouches, vouch_cap=cap)

    def _weight_of_member(self, name: str, category: Category) -> float:
        """What a member's word is worth by itself: nobody vouches for those who vouch."""
        members = (member for member in self.roster.roster.members if member.name == name)
        publishers = (publisher.id for member in members for publisher in member.publishers)
        return max((self._standing(item, name, category, ()).llr for item in publishers), default=0.0)

    def _labels(self, publisher: bytes) -> frozenset[str]:
        member, entry = self.roster.member(publisher), self.roster.publisher(publisher)
        return frozenset() if member is None or entry is None else labels_of(member, entry)

    def _own_publishers(self) -> frozenset[bytes]:
        """All publishers of our own member; before the roster lists us, ours alone."""
        member = self.roster.member(self.own)
        return frozenset({self.own, *(publisher.id for publisher in member.publishers)} if member else {self.own})
