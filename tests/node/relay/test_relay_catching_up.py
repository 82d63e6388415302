"""Catching up from a peer with a database of its own, and from peers that lie."""

from __future__ import annotations

from pathlib import Path as FilePath

import pytest
import trio
from protocol_kit import NAMES, NOW_MS, Feed, follow, make_member, make_publisher, make_roster, make_standard, signed_by
from relay_kit import PEERS, Answer, Bench, open_bench, serve_from, wait_until
from tocsin_node.meshlink import PublishProof
from tocsin_node.relay import catching_up as module
from tocsin_node.relay.catching_up import MAX_PROOFS_PER_PEER
from tocsin_node.relay.publishing import Speech
from tocsin_node.relay.supervisor import MeshError
from tocsin_node.store.arrivals import Path
from tocsin_node.store.rosters import insert_roster, read_equivocators
from tocsin_protocol.encoding import MAX_UINT
from tocsin_protocol.envelope import Envelope
from tocsin_protocol.errors import DecodeError, ProtocolError
from tocsin_protocol.feed import FeedHead, encode_equivocation
from tocsin_protocol.heartbeat import Heartbeat
from tocsin_protocol.ids import NO_DIGEST
from tocsin_protocol.sync import (
    MAX_RANGE_ENVELOPES,
    HeadsRequest,
    HeadsResponse,
    ItemsResponse,
    ProofsRequest,
    RangeRequest,
    Request,
    RostersRequest,
    decode_request,
    encode_heads,
    encode_items,
)
from tocsin_protocol.taxonomy import CRITICAL, STANDARD

PEER, OTHER = "peer of brook", "peer of cedar"
BROOK, CEDAR = "brook", "cedar"


def heads_of(*envelopes: Envelope, epoch: int = 0, proofs: int = 0) -> HeadsResponse:
    return HeadsResponse(epoch, proofs, tuple(FeedHead(e.publisher, e.lane, e.sequence, e.digest) for e in envelopes))


class Liar:
    """A peer that answers as it is told; what it was asked is kept."""

    def __init__(self, heads: HeadsResponse, *items: bytes) -> None:
        self.heads = heads
        self.items = items
        self.asked: list[Request] = []

    def range(self, request: RangeRequest) -> tuple[bytes, ...]:
        return self.items

    async def __call__(self, data: bytes) -> bytes:
        request = decode_request(data)
        self.asked.append(request)
        match request:
            case HeadsRequest():
                return encode_heads(self.heads)
            case RangeRequest():
                return encode_items(ItemsResponse(self.range(request)))
            case RostersRequest():
                return encode_items(ItemsResponse(()))
            case ProofsRequest():
                return encode_items(ItemsResponse(self.items))

    def asked_for(self, kind: type[Request]) -> int:
        return sum(isinstance(request, kind) for request in self.asked)


async def exchange(bench: Bench, answer: Answer, peer: str = PEER) -> None:
    bench.mesh.peers[peer] = answer
    with trio.fail_after(60):
        await bench.catching_up.exchange(peer)


async def prepare_peer(folder: FilePath, *envelopes: Envelope) -> Answer:
    async with open_bench(folder, BROOK, tasks=False) as peer:
        for begin in range(0, len(envelopes), 1000):
            await peer.intake.admit([e.encoded for e in envelopes[begin : begin + 1000]], Path.GOSSIP)
    return serve_from(folder)


async def test_everything_a_peer_holds_is_fetched(tmp_path: FilePath) -> None:
    brook, cedar = Feed(BROOK), Feed(CEDAR)
    total = 2 * MAX_RANGE_ENVELOPES + 7
    sealed = [*brook.seal_many(total), *brook.seal_many(3, CRITICAL), *cedar.seal_many(5)]
    answer = await prepare_peer(tmp_path / "peer", *sealed)
    async with open_bench(tmp_path / "own", tasks=False) as bench:
        await exchange(bench, answer)
        assert await bench.held(brook, STANDARD) == (total, total)
        assert await bench.held(brook, CRITICAL) == (3, 3)
        assert await bench.held(cedar, STANDARD) == (5, 5)
        assert bench.counted("tocsin_signals_stored", path="sync") == len(sealed)
        asked = len(bench.mesh.asked)
        await exchange(bench, answer)
        # nothing new: one request for heads
        assert len(bench.mesh.asked) == asked + 1


