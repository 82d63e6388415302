"""The way in: every reason for a refusal is counted, nothing stops it, and what it sets off is passed on."""

from __future__ import annotations

from pathlib import Path as FilePath

import pytest
import trio
import trio.testing
from protocol_kit import (
    DAY_MS,
    NAMES,
    NOW_MS,
    OTHER_NETWORK_ID,
    Feed,
    make_member,
    make_publisher,
    make_roster,
    make_signal,
    make_standard,
)
from relay_kit import Bench, open_bench, wait_until
from store_kit import arm, independent_roster
from tocsin_node.meshlink import Admitted, PublishProof, UseEquivocators, UseHeads
from tocsin_node.relay.intake import MAX_WAITING_FRAMES, THREAD_BATCH, verify_batch
from tocsin_node.store.arrivals import Path
from tocsin_protocol.admission import Reason
from tocsin_protocol.envelope import MAX_ENVELOPE_BYTES, Envelope, seal_envelope
from tocsin_protocol.ids import NO_DIGEST
from tocsin_protocol.roster import RosterIndex
from tocsin_protocol.roster_model import Capability, Publisher
from tocsin_protocol.signing import Domain
from tocsin_protocol.taxonomy import CRITICAL, STANDARD

BROOK = "brook"


def index_with(**changes: object) -> RosterIndex:
    """The roster in which brook's publisher is changed."""
    members = [
        make_member(name, make_publisher(name, **changes)) if name == BROOK else make_member(name) for name in NAMES
    ]
    return RosterIndex(make_roster(members))


def refused(item: bytes, index: RosterIndex | None = None, now_ms: int = NOW_MS) -> Reason:
    verified = verify_batch(index or index_with(), [item], now_ms)
    assert verified.opened == []
    (reason,) = verified.refused
    return reason


def standing(item: bytes, index: RosterIndex | None = None, now_ms: int = NOW_MS) -> Reason:
    verified = verify_batch(index or index_with(), [item], now_ms)
    (opened,) = verified.opened
    return opened.standing


def with_broken_signature(envelope: Envelope) -> bytes:
    return envelope.encoded[:-1] + bytes([envelope.encoded[-1] ^ 1])


def test_garbage_is_told_apart_by_how_it_fails() -> None:
    envelope = Feed(BROOK).seal()
    for item in (b"\xc1", b"\x90", b"\x07"):
        assert refused(item) is Reason.MALFORMED
    for item in (b"", b"\x97", envelope.encoded[:-1]):
        assert refused(item) is Reason.TRUNCATED
    assert refused(envelope.encoded + b"\0") is Reason.NON_CANONICAL
    assert refused(bytes(MAX_ENVELOPE_BYTES + 1)) is Reason.OVERSIZED


def test_a_stranger_is_refused() -> None:
    assert refused(Feed("nobody").seal().encoded) is Reason.UNKNOWN_PUBLISHER


def test_another_networks_signature_is_refused() -> None:
    assert refused(Feed(BROOK, Domain(OTHER_NETWORK_ID)).seal().encoded) is Reason.BAD_SIGNATURE


def test_a_broken_signature_is_refused() -> None:
    assert refused(with_broken_signature(Feed(BROOK).seal())) is Reason.BAD_SIGNATURE


def test_what_follows_a_revocation_is_refused() -> None:
    first, second = Feed(BROOK).seal_many(2)
    index = index_with(revoked=((STANDARD, 1),))
    assert standing(first.encoded, index) is Reason.ADMITTED
    assert refused(second.encoded, index) is Reason.KEY_REVOKED


def test_a_lane_without_the_capability_is_refused() -> None:
    index = index_with(capabilities=(Capability.PUBLISH,))
    assert refused(Feed(BROOK).seal(make_signal()).encoded, index) is Reason.NOT_CAPABLE


def test_a_body_that_does_not_parse_is_the_publishers_own_fault() -> None:
    feed = Feed(BROOK)
    item = seal_envelope(feed.domain, feed.secret, feed.publisher, STANDARD, 1, NO_DIGEST, b"no body").encoded
    assert standing(item) is Reason.BAD_BODY


def test_a_severity_that_belies_its_lane_does_not_act() -> None:
    feed = Feed(BROOK)
    from tocsin_protocol.body import encode_body

    body = encode_body(make_standard())
    item = seal_envelope(feed.domain, feed.secret, feed.publisher, CRITICAL, 1, NO_DIGEST, body).encoded
    assert standing(item) is Reason.WRONG_LANE


@pytest.mark.parametrize(
    ("signal", "reason"),
    [
        (make_signal(drill=True), Reason.DRILL),
        (make_signal(detected_ms=NOW_MS - DAY_MS, issued_ms=NOW_MS - DAY_MS, expires_ms=NOW_MS + 1), Reason.STALE),
        (make_signal(detected_ms=NOW_MS - 9, issued_ms=NOW_MS - 9, expires_ms=NOW_MS), Reason.EXPIRED),
        (make_signal(detected_ms=NOW_MS, issued_ms=NOW_MS + 5_001, expires_ms=NOW_MS + DAY_MS), Reason.FROM_FUTURE),
        (make_signal(), Reason.ADMITTED),
    ],
)
def test_age_and_drills_are_told_by_our_clock(signal: object, reason: Reason) -> None:
    assert standing(Feed(BROOK).seal(signal).encoded) is reason  # type: ignore[arg-type]


