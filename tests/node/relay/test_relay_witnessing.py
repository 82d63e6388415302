"""Witnessing in a relay: kept before it is cosigned, exposed when it splits, and told when our own database is old."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path as FilePath

import pytest
import trio
from circle_kit import Tree, log_secret, make_tree, publisher_of
from log_kit import entries
from protocol_kit import NETWORK_ID, NOW_MS, OTHER_NETWORK_ID, make_signal
from relay_kit import open_bench, wait_until
from store_kit import arm
from tocsin_node.meshlink import PublishProof
from tocsin_node.relay import witnessing as module
from tocsin_node.store.actions import read_arms
from tocsin_node.store.record import read_generation
from tocsin_node.store.rosters import read_equivocators
from tocsin_node.store.shown_heads import read_best_shown
from tocsin_node.store.witnessing import read_kept_head
from tocsin_node.store.writer import Connection
from tocsin_protocol.encoding import MAX_UINT
from tocsin_protocol.errors import ProofError
from tocsin_protocol.heartbeat import Heartbeat
from tocsin_protocol.log.checkpoint import (
    Checkpoint,
    decode_checkpoint,
    encode_checkpoint,
    origin_of,
    verify_checkpoint,
)
from tocsin_protocol.log.members import trust_text, witness_key
from tocsin_protocol.log.note import Note, Signer, decode_note, encode_note
from tocsin_protocol.log.trust import decode_trust, judge_head
from tocsin_protocol.log.watch import MAX_KNOWN_HEADS
from tocsin_protocol.log.witness import Growth, encode_growth
from tocsin_protocol.proof import accused_by, verify_proof
from tocsin_protocol.roster import RosterIndex
from tocsin_protocol.sync import GrowthRequest, ItemsResponse, decode_request, encode_items
from witnessing_kit import BROOK, CEDAR, INDEX, US, cosigned_by, open_witnessing, own_tree, peer_of


async def test_what_is_cosigned_is_on_disk_and_stays(tmp_path: FilePath) -> None:
    brook = make_tree(INDEX, "brook", entries(5))
    async with open_bench(tmp_path, roster=INDEX.roster, tasks=False) as bench:
        witnessing = await open_witnessing(bench)
        await witnessing.hear(BROOK, brook.show(), ())
        brook.items += entries(9)[5:]
        await witnessing.hear(BROOK, brook.show(), ())
        assert await bench.store.writer.submit(lambda c: read_kept_head(c, BROOK)) == brook.head(9)
        for one in (witnessing, await open_witnessing(bench)):
            _, (head,) = await one.shown()
            key = witness_key(INDEX, US)
            signed = verify_checkpoint(head, [brook.signer.key], [key])
            assert (signed.checkpoint.size, signed.cosigned[key].timestamp_s) == (9, NOW_MS // 1000)


async def test_what_could_not_be_written_is_not_cosigned(tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(connection: Connection, views: object) -> None:
        raise OSError("the disk is full")

    async with open_bench(tmp_path, roster=INDEX.roster, tasks=False) as bench:
        witnessing = await open_witnessing(bench)
        monkeypatch.setattr(module, "keep_heads", fail)
        with pytest.raises(OSError, match="full"):
            await witnessing.hear(BROOK, make_tree(INDEX, "brook", entries(5)).show(), ())
        assert (await witnessing.shown())[1] == ()


async def test_a_clock_before_1970_cosigns_at_its_beginning(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path, roster=INDEX.roster, tasks=False) as bench:
        witnessing = await open_witnessing(bench)
        brook = make_tree(INDEX, "brook", entries(5))
        await witnessing.hear(BROOK, brook.show(), ())
        bench.clock[0] = -5000
        _, (head,) = await witnessing.shown()
        key = witness_key(INDEX, US)
        assert verify_checkpoint(head, [brook.signer.key], [key]).cosigned[key].timestamp_s == 0


@pytest.mark.parametrize("size", [5, 8])
async def test_a_log_with_two_heads_is_exposed(tmp_path: FilePath, size: int) -> None:
    """A larger head of another history needs a path: the log itself is asked, and proves it."""
    ours, theirs = (make_tree(INDEX, "brook", [word, *entries(size - 1)]) for word in (b"a", b"b"))
    ours.items = ours.items[:5]

    async def answer(data: bytes) -> bytes:
        request = decode_request(data)
        assert isinstance(request, GrowthRequest)
        return encode_items(ItemsResponse((encode_growth(theirs.growth(request.old, size)),)))

    async with open_bench(tmp_path, roster=INDEX.roster, tasks=False) as bench, trio.open_nursery() as nursery:
        bench.mesh.peers[peer_of("brook")] = answer
        witnessing = await open_witnessing(bench)
        await nursery.start(witnessing.run_witnessing)
        await witnessing.hear(BROOK, ours.show(), ())
        await witnessing.hear(CEDAR, None, [cosigned_by("cedar", theirs.head(size))])
        await wait_until(lambda: any(isinstance(m, PublishProof) for m in bench.mesh.sent))
        (proof,) = (m.proof for m in bench.mesh.sent if isinstance(m, PublishProof))
        assert verify_proof(INDEX, proof) == accused_by(INDEX, proof) == BROOK
        assert await bench.store.writer.submit(read_equivocators) == {BROOK}
        witnessing.proven(BROOK)
        await witnessing.hear(BROOK, theirs.show(), ())
        assert (await witnessing.shown())[1] == ()
        nursery.cancel_scope.cancel()


async def test_a_log_that_does_not_answer_is_told_of_and_not_expelled(
    tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "UNPROVEN_SECONDS", 0.0)
    monkeypatch.setattr(module, "QUESTION_SECONDS", 0.01)

    async def refuse(data: bytes) -> bytes:
        return encode_items(ItemsResponse(()))

    async with open_bench(tmp_path, roster=INDEX.roster, tasks=False) as bench, trio.open_nursery() as nursery:
        bench.mesh.peers[peer_of("brook")] = refuse
        witnessing = await open_witnessing(bench)
        await nursery.start(witnessing.run_witnessing)
        await witnessing.hear(BROOK, make_tree(INDEX, "brook", [b"a", *entries(4)]).show(), ())
        await witnessing.hear(CEDAR, None, [make_tree(INDEX, "brook", [b"b", *entries(8)]).head(9)])
        await wait_until(lambda: BROOK in witnessing.unproven)
        assert await bench.store.writer.submit(read_equivocators) == frozenset()
        nursery.cancel_scope.cancel()


async def test_a_log_that_answers_all_but_what_is_asked_is_told_of_and_cosigned_no_more(
    tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It shows us how our view has grown, each time anew, and never how the other one has."""
    monkeypatch.setattr(module, "UNPROVEN_SECONDS", 0.1)
    monkeypatch.setattr(module, "QUESTION_SECONDS", 0.01)
    ours, theirs = (make_tree(INDEX, "brook", [word, *entries(8)]) for word in (b"a", b"b"))

    async def evade(data: bytes) -> bytes:
        request = decode_request(data)
        assert isinstance(request, GrowthRequest)
        ours.items.append(b"more")
        kept = len(ours.items) - 1
        return encode_items(ItemsResponse((encode_growth(ours.growth(kept, kept + 1)),)))

    async with open_bench(tmp_path, roster=INDEX.roster, tasks=False) as bench, trio.open_nursery() as nursery:
        bench.mesh.peers[peer_of("brook")] = evade
        witnessing = await open_witnessing(bench)
        await nursery.start(witnessing.run_witnessing)
        await witnessing.hear(BROOK, ours.show(), ())
        await witnessing.hear(CEDAR, None, [theirs.head(5)])
        await wait_until(lambda: BROOK in witnessing.unproven)
        (head,) = (await witnessing.shown())[1]
        assert len(decode_note(head).signatures) == 1
        assert decode_checkpoint(decode_note(head).text).size > 9
        # One alarm, however long it goes on; and all is well once what the witness shows is ours.
        await witnessing.hear(CEDAR, None, [ours.head(len(ours.items))])
        await wait_until(lambda: BROOK not in witnessing.unproven)
        rows = await bench.store.writer.submit(
            lambda c: c.execute("SELECT reference FROM audit WHERE kind = 'alarm'").fetchall()
        )
        assert rows == [(BROOK,)]
        (head,) = (await witnessing.shown())[1]
        assert len(decode_note(head).signatures) == 2
        nursery.cancel_scope.cancel()


