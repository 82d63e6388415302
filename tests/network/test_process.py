"""The mesh process over its link: what a relay sees of it, alive, killed and restarted."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio
import trio.testing
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
from tocsin_node.mesh.__main__ import main
from tocsin_node.meshlink import (
    Admitted,
    Answered,
    Ask,
    Asked,
    Configure,
    HeartbeatSeen,
    Link,
    PeerDown,
    PeerUp,
    ProofSeen,
    Published,
    PublishHeartbeat,
    PublishProof,
    Pulse,
    Reply,
    UseEquivocators,
    UseHeads,
    UseRoster,
)
from tocsin_protocol.envelope import seal_envelope
from tocsin_protocol.feed import encode_equivocation
from tocsin_protocol.heartbeat import Heartbeat, encode_heartbeat
from tocsin_protocol.ids import NO_DIGEST
from tocsin_protocol.signing import Domain


def _of(running: Running, kind: type) -> list:
    return [message for message in running.messages if isinstance(message, kind)]


async def test_signals_travel_and_are_acknowledged(tmp_path: Path) -> None:
    one, two, three = make_nodes(3)
    roster = make_roster([one, two, three])
    async with (
        running_mesh(one, roster, tmp_path) as first,
        running_mesh(two, roster, tmp_path) as second,
        running_mesh(three, roster, tmp_path) as third,
    ):
        await introduce([first, second, third], roster)
        for running in (first, second, third):
            await running.wait_peers(2)
        sent = [one.message() for _ in range(300)]
        await first.link.send(*sent)
        for running in (second, third):
            # A frame may overtake another over the ring; each comes once.
            assert sorted(await running.wait_envelopes(300)) == sorted(message.envelope for message in sent)
            assert {m.peer_id for m in _of(running, Admitted)} == {one.peer_id}
        await first.wait_for(lambda: len(_of(first, Published)) == 300)
        assert [m.sequence for m in _of(first, Published)] == list(range(1, 301))
        # Frames: a burst goes out in far fewer gossip messages than signals.
        assert len(_of(second, Admitted)) < 100


async def test_what_is_published_with_no_peer_in_reach_waits_for_one(tmp_path: Path) -> None:
    one, two = make_nodes(2)
    roster = make_roster([one, two])
    async with running_mesh(one, roster, tmp_path) as first:
        await first.link.send(*[one.message() for _ in range(5)])
        await first.wait_for(lambda: len(_of(first, Pulse)) >= 3)
        assert not _of(first, Published)
        async with running_mesh(two, roster, tmp_path) as second:
            await introduce([first, second], roster)
            await second.wait_envelopes(5)
            await first.wait_for(lambda: len(_of(first, Published)) == 5)


async def test_critical_signals_overtake_and_never_share_a_frame(tmp_path: Path) -> None:
    one, two = make_nodes(2)
    roster = make_roster([one, two])
    async with running_mesh(one, roster, tmp_path) as first:
        standard = [one.message(lane=1) for _ in range(200)]
        # what the relay says is taken in its order: the answer shows that all of it was
        await first.link.send(*standard, *[one.message(lane=0) for _ in range(3)], Ask(1, "no peer id", b"x"))
        await first.wait_for(lambda: _of(first, Answered))
        async with running_mesh(two, roster, tmp_path) as second:
            await introduce([first, second], roster)
            await second.wait_envelopes(203)
            sizes = [len(m.envelopes) for m in _of(second, Admitted)]
            assert sizes[0] == 3
            assert sum(sizes) == 203


async def test_a_node_that_left_the_roster_is_gone(tmp_path: Path) -> None:
    one, two = make_nodes(2)
    roster = make_roster([one, two])
    async with running_mesh(one, roster, tmp_path) as first, running_mesh(two, roster, tmp_path) as second:
        await introduce([first, second], roster)
        await first.wait_peers(1)
        await first.link.send(UseRoster(make_roster([one]), {}))
        await first.wait_for(lambda: _of(first, PeerDown))
        await second.wait_for(lambda: _of(second, PeerDown))


async def test_sync_requests_are_carried_both_ways(tmp_path: Path) -> None:
    one, two = make_nodes(2)
    roster = make_roster([one, two])
    async with running_mesh(one, roster, tmp_path) as first, running_mesh(two, roster, tmp_path) as second:
        await introduce([first, second], roster)
        await first.wait_peers(1)
        await first.link.send(Ask(7, two.peer_id, b"heads, please"))
        asked = (await second.wait_for(lambda: _of(second, Asked)))[0]
        assert (asked.peer_id, asked.request) == (one.peer_id, b"heads, please")
        await second.link.send(Reply(asked.request_id, b"h" * 700_000))
        answered = (await first.wait_for(lambda: _of(first, Answered)))[0]
        assert answered == Answered(7, b"h" * 700_000, "")


async def test_a_request_to_nobody_says_why(tmp_path: Path) -> None:
    one, two = make_nodes(2)
    roster = make_roster([one, two])
    async with running_mesh(one, roster, tmp_path) as first:
        await first.link.send(Ask(1, two.peer_id, b"x"), Ask(2, "no peer id", b"x"))
        await first.wait_for(lambda: len(_of(first, Answered)) == 2)
        assert all(m.error == "the peer is not connected" for m in _of(first, Answered))


async def test_heartbeats_and_proofs_are_carried(tmp_path: Path) -> None:
    one, two = make_nodes(2)
    roster = make_roster([one, two])
    beat = encode_heartbeat(Heartbeat(1, 0, (), (), ()))
    domain = Domain(NETWORK_ID)
    twice = [seal_envelope(domain, two.secret, two.publisher, 1, 1, NO_DIGEST, body) for body in (b"a", b"b")]
    proof = encode_equivocation(*twice)
    async with running_mesh(one, roster, tmp_path) as first, running_mesh(two, roster, tmp_path) as second:
        await introduce([first, second], roster)
        await first.wait_peers(1)
        await second.wait_peers(1)
        await first.link.send(one.message())
        await second.wait_envelopes(1)
        await first.link.send(PublishHeartbeat(beat), PublishHeartbeat(beat), PublishProof(proof))
        await second.wait_for(lambda: _of(second, ProofSeen))
        assert _of(second, ProofSeen) == [ProofSeen(one.peer_id, proof)]
        # a proof overtakes heartbeats, and so do the counters
        await second.wait_for(lambda: second.counters.get("heartbeat-over-rate") == 1 and _of(second, HeartbeatSeen))
        assert _of(second, HeartbeatSeen) == [HeartbeatSeen(one.peer_id, beat)]


async def test_what_the_relay_holds_is_not_new_and_equivocators_are_not_carried(tmp_path: Path) -> None:
    one, two = make_nodes(2)
    roster = make_roster([one, two])
    async with running_mesh(one, roster, tmp_path) as first, running_mesh(two, roster, tmp_path) as second:
        await introduce([first, second], roster)
        await first.wait_peers(1)
        # what the relay says is taken in its order: the answer shows that the heads were
        await second.link.send(UseHeads([[one.publisher, 1, 2]]), Ask(1, "no peer id", b"x"))
        await second.wait_for(lambda: len(_of(second, Answered)) == 1)
        held = [one.message(), one.message()]
        await first.link.send(*held, one.message())
        await second.wait_envelopes(1)
        doubtful = [envelope for m in _of(second, Admitted) for envelope in m.doubtful]
        assert doubtful == [message.envelope for message in held]
        await second.link.send(UseEquivocators([one.publisher]), Ask(2, "no peer id", b"x"))
        await second.wait_for(lambda: len(_of(second, Answered)) == 2)
        await first.link.send(one.message())
        await second.wait_for(lambda: second.counters.get("frame-equivocator"))
        assert len(second.envelopes()) == 1


async def test_what_the_relay_says_with_configure_counts(tmp_path: Path) -> None:
    one, two = make_nodes(2)
    roster = make_roster([one, two])
    early = [two.message() for _ in range(3)]
    async with (
        running_mesh(one, roster, tmp_path) as first,
        running_mesh(two, roster, tmp_path, {one.peer_id: first.listen}, then=early),
    ):
        await first.wait_envelopes(3)


async def test_it_pulses_while_it_lives_and_not_while_it_is_stopped(tmp_path: Path) -> None:
    one, two = make_nodes(2)
    roster = make_roster([one, two])
    async with running_mesh(one, roster, tmp_path) as first:
        await first.wait_for(lambda: len(_of(first, Pulse)) >= 4)
        first.process.send_signal(signal.SIGSTOP)
        with trio.fail_after(DEADLINE_SECONDS):
            while not _is_stopped(first.pid):  # noqa: ASYNC110 - the kernel tells nobody else
                await trio.sleep(0.01)
        # what it had said before is read
        await trio.testing.wait_all_tasks_blocked()
        silent_since = len(first.messages)
        with trio.move_on_after(2):
            await first.ended.wait()
        assert len(first.messages) == silent_since
        first.process.send_signal(signal.SIGCONT)
        await first.wait_for(lambda: len(first.messages) > silent_since)


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


async def test_a_hung_peer_is_dropped_and_comes_back(tmp_path: Path) -> None:
    one, two = make_nodes(2)
    roster = make_roster([one, two])
    async with running_mesh(one, roster, tmp_path) as first, running_mesh(two, roster, tmp_path) as second:
        await introduce([first, second], roster)
        await first.wait_peers(1)
        second.process.send_signal(signal.SIGSTOP)
        await first.wait_for(lambda: _of(first, PeerDown))
        second.process.send_signal(signal.SIGCONT)
        await first.wait_for(lambda: len(_of(first, PeerUp)) >= 2)
        await first.link.send(one.message())
        await second.wait_envelopes(1)


async def test_it_ends_in_order_under_traffic(tmp_path: Path) -> None:
    one, two = make_nodes(2)
    roster = make_roster([one, two])
    async with running_mesh(one, roster, tmp_path) as first, running_mesh(two, roster, tmp_path) as second:
        await introduce([first, second], roster)
        await first.wait_peers(1)
        await first.link.send(*[one.message() for _ in range(2000)])
        await second.wait_envelopes(1)
        for running in (second, first):
            await running.link.aclose()
            with trio.fail_after(DEADLINE_SECONDS):
                assert await trio.to_thread.run_sync(running.process.wait, abandon_on_cancel=True) == 0


async def test_it_ends_when_the_relay_closes_the_link(tmp_path: Path) -> None:
    one = make_nodes(1)[0]
    async with running_mesh(one, make_roster([one]), tmp_path) as first:
        await first.link.aclose()
        with trio.fail_after(DEADLINE_SECONDS):
            code = await trio.to_thread.run_sync(first.process.wait, abandon_on_cancel=True)
        assert code == 0


async def test_a_killed_mesh_is_replaced_and_heard_again(tmp_path: Path) -> None:
    one, two = make_nodes(2)
    roster = make_roster([one, two])
    async with running_mesh(one, roster, tmp_path) as first:
        for life in range(1, 4):
            async with running_mesh(two, roster, tmp_path, {one.peer_id: first.listen}) as second:
                await second.wait_peers(1)
                await second.link.send(two.message())
                await first.wait_envelopes(life)
                second.process.kill()
        await first.wait_for(lambda: len(_of(first, PeerUp)) >= 3 and len(_of(first, PeerDown)) >= 3)


async def test_a_taken_port_ends_it_with_a_sentence(tmp_path: Path) -> None:
    one = make_nodes(1)[0]
    roster = make_roster([one])
    with trio.socket.socket() as taken:
        await taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"/ip4/127.0.0.1/tcp/{taken.getsockname()[1]}"
        code, errors = await _run_with(tmp_path, Configure(one.seed, [listen], one.publisher, roster, {}))
    assert code == 1
    assert "in use" in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    "configure",
    [
        Configure(secret_of("x"), [], b"", b"no roster", {}),
        PeerUp("not the first message"),
    ],
)
async def test_a_wrong_first_message_ends_it_with_a_sentence(tmp_path: Path, configure: Configure) -> None:
    code, errors = await _run_with(tmp_path, configure)
    assert code == 1
    assert errors.startswith("mesh: ")
    assert errors.count("\n") == 1


async def _run_with(folder: Path, first: Configure) -> tuple[int, str]:
    path = folder / "relay.sock"
    with trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM) as listener:
        await listener.bind(str(path))
        listener.listen(1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_serve_one, listener, first)
            with trio.fail_after(DEADLINE_SECONDS):
                done = await trio.run_process(
                    [sys.executable, "-m", "tocsin_node.mesh", str(path)], capture_stderr=True, check=False
                )
            nursery.cancel_scope.cancel()
    return done.returncode, done.stderr.decode()


async def _serve_one(listener: trio.socket.SocketType, first: Configure) -> None:
    accepted, _ = await listener.accept()
    link = Link(trio.SocketStream(accepted))
    try:
        await link.send(first)
        await trio.sleep_forever()
    finally:
        with trio.CancelScope(shield=True):
            await link.aclose()


def test_no_relay_ends_it_with_a_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tocsin_node.mesh", str(tmp_path / "none.sock")],
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("mesh: ")


def test_wrong_usage_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err


async def test_a_frame_of_a_stranger_is_dropped_and_counted(tmp_path: Path) -> None:
    one, two = make_nodes(2)
    stranger = Node("stranger", secret_of("s", "seed"), secret_of("s", "key"))
    roster = make_roster([one, two])
    async with running_mesh(one, roster, tmp_path) as first, running_mesh(two, roster, tmp_path) as second:
        await introduce([first, second], roster)
        await first.wait_peers(1)
        await first.link.send(stranger.message())
        await second.wait_for(lambda: second.counters.get("frame-unknown-publisher") == 1)
        await first.link.send(one.message())
        await second.wait_envelopes(1)
