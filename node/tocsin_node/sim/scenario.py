"""A scenario: who sits where, what is at stake, what is lost if nothing is done, who says what when. A TOML file."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field, PositiveInt
from tocsin_protocol.exposure.manifest import HoldingKind, Link
from tocsin_protocol.model import MAX_CONFIDENCE
from tocsin_protocol.taxonomy import Category, EvidenceKind, Relation, Role, Severity, Stage

from ..policy_file import MAX_USD
from ..toml_files import Section

# A month and a bit; what lasts longer is no incident.
MAX_SECONDS = 40 * 24 * 3600
MAX_MEMBERS, MAX_COPIES, MAX_PUBLISHERS = 64, 2_000, 16
MAX_SCOPES, MAX_REPORTS, MAX_TIMES = 32, 256, 10_000
# Publishers times repetitions: what one run can be asked to hear.
MAX_SIGNALS = 100_000
# People arm a lever again an hour after it was used, unless the scenario says otherwise.
DEFAULT_REARM_S = 3_600
DEFAULT_EXPIRY_S = 7 * 24 * 3600

Seconds = Annotated[int, Field(ge=0, le=MAX_SECONDS)]
_Percent = Annotated[float, Field(ge=0, le=100)]
_Usd = Annotated[int, Field(ge=0, le=MAX_USD)]


class Kind(StrEnum):
    """An attack is to be contained; a control must freeze and pause nothing; a limit is a case known to go wrong."""

    ATTACK = "attack"
    CONTROL = "control"
    LIMIT = "limit"


class Answer(StrEnum):
    """What our own endpoints say of a report's evidence. Split: they disagree, which is unknown, and an alarm."""

    CONFIRMED = "confirmed"
    CONTRADICTED = "contradicted"
    UNKNOWN = "unknown"
    SPLIT = "split"


class Delay(Section):
    """A delay drawn from a log-normal distribution, in seconds."""

    median: Annotated[float, Field(gt=0, le=MAX_SECONDS)]
    p95: Annotated[float, Field(gt=0, le=MAX_SECONDS)]


class Member(Section):
    """Who may speak, with the labels of the roster. `copies`: so many alike, each an organisation of its own."""

    name: str
    vendor: str
    detector: str
    rpc_groups: list[str] = Field(min_length=1, max_length=8)
    in_roster: bool = True
    pinned: bool = True
    copies: Annotated[int, Field(ge=1, le=MAX_COPIES)] = 1
    publishers: Annotated[int, Field(ge=1, le=MAX_PUBLISHERS)] = 1
    hits: float = Field(default=0.0, ge=0, le=1e6)
    misses: float = Field(default=0.0, ge=0, le=1e6)
    false_alarms: float = Field(default=0.0, ge=0, le=1e6)
    hours_watched: float = Field(default=0.0, ge=0, le=1e6)


class Loss(Section):
    """What leaves at one moment or, with `until_s`, evenly until then."""

    at_s: Seconds
    until_s: Seconds | None = None
    usd: _Usd

    @property
    def ends_s(self) -> int:
        """When the last of it is gone."""
        return self.at_s if self.until_s is None else self.until_s


class Dependency(Section):
    """What a scope hangs on, how, and what share of it is lost when that fails."""

    subject: str
    link: Link
    share_percent: Annotated[float, Field(gt=0, le=100)] = 100.0


class Scope(Section):
    """One of our assets, markets or vaults: what it hangs on, what is at stake, what is truly lost unless held."""

    id: str
    name: str
    kind: HoldingKind = HoldingKind.MARKET
    at_stake_usd: _Usd
    depends_on: list[Dependency] = Field(default=[], max_length=32)
    loss: list[Loss] = Field(default=[], max_length=256)
    outflow: list[Loss] | None = Field(default=None, max_length=256)


class Evidence(Section):
    """The claim that a report carries, and what our own endpoints answer how long after they are asked."""

    kind: EvidenceKind
    answer: Answer
    after_s: Delay = Delay(median=3, p95=10)


class Claims(Section):
    """What a signal says found it. The roster's labels count, not these."""

    detector: str
    vendor: str
    rpc_group: str


class Report(Section):
    """What somebody says. By the seat itself it is a finding of our own detectors.

    It is issued `delay_s` after `at_s`, by each of the member's publishers, and again `every_s`, so many `times`.
    `within_s` spreads the moments evenly at random. `arrives_s` is when it comes at last, over `arrives_within_s`.
    """

    id: str = ""
    by: str
    at_s: Seconds
    within_s: Seconds = 0
    delay_s: Delay | None = None
    miss_percent: _Percent = 0.0
    every_s: PositiveInt | None = None
    times: Annotated[int, Field(ge=1, le=MAX_TIMES)] = 1
    arrives_s: Seconds | None = None
    arrives_within_s: Seconds = 0
    category: Category
    severity: Severity
    stage: Stage = Stage.EXPLOITATION
    confidence: Annotated[int, Field(ge=0, le=MAX_CONFIDENCE)]
    subject: str
    role: Role = Role.VICTIM
    relation: Relation | None = None
    to: str = ""
    drill: bool = False
    expires_after_s: Annotated[int, Field(ge=1, le=DEFAULT_EXPIRY_S)] = DEFAULT_EXPIRY_S
    evidence: Evidence | None = None
    claims: Claims | None = None


class Threat(Section):
    """When holding still is right, and the first harm, from which times to containment are counted."""

    from_s: Seconds = 0
    until_s: Seconds
    first_harm_s: Seconds


class People(Section):
    """The best published human response: who contained, and when."""

    who: str
    contained_s: Seconds


class Chain(Section):
    """How long until a transaction of ours is in a block: each block takes it with the same chance."""

    block_s: Annotated[float, Field(gt=0, le=3600)] = 12.0
    inclusion_percent: Annotated[float, Field(gt=0, le=100)] = 90.0


class Scenario(Section):
    """One incident, or one false alarm, as seen from one seat. Times in seconds after `starts`."""

    name: str = ""
    title: str
    kind: Kind
    summary: str
    sources: list[str] = Field(default=[], max_length=32)
    doubts: str = ""
    seat: str
    starts: AwareDatetime
    lasts_s: Annotated[int, Field(ge=1, le=MAX_SECONDS)]
    rearm_s: Seconds = DEFAULT_REARM_S
    threat: Threat | None = None
    people: People | None = None
    chain: Chain = Chain()
    member: list[Member] = Field(min_length=1, max_length=MAX_MEMBERS)
    scope: list[Scope] = Field(min_length=1, max_length=MAX_SCOPES)
    report: list[Report] = Field(min_length=1, max_length=MAX_REPORTS)

    @property
    def starts_ms(self) -> int:
        """When it starts, UTC ms."""
        start: datetime = self.starts
        return int(start.timestamp() * 1000)