def test_a_key_that_is_not_valid_now_does_not_act() -> None:
    entry: Publisher = make_publisher(BROOK)
    item = Feed(BROOK).seal().encoded
    assert standing(item, now_ms=entry.valid_from_ms) is not Reason.KEY_NOT_VALID
    assert standing(item, now_ms=entry.valid_from_ms - 1) is Reason.KEY_NOT_VALID
    assert standing(item, now_ms=entry.valid_until_ms) is Reason.KEY_NOT_VALID


@pytest.mark.parametrize("good", [1, THREAD_BATCH])
async def test_every_refusal_is_counted_and_the_rest_of_the_batch_stored(tmp_path: FilePath, good: int) -> None:
    feed = Feed(BROOK)
    one, *others = feed.seal_many(good + 1)
    twin = feed.seal_at(1, NO_DIGEST, make_standard(text="another history"))
    bad = [b"\xc1", Feed("nobody").seal().encoded, with_broken_signature(one)]
    async with open_bench(tmp_path) as bench:
        verified, filed = await bench.intake.admit([*bad, *(e.encoded for e in (one, *others))], Path.GOSSIP)
        assert len(filed.stored) == len(verified.opened) == good + 1
        for reason in (Reason.MALFORMED, Reason.UNKNOWN_PUBLISHER, Reason.BAD_SIGNATURE):
            assert bench.counted("tocsin_signals_refused", reason=reason.value) == 1
        assert bench.counted("tocsin_signals_stored", path="gossip") == good + 1
        assert bench.counted("tocsin_signals_standing", standing="admitted") == good + 1
        await bench.intake.admit([one.encoded], Path.SYNC)
        assert bench.counted("tocsin_signals_refused", reason=Reason.DUPLICATE.value) == 1
        await bench.intake.admit([twin.encoded], Path.GOSSIP)
        assert bench.counted("tocsin_signals_refused", reason=Reason.EQUIVOCATION.value) == 1
        await bench.intake.admit([feed.seal().encoded], Path.GOSSIP)
        assert bench.counted("tocsin_signals_refused", reason=Reason.EQUIVOCATOR.value) == 1


async def test_the_mesh_hears_of_heads_and_proofs(tmp_path: FilePath) -> None:
    feed = Feed(BROOK)
    first, second, third = feed.seal_many(3)
    async with open_bench(tmp_path) as bench:
        bench.intake.offer(Admitted("peer", [first.encoded, third.encoded], []))
        await bench.mesh.wait_sent(lambda sent: UseHeads([[feed.publisher, STANDARD, 1]]) in sent)
        bench.intake.offer(Admitted("peer", [second.encoded], []))
        await bench.mesh.wait_sent(lambda sent: UseHeads([[feed.publisher, STANDARD, 3]]) in sent)
        twin = feed.seal_at(2, first.digest, make_standard(text="another history"))
        bench.intake.offer(Admitted("peer", [], [twin.encoded]))
        await bench.mesh.wait_sent(lambda sent: UseEquivocators([feed.publisher]) in sent)
        assert any(isinstance(message, PublishProof) for message in bench.mesh.sent)


async def test_frames_that_do_not_fit_are_counted_and_nothing_waits(tmp_path: FilePath) -> None:
    frame = Admitted("peer", [Feed(BROOK).seal().encoded], [])
    async with open_bench(tmp_path, tasks=False) as bench:
        for _ in range(MAX_WAITING_FRAMES + 3):
            bench.intake.offer(frame)
        assert bench.counted("tocsin_dropped", reason="intake-queue-full") == 3


async def act(bench: Bench) -> None:
    await bench.store.writer.submit(arm)
    for name in (BROOK, "cedar"):
        bench.intake.offer(Admitted("peer", [Feed(name).seal(make_signal()).encoded], []))


async def test_a_quorum_runs_the_hook_to_its_end(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path, roster=independent_roster()) as bench:
        await act(bench)
        await wait_until(bench.lever.done.is_set)
        assert len(bench.lever.ran) == 1
        assert bench.counted("tocsin_decisions", acts="yes") == 1
        assert bench.counted("tocsin_action_events", event="confirm") == 1


async def test_an_intent_whose_caller_was_cancelled_is_run_all_the_same(tmp_path: FilePath) -> None:
    """A peer that disconnects while its signal is committed must not take the action with it."""
    async with open_bench(tmp_path, organisations=1) as bench:
        await bench.store.writer.submit(arm)
        item = Feed(BROOK).seal(make_signal()).encoded
        held, go_on = trio.Event(), trio.Event()

        def hold(connection: object) -> None:
            trio.from_thread.run_sync(held.set)
            trio.from_thread.run(go_on.wait)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.store.writer.submit, hold)
            await held.wait()
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as exchange:
                    exchange.start_soon(bench.intake.admit, [item], Path.SYNC)
                    await trio.testing.wait_all_tasks_blocked()
                    scope.cancel()
                    go_on.set()
        await wait_until(bench.lever.done.is_set)


async def test_what_a_crash_left_open_is_claimed_and_run(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path, roster=independent_roster(), tasks=False) as bench:
        await bench.store.writer.submit(arm)
        for name in (BROOK, "cedar"):
            await bench.intake.admit([Feed(name).seal(make_signal()).encoded], Path.GOSSIP)
        assert bench.lever.ran == []
    async with open_bench(tmp_path, roster=independent_roster()) as bench:
        await wait_until(bench.lever.done.is_set)
        assert bench.lever.claimed == bench.lever.ran
