"""A relay's parts wired as the node wires them, with a hand in place of the mesh process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath

import trio
from protocol_kit import DOMAIN, NAMES, NETWORK_ID, NOW_MS, Feed, make_roster, peer_id_of, signed_by
from store_kit import LOG_SECRET, OWN, Lever, make_rules
from tocsin_node.meshlink import Message, Publish, Published
from tocsin_node.never_touch import NeverTouch
from tocsin_node.people import People
from tocsin_node.relay.acting import Acting
from tocsin_node.relay.brake import Brake
from tocsin_node.relay.catching_up import CatchingUp
from tocsin_node.relay.intake import Intake
from tocsin_node.relay.ledger import Ledger
from tocsin_node.relay.mesh_state import MeshState
from tocsin_node.relay.metrics import Metrics
from tocsin_node.relay.network import Network
from tocsin_node.relay.publishing import Publishing, Speech
from tocsin_node.relay.serving_sync import answer_request
from tocsin_node.relay.supervisor import MeshError
from tocsin_node.store.feeds import read_feeds
from tocsin_node.store.reader import Reader
from tocsin_node.store.rules import Rules
from tocsin_node.store.writer import Store
from tocsin_protocol.envelope import Envelope, decode_envelope
from tocsin_protocol.roster_encoding import roster_hash
from tocsin_protocol.roster_model import Roster, SignedRoster
from tocsin_protocol.sync import decode_request

DEADLINE_SECONDS = 60
PEERS = tuple(peer_id_of(name) for name in NAMES[1:3])
"""The nodes of two other members: of four, one may lie."""
Answer = Callable[[bytes], Awaitable[bytes]]
TOUCH_ANYTHING = NeverTouch(frozenset())


@dataclass
class Hand:
    """Stands where the mesh supervisor stands: keeps what it is given, and peers answer through it."""

    sent: list[Message] = field(default_factory=list)
    peers: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, bytes]] = field(default_factory=list)
    takes: bool = True
    changed: trio.Event = field(default_factory=trio.Event)

    def send(self, *messages: Message) -> bool:
        if not self.takes:
            return False
        self.sent += messages
        self.changed.set()
        self.changed = trio.Event()
        return True

    async def ask(self, peer_id: str, request: bytes) -> bytes:
        self.asked.append((peer_id, request))
        if peer_id not in self.peers:
            raise MeshError("no such peer")
        return await self.peers[peer_id](request)

    def published(self) -> list[Envelope]:
        return [decode_envelope(DOMAIN, m.envelope) for m in self.sent if isinstance(m, Publish)]

    async def wait_sent(self, is_right: Callable[[list[Message]], bool]) -> None:
        with trio.fail_after(DEADLINE_SECONDS):
            while not is_right(self.sent):
                await self.changed.wait()


@dataclass
class Bench:
    """One relay without a mesh; `now_ms` is its clock."""

    store: Store
    network: Network
    intake: Intake
    publishing: Publishing
    catching_up: CatchingUp
    mesh_state: MeshState
    ledger: Ledger
    acting: Acting
    mesh: Hand
    metrics: Metrics
    lever: Lever
    clock: list[int]
    brake: Brake
    rules: Callable[[], Rules]

    def counted(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name + "_total", labels) or 0.0

    async def held(self, feed: Feed, lane: int) -> tuple[int, int]:
        """(contiguous, head) of a feed; (0, 0) when nothing is held."""
        feeds = await self.store.writer.submit(read_feeds)
        return next(((f.contiguous, f.head) for f in feeds if (f.publisher, f.lane) == (feed.publisher, lane)), (0, 0))

    def serve(self) -> Answer:
        """What a peer with this relay's database answers."""
        return serve_from(self.store.data_dir)

    def receipts(self) -> None:
        """Gossip has taken over everything that was sent so far."""
        for message in self.mesh.sent:
            if isinstance(message, Publish):
                self.publishing.confirm(Published(message.lane, message.sequence))

    def settle(self) -> None:
        """As many peers as it takes have shown us our own feed."""
        for peer in PEERS:
            self.publishing.settle(peer)

    async def wait_speech(self, speech: Speech) -> None:
        await wait_until(lambda: self.publishing.speech is speech)


