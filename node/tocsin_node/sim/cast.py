"""Who may be heard from one seat, with labels and weights: the scenario's members as the core knows publishers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256

from tocsin_protocol.belief.independence import labels_of
from tocsin_protocol.belief.outcomes import Tally
from tocsin_protocol.belief.reputation import assess_standing
from tocsin_protocol.belief.terms import Speaker
from tocsin_protocol.decision.policy import Policy
from tocsin_protocol.ids import PUBLISHER_BYTES
from tocsin_protocol.roster_model import DetectorEntry, Publisher, RateClass
from tocsin_protocol.roster_model import Member as RosterMember

from . import scenario as scenarios
from .fitting import copies_of


@dataclass(frozen=True, slots=True)
class Cast:
    """`speakers` are the foreign publishers of the roster; `publishers` everybody's, by the scenario's names.

    `own` is our publisher with the labels of our detectors, `members` how many the roster has.
    """

    own: bytes
    own_labels: frozenset[str]
    speakers: Mapping[bytes, Speaker]
    publishers: Mapping[str, tuple[bytes, ...]]
    members: int

    def name(self, publisher: bytes) -> str:
        """Who it is, for people."""
        return "our own detector" if publisher == self.own else self.speakers[publisher].member


def build_cast(scenario: scenarios.Scenario, policy: Policy) -> Cast:
    """Everybody in a scenario, by the roster's labels and the fitted policy's pins. Raises BeliefError."""
    everybody = {member.name: tuple(_speakers(member, policy)) for member in scenario.member}
    own = everybody[scenario.seat][0]
    listed = [s for member in scenario.member if member.in_roster for s in everybody[member.name]]
    return Cast(
        own=own.publisher,
        own_labels=own.labels,
        speakers={speaker.publisher: speaker for speaker in listed if speaker is not own},
        publishers={name: tuple(speaker.publisher for speaker in known) for name, known in everybody.items()},
        members=len({speaker.member for speaker in listed}),
    )


def _speakers(member: scenarios.Member, policy: Policy) -> Iterator[Speaker]:
    tally = Tally(member.hits, member.misses, member.false_alarms, member.hours_watched)
    for name in copies_of(member.name, member.copies):
        standing = assess_standing(tally, policy.pins.get(name))
        organisation = RosterMember(name=name, organisation=name, root=b"", publishers=())
        for number in range(member.publishers):
            labels = labels_of(organisation, _publisher(member))
            yield Speaker(_publisher_id(name, number), name, labels, standing)


def _publisher(member: scenarios.Member) -> Publisher:
    """As the roster would list it; keys and addresses play no part here."""
    content_hash = sha256(f"{member.vendor} {member.detector}".encode()).digest()
    return Publisher(
        key=b"",
        peer_id="",
        addresses=(),
        valid_from_ms=0,
        valid_until_ms=0,
        capabilities=(),
        rate_class=RateClass.STANDARD,
        detectors=(DetectorEntry(member.detector, member.vendor, content_hash),),
        rpc_groups=tuple(member.rpc_groups),
        revoked=(),
    )


def _publisher_id(name: str, number: int) -> bytes:
    return sha256(f"{name} {number}".encode()).digest()[:PUBLISHER_BYTES]
