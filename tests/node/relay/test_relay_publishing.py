"""The way out: nothing is sealed before peers have shown us our own feed, and never beside another with our key."""

from __future__ import annotations

import itertools
from pathlib import Path as FilePath

import pytest
import trio
import trio.testing
from protocol_kit import NOW_MS, Feed, make_member, make_roster, make_signal, make_standard
from relay_kit import PEERS, Bench, open_bench, serve_from, wait_until
from store_kit import OWN, arm, count
from tocsin_node.errors import ControlError
from tocsin_node.meshlink import ProofSeen, Publish, Published
from tocsin_node.relay import publishing as module
from tocsin_node.relay.publishing import MAX_OFFERED_PER_LANE, MAX_SIGNALS_PER_CALL, Speech
from tocsin_node.store.arrivals import Path, insert_proof
from tocsin_node.store.outbox import read_outbox
from tocsin_protocol.feed import encode_equivocation
from tocsin_protocol.ids import NO_DIGEST
from tocsin_protocol.model import Signal
from tocsin_protocol.taxonomy import CRITICAL, STANDARD

PEER, SECOND = PEERS


def standards(number: int) -> list[Signal]:
    return [make_standard(incident=f"n{n}") for n in range(number)]


async def outbox(bench: Bench) -> list[tuple[int, int]]:
    rows = await bench.store.writer.submit(lambda connection: read_outbox(connection, bench.store.publisher))
    return [(lane, sequence) for lane, sequence, _ in rows]


async def test_it_opens_once_more_peers_than_may_lie_have_shown_us_our_feed(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path) as bench:
        assert bench.publishing.speech is Speech.RESUMING
        bench.publishing.settle(PEER)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert bench.publishing.speech is Speech.RESUMING
        bench.publishing.settle(SECOND)
        await bench.wait_speech(Speech.OPEN)
        assert "2 of 3 peers" in bench.publishing.why
        sealing = await bench.publishing.publish([make_signal()])
        assert [(e.lane, e.sequence) for e in sealing.envelopes] == [(CRITICAL, 1)]
        assert bench.mesh.published() == list(sealing.envelopes)


async def test_while_resuming_signals_are_drafts_that_count_at_once_and_are_published_later(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path, organisations=1) as bench:
        await bench.store.writer.submit(arm)
        sealing = await bench.publishing.publish([make_signal()])
        assert (sealing.envelopes, sealing.drafts) == ((), 1)
        await wait_until(bench.lever.done.is_set)
        assert bench.mesh.published() == []
        for peer in (PEER, SECOND):
            bench.publishing.settle(peer)
        await bench.mesh.wait_sent(lambda sent: any(isinstance(message, Publish) for message in sent))
        (envelope,) = bench.mesh.published()
        assert (envelope.lane, envelope.sequence) == (CRITICAL, 1)
        assert await bench.store.writer.submit(lambda connection: count(connection, "drafts")) == 0
        # published, and still one action
        assert len(bench.lever.ran) == 1


async def test_an_only_publisher_has_nobody_to_ask(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path, roster=make_roster([make_member(OWN)])) as bench:
        await bench.wait_speech(Speech.OPEN)


async def test_the_operator_may_vouch_for_the_database(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path) as bench:
        await bench.publishing.allow("the operator said so")
        assert (bench.publishing.speech, bench.publishing.why) == (Speech.OPEN, "the operator said so")
        assert len((await bench.publishing.publish([make_standard()])).envelopes) == 1


async def test_a_restored_node_goes_on_above_what_a_peer_holds_of_it(tmp_path: FilePath) -> None:
    newer = Feed(OWN)
    signed = newer.seal_many(7)
    async with open_bench(tmp_path / "peer", "brook", tasks=False) as peer:
        await peer.intake.admit([envelope.encoded for envelope in signed], Path.GOSSIP)
    async with open_bench(tmp_path / "own") as bench:
        await bench.intake.admit([envelope.encoded for envelope in signed[:3]], Path.OWN)
        for peer in (PEER, SECOND):
            bench.mesh.peers[peer] = serve_from(tmp_path / "peer")
            bench.catching_up.peer_up(peer)
        await bench.wait_speech(Speech.OPEN)
        (envelope,) = (await bench.publishing.publish([make_standard()])).envelopes
        assert (envelope.sequence, envelope.previous) == (8, signed[-1].digest)