async def test_a_log_that_keeps_us_waiting_delays_no_question_to_another(tmp_path: FilePath) -> None:
    trees = {label: make_tree(INDEX, label, entries(5)) for label in ("brook", "cedar")}

    async def stall(data: bytes) -> bytes:
        await trio.sleep_forever()
        raise AssertionError

    async def answer(data: bytes) -> bytes:
        request = decode_request(data)
        assert isinstance(request, GrowthRequest)
        return encode_items(ItemsResponse((encode_growth(trees["cedar"].growth(request.old, 9)),)))

    async with open_bench(tmp_path, roster=INDEX.roster, tasks=False) as bench, trio.open_nursery() as nursery:
        bench.mesh.peers |= {peer_of("brook"): stall, peer_of("cedar"): answer}
        witnessing = await open_witnessing(bench)
        for label, publisher in (("brook", BROOK), ("cedar", CEDAR)):
            await witnessing.hear(publisher, trees[label].show(), ())
            trees[label].items += entries(9)[5:]
        await witnessing.hear(publisher_of(INDEX, "delta"), None, [tree.head(9) for tree in trees.values()])
        await nursery.start(witnessing.run_witnessing)
        await wait_until(lambda: not witnessing.views[CEDAR].loose)
        assert witnessing.views[BROOK].loose
        nursery.cancel_scope.cancel()


