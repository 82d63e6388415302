"""Power cuts over ledger, log and witness: nothing acknowledged is lost, nothing acts twice, what is weaker fails.

A node's life is arming, deciding and acting on the real schema by the real code, with a model of hook and chain that
survive, until the power goes at some write or sync; then it starts again from what the disk kept.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import pytest
from log_kit import LOG_KEY as OTHER_LOG
from log_kit import entries, growth_of
from power_kit import ANCHOR, DATABASE, Connection, Disk, DiskVFS, File, PowerCut
from protocol_kit import NETWORK_ID, NOW_MS, VAULT, Feed
from store_kit import LOG_SECRET, OWN
from tocsin_node.store.actions import append_event, find_action, insert_intent, read_arms, read_open_actions, set_arm
from tocsin_node.store.database import prepare_writer
from tocsin_node.store.ledger import hold_ledger, read_mark
from tocsin_node.store.ledger_doubt import judge_found
from tocsin_node.store.record import Record, read_entries
from tocsin_node.store.witnessing import keep_heads, read_kept_head
from tocsin_node.store.writer import Job, _commit
from tocsin_protocol.containment.action import Action, Detail, IntentVerdict, new_action
from tocsin_protocol.containment.ledger import LedgerMark, new_anchor, next_slot, read_newest
from tocsin_protocol.containment.life_cycle import SETTLED, Event, State
from tocsin_protocol.errors import ProofError
from tocsin_protocol.log.checkpoint import origin_of, verify_checkpoint
from tocsin_protocol.log.tiles import RightEdge
from tocsin_protocol.log.tree import leaf_hash, root_of_leaves
from tocsin_protocol.log.watch import LogView, see_growth, see_head

CUTS = 1_000
SOAK_CUTS = 10_000
COPIES = 200
"""Older copies that are put back."""
CONTROL_CUTS = 2_000
"""More than enough: a weak ledger fails within some dozens."""
LIVES_PER_WORLD = 40
"""Then a fresh database: an old one only makes the test slower."""
MAX_STEPS = 160
"""Changes and syncs of the disk in one life, at most; a commit takes four to nine."""
CHECKPOINT_PAGES = 15
"""Low, so that cuts meet checkpoints as well."""
MAX_OPEN = 4
HOOKS = ("pause-vault", "cap-pool", "page")

OWNER = Feed(OWN).publisher
ORIGIN = origin_of(NETWORK_ID, OWNER)
OTHER = b"\x44" * 20
Work = Callable[[Any], Any]


@dataclass
class Weakness:
    """What a control leaves out."""

    synchronous: str = "FULL"
    sends_before_signature_is_durable: bool = False
    anchors_before_signature_is_durable: bool = False


class Broken(AssertionError):
    """Something acknowledged was lost, or something acted twice."""


@dataclass
class Chain:
    """Survives every cut: which bytes were accepted, and the effects of each key."""

    nonces: dict[int, bytes] = field(default_factory=dict)
    effects: dict[bytes, set[int]] = field(default_factory=lambda: defaultdict(set))

    def accept(self, action_id: bytes, nonce: int) -> None:
        """The first transaction of a nonce has its effect; the same again, or a bump, has none."""
        if self.nonces.setdefault(nonce, action_id) == action_id:
            self.effects[action_id].add(nonce)
            if len(self.effects[action_id]) > 1:
                raise Broken(f"{action_id.hex()[:8]} acted twice, with the nonces {sorted(self.effects[action_id])}")


class World:
    """One node on one disk, its chain, and what it was told is done."""

    def __init__(self, vfs: DiskVFS, image: dict[str, bytes], rng: random.Random, weakness: Weakness) -> None:
        self.vfs = vfs
        self.disk = vfs.disk = Disk(image)
        self.rng = rng
        self.weakness = weakness
        self.chain = Chain()
        self.acknowledged: dict[bytes, list[Event]] = {}
        self.epochs: dict[str, int] = {}
        self.lives = 0
        self.now_ms = NOW_MS
        self.anchored: set[bytes] = set()
        self.head = RightEdge()
        self.cosigned = 0

    def live(self, steps: int) -> None:
        """One life, from a start to a cut."""
        self.lives += 1
        self.disk.steps = steps
        connection = None
        try:
            connection = self.start()
            while True:
                self.do_something(connection)
        except PowerCut:
            pass
        except (apsw.Error, KeyError, TypeError, ValueError) as exc:
            raise Broken(f"the ledger cannot be read: {exc}") from exc
        finally:
            self.disk.steps = 0
            if connection is not None:
                close_dead(connection)
        self.disk.cut(self.rng)

    def start(self) -> Connection:
        connection = Connection(self.vfs.name)
        try:
            prepare_writer(connection, Path(DATABASE), OWNER, NETWORK_ID)  # type: ignore[arg-type]
            connection.execute(f"PRAGMA synchronous = {self.weakness.synchronous}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            hold_ledger(connection, self.rng.randbytes(8))  # type: ignore[arg-type]
            told, self.log = self.head, self.open_log(connection)
            doubt = self.judge(connection)
            self.check_nothing_is_lost(connection)
            self.check_every_effect_is_known(connection)
            self.check_log(connection, told)
            self.check_witness(connection)
            if doubt:
                raise Broken(f"a power cut alone put the ledger in doubt: {doubt}")
            self.write_anchor(connection)
        except BaseException:
            close_dead(connection)
            raise
        return connection

    def put_back(self, copy: bytes) -> bool:
        """Start on an older copy of the database beside today's anchor; returns whether that was noticed."""
        for name in [name for name in self.disk.files if name != ANCHOR]:
            del self.disk.files[name]
        self.disk.files[DATABASE] = File(bytearray(copy), bytearray(copy), [], True)
        connection = Connection(self.vfs.name)
        try:
            prepare_writer(connection, Path(DATABASE), OWNER, NETWORK_ID)  # type: ignore[arg-type]
            self.log = self.open_log(connection)
            if self.judge(connection):
                return True
            self.check_every_effect_is_known(connection)
        finally:
            connection.close()
        return False

    def copy_database(self) -> bytes:
        """What a backup holds: the database with its log folded in."""
        connection = self.start()
        connection.close()
        return self.disk.image()[DATABASE]

    def open_log(self, connection: Connection) -> Record:
        return Record(connection, ORIGIN, LOG_SECRET)  # type: ignore[arg-type]

    def judge(self, connection: Connection) -> str:
        anchor = read_newest(bytes(self.disk.files[ANCHOR].seen)) if ANCHOR in self.disk.files else None
        doubt: str = self.submit(connection, partial(judge_found, anchor=anchor, fault="", now_ms=self.now_ms))
        return doubt

    def check_nothing_is_lost(self, connection: Connection) -> None:
        held: dict[bytes, list[Event]] = {
            action_id: [] for (action_id,) in connection.execute("SELECT id FROM actions").fetchall()
        }
        for action_id, event in connection.execute("SELECT action, event FROM action_events ORDER BY id"):
            held[action_id].append(Event(event))
        for action_id, events in self.acknowledged.items():
            if action_id not in held or held[action_id][: len(events)] != events:
                raise Broken(f"{action_id.hex()[:8]}: {events} was acknowledged, {held.get(action_id)} is left")
        # What was durable and not yet acknowledged is known from here on.
        self.acknowledged = held
        arms = read_arms(connection)  # type: ignore[arg-type]
        for hook, epoch in self.epochs.items():
            if hook not in arms or arms[hook].epoch < epoch:
                raise Broken(f"{hook}: arm epoch {epoch} was acknowledged")

    def check_log(self, connection: Connection, told: RightEdge) -> None:
        """What was under a signed head that was told is there still, in its order, and the log agrees with itself."""
        if self.log.fault:
            raise Broken(self.log.fault)
        try:
            entries = read_entries(connection, 0, told.size)  # type: ignore[arg-type]
        except ProofError as exc:
            raise Broken(f"of {told.size} logged entries: {exc}") from exc
        if len(entries) < told.size or root_of_leaves(map(leaf_hash, entries)) != told.root:
            raise Broken(f"a log of {told.size} entries was told, and {len(entries)} are left or are others")

    def check_witness(self, connection: Connection) -> None:
        """Whose head we have cosigned we still keep: else a second history of that log would be cosigned as well."""
        note = read_kept_head(connection, OTHER)  # type: ignore[arg-type]
        kept = verify_checkpoint(note, [OTHER_LOG]).checkpoint.size if note is not None else 0
        if kept < self.cosigned:
            raise Broken(f"a head of {self.cosigned} entries was cosigned, and one of {kept} is kept")
        self.cosigned = kept

    def check_every_effect_is_known(self, connection: Connection) -> None:
        for action_id, nonces in self.chain.effects.items():
            action = find_action(connection, action_id)  # type: ignore[arg-type]
            if action is None or nonces != {signed.nonce for signed in action.transactions}:
                raise Broken(f"{action_id.hex()[:8]} has an effect that the ledger does not know")

    def submit(self, connection: Connection, *works: Work) -> Any:
        """One group commit by the writer's own code; returns the first result, raises what the first raised."""
        jobs = [Job(work) for work in works]
        _commit(connection, self.log, jobs)  # type: ignore[arg-type]
        self.head = self.log.edge
        assert jobs[0].result is not None
        return jobs[0].result.unwrap()

    def write_anchor(self, connection: Connection) -> None:
        self.write_mark(self.submit(connection, read_mark))

    def write_mark(self, mark: LedgerMark) -> None:
        """As `write_anchor` does: in place, where there is an anchor."""
        if ANCHOR in self.disk.files:
            self.disk.write(ANCHOR, *next_slot(bytes(self.disk.files[ANCHOR].seen), mark))
        else:
            self.disk.create(ANCHOR, new_anchor(mark))

    def do_something(self, connection: Connection) -> None:
        self.now_ms += 1
        if self.rng.random() < 0.1:
            self.witness(connection)
        open_actions = read_open_actions(connection)  # type: ignore[arg-type]
        if open_actions and (len(open_actions) >= MAX_OPEN or self.rng.random() < 0.7):
            self.pursue(connection, self.rng.choice(open_actions))
        elif self.rng.random() < 0.6:
            self.decide(connection)
        else:
            self.set_arm(connection)

    def witness(self, connection: Connection) -> None:
        """Another's log has grown, and shows us."""
        growth = growth_of(self.cosigned, entries(self.cosigned + self.rng.randrange(1, 4)))
        note = read_kept_head(connection, OTHER)  # type: ignore[arg-type]
        view = LogView(OTHER_LOG)
        if note is not None:
            view = see_head(view, note, OTHER).view
        seen = see_growth(view, growth, OTHER)
        assert not seen.view.loose
        self.submit(connection, lambda c: keep_heads(c, {OTHER: seen.view}))
        self.cosigned = verify_checkpoint(growth.checkpoint, [OTHER_LOG]).checkpoint.size

    def set_arm(self, connection: Connection) -> None:
        hook, armed = self.rng.choice(HOOKS), self.rng.random() < 0.8
        arm = self.submit(connection, lambda c: set_arm(c, hook, armed=armed, now_ms=self.now_ms, by="test"))
        self.write_anchor(connection)
        self.epochs[hook] = arm.epoch

    def decide(self, connection: Connection) -> None:
        """Use a lever that is armed and not spent, beside other work in the same commit."""
        arms = [arm for arm in read_arms(connection).values() if arm.armed]  # type: ignore[arg-type]
        if not arms:
            return
        arm = self.rng.choice(arms)
        action = new_action(
            ledger=bytes(16),
            hook=arm.hook,
            target=VAULT,
            arm_epoch=arm.epoch,
            incident_id=self.rng.randbytes(32),
            decision_id=b"\2" * 8,
            payload=b"pause",
            created_ms=self.now_ms,
            deadline_ms=self.now_ms + 60_000,
        )
        verdict = self.submit(
            connection,
            lambda c: insert_intent(c, action, self.now_ms),
            lambda c: c.execute("INSERT INTO audit (at_ms, kind, reference, detail) VALUES (1, 'node', x'', x'80')"),
        )
        if verdict is IntentVerdict.NEW:
            self.acknowledged[action.action_id] = []

    def pursue(self, connection: Connection, action: Action) -> None:
        """The next step of an action, in the order in which a hook takes it."""
        if action.is_unsigned:
            self.sign(connection, action, self.next_nonce(connection))
        elif action.state is State.SIGNED and self.rng.random() < 0.2 and len(action.transactions) < 4:
            self.sign(connection, action, action.transactions[0].nonce)
        elif action.state in (State.SIGNED, State.BROADCAST):
            if action.action_id not in self.anchored:
                self.write_anchor(connection)
                self.anchored.add(action.action_id)
            self.chain.accept(action.action_id, action.transactions[-1].nonce)
            event = Event.SEND if action.state is State.SIGNED else Event.INCLUDE
            block = {"block_number": 7, "block_hash": b"\6" * 32, "hash": action.transactions[-1].hash}
            self.record(connection, action, event, block if event is Event.INCLUDE else {})
        else:
            self.record(connection, action, self.rng.choice([Event.CONFIRM, Event.CONFIRM, Event.REORG]), {})

    def sign(self, connection: Connection, action: Action, nonce: int) -> None:
        if self.weakness.sends_before_signature_is_durable:
            self.chain.accept(action.action_id, nonce)
        if self.weakness.anchors_before_signature_is_durable and action.is_unsigned:
            self.write_mark(replace(mark := read_mark(connection), sequence=mark.sequence + 1))  # type: ignore[arg-type]
        fee = 5 + len(action.transactions)
        raw = bytes([2, *action.action_id, nonce % 256, fee])
        signed = {"raw": raw, "hash": raw[:32], "nonce": nonce, "max_fee_wei": fee, "priority_fee_wei": 1}
        self.record(connection, action, Event.SIGN, signed)

    def record(self, connection: Connection, action: Action, event: Event, detail: Detail) -> None:
        after = self.submit(connection, lambda c: append_event(c, action.action_id, event, detail, self.now_ms))
        recorded = Event.LAPSE if after.state is State.LAPSED else event
        self.acknowledged[action.action_id].append(recorded)

    def next_nonce(self, connection: Connection) -> int:
        """Above what the chain has seen and what is signed and not settled."""
        held = [
            signed.nonce
            for action in read_open_actions(connection)  # type: ignore[arg-type]
            for signed in action.transactions
            if action.state not in SETTLED
        ]
        return max([-1, *self.chain.nonces, *held]) + 1