async def test_it_does_not_open_while_another_peer_still_shows_us_our_feed(tmp_path: FilePath) -> None:
    """Two peers hold our feed: the one that is asked second has shown nothing until the first has delivered."""
    newer = Feed(OWN)
    async with open_bench(tmp_path / "peer", "brook", tasks=False) as peer:
        await peer.intake.admit([envelope.encoded for envelope in newer.seal_many(5)], Path.GOSSIP)
    answer = serve_from(tmp_path / "peer")
    reached, go_on = trio.Event(), trio.Event()

    async def slow(request: bytes) -> bytes:
        if b"range" in request:
            reached.set()
            await go_on.wait()
        return await answer(request)

    async with open_bench(tmp_path / "own") as bench:
        bench.mesh.peers |= {PEER: slow, SECOND: answer}
        bench.catching_up.peer_up(PEER)
        await reached.wait()
        bench.catching_up.peer_up(SECOND)
        await wait_until(lambda: any(peer == SECOND for peer, _ in bench.mesh.asked))
        # longer than the grace after enough peers
        await trio.sleep(2 * module.RESUME_GRACE_SECONDS)
        assert bench.publishing.speech is Speech.RESUMING
        go_on.set()
        await bench.wait_speech(Speech.OPEN)
        assert (await bench.publishing.publish([make_standard()])).envelopes[0].sequence == 6


async def test_a_foreign_signal_under_our_key_silences_us(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path) as bench:
        await bench.publishing.allow("test")
        (own,) = (await bench.publishing.publish([make_standard()])).envelopes
        twin = Feed(OWN, heads={STANDARD: (own.sequence, own.digest)})
        await bench.intake.admit([twin.seal(make_standard(text="another node")).encoded], Path.SYNC)
        assert bench.publishing.speech is Speech.SILENT
        assert "another node seals with our key (lane 1, sequence 2)" in bench.publishing.why
        sealing = await bench.publishing.publish([make_standard(incident="kept")])
        assert (sealing.envelopes, sealing.drafts) == ((), 1)
        # it did not contradict us: the operator who has stopped the other may go on, above it
        await bench.publishing.allow("the other is stopped")
        (envelope,) = bench.mesh.published()[1:]
        assert envelope.sequence == 3


async def test_our_own_signals_shown_to_us_change_nothing(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path) as bench:
        await bench.publishing.allow("test")
        sealing = await bench.publishing.publish([make_standard(incident="a"), make_standard(incident="b")])
        await bench.intake.admit([envelope.encoded for envelope in sealing.envelopes], Path.SYNC)
        assert bench.publishing.speech is Speech.OPEN


async def test_a_second_history_under_our_key_silences_us_for_good(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path) as bench:
        await bench.publishing.allow("test")
        await bench.publishing.publish([make_standard()])
        twin = Feed(OWN).seal(make_standard(text="another history"))
        await bench.intake.admit([twin.encoded], Path.GOSSIP)
        await silent_for_good(bench)
    # and so in the next run
    async with open_bench(tmp_path) as bench:
        await bench.wait_speech(Speech.SILENT)
        bench.settle()
        await silent_for_good(bench)


async def test_a_proof_against_us_that_a_peer_found_silences_us(tmp_path: FilePath) -> None:
    twin = Feed(OWN)
    one = twin.seal(make_standard(text="one history"))
    proof = encode_equivocation(one, twin.seal_at(1, NO_DIGEST, make_standard(text="another history")))
    async with open_bench(tmp_path) as bench:
        await bench.publishing.allow("test")
        bench.catching_up.offer_proof(ProofSeen(PEER, proof).proof)
        await bench.wait_speech(Speech.SILENT)
        await silent_for_good(bench)


async def silent_for_good(bench: Bench) -> None:
    assert bench.publishing.speech is Speech.SILENT
    assert "our own key has signed two histories" in bench.publishing.why
    before = await bench.held(Feed(OWN), STANDARD)
    with pytest.raises(ControlError, match="rotate it in the roster"):
        await bench.publishing.allow("the operator said so")
    sealing = await bench.publishing.publish([make_standard(incident="kept")])
    assert (sealing.envelopes, sealing.drafts) == ((), 1)
    # what was sealed before may still go out; nothing is sealed any more
    assert await bench.held(Feed(OWN), STANDARD) == before
    assert all(envelope.sequence <= before[1] for envelope in bench.mesh.published())


