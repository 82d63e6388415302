"""Rules, hooks and arrivals for the tests of store and relay."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio
from protocol_kit import NAMES, NETWORK_ID, NOW_MS, VAULT, Feed, make_member, make_publisher, make_roster
from tocsin_node.exposure import Exposure, make_exposure
from tocsin_node.hooks.hook import Journal, Occasion
from tocsin_node.relay.intake import verify_batch
from tocsin_node.store.actions import set_arm
from tocsin_node.store.arrivals import Filed, Path, file_arrivals
from tocsin_node.store.ledger import hold_ledger
from tocsin_node.store.rules import Rules
from tocsin_node.store.schema import MIGRATIONS
from tocsin_protocol.belief.outcomes import Tally
from tocsin_protocol.belief.reputation import Pin
from tocsin_protocol.containment.action import Action
from tocsin_protocol.containment.life_cycle import Event
from tocsin_protocol.decision.levers import Lever as PolicyLever
from tocsin_protocol.decision.policy import Policy
from tocsin_protocol.decision.tiers import Quorum, Tier
from tocsin_protocol.envelope import Envelope
from tocsin_protocol.exposure.manifest import Amount, AmountSource, Holding, HoldingKind, Manifest, SubjectId
from tocsin_protocol.roster import RosterIndex
from tocsin_protocol.roster_model import Roster
from tocsin_protocol.taxonomy import Category, SubjectKind

HOOK = "pause-vault"
OWN = "alba"
SCOPE = "vault"
LOG_SECRET = b"\x10" * 32


@dataclass
class Lever:
    """A hook that keeps what it was asked to do and ends every action as `last` says."""

    name: str = HOOK
    target: str = VAULT
    last: Event = Event.CONFIRM
    knows_its_arguments: bool = True
    ends_after_minutes: int | None = None
    is_in_effect: bool | None = None
    claimed: list[bytes] = field(default_factory=list)
    ran: list[bytes] = field(default_factory=list)
    posted: list[bytes] = field(default_factory=list)
    done: trio.Event = field(default_factory=trio.Event)

    def payload(self, occasion: Occasion) -> bytes:
        return b"pause " + self.target.encode() if self.knows_its_arguments else b""

    async def read_effect(self, action: Action) -> bool | None:
        return self.is_in_effect

    def claim(self, action: Action) -> None:
        self.claimed.append(action.action_id)

    async def run(self, action: Action, journal: Journal) -> Action:
        self.ran.append(action.action_id)
        action = await journal.record(action.action_id, Event.SEND, {})
        if action.is_settled:
            return action
        self.posted.append(action.action_id)
        action = await journal.record(action.action_id, self.last, {"reason": "the lever says so"})
        self.done.set()
        return action


def independent_roster(**changes: object) -> Roster:
    """The usual members, of whom no two share a label; brook's publisher may be changed."""
    publishers = {n: make_publisher(n, detectors=(), rpc_groups=(), **(changes if n == "brook" else {})) for n in NAMES}
    return make_roster([make_member(name, publisher) for name, publisher in publishers.items()])


def make_exposure_of(*accounts: str, micro_usd: int = 1_000_000_000_000) -> Exposure:
    """Our manifest: one holding for each of these accounts, a million dollars in each."""
    holdings = tuple(
        Holding(
            f"vault-{n}" if n else SCOPE,
            HoldingKind.MARKET,
            (SubjectId(SubjectKind.ACCOUNT, account),),
            Amount(micro_usd, NOW_MS, AmountSource.DECLARED),
        )
        for n, account in enumerate(accounts)
    )
    return make_exposure(Manifest(OWN, holdings, (), ()))


def make_rules(
    *,
    organisations: int = 2,
    roster: RosterIndex | None = None,
    levers: Sequence[Lever] | None = None,
    accounts: Sequence[str] = (VAULT,),
) -> Rules:
    """So many organisations tighten our vault when it is drained; one alone does where the operator pinned it."""
    levers = levers if levers is not None else (Lever(),)
    index = roster or RosterIndex(independent_roster())
    exposure = make_exposure_of(*accounts)
    policy = Policy(
        levers=tuple(
            PolicyLever(lever.name, Tier.TIGHTEN, frozenset(exposure.holdings), 90, 1_000_000, 15, 0, 100, 1)
            for lever in levers
        ),
        quorum=Quorum(tighten=max(2, organisations)),
        pins={name: Pin() for name in ("brook", "cedar", "delta")} if organisations == 1 else {},
    )
    hooks = {lever.name: lever for lever in levers}
    earned = Tally(hits=20.0, misses=1.0, false_alarms=0.0, hours=2_000.0)
    tallies = {(publisher, category): earned for publisher in index.publishers for category in Category}
    return Rules(policy, b"p" * 32, hooks, index, exposure, Feed(OWN).publisher, tallies)


@contextmanager
def memory_database() -> Iterator[sqlite3.Connection]:
    """The schema without a disk under it, owned by the first member."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        for migration in MIGRATIONS:
            connection.executescript(migration)
        connection.execute("INSERT INTO node VALUES (1, ?, ?, x'')", (Feed(OWN).publisher, NETWORK_ID))
        hold_ledger(connection, b"instance")
        yield connection
    finally:
        connection.close()


def file(
    connection: sqlite3.Connection,
    envelopes: Iterable[Envelope],
    *,
    rules: Rules | None = None,
    now_ms: int = NOW_MS,
    path: Path = Path.GOSSIP,
) -> Filed:
    """Verify envelopes and file them as one batch, as intake does."""
    chosen = rules or make_rules()
    opened = verify_batch(chosen.roster, [envelope.encoded for envelope in envelopes], now_ms).opened
    return file_arrivals(connection, chosen, opened, path, now_ms)


def arm(connection: sqlite3.Connection, hook: str = HOOK, *, armed: bool = True, now_ms: int = NOW_MS) -> int:
    return set_arm(connection, hook, armed=armed, now_ms=now_ms, by="test").epoch


def count(connection: sqlite3.Connection, table: str) -> int:
    number: int = connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]  # noqa: S608 - names of ours
    return number


def audit_kinds(connection: sqlite3.Connection) -> list[str]:
    return [kind for (kind,) in connection.execute("SELECT kind FROM audit ORDER BY sequence")]