def close_dead(connection: Connection) -> None:
    """Without power nothing more is written, whatever SQLite would like to."""
    try:
        connection.close()
    except PowerCut:
        connection.close()


@pytest.fixture(scope="module")
def vfs() -> DiskVFS:
    return DiskVFS("power-cuts")


@pytest.fixture(scope="module")
def image(vfs: DiskVFS) -> dict[str, bytes]:
    """The disk of a node that was started once and stopped in order."""
    vfs.disk = Disk()
    connection = Connection(vfs.name)
    prepare_writer(connection, Path(DATABASE), OWNER, NETWORK_ID)  # type: ignore[arg-type]
    connection.close()
    return vfs.disk.image()


def run(
    vfs: DiskVFS,
    image: dict[str, bytes],
    cuts: int,
    seed: int,
    weakness: Weakness | None = None,
    kind: type[World] = World,
) -> list[World]:
    """So many cuts, each at a step of its own; raises Broken."""
    rng = random.Random(seed)
    worlds = []
    while cuts > 0:
        world = kind(vfs, image, rng, weakness or Weakness())
        worlds.append(world)
        for _ in range(min(cuts, LIVES_PER_WORLD)):
            world.live(rng.randrange(1, MAX_STEPS))
        cuts -= world.lives
    return worlds