async def test_a_log_that_was_exposed_is_not_cosigned_after_a_restart_either(tmp_path: FilePath) -> None:
    one, other = (make_tree(INDEX, "brook", [word, *entries(4)]) for word in (b"a", b"b"))
    async with open_bench(tmp_path, roster=INDEX.roster, tasks=False) as bench:
        witnessing = await open_witnessing(bench)
        await witnessing.hear(BROOK, one.show(), ())
        await witnessing.hear(BROOK, other.show(), ())
        again = await open_witnessing(bench)
        assert (again.excluded, again.views) == ({BROOK}, {})
        await again.hear(BROOK, one.show(), ())
        assert (await again.shown())[1] == ()


async def test_cosignatures_of_others_are_collected_and_make_a_quorum(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path, roster=INDEX.roster, tasks=False) as bench:
        witnessing = await open_witnessing(bench)
        growth, _ = await witnessing.shown()
        assert growth is not None
        for label, publisher in (("brook", BROOK), ("cedar", CEDAR)):
            await witnessing.hear(publisher, None, [cosigned_by(label, growth.checkpoint)])
        note = await bench.store.writer.submit(read_best_shown)
        assert note is not None
        for least in (0, 1, 2):
            assert judge_head(note, decode_trust(trust_text(INDEX, US, 1, least).encode())).checkpoint.size
        with pytest.raises(ProofError, match="not the quorum"):
            judge_head(note, decode_trust(trust_text(INDEX, US, 1, 3).encode()))
        assert "2 others have cosigned" in await witnessing.describe()


async def test_a_forged_cosignature_counts_for_nothing(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path, roster=INDEX.roster, tasks=False) as bench:
        witnessing = await open_witnessing(bench)
        growth, _ = await witnessing.shown()
        assert growth is not None
        await witnessing.hear(BROOK, None, [cosigned_by("brook", growth.checkpoint, signs="another\n")])
        # Cedar's cosignature in brook's mouth is nobody's.
        await witnessing.hear(BROOK, None, [cosigned_by("cedar", growth.checkpoint)])
        note = await bench.store.writer.submit(read_best_shown)
        assert note == growth.checkpoint
        assert bench.counted("tocsin_dropped", reason="log-head-broken") == 1


