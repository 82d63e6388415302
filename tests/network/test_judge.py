"""Topics, verdicts and what the relay is told."""

from __future__ import annotations

import pytest
from mesh_kit import NETWORK_ID, make_nodes, make_roster
from tocsin_node.mesh import judge as judge_module
from tocsin_node.mesh.hardening import Conduct
from tocsin_node.mesh.judge import MIN_HEARTBEAT_GAP_MS, Judge
from tocsin_node.mesh.rpc_queue import Rank
from tocsin_node.meshlink import Admitted, HeartbeatSeen, Message, ProofSeen
from tocsin_protocol.admission import Verdict
from tocsin_protocol.envelope import seal_envelope
from tocsin_protocol.feed import encode_equivocation
from tocsin_protocol.frame import encode_frame
from tocsin_protocol.heartbeat import Heartbeat, encode_heartbeat
from tocsin_protocol.ids import NO_DIGEST
from tocsin_protocol.roster import RosterIndex
from tocsin_protocol.roster_encoding import decode_roster
from tocsin_protocol.signing import Domain
from tocsin_protocol.topics import topic_names

ONE, TWO, STRANGER = make_nodes(3)
BEAT = encode_heartbeat(Heartbeat(1, 0, (), (), ()))


class Desk:
    """A judge, and what it told the relay."""

    def __init__(self, *, relay_is_busy: bool = False) -> None:
        self.told: list[Message] = []
        self.urgent: list[bool] = []
        self.busy = relay_is_busy
        self.conduct = Conduct()
        self.judge = Judge(RosterIndex(decode_roster(make_roster([ONE, TWO]))), self.conduct, self._tell)

    def _tell(self, message: Message, is_urgent: bool = False) -> bool:
        if not self.busy:
            self.told.append(message)
            self.urgent.append(is_urgent)
        return not self.busy

    def frame(self, data: bytes, origin: str = ONE.peer_id) -> Verdict:
        return self.judge.judge(self.judge.frames_topic, origin, data, TWO.peer_id).verdict

    def proof(self, data: bytes, origin: str = ONE.peer_id) -> Verdict:
        return self.judge.judge(self.judge.proofs_topic, origin, data, TWO.peer_id).verdict

    def heartbeat(self, data: bytes, origin: str = ONE.peer_id) -> Verdict:
        return self.judge.judge(self.judge.heartbeats_topic, origin, data, TWO.peer_id).verdict


def _proof(secret: bytes = TWO.secret, publisher: bytes = TWO.publisher) -> bytes:
    domain = Domain(NETWORK_ID)
    return encode_equivocation(
        *[seal_envelope(domain, secret, publisher, 1, 1, NO_DIGEST, body) for body in (b"a", b"b")]
    )


def test_topics_carry_the_networks_first_eight_bytes() -> None:
    base = f"/tocsin/1/{NETWORK_ID[:8].hex()}"
    assert topic_names(NETWORK_ID) == (f"{base}/frames", f"{base}/proofs", f"{base}/heartbeats")


def test_another_networks_topics_are_told_from_unknown_ones() -> None:
    judge = Desk().judge
    faults = [judge.topic_fault(topic) for topic in (topic_names(bytes(32))[0], topic_names(NETWORK_ID)[0] + "/x", "")]
    assert faults == ["frame-wrong-network", "frame-unknown-topic", "frame-unknown-topic"]


def test_a_new_frame_is_accepted_and_told_once() -> None:
    desk = Desk()
    envelope = ONE.seal()
    frame = encode_frame([envelope.encoded])
    assert desk.frame(frame) is Verdict.ACCEPT
    assert desk.told == [Admitted(ONE.peer_id, [envelope.encoded], [])]
    assert desk.frame(frame) is Verdict.IGNORE
    assert len(desk.told) == 1
    assert desk.conduct.counters == {"admitted": 1, "envelope-duplicate": 1, "frame-nothing-new": 1}


@pytest.mark.parametrize(("lane", "rank"), [(0, Rank.CRITICAL), (1, Rank.STANDARD)])
def test_the_lane_of_a_frame_is_what_it_is_passed_on_as(lane: int, rank: Rank) -> None:
    desk = Desk()
    frame = encode_frame([ONE.seal(lane=lane).encoded])
    ruling = desk.judge.judge(desk.judge.frames_topic, ONE.peer_id, frame, TWO.peer_id)
    assert ruling == (Verdict.ACCEPT, rank)
    assert desk.urgent == [rank is Rank.CRITICAL]