@pytest.mark.parametrize("cuts", [CUTS, pytest.param(SOAK_CUTS, marks=pytest.mark.soak)])
def test_nothing_acknowledged_is_lost_and_nothing_acts_twice(vfs: DiskVFS, image: dict[str, bytes], cuts: int) -> None:
    worlds = run(vfs, image, cuts, seed=cuts)
    effects = sum(len(nonces) for world in worlds for nonces in world.chain.effects.values())
    acknowledged = sum(len(events) for world in worlds for events in world.acknowledged.values())
    assert sum(world.lives for world in worlds) == cuts
    # the lives were full ones: about an effect and several events in each
    assert effects > cuts // 4
    assert acknowledged > cuts
    # and what was told of the log grew in each
    assert sum(world.head.size for world in worlds) > 2 * cuts
    assert sum(world.cosigned for world in worlds) > cuts // 2


def put_copies_back(vfs: DiskVFS, image: dict[str, bytes], seed: int, weakness: Weakness) -> int:
    """Worlds in which a copy from some lives ago comes back; returns how many of them were noticed."""
    rng, noticed = random.Random(seed), 0
    for _ in range(COPIES):
        world = World(vfs, image, rng, weakness)
        for _ in range(rng.randrange(4)):
            world.live(rng.randrange(1, MAX_STEPS))
        copy = world.copy_database()
        for _ in range(rng.randrange(4)):
            world.live(rng.randrange(1, MAX_STEPS))
        noticed += world.put_back(copy)
    return noticed