@pytest.mark.parametrize("size", [2, 400])
async def test_a_head_of_ours_that_we_do_not_have_stops_us(tmp_path: FilePath, size: int) -> None:
    lost = own_tree(b"lost", *entries(size - 1))
    async with open_bench(tmp_path, roster=INDEX.roster, tasks=False) as bench:
        witnessing = await open_witnessing(bench)
        assert (await witnessing.shown())[0] is not None
        await bench.store.writer.submit(arm)
        await witnessing.hear(BROOK, None, [cosigned_by("brook", lost.head(size))])
        assert not any(one.armed for one in (await bench.store.writer.submit(read_arms)).values())
        assert "older copy" in bench.ledger.doubt
        assert not bench.ledger.confirmed.is_set()
        assert (await witnessing.shown())[0] is None
        assert await bench.store.writer.submit(read_generation) == 2
        # Nothing more is begun by the same head, of which everybody tells.
        await witnessing.hear(CEDAR, None, [cosigned_by("cedar", lost.head(size))])
        assert await bench.store.writer.submit(read_generation) == 2
        await bench.ledger.confirm()
        growth, _ = await witnessing.shown()
        assert growth is not None
        assert verify_checkpoint(growth.checkpoint, [bench.store.record.key]).checkpoint.origin.endswith("/2")


async def test_containment_does_not_wait_for_witnesses(tmp_path: FilePath) -> None:
    """Nobody has cosigned anything, every log that is asked keeps us waiting, and heads wait to be looked at."""

    async def stall(data: bytes) -> bytes:
        await trio.sleep_forever()
        raise AssertionError

    async with open_bench(tmp_path, roster=INDEX.roster, organisations=1) as bench, trio.open_nursery() as nursery:
        bench.mesh.peers |= {peer_of(label): stall for label in ("brook", "cedar", "delta")}
        witnessing = await open_witnessing(bench)
        await nursery.start(witnessing.run_witnessing)
        await witnessing.hear(BROOK, make_tree(INDEX, "brook", entries(5)).show(), ())
        await witnessing.hear(CEDAR, None, [make_tree(INDEX, "brook", entries(9)).head(9)])
        await wait_until(lambda: len(bench.mesh.asked) > 0)
        async with witnessing._lock:
            witnessing.offer(peer_of("brook"), Heartbeat(NOW_MS, 0, (), (), (), make_tree(INDEX, "brook", []).show()))
            await bench.store.writer.submit(arm)
            await bench.publishing.publish([make_signal()])
            await wait_until(lambda: len(bench.lever.posted) == 1)
        assert await bench.store.writer.submit(read_best_shown) is None
        nursery.cancel_scope.cancel()


async def test_a_log_begun_anew_is_told_of_and_cosigned(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path, roster=INDEX.roster, tasks=False) as bench:
        witnessing = await open_witnessing(bench)
        await witnessing.hear(BROOK, make_tree(INDEX, "brook", entries(9)).show(), ())
        anew = make_tree(INDEX, "brook", entries(4), generation=2)
        await witnessing.hear(BROOK, anew.show(), ())
        assert await bench.store.writer.submit(lambda c: read_kept_head(c, BROOK)) == anew.head(4)
        rows = await bench.store.writer.submit(
            lambda c: c.execute("SELECT reference FROM audit WHERE kind = 'alarm'").fetchall()
        )
        assert rows == [(BROOK,)]


async def test_a_head_of_size_0_is_cosigned_like_any(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path, roster=INDEX.roster, tasks=False) as bench:
        witnessing = await open_witnessing(bench)
        brook = make_tree(INDEX, "brook", [])
        await witnessing.hear(BROOK, brook.show(), ())
        brook.items += entries(3)
        await witnessing.hear(BROOK, brook.show(), ())
        assert await bench.store.writer.submit(lambda c: read_kept_head(c, BROOK)) == brook.head(3)


@pytest.mark.parametrize("size", ["2", "9007199254740992", "9223372036854775808", "-1", "05", "5.0"])
async def test_a_head_of_no_possible_size_changes_nothing(tmp_path: FilePath, size: str) -> None:
    """Signed by the log itself, and longer than what is kept where it has a size at all."""
    brook = make_tree(INDEX, "brook", [])
    async with open_bench(tmp_path, roster=INDEX.roster, tasks=False) as bench:
        witnessing = await open_witnessing(bench)
        text = "\n".join([brook.signer.key.name, size, "AA==", ""])
        head = encode_note(Note(text, (brook.signer.sign(text),)))
        await witnessing.hear(BROOK, Growth(0, (), head), [])
        await witnessing.hear(CEDAR, None, [head])
        assert witnessing.views == {}
        assert bench.counted("tocsin_dropped", reason="log-head-broken") == 2


