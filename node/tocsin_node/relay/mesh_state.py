"""What the mesh has to know: roster, addresses, heads and equivocators; told at its start and when they change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import trio
from tocsin_protocol.proof import accused_by
from tocsin_protocol.roster import RosterIndex
from tocsin_protocol.roster_encoding import encode_roster

from tocsin_node.meshlink import Configure, Message, PublishProof, UseEquivocators, UseHeads, UseRoster
from tocsin_node.store.arrivals import Filed, Path
from tocsin_node.store.feeds import FeedState
from tocsin_node.store.rosters import read_equivocators
from tocsin_node.store.writer import Store

from .network import Network

# Heads only spare the mesh work, so they may be a little old.
HEADS_SECONDS = 0.5


class MeshState:
    """Builds the mesh's configuration and keeps it up to date through `send`."""

    def __init__(
        self,
        network: Network,
        transport_seed: bytes,
        publisher: bytes,
        listen: Sequence[str],
        addresses: Mapping[str, Sequence[str]],
    ) -> None:
        self._network = network
        self._transport_seed = transport_seed
        self._publisher = publisher
        self._listen = list(listen)
        self._addresses = {peer_id: list(known) for peer_id, known in addresses.items()}
        self._heads: dict[tuple[bytes, int], int] = {}
        self._equivocators: set[bytes] = set()
        self._changed = trio.Event()
        self.send: Callable[..., bool] = lambda *messages: False
        network.listeners.append(self._use_roster)

    async def load(self, store: Store, feeds: Sequence[FeedState]) -> None:
        """Begin with what the database holds."""
        self._heads = {(feed.publisher, feed.lane): feed.contiguous for feed in feeds}
        self._equivocators = set(await store.writer.submit(read_equivocators))

    def configure(self) -> Configure:
        """The first message to a mesh process."""
        body = encode_roster(self._network.index.roster)
        return Configure(self._transport_seed, self._listen, self._publisher, body, self._addresses)

    def tell_all(self) -> None:
        """Tell a mesh that has just started what Configure does not hold, or what changed since."""
        self._use_roster(self._network.index)
        self.send(*self._knowledge())

    def filed(self, filed: Filed, path: Path) -> None:
        """Take over what a batch changed."""
        for feed in filed.feeds:
            self._heads[feed.publisher, feed.lane] = feed.contiguous
        if filed.feeds:
            self._changed.set()
        for proof in filed.proofs:
            self.proof_found(proof)

    def proof_found(self, proof: bytes) -> None:
        """Gossip a new proof and carry its publisher no more."""
        self._equivocators.add(accused_by(self._network.index, proof))
        self.send(PublishProof(proof), UseEquivocators(sorted(self._equivocators)))

    async def run_heads(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Pass on changed heads, at most each HEADS_SECONDS."""
        task_status.started()
        while True:
            await self._changed.wait()
            self._changed = trio.Event()
            self.send(self._use_heads())
            await trio.sleep(HEADS_SECONDS)

    def _knowledge(self) -> list[Message]:
        return [self._use_heads(), UseEquivocators(sorted(self._equivocators))]

    def _use_heads(self) -> UseHeads:
        return UseHeads([[publisher, lane, sequence] for (publisher, lane), sequence in self._heads.items()])

    def _use_roster(self, index: RosterIndex) -> None:
        self.send(UseRoster(encode_roster(index.roster), self._addresses))