def test_an_older_copy_put_back_is_noticed_or_knows_every_effect(vfs: DiskVFS, image: dict[str, bytes]) -> None:
    noticed = put_copies_back(vfs, image, 3, Weakness())
    # those from before a life in which something was done
    assert COPIES // 4 < noticed < COPIES


def write_only_armings(world: World, mark: LedgerMark) -> None:
    """The first anchor, and those of new arm epochs: an anchor that costs an action nothing."""
    held = read_newest(bytes(world.disk.files[ANCHOR].seen)) if ANCHOR in world.disk.files else None
    if held is None:
        world.disk.create(ANCHOR, new_anchor(mark))
    elif mark.epochs != held.epochs:
        world.disk.write(ANCHOR, *next_slot(bytes(world.disk.files[ANCHOR].seen), mark))


def test_without_an_anchor_for_each_action_an_older_copy_would_act_twice(
    vfs: DiskVFS, image: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(World, "write_mark", write_only_armings)
    with pytest.raises(Broken, match="does not know"):
        put_copies_back(vfs, image, 3, Weakness())


@pytest.mark.parametrize(
    ("weakness", "message"),
    [
        (Weakness(synchronous="OFF"), "was acknowledged|cannot be read"),
        (Weakness(synchronous="NORMAL"), "was acknowledged"),
        (Weakness(sends_before_signature_is_durable=True), "acted twice|does not know"),
        (Weakness(anchors_before_signature_is_durable=True), "put the ledger in doubt"),
    ],
    ids=["synchronous-off", "synchronous-normal", "sent-before-signature", "anchored-before-signature"],
)
def test_a_weaker_ledger_is_seen_to_fail(
    vfs: DiskVFS, image: dict[str, bytes], weakness: Weakness, message: str
) -> None:
    with pytest.raises(Broken, match=message):
        run(vfs, image, CONTROL_CUTS, seed=1, weakness=weakness)


class LogOnly(World):
    """Looks at nothing but the log."""

    def judge(self, connection: Connection) -> str:
        return ""

    def check_nothing_is_lost(self, connection: Connection) -> None:
        self.acknowledged = defaultdict(list)

    def check_every_effect_is_known(self, connection: Connection) -> None:
        self.chain = Chain()

    def check_witness(self, connection: Connection) -> None:
        self.cosigned = 0

    def witness(self, connection: Connection) -> None:
        pass


class WitnessOnly(LogOnly):
    """Looks at nothing but what it has cosigned of another's log."""

    def check_log(self, connection: Connection, told: RightEdge) -> None:
        pass

    def check_witness(self, connection: Connection) -> None:
        World.check_witness(self, connection)

    def witness(self, connection: Connection) -> None:
        World.witness(self, connection)


@pytest.mark.parametrize("synchronous", ["OFF", "NORMAL"])
def test_a_log_that_answers_before_it_is_on_disk_is_seen_to_fail(
    vfs: DiskVFS, image: dict[str, bytes], synchronous: str
) -> None:
    with pytest.raises(Broken, match=r"a log of \d+ entries was told|logged entries|does not agree|cannot be read"):
        run(vfs, image, CONTROL_CUTS, seed=1, weakness=Weakness(synchronous=synchronous), kind=LogOnly)


@pytest.mark.parametrize("synchronous", ["OFF", "NORMAL"])
def test_a_witness_that_answers_before_it_is_on_disk_is_seen_to_fail(
    vfs: DiskVFS, image: dict[str, bytes], synchronous: str
) -> None:
    with pytest.raises(Broken, match=r"a head of \d+ entries was cosigned|cannot be read"):
        run(vfs, image, CONTROL_CUTS, seed=1, weakness=Weakness(synchronous=synchronous), kind=WitnessOnly)