async def test_nothing_is_sealed_between_a_proof_and_its_news(tmp_path: FilePath) -> None:
    twin = Feed(OWN)
    one = twin.seal(make_standard(text="one history"))
    proof = encode_equivocation(one, twin.seal_at(1, NO_DIGEST, make_standard(text="another history")))
    async with open_bench(tmp_path) as bench:
        await bench.publishing.allow("test")
        await bench.store.writer.submit(
            lambda connection: insert_proof(connection, bench.store.publisher, proof, NOW_MS)
        )
        sealing = await bench.publishing.publish([make_standard()])
        assert (sealing.envelopes, sealing.drafts) == ((), 1)
        assert bench.publishing.speech is Speech.SILENT
        assert bench.mesh.published() == []


async def test_what_gossip_has_not_taken_over_is_offered_to_the_next_mesh(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path) as bench:
        await bench.publishing.allow("test")
        sealing = await bench.publishing.publish(standards(3))
        bench.publishing.confirm(Published(STANDARD, 2))
        with trio.fail_after(60):
            while await outbox(bench) != [(STANDARD, 1), (STANDARD, 3)]:  # noqa: ASYNC110 - no event for it
                await trio.sleep(0.01)
        bench.mesh.sent.clear()
        bench.publishing.offer_again()
        # the mesh is told of heads, too
        await bench.mesh.wait_sent(lambda sent: len(bench.mesh.published()) >= 2)
        first, _, third = sealing.envelopes
        assert bench.mesh.published() == [first, third]


async def test_what_is_sealed_while_the_mesh_is_down_goes_out_when_it_is_back(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path) as bench:
        await bench.publishing.allow("test")
        bench.mesh.takes = False
        sealing = await bench.publishing.publish([make_standard(), make_signal()])
        assert bench.mesh.sent == []
        bench.mesh.takes = True
        bench.publishing.offer_again()
        await bench.mesh.wait_sent(lambda sent: len(bench.mesh.published()) == 2)
        # CRITICAL first
        assert bench.mesh.published() == sorted(sealing.envelopes, key=lambda e: e.lane)


async def test_the_mesh_is_never_given_more_than_it_holds_and_critical_has_its_own_room(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path) as bench:
        await bench.publishing.allow("test")
        total = MAX_OFFERED_PER_LANE + 100
        for begin in range(0, total, MAX_SIGNALS_PER_CALL):
            number = min(MAX_SIGNALS_PER_CALL, total - begin)
            await bench.publishing.publish([make_standard(incident=f"n{begin + n}") for n in range(number)])
        assert len(bench.mesh.published()) == MAX_OFFERED_PER_LANE
        (critical,) = (await bench.publishing.publish([make_signal()])).envelopes
        assert bench.mesh.published()[-1] == critical
        # what did not fit goes out once the mesh has room
        with trio.fail_after(60):
            while len({envelope.sequence for envelope in bench.mesh.published() if envelope.lane == STANDARD}) < total:
                bench.receipts()
                await trio.sleep(0.05)


async def test_a_call_is_bounded(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path) as bench:
        for number in (0, MAX_SIGNALS_PER_CALL + 1):
            with pytest.raises(ControlError, match=f"{number} signals where 1 to {MAX_SIGNALS_PER_CALL} go at once"):
                await bench.publishing.publish(standards(number))


async def test_who_is_not_in_the_roster_keeps_drafts(tmp_path: FilePath) -> None:
    roster = make_roster([make_member("brook"), make_member("cedar")])
    async with open_bench(tmp_path, roster=roster, organisations=1) as bench:
        await bench.publishing.allow("test")
        await bench.store.writer.submit(arm)
        sealing = await bench.publishing.publish([make_signal()])
        assert (sealing.envelopes, sealing.drafts) == ((), 1)
        # our own detectors count for our own protocol all the same
        await wait_until(bench.lever.done.is_set)


async def test_a_publisher_killed_between_its_calls_never_forks(tmp_path: FilePath) -> None:
    """The sequence is durable before anything is sent: reopened databases go on where they were."""
    seen = []
    for _ in range(5):
        async with open_bench(tmp_path) as bench:
            await bench.publishing.allow("test")
            seen += (await bench.publishing.publish(standards(2))).envelopes
    assert [envelope.sequence for envelope in seen] == list(range(1, 11))
    assert all(after.previous == before.digest for before, after in itertools.pairwise(seen))
