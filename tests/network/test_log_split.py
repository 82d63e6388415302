"""A log that shows two histories to two members over real mesh processes: both hear of it from one another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import trio
from log_kit import entries, growth_of_log, log_of
from mesh_kit import (
    DEADLINE_SECONDS,
    NETWORK_ID,
    Node,
    Running,
    introduce,
    make_nodes,
    make_roster,
    running_mesh,
    secret_of,
)
from tocsin_node.clock import now_ms
from tocsin_node.meshlink import HeartbeatSeen, ProofSeen, PublishHeartbeat, PublishProof, UseEquivocators, UseRoster
from tocsin_protocol.heartbeat import Heartbeat, decode_heartbeat, encode_heartbeat
from tocsin_protocol.log.hearing import Hearing
from tocsin_protocol.log.members import witness_key
from tocsin_protocol.log.note import Algorithm, Cosigner, Note, decode_note, encode_note, verifier_key
from tocsin_protocol.log.split_view import encode_split_view
from tocsin_protocol.log.watch import LogView
from tocsin_protocol.log.witness import Growth
from tocsin_protocol.proof import verify_proof
from tocsin_protocol.roster import RosterIndex
from tocsin_protocol.roster_encoding import decode_roster, encode_roster


def roster_with_logs(nodes: Sequence[Node]) -> bytes:
    roster = decode_roster(make_roster(nodes))
    secrets = {node.publisher: log_secret(node) for node in nodes}
    members = []
    for member in roster.members:
        publishers = [
            replace(p, log=verifier_key(secrets[p.id], "any", Algorithm.ED25519).key) for p in member.publishers
        ]
        members.append(replace(member, publishers=tuple(publishers)))
    return encode_roster(replace(roster, members=tuple(members)))


def log_secret(node: Node) -> bytes:
    return secret_of(node.name, "log")


class Witness:
    """The relay's side of one member: it hears heartbeats, and shows in its own what it keeps."""

    def __init__(self, index: RosterIndex, running: Running) -> None:
        self.index = index
        self.running = running
        self.node = running.node
        self.views: dict[bytes, LogView] = {}
        self.proven: list[bytes] = []
        self._seen = 0

    async def beat(self) -> None:
        cosigner = Cosigner(log_secret(self.node), witness_key(self.index, self.node.publisher).name)
        shown = []
        for view in self.views.values():
            assert view.kept is not None
            note = decode_note(view.kept.note)
            shown.append(encode_note(Note(note.text, (*note.signatures, cosigner.cosign(note.text, now_ms() // 1000)))))
        await self.running.link.send(PublishHeartbeat(beat_of(None, *shown)))

    async def hear(self) -> None:
        """Take what has come since; a proof goes out, and its publisher is carried no more."""
        for message in self._new():
            if isinstance(message, HeartbeatSeen):
                beat = decode_heartbeat(message.heartbeat)
                sender = self.index.publisher_of_peer(message.peer_id)
                assert sender is not None
                heard = Hearing(self.index, self.node.publisher, self.views, ()).hear(sender, beat.log, beat.cosigned)
                assert not heard.broken
                self.views |= heard.views
                for publisher, split in heard.splits.items():
                    proof = encode_split_view(split)
                    self.proven.append(publisher)
                    await self.running.link.send(PublishProof(proof), UseEquivocators([publisher]))
            elif isinstance(message, ProofSeen):
                self.proven.append(verify_proof(self.index, message.proof))

    async def hear_until(self, found: Callable[[], bool]) -> None:
        """Hear what comes until this is so."""
        with trio.fail_after(DEADLINE_SECONDS):
            while True:
                arrived = self.running.arrived
                await self.hear()
                if found():
                    return
                await arrived.wait()

    def _new(self) -> Iterator[object]:
        new, self._seen = self.running.messages[self._seen :], len(self.running.messages)
        return iter(new)


def beat_of(growth: Growth | None, *cosigned: bytes) -> bytes:
    return encode_heartbeat(Heartbeat(now_ms(), 0, (), (), (), growth, cosigned))


async def say_something(runnings: Sequence[Running]) -> None:
    """Wait until gossip goes round: an envelope waits for who takes it, a heartbeat does not."""
    said = [(running, running.node.message()) for running in runnings]
    for running, message in said:
        await running.link.send(message)
    for other in runnings:
        wanted = {message.envelope for running, message in said if running is not other}
        await other.wait_for(lambda other=other, wanted=wanted: wanted <= set(other.envelopes()))


async def test_two_views_are_proven_to_every_member_once_any_path_joins_them(tmp_path: Path) -> None:
    nodes = make_nodes(4)
    liar, *honest = nodes
    roster = roster_with_logs(nodes)
    index = RosterIndex(decode_roster(roster))
    secret, origin = log_secret(liar), log_of(NETWORK_ID, liar.publisher)
    views = [growth_of_log(0, [word, *entries(4)], secret, origin) for word in (b"a", b"b")]
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        folder.mkdir()
    async with AsyncExitStack() as stack:
        runnings = [await stack.enter_async_context(running_mesh(node, roster, tmp_path)) for node in honest]
        # The liar runs twice under one key, and each of the two knows one member alone, who knows nobody else yet.
        lies = [await stack.enter_async_context(running_mesh(liar, roster, folder)) for folder in folders]
        witnesses = [Witness(index, running) for running in runnings]
        greeting = liar.message()
        for lie, growth, witness in zip(lies, views, witnesses, strict=False):
            told = witness.running
            await lie.link.send(UseRoster(roster, {told.node.peer_id: told.listen}), greeting)
            await told.wait_envelopes(1)
            await lie.link.send(PublishHeartbeat(beat_of(growth)))
            await witness.hear_until(lambda witness=witness: liar.publisher in witness.views)
        assert not any(witness.proven for witness in witnesses)
        await introduce(runnings, roster)
        await say_something(runnings)
        # One round is enough where nothing is lost.
        for witness in witnesses:
            await witness.beat()
        for witness in witnesses:
            await witness.hear_until(lambda witness=witness: liar.publisher in witness.proven)
        assert all(set(witness.proven) == {liar.publisher} for witness in witnesses)
