"""Malformed gossip RPCs from a roster peer: the node lives, the culprit is dropped, honest traffic goes on."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
from google.protobuf.message import DecodeError
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p_kit import framed, hello, raw_peer, send_until_dropped, stock_node, uvarint
from mesh_kit import DEADLINE_SECONDS, NETWORK_ID, Node, Running, introduce, make_nodes, make_roster, running_mesh
from tocsin_node.bench.py_mesh import process_usage
from tocsin_node.mesh.hardening import MAX_REJECTS_A_MINUTE
from tocsin_node.mesh.signatures import sign_message
from tocsin_protocol.frame import encode_frame
from tocsin_protocol.topics import topic_names

TOPIC = topic_names(NETWORK_ID)[0]
OTHER_TOPIC = topic_names(bytes(32))[0]
BETWEEN_SECONDS = 0.05
# What the victim may compute until the next signal of an honest node is through: a loop that froze did so for longer.
MAX_BUSY_MS = 5_000
MANY = MAX_REJECTS_A_MINUTE + 1


@dataclass(frozen=True)
class Attacker:
    node: Node

    def message(self, data: bytes = b"no frame") -> rpc_pb2.Message:
        """A well signed message, fresh each time."""
        keys = create_new_key_pair(self.node.seed)
        message = rpc_pb2.Message(
            data=data,
            topicIDs=[TOPIC],
            from_id=_id_bytes(keys.public_key.to_bytes()),
            seqno=secrets.token_bytes(8),
        )
        sign_message(message, keys.private_key)
        return message

    def with_field(self, **fields: object) -> rpc_pb2.Message:
        message = self.message()
        for name, value in fields.items():
            message.ClearField(name)
            message.MergeFrom(rpc_pb2.Message(**{name: value}))
        return message


def _id_bytes(public_key: bytes) -> bytes:
    return bytes.fromhex("002408011220") + public_key


def _publish(*messages: rpc_pb2.Message) -> bytes:
    return framed(rpc_pb2.RPC(publish=messages).SerializeToString())


def _many(make: Callable[[Attacker], rpc_pb2.Message]) -> Callable[[Attacker], bytes]:
    return lambda attacker: _publish(*[make(attacker) for _ in range(MANY)])


def _control(**entries: object) -> bytes:
    return framed(rpc_pb2.RPC(control=rpc_pb2.ControlMessage(**entries)).SerializeToString())


def _grafts(count: int) -> bytes:
    return _control(graft=[rpc_pb2.ControlGraft(topicID=TOPIC)] * count)


def _mixed_frame(attacker: Attacker) -> rpc_pb2.Message:
    other = make_nodes(1, "someone-else")[0]
    return attacker.message(encode_frame([attacker.node.seal().encoded, other.seal().encoded]))


def _unsigned_envelope(attacker: Attacker) -> rpc_pb2.Message:
    envelope = attacker.node.seal(secrets.token_bytes(64)).encoded
    return attacker.message(encode_frame([envelope[:-1] + bytes([envelope[-1] ^ 1])]))


SHA256_ID = bytes.fromhex("1220") + hashlib.sha256(b"some RSA key").digest()

# What no honest peer sends: its sender is dropped.
DROPPED: dict[str, Callable[[Attacker], bytes]] = {
    "garbage instead of protobuf": lambda a: framed(b"\xff\xff\xff\xff"),
    "a bad key beside a SHA-256 from": _many(lambda a: a.with_field(from_id=SHA256_ID, key=b"\xff\xff\xff")),
    "a protobuf cut short": lambda a: framed(_publish(a.message())[4:-20]),
    "a field longer than the RPC": lambda a: framed(b"\x12\xff\xff\x01abc"),
    "a group nested a thousand deep": lambda a: framed(b"\x0b" * 1000),
    "a subscription whose topic is not UTF-8": lambda a: framed(b"\x0a\x06\x08\x01\x12\x02\xff\xfe"),
    "a message whose topic is not UTF-8": lambda a: framed(b"\x12\x04\x22\x02\xff\xfe"),
    "a GRAFT whose topic is not UTF-8": lambda a: framed(b"\x1a\x06\x1a\x04\x0a\x02\xff\xfe"),
    "a control message of garbage": lambda a: framed(b"\x1a\x04\xff\xff\xff\xff"),
    "a message of garbage": lambda a: framed(b"\x12\x04\xff\xff\xff\xff"),
    "a length of 300 KB": lambda a: uvarint(300_000) + b"x" * 1000,
    "a length of 2**63": lambda a: uvarint(2**63) + b"x" * 1000,
    "a length that never ends": lambda a: b"\xff" * 64,
    "855 KB with 4,500 messages": lambda a: _publish(*[a.with_field(data=b"x" * 150)] * 4500),
    "513 messages": lambda a: _publish(*[rpc_pb2.Message(data=b"x")] * 513),
    "5,000 GRAFTs": lambda a: _grafts(5000),
    "65 GRAFTs": lambda a: _grafts(65),
    "65 PRUNEs": lambda a: _control(prune=[rpc_pb2.ControlPrune(topicID=TOPIC, backoff=2**62)] * 65),
    "65 IHAVEs": lambda a: _control(ihave=[rpc_pb2.ControlIHave(topicID=TOPIC, messageIDs=[b"x"])] * 65),
    "65 IWANTs": lambda a: _control(iwant=[rpc_pb2.ControlIWant(messageIDs=[b"x"])] * 65),
    "65 subscriptions": lambda a: hello(*[f"topic-{n}" for n in range(65)]),
    "messages without a signature": _many(lambda a: a.with_field(signature=b"")),
    "short signatures": _many(lambda a: a.with_field(signature=b"s" * 63)),
    "signatures of something else": _many(lambda a: a.with_field(data=secrets.token_bytes(16))),
    "no from": _many(lambda a: a.with_field(from_id=b"")),
    "a from that is no peer id": _many(lambda a: a.with_field(from_id=secrets.token_bytes(38))),
    "another member's from": _many(lambda a: a.with_field(from_id=ID.from_base58(make_nodes(1)[0].peer_id).to_bytes())),
    "another key": _many(lambda a: a.with_field(key=b"\x08\x01\x12\x20" + secrets.token_bytes(32))),
    "no sequence number": _many(lambda a: a.with_field(seqno=b"")),
    "a sequence number of nine bytes": _many(lambda a: a.with_field(seqno=secrets.token_bytes(9))),
    "signed messages that are no frames": _many(lambda a: a.message(secrets.token_bytes(40))),
    "frames of two publishers": _many(_mixed_frame),
    "frames with unsigned envelopes": _many(_unsigned_envelope),
}

# What an honest peer of another version or roster might send: nothing happens.
TOLERATED: dict[str, Callable[[Attacker], bytes]] = {
    "empty RPCs": lambda a: b"\0" * 500,
    "a stranger's from": _many(lambda a: a.with_field(from_id=_id_bytes(secrets.token_bytes(32)))),
    "unknown fields": lambda a: framed(b"\x7a\x03abc"),
    "unknown topics": lambda a: hello("somewhere/else", TOPIC) + _publish(rpc_pb2.Message(topicIDs=["a", "b"])),
    "another network's topics": lambda a: hello(OTHER_TOPIC) + _publish(a.with_field(topicIDs=[OTHER_TOPIC])),
    "GRAFT of an unknown topic": lambda a: _control(graft=[rpc_pb2.ControlGraft(topicID="x")]),
    "PRUNE for longer than any clock runs": lambda a: _control(
        prune=[rpc_pb2.ControlPrune(topicID=TOPIC, backoff=2**64 - 1)]
    ),
    "IHAVE of 5,000 ids": lambda a: _control(
        ihave=[rpc_pb2.ControlIHave(topicID=TOPIC, messageIDs=[secrets.token_bytes(20) for _ in range(5000)])]
    ),
    "IWANT of 5,000 ids": lambda a: _control(
        iwant=[rpc_pb2.ControlIWant(messageIDs=[secrets.token_bytes(20) for _ in range(5000)])]
    ),
}


class HonestTraffic:
    """One signal after another from an honest node to the victim, whatever else goes on."""

    def __init__(self, honest: Running, victim: Running) -> None:
        self._honest, self._victim = honest, victim
        self._round = trio.Event()
        self.busiest_ms = 0.0

    async def run(self) -> None:
        while True:
            envelope, before = self._honest.node.seal(), process_usage(self._victim.pid).cpu_ms
            await self._honest.link.send(self._honest.node.message_of(envelope))
            await self._victim.wait_for(lambda sent=envelope: sent.encoded == (self._victim.envelopes() or [b""])[-1])
            self.busiest_ms = max(self.busiest_ms, process_usage(self._victim.pid).cpu_ms - before)
            self._round.set()
            self._round = trio.Event()
            await trio.sleep(BETWEEN_SECONDS)

    async def wait_rounds(self, count: int) -> None:
        for _ in range(count):
            with trio.fail_after(DEADLINE_SECONDS):
                await self._round.wait()


async def test_malformed_rpcs_drop_their_sender_and_nothing_else(tmp_path: Path) -> None:
    assert len(DROPPED) + len(TOLERATED) >= 25
    honest_node, victim_node = make_nodes(2)
    attackers = make_nodes(len(DROPPED) + len(TOLERATED), "attacker")
    roster = make_roster([honest_node, victim_node, *attackers])
    async with (
        running_mesh(victim_node, roster, tmp_path) as victim,
        running_mesh(honest_node, roster, tmp_path) as honest,
        trio.open_nursery() as nursery,
    ):
        await introduce([victim, honest], roster)
        await honest.wait_peers(1)
        traffic = HonestTraffic(honest, victim)
        nursery.start_soon(traffic.run)
        await traffic.wait_rounds(20)
        for node, (case, make) in zip(attackers, [*DROPPED.items(), *TOLERATED.items()], strict=True):
            async with raw_peer(node.seed) as attacker:
                await attacker.connect(victim.listen[0], victim_node.peer_id)
                stream = await attacker.open_gossip(victim_node.peer_id)
                await stream.write(hello(TOPIC))
                await victim.wait_for(lambda peer=node.peer_id: peer in victim.peers_up())
                await send_until_dropped(stream, make(Attacker(node)))
                if case in DROPPED:
                    try:
                        await attacker.wait_dropped(victim_node.peer_id)
                    except trio.TooSlowError:
                        pytest.fail(f"still connected after {case}")
                # The second began after the attack was over.
                await traffic.wait_rounds(2)
                assert victim.process.poll() is None, case
                assert traffic.busiest_ms < MAX_BUSY_MS, case
                assert attacker.is_connected(victim_node.peer_id) == (case in TOLERATED), case
        await victim.wait_for(lambda: victim.counters.get("malformed-rpc", 0) >= len(DROPPED))
        # The subscription and the message.
        await victim.wait_for(lambda: victim.counters.get("frame-wrong-network") == 2)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("case", ["garbage instead of protobuf", "a bad key beside a SHA-256 from"])
async def test_the_stock_library_dies_of_one_rpc(case: str) -> None:
    victim_node, culprit = make_nodes(2)
    with pytest.raises(BaseExceptionGroup) as caught:
        await _attack_stock(victim_node, culprit, case)
    assert _holds(caught.value, DecodeError)


async def _attack_stock(victim_node: Node, culprit: Node, case: str) -> None:
    async with stock_node(victim_node.seed) as victim, raw_peer(culprit.seed) as attacker:
        await victim.pubsub.subscribe(TOPIC)
        await attacker.connect(victim.listen, victim.peer_id)
        stream = await attacker.open_gossip(victim.peer_id)
        await stream.write(hello(TOPIC))
        await stream.write(DROPPED[case](Attacker(culprit)))
        await trio.sleep(30)


def _holds(exc: BaseException, kind: type[BaseException]) -> bool:
    if isinstance(exc, BaseExceptionGroup):
        return any(_holds(inner, kind) for inner in exc.exceptions)
    return isinstance(exc, kind)