def serve_from(data_dir: FilePath) -> Answer:
    async def answer(request: bytes) -> bytes:
        with Reader(data_dir) as reader:
            return answer_request(reader, decode_request(request))

    return answer


async def wait_until(is_right: Callable[[], bool]) -> None:
    with trio.fail_after(DEADLINE_SECONDS):
        while not is_right():  # noqa: ASYNC110 - what is waited for sets no event
            await trio.sleep(0.005)


@asynccontextmanager
async def open_bench(
    folder: FilePath,
    label: str = OWN,
    *,
    organisations: int = 2,
    roster: Roster | None = None,
    lever: Lever | None = None,
    mesh: Hand | None = None,
    tasks: bool = True,
    disarm_keys: Sequence[bytes] = (),
    never: NeverTouch = TOUCH_ANYTHING,
    people: People | None = None,
    asks: bool = False,
) -> AsyncIterator[Bench]:
    """Open a relay's parts on a database in `folder`; without `tasks` only the writer runs."""
    own = Feed(label)
    genesis = signed_by(roster or make_roster())
    clock, metrics, mesh = [NOW_MS], Metrics(), mesh or Hand()
    the_lever = lever or Lever()
    hooks = {the_lever.name: the_lever}
    store = Store(folder, own.publisher, NETWORK_ID, LOG_SECRET)

    def now_ms() -> int:
        return clock[0]

    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(store.writer.run_writer)
            network = Network(store, genesis, genesis_pin(genesis), now_ms)
            await network.load()

            def the_rules() -> Rules:
                rules = make_rules(organisations=organisations, roster=network.index, levers=(the_lever,))
                policy = replace(rules.policy, levers=tuple(replace(one, asks=asks) for one in rules.policy.levers))
                return replace(rules, policy=policy, people=people or People())

            mesh_state = MeshState(network, b"s" * 32, own.publisher, [], {})
            await mesh_state.load(store, await store.writer.submit(read_feeds))
            mesh_state.send = mesh.send
            intake = Intake(store, the_rules, metrics, now_ms)
            publishing = Publishing(store, intake, mesh, the_rules, own.secret, own.publisher, now_ms)  # type: ignore[arg-type]
            ledger = Ledger(store, now_ms)
            await ledger.load()
            brake = Brake(store, ledger, network.index.domain, disarm_keys, metrics, now_ms)
            acting = Acting(store, ledger, brake, never, hooks, metrics, now_ms)

            def proof_found(proof: bytes) -> None:
                mesh_state.proof_found(proof)
                publishing.proof_found(proof)

            async def own_feed_shown(peer_id: str) -> None:
                publishing.settle(peer_id)

            catching_up = CatchingUp(
                store,
                network,
                intake,
                mesh,  # type: ignore[arg-type]
                metrics,
                now_ms,
                own_feed_shown,
                proof_found,
            )
            intake.listeners += [acting.start, mesh_state.filed]
            if tasks:
                for task in (
                    acting.run_acting,
                    intake.run_intake,
                    publishing.run_outbox,
                    publishing.run_receipts,
                    publishing.run_resumption,
                    catching_up.run_catching_up,
                    mesh_state.run_heads,
                ):
                    await nursery.start(task)
            yield Bench(
                store,
                network,
                intake,
                publishing,
                catching_up,
                mesh_state,
                ledger,
                acting,
                mesh,
                metrics,
                the_lever,
                clock,
                brake,
                the_rules,
            )
            nursery.cancel_scope.cancel()
    finally:
        store.close()


def genesis_pin(genesis: SignedRoster) -> bytes:
    return roster_hash(genesis.body)