async def test_gaps_are_filled_and_the_rest_is_not_fetched_again(tmp_path: FilePath) -> None:
    brook = Feed(BROOK)
    sealed = brook.seal_many(40)
    answer = await prepare_peer(tmp_path / "peer", *sealed)
    async with open_bench(tmp_path / "own", tasks=False) as bench:
        held = [e for e in sealed if e.sequence not in (3, 4, 20) and e.sequence <= 30]
        await bench.intake.admit([e.encoded for e in held], Path.GOSSIP)
        await exchange(bench, answer)
        assert await bench.held(brook, STANDARD) == (40, 40)
        assert bench.counted("tocsin_signals_stored", path="sync") == 13
        assert bench.counted("tocsin_signals_refused", reason="duplicate") == 0


@pytest.fixture
def first_exchange_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is asked again because it is time: what comes later was set off by something else."""
    monkeypatch.setattr(module, "EXCHANGE_SECONDS", 3_600.0)


@pytest.mark.usefixtures("first_exchange_only")
async def test_a_gap_sets_off_an_exchange_with_the_publishers_node(tmp_path: FilePath) -> None:
    brook = Feed(BROOK)
    first, second = brook.seal_many(2)
    answer = await prepare_peer(tmp_path / "peer")
    async with open_bench(tmp_path / "own") as bench:
        own_node = make_publisher(BROOK).peer_id
        bench.mesh.peers |= dict.fromkeys(PEERS, answer)
        for peer in PEERS:
            bench.catching_up.peer_up(peer)
        await bench.wait_speech(Speech.OPEN)
        bench.mesh.asked.clear()
        await prepare_peer(tmp_path / "peer", first)
        await bench.intake.admit([second.encoded], Path.GOSSIP)
        with trio.fail_after(60):
            while await bench.held(brook, STANDARD) != (2, 2):  # noqa: ASYNC110 - no event for it
                await trio.sleep(0.02)
        assert {peer for peer, _ in bench.mesh.asked} == {own_node}


@pytest.mark.usefixtures("first_exchange_only")
async def test_a_heartbeat_that_shows_more_sets_off_an_exchange(tmp_path: FilePath) -> None:
    brook = Feed(BROOK)
    sealed = brook.seal_many(3)
    async with open_bench(tmp_path / "own") as bench:
        bench.mesh.peers[PEER] = await prepare_peer(tmp_path / "peer")
        bench.catching_up.peer_up(PEER)
        await wait_until(lambda: bool(bench.mesh.asked))
        bench.mesh.peers[PEER] = await prepare_peer(tmp_path / "peer", *sealed)
        beat = Heartbeat(NOW_MS, 0, (FeedHead(brook.publisher, STANDARD, 3, sealed[-1].digest),), (), ())
        bench.catching_up.heard(PEER, beat)
        with trio.fail_after(60):
            while await bench.held(brook, STANDARD) != (3, 3):  # noqa: ASYNC110 - no event for it
                await trio.sleep(0.02)


@pytest.mark.usefixtures("first_exchange_only")
async def test_a_heartbeat_of_a_later_epoch_sets_off_an_exchange(tmp_path: FilePath) -> None:
    first = make_roster()
    second = follow(first, [*first.members, make_member("echo")])
    async with open_bench(tmp_path / "own") as bench:
        bench.mesh.peers[PEER] = await prepare_peer(tmp_path / "peer")
        bench.catching_up.peer_up(PEER)
        await wait_until(lambda: bool(bench.mesh.asked))
        async with open_bench(tmp_path / "peer", BROOK, tasks=False) as peer:
            await peer.network.apply(signed_by(second, *NAMES))
        bench.catching_up.heard(PEER, Heartbeat(NOW_MS, 1, (), (), ()))
        await wait_until(lambda: bench.network.index.roster == second)


async def test_a_peer_that_goes_takes_its_exchange_with_it_and_comes_back(tmp_path: FilePath) -> None:
    brook = Feed(BROOK)
    answer = await prepare_peer(tmp_path / "peer", *brook.seal_many(3))
    reached = trio.Event()

    async def silent(request: bytes) -> bytes:
        reached.set()
        await trio.sleep_forever()
        raise AssertionError

    async with open_bench(tmp_path / "own") as bench:
        bench.mesh.peers[PEER] = silent
        bench.catching_up.peer_up(PEER)
        await reached.wait()
        bench.catching_up.peer_down(PEER)
        bench.mesh.peers[PEER] = answer
        bench.catching_up.peer_up(PEER)
        with trio.fail_after(60):
            while await bench.held(brook, STANDARD) != (3, 3):  # noqa: ASYNC110 - no event for it
                await trio.sleep(0.02)


async def test_a_peer_that_breaks_the_rules_is_counted_and_the_relay_lives(tmp_path: FilePath) -> None:
    async def garbage(request: bytes) -> bytes:
        return b"\xc1 garbage"

    async def down(request: bytes) -> bytes:
        raise MeshError("gone")

    async with open_bench(tmp_path) as bench:
        bench.mesh.peers |= {PEER: garbage, OTHER: down}
        bench.catching_up.peer_up(PEER)
        bench.catching_up.peer_up(OTHER)
        # they are asked again and again
        await wait_until(lambda: bench.counted("tocsin_dropped", reason="sync-broken") >= 1)
        await wait_until(lambda: bench.counted("tocsin_dropped", reason="sync-failed") >= 1)
        assert (await bench.intake.admit([Feed(BROOK).seal().encoded], Path.GOSSIP))[1].stored


@pytest.mark.parametrize("wrong", ["feed", "lane", "above", "below", "garbage"])
async def test_something_else_than_what_was_asked_for_ends_the_exchange(tmp_path: FilePath, wrong: str) -> None:
    brook = Feed(BROOK)
    sealed = brook.seal_many(9)
    item = {
        "feed": Feed(CEDAR).seal_many(5)[-1].encoded,
        "lane": Feed(BROOK).seal_many(5, CRITICAL)[-1].encoded,
        "above": sealed[8].encoded,
        "below": sealed[1].encoded,
        "garbage": b"garbage",
    }[wrong]
    async with open_bench(tmp_path, tasks=False) as bench:
        await bench.intake.admit([e.encoded for e in sealed[:3]], Path.GOSSIP)
        liar = Liar(heads_of(sealed[4]), item)
        with pytest.raises(BaseExceptionGroup) as group:
            await exchange(bench, liar)
        assert group.group_contains(DecodeError)
        assert liar.asked_for(RangeRequest) == 1
        # the feed is free for an honest peer
        await exchange(bench, Liar(heads_of(sealed[4]), sealed[3].encoded, sealed[4].encoded), OTHER)
        assert await bench.held(brook, STANDARD) == (5, 5)


async def test_heads_without_signals_end_the_exchange(tmp_path: FilePath) -> None:
    brook = Feed(BROOK)
    async with open_bench(tmp_path, tasks=False) as bench:
        liar = Liar(heads_of(brook.seal_many(5)[-1]))
        await exchange(bench, liar)
        assert liar.asked_for(RangeRequest) == 1
        assert await bench.held(brook, STANDARD) == (0, 0)


class Endless(Liar):
    """Shows a head without end, and for each range a forged signal at its end after a real one."""

    def __init__(self, real: Envelope) -> None:
        super().__init__(HeadsResponse(0, 0, (FeedHead(real.publisher, real.lane, MAX_UINT, b"\1" * 32),)))
        self.real = real

    def range(self, request: RangeRequest) -> tuple[bytes, ...]:
        feed = Feed(BROOK)
        forged = feed.seal_at(request.last, b"\2" * 32, make_standard())
        return self.real.encoded, forged.encoded[:-1] + bytes([forged.encoded[-1] ^ 1])


async def test_a_head_without_end_is_not_followed(tmp_path: FilePath) -> None:
    brook = Feed(BROOK)
    (real,) = brook.seal_many(1)
    async with open_bench(tmp_path, tasks=False) as bench:
        liar = Endless(real)
        await exchange(bench, liar)
        # the first page held the real one; what was already on its way is the bound
        assert liar.asked_for(RangeRequest) <= 4
        assert await bench.held(brook, STANDARD) == (1, 1)
        second = brook.seal()
        await exchange(bench, Liar(heads_of(second), second.encoded), OTHER)
        assert await bench.held(brook, STANDARD) == (2, 2)


async def test_a_strangers_feed_is_not_fetched(tmp_path: FilePath) -> None:
    stranger = Feed("nobody").seal()
    async with open_bench(tmp_path, tasks=False) as bench:
        liar = Liar(heads_of(stranger), stranger.encoded)
        await exchange(bench, liar)
        assert liar.asked_for(RangeRequest) == 0


async def test_past_a_revocation_nothing_is_fetched(tmp_path: FilePath) -> None:
    brook = Feed(BROOK)
    sealed = brook.seal_many(9)
    answer = await prepare_peer(tmp_path / "peer", *sealed)
    entry = make_publisher(BROOK, revoked=((CRITICAL, 0), (STANDARD, 4)))
    roster = make_roster([make_member(n, entry) if n == BROOK else make_member(n) for n in NAMES])
    async with open_bench(tmp_path / "own", roster=roster, tasks=False) as bench:
        await exchange(bench, answer)
        assert await bench.held(brook, STANDARD) == (4, 4)


async def test_one_feed_is_fetched_from_one_peer_at_a_time(tmp_path: FilePath) -> None:
    brook = Feed(BROOK)
    answer = await prepare_peer(tmp_path / "peer", *brook.seal_many(3))
    reached, go_on = trio.Event(), trio.Event()

    async def slow(request: bytes) -> bytes:
        if isinstance(decode_request(request), RangeRequest):
            reached.set()
            await go_on.wait()
        return await answer(request)

    async with open_bench(tmp_path / "own", tasks=False) as bench, trio.open_nursery() as nursery:
        nursery.start_soon(exchange, bench, slow)
        await reached.wait()
        await exchange(bench, answer, OTHER)
        assert [type(decode_request(r)) for peer, r in bench.mesh.asked if peer == OTHER] == [HeadsRequest]
        go_on.set()


async def test_proofs_are_fetched_verified_and_passed_on(tmp_path: FilePath) -> None:
    brook = Feed(BROOK)
    one = brook.seal()
    proof = encode_equivocation(one, brook.seal_at(1, NO_DIGEST, make_standard(text="another history")))
    async with open_bench(tmp_path, tasks=False) as bench:
        liar = Liar(heads_of(one, proofs=1), proof)
        await exchange(bench, liar)
        assert await bench.store.writer.submit(read_equivocators) == {brook.publisher}
        assert PublishProof(proof) in bench.mesh.sent
        # an equivocator's feed is not worth a request, and a proof is fetched once
        await exchange(bench, liar)
        assert liar.asked_for(RangeRequest) == 0
        assert liar.asked_for(ProofsRequest) == 1


async def test_a_proof_that_proves_nothing_is_refused(tmp_path: FilePath) -> None:
    brook = Feed(BROOK)
    one = brook.seal()
    twin = brook.seal_at(1, NO_DIGEST, make_standard(text="another history"))
    forged = encode_equivocation(one, twin)
    forged = forged[:-1] + bytes([forged[-1] ^ 1])
    async with open_bench(tmp_path) as bench:
        with pytest.raises(ProtocolError):
            await exchange(bench, Liar(heads_of(proofs=1), forged))
        bench.catching_up.offer_proof(b"garbage")
        await wait_until(lambda: bench.counted("tocsin_dropped", reason="proof-broken") == 1)
        assert await bench.store.writer.submit(read_equivocators) == frozenset()


async def test_proofs_without_end_are_not_followed(tmp_path: FilePath) -> None:
    stranger = Feed("nobody")
    pair = stranger.seal(), stranger.seal_at(1, NO_DIGEST, make_standard(text="another history"))
    async with open_bench(tmp_path, tasks=False) as bench:
        liar = Liar(heads_of(proofs=10**9), *[encode_equivocation(*pair)] * 16)
        await exchange(bench, liar)
        assert liar.asked_for(ProofsRequest) <= MAX_PROOFS_PER_PEER // 16
        await exchange(bench, liar)
        assert liar.asked_for(ProofsRequest) <= MAX_PROOFS_PER_PEER // 16


async def test_rosters_are_followed_one_by_one(tmp_path: FilePath) -> None:
    first = make_roster()
    second = follow(first, [*first.members, make_member("echo")])
    third = follow(second, [*second.members, make_member("fjord")])
    echo = Feed("echo").seal()
    async with open_bench(tmp_path / "peer", BROOK, tasks=False) as peer:
        for roster, signers in ((second, NAMES), (third, (*NAMES, "echo"))):
            await peer.network.apply(signed_by(roster, *signers))
        await peer.intake.admit([echo.encoded], Path.GOSSIP)
    async with open_bench(tmp_path / "own", tasks=False) as bench:
        await exchange(bench, serve_from(tmp_path / "peer"))
        assert bench.network.index.roster == third
        # a member of the new roster is heard in the same exchange
        assert await bench.held(Feed("echo"), STANDARD) == (1, 1)
    async with open_bench(tmp_path / "own", tasks=False) as bench:
        assert bench.network.index.roster == third


async def test_a_roster_that_does_not_follow_is_refused(tmp_path: FilePath) -> None:
    first = make_roster()
    second = follow(first, [*first.members, make_member("echo")])
    unsigned = signed_by(second, "alba")
    async with open_bench(tmp_path / "peer", BROOK, tasks=False) as peer:
        await peer.store.writer.submit(lambda connection: insert_roster(connection, 1, unsigned, NOW_MS))
    async with open_bench(tmp_path / "own", tasks=False) as bench:
        with pytest.raises(ProtocolError, match="root signatures"):
            await exchange(bench, serve_from(tmp_path / "peer"))
        assert bench.network.index.roster == first