async def test_the_largest_size_there_is_stops_nobody_but_its_log(tmp_path: FilePath) -> None:
    brook = make_tree(INDEX, "brook", entries(5))
    async with open_bench(tmp_path, roster=INDEX.roster, tasks=False) as bench:
        witnessing = await open_witnessing(bench)
        text = encode_checkpoint(Checkpoint(brook.signer.key.name, MAX_UINT, bytes(32)))
        await witnessing.hear(BROOK, Growth(0, (), encode_note(Note(text, (brook.signer.sign(text),)))), [])
        await witnessing.hear(BROOK, brook.show(), ())
        assert witnessing.views[BROOK].loose
        await witnessing.hear(CEDAR, make_tree(INDEX, "cedar", entries(5)).show(), ())
        assert not witnessing.views[CEDAR].loose
        assert len((await witnessing.shown())[1]) == 2


async def test_a_head_of_another_network_or_of_nobody_changes_nothing(tmp_path: FilePath) -> None:
    names = [
        origin_of(OTHER_NETWORK_ID, BROOK),
        origin_of(NETWORK_ID, b"\x11" * 20),
        f"{origin_of(NETWORK_ID, BROOK)}/1",
        f"{origin_of(NETWORK_ID, BROOK)}/1000",
        "sum.golang.org",
    ]
    async with open_bench(tmp_path, roster=INDEX.roster, tasks=False) as bench:
        witnessing = await open_witnessing(bench)
        for name in names:
            await witnessing.hear(BROOK, Tree(Signer(log_secret("brook"), name), entries(5)).show(), ())
        assert witnessing.views == {}
        assert bench.counted("tocsin_dropped", reason="log-head-broken") == len(names)


async def test_an_old_head_does_not_take_the_place_of_a_newer_one(tmp_path: FilePath) -> None:
    brook = make_tree(INDEX, "brook", entries(9))
    async with open_bench(tmp_path, roster=INDEX.roster, tasks=False) as bench:
        witnessing = await open_witnessing(bench)
        await witnessing.hear(BROOK, brook.show(), ())
        await witnessing.hear(BROOK, brook.growth(0, 5), ())
        await witnessing.hear(CEDAR, None, [brook.head(7)])
        assert await bench.store.writer.submit(lambda c: read_kept_head(c, BROOK)) == brook.head(9)
        (head,) = (await witnessing.shown())[1]
        assert decode_checkpoint(decode_note(head).text).size == 9


async def test_a_head_of_a_generation_that_has_ended_changes_nothing(tmp_path: FilePath) -> None:
    """Neither of another's log nor of ours: what was lost with the copy is told of once."""
    async with open_bench(tmp_path, roster=INDEX.roster, tasks=False) as bench:
        witnessing = await open_witnessing(bench)
        anew = make_tree(INDEX, "brook", entries(4), generation=2)
        await witnessing.hear(BROOK, anew.show(), ())
        await witnessing.hear(BROOK, make_tree(INDEX, "brook", [b"old", *entries(8)]).show(), ())
        await witnessing.hear(CEDAR, None, [make_tree(INDEX, "brook", [b"older", *entries(2)]).head(3)])
        assert await bench.store.writer.submit(lambda c: read_kept_head(c, BROOK)) == anew.head(4)
        assert not witnessing.views[BROOK].loose
        # The name of the first generation over a head of the second is nobody's signature.
        anew.items += entries(6)[4:]
        text = decode_note(anew.head(6)).text
        forged = Note(text, (Signer(log_secret("brook"), origin_of(NETWORK_ID, BROOK)).sign(text),))
        await witnessing.hear(BROOK, Growth(0, (), encode_note(forged)), ())
        assert bench.counted("tocsin_dropped", reason="log-head-broken") == 1