def test_a_busy_relay_does_not_change_the_verdict() -> None:
    desk = Desk(relay_is_busy=True)
    assert desk.frame(encode_frame([ONE.seal().encoded])) is Verdict.ACCEPT


def test_a_frame_by_another_peer_is_ignored() -> None:
    desk = Desk()
    assert desk.frame(encode_frame([ONE.seal().encoded]), TWO.peer_id) is Verdict.IGNORE
    assert desk.conduct.counters == {"frame-wrong-peer": 1}


def test_a_frame_that_is_none_is_rejected() -> None:
    assert Desk().frame(b"no frame") is Verdict.REJECT


def test_a_proof_is_accepted_once() -> None:
    desk = Desk()
    assert desk.proof(_proof()) is Verdict.ACCEPT
    assert desk.told == [ProofSeen(ONE.peer_id, _proof())]
    assert desk.proof(_proof()) is Verdict.IGNORE
    assert len(desk.told) == 1


def test_a_proof_the_relay_could_not_take_is_taken_the_next_time() -> None:
    desk = Desk(relay_is_busy=True)
    assert desk.proof(_proof()) is Verdict.ACCEPT
    desk.busy = False
    assert desk.proof(_proof()) is Verdict.ACCEPT
    assert len(desk.told) == 1


@pytest.mark.parametrize(
    ("proof", "origin", "verdict", "reason"),
    [
        (b"garbage", ONE.peer_id, Verdict.REJECT, "proof-malformed"),
        (b"x" * 100_000, ONE.peer_id, Verdict.REJECT, "proof-malformed"),
        (_proof(ONE.secret), ONE.peer_id, Verdict.REJECT, "proof-bad-signature"),
        (_proof(), STRANGER.peer_id, Verdict.IGNORE, "proof-unknown-publisher"),
        (_proof(STRANGER.secret, STRANGER.publisher), ONE.peer_id, Verdict.IGNORE, "proof-unknown-publisher"),
    ],
)
def test_a_proof_that_proves_nothing(proof: bytes, origin: str, verdict: Verdict, reason: str) -> None:
    desk = Desk()
    assert desk.proof(proof, origin) is verdict
    assert desk.conduct.counters == {reason: 1}
    assert not desk.told


def test_a_known_equivocator_needs_no_second_proof_and_its_frames_are_ignored() -> None:
    desk = Desk()
    desk.judge.set_equivocators(frozenset([TWO.publisher]))
    assert desk.proof(_proof()) is Verdict.IGNORE
    assert desk.frame(encode_frame([TWO.seal().encoded]), TWO.peer_id) is Verdict.IGNORE


def test_heartbeats_are_told_at_most_every_half_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000_000
    monkeypatch.setattr(judge_module, "now_ms", lambda: now)
    desk = Desk()
    assert desk.heartbeat(BEAT) is Verdict.ACCEPT
    assert desk.heartbeat(BEAT) is Verdict.IGNORE
    assert desk.heartbeat(BEAT, TWO.peer_id) is Verdict.ACCEPT
    now += MIN_HEARTBEAT_GAP_MS
    assert desk.heartbeat(BEAT) is Verdict.ACCEPT
    assert desk.told == [HeartbeatSeen(peer, BEAT) for peer in (ONE.peer_id, TWO.peer_id, ONE.peer_id)]


def test_a_clock_that_went_back_does_not_silence_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000_000_000
    monkeypatch.setattr(judge_module, "now_ms", lambda: now)
    desk = Desk()
    assert desk.heartbeat(BEAT) is Verdict.ACCEPT
    now -= 1_000_000
    assert desk.heartbeat(BEAT) is Verdict.ACCEPT


@pytest.mark.parametrize(
    ("beat", "origin", "verdict"),
    [
        (b"garbage", ONE.peer_id, Verdict.REJECT),
        (b"x" * 100_000, ONE.peer_id, Verdict.REJECT),
        (BEAT, STRANGER.peer_id, Verdict.IGNORE),
    ],
)
def test_a_heartbeat_that_is_none(beat: bytes, origin: str, verdict: Verdict) -> None:
    desk = Desk()
    assert desk.heartbeat(beat, origin) is verdict
    assert not desk.told


def test_a_new_roster_is_used_at_once() -> None:
    desk = Desk()
    desk.judge.set_roster(RosterIndex(decode_roster(make_roster([TWO]))))
    assert desk.frame(encode_frame([ONE.seal().encoded])) is Verdict.IGNORE
    assert desk.heartbeat(BEAT) is Verdict.IGNORE