@pytest.mark.parametrize("change", ["short", "long", "empty", "other", "from-nothing"])
async def test_a_path_that_does_not_fit_ties_nothing_and_proves_nothing(tmp_path: FilePath, change: str) -> None:
    brook = make_tree(INDEX, "brook", entries(5))
    async with open_bench(tmp_path, roster=INDEX.roster, tasks=False) as bench:
        witnessing = await open_witnessing(bench)
        await witnessing.hear(BROOK, brook.show(), ())
        brook.items += entries(300)[5:]
        good = brook.show()
        paths = {
            "short": good.path[:-1],
            "long": (*good.path, bytes(32)),
            "empty": (),
            "other": (*good.path[:-1], bytes(32)),
            "from-nothing": good.path,
        }
        old = 0 if change == "from-nothing" else 5
        await witnessing.hear(BROOK, Growth(old, paths[change], good.checkpoint), ())
        assert await bench.store.writer.submit(lambda c: read_kept_head(c, BROOK)) == brook.head(5)
        assert await bench.store.writer.submit(read_equivocators) == frozenset()
        await witnessing.hear(BROOK, good, ())
        assert await bench.store.writer.submit(lambda c: read_kept_head(c, BROOK)) == brook.head(300)
        assert not witnessing.views[BROOK].loose


async def test_what_a_flood_of_heads_leaves_is_bounded(tmp_path: FilePath) -> None:
    brook = make_tree(INDEX, "brook", entries(60))
    async with open_bench(tmp_path, roster=INDEX.roster, tasks=False) as bench:
        witnessing = await open_witnessing(bench)
        await witnessing.hear(BROOK, brook.growth(0, 1), ())
        for size in range(2, 60):
            await witnessing.hear(BROOK, brook.growth(size - 1, size), ())
            await witnessing.hear(CEDAR, None, [brook.head(size // 2), *[brook.head(60)] * 31])
        view = witnessing.views[BROOK]
        assert len(view.known) == MAX_KNOWN_HEADS
        assert set(view.loose) <= {BROOK, CEDAR}
        # Of one heartbeat the first head of a log counts.
        assert bench.counted("tocsin_dropped", reason="log-head-broken") == 58 * 31


async def test_a_witness_that_left_the_roster_counts_for_nothing(tmp_path: FilePath) -> None:
    """What he cosigned before stays in the note, and is a stranger's to any policy made from the roster since."""
    async with open_bench(tmp_path, roster=INDEX.roster, tasks=False) as bench:
        witnessing = await open_witnessing(bench)
        growth, _ = await witnessing.shown()
        assert growth is not None
        await witnessing.hear(BROOK, None, [cosigned_by("brook", growth.checkpoint)])
        roster = INDEX.roster
        members = tuple(m for m in roster.members if m.name != "brook")
        fewer = RosterIndex(replace(roster, members=members))
        bench.network.index = fewer
        witnessing.use_roster(fewer)
        before = await bench.store.writer.submit(read_best_shown)
        assert before is not None
        with pytest.raises(ProofError, match="not the quorum"):
            judge_head(before, decode_trust(trust_text(fewer, US, 1, 1).encode()))
        await witnessing.hear(BROOK, None, [cosigned_by("brook", growth.checkpoint)])
        await witnessing.hear(CEDAR, None, [cosigned_by("cedar", growth.checkpoint)])
        note = await bench.store.writer.submit(read_best_shown)
        assert note is not None
        assert judge_head(note, decode_trust(trust_text(fewer, US, 1, 1).encode())).checkpoint.size


async def test_rubbish_changes_nothing(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path, roster=INDEX.roster, tasks=False) as bench:
        witnessing = await open_witnessing(bench)
        good = make_tree(INDEX, "brook", entries(5))
        forged = Tree(Signer(bytes(32), good.signer.key.name), entries(5))
        for growth in (forged.show(), Growth(0, (), b"rubbish"), make_tree(INDEX, "cedar", entries(5)).show()):
            await witnessing.hear(BROOK, growth, [b"rubbish", good.head(5)])
        assert witnessing.views == {}
        assert bench.counted("tocsin_dropped", reason="log-head-broken") == 9


async def test_beats_that_do_not_fit_are_counted(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path, roster=INDEX.roster, tasks=False) as bench:
        witnessing = await open_witnessing(bench)
        for _ in range(module.MAX_WAITING_BEATS + 2):
            witnessing.offer(peer_of("brook"), Heartbeat(NOW_MS, 0, (), (), ()))
        witnessing.offer("a stranger", Heartbeat(NOW_MS, 0, (), (), ()))
        assert bench.counted("tocsin_dropped", reason="log-heads-queue-full") == 2
