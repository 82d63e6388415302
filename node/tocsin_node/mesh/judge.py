"""What is gossiped, judged topic by topic with the roster the relay gave us; pure functions decide, this counts."""

from __future__ import annotations

from typing import Protocol

from tocsin_protocol.admission import Admission, Reason, Verdict
from tocsin_protocol.errors import DecodeError, ProofError, RosterError, SignatureError
from tocsin_protocol.feed import FeedHead
from tocsin_protocol.heartbeat import HEARTBEAT_INTERVAL_MS, MAX_HEARTBEAT_BYTES, decode_heartbeat
from tocsin_protocol.proof import accused_by, verify_proof
from tocsin_protocol.roster import RosterIndex
from tocsin_protocol.topics import judge_topic, topic_names

from tocsin_node.clock import now_ms
from tocsin_node.meshlink import Admitted, HeartbeatSeen, Message, ProofSeen

from .gossip import Ruling
from .hardening import Conduct
from .rpc_queue import Rank, rank_of_lane

# A publisher's heartbeats closer together than this are dropped: half the interval, for clocks and queues.
MIN_HEARTBEAT_GAP_MS = HEARTBEAT_INTERVAL_MS // 2


class TellRelay(Protocol):
    """Queues a message for the relay, urgent ones before the others; false when it does not fit."""

    def __call__(self, message: Message, is_urgent: bool = False) -> bool: ...


class Judge:
    """The validator of the mesh process: verdicts for gossip, news for the relay."""

    def __init__(self, roster: RosterIndex, conduct: Conduct, tell_relay: TellRelay) -> None:
        self.frames_topic, self.proofs_topic, self.heartbeats_topic = topic_names(roster.roster.network_id)
        self._roster = roster
        self._admission = Admission(roster)
        self._conduct = conduct
        self._tell_relay = tell_relay
        self._equivocators: frozenset[bytes] = frozenset()
        self._proven: set[bytes] = set()
        self._heartbeats: dict[bytes, int] = {}

    @property
    def topics(self) -> frozenset[str]:
        return frozenset((self.frames_topic, self.proofs_topic, self.heartbeats_topic))

    def topic_fault(self, topic: str) -> str:
        """The counter of what is said on a topic that is not ours."""
        return f"frame-{judge_topic(topic, self._roster.roster.network_id)}"

    def set_roster(self, roster: RosterIndex) -> None:
        """Go over to another roster epoch of the same network."""
        self._roster = roster
        self._admission.set_roster(roster)
        self._proven = {publisher for publisher in self._proven if roster.publisher(publisher)}
        self._heartbeats = {p: sent for p, sent in self._heartbeats.items() if roster.publisher(p)}

    def set_heads(self, heads: list[FeedHead]) -> None:
        """Up to where the relay holds each feed without a gap."""
        self._admission.set_heads(heads)

    def set_equivocators(self, publishers: frozenset[bytes]) -> None:
        """Publishers whose frames are no longer carried."""
        self._equivocators = publishers
        self._admission.set_equivocators(publishers)

    def judge(self, topic: str, origin: str, data: bytes, forwarder: str) -> Ruling:
        """The verdict on one gossip message that `origin` signed and `forwarder` brought."""
        if topic == self.frames_topic:
            return self._judge_frame(origin, data)
        if topic == self.proofs_topic:
            return Ruling(self._judge_proof(origin, data))
        return Ruling(self._judge_heartbeat(origin, data))

    def _judge_frame(self, origin: str, data: bytes) -> Ruling:
        outcome = self._admission.admit_frame(data, origin, now_ms())
        if outcome.admitted:
            self._conduct.count("admitted", len(outcome.admitted))
        for reason in outcome.dropped:
            self._conduct.count(f"envelope-{reason}")
        if outcome.reason is not Reason.ADMITTED:
            self._conduct.count(f"frame-{outcome.reason}")
        told = [*outcome.admitted, *outcome.doubtful]
        rank = rank_of_lane(told[0].lane) if told else Rank.STANDARD
        if told:
            news = Admitted(origin, [e.encoded for e in outcome.admitted], [e.encoded for e in outcome.doubtful])
            self._tell_relay(news, rank is Rank.CRITICAL)
        return Ruling(outcome.verdict, rank)

    def _judge_proof(self, origin: str, data: bytes) -> Verdict:
        # [REJECT] A proof is at most MAX_PROOF_BYTES and in canonical form.
        try:
            accused = accused_by(self._roster, data)
        except DecodeError:
            return self._refuse(Verdict.REJECT, "proof-malformed")
        except RosterError:
            return self._refuse(Verdict.IGNORE, "proof-unknown-publisher")
        # [IGNORE] A proof is from a roster peer and about a roster publisher.
        if self._roster.publisher(accused) is None or self._roster.publisher_of_peer(origin) is None:
            return self._refuse(Verdict.IGNORE, "proof-unknown-publisher")
        # [IGNORE] One proof a publisher is enough.
        if accused in self._equivocators or accused in self._proven:
            return self._refuse(Verdict.IGNORE, "proof-nothing-new")
        # [REJECT] Both signatures of a proof are the publisher's, or those of its log, and it proves what it says.
        try:
            verify_proof(self._roster, data)
        except (DecodeError, SignatureError, ProofError):
            return self._refuse(Verdict.REJECT, "proof-bad-signature")
        # A roster ahead of ours may have the key of the publisher's log.
        except RosterError:
            return self._refuse(Verdict.IGNORE, "proof-unknown-publisher")
        if self._tell_relay(ProofSeen(origin, data)):
            self._proven.add(accused)
        return Verdict.ACCEPT

    def _judge_heartbeat(self, origin: str, data: bytes) -> Verdict:
        publisher = self._roster.publisher_of_peer(origin)
        # [IGNORE] A heartbeat is from a roster peer.
        if publisher is None:
            return self._refuse(Verdict.IGNORE, "heartbeat-unknown-publisher")
        # [IGNORE] A publisher's heartbeats are at least half an interval apart.
        now = now_ms()
        if 0 <= now - self._heartbeats.get(publisher, 0) < MIN_HEARTBEAT_GAP_MS:
            return self._refuse(Verdict.IGNORE, "heartbeat-over-rate")
        # [REJECT] A heartbeat is in canonical form.
        try:
            if len(data) > MAX_HEARTBEAT_BYTES:
                raise DecodeError("heartbeat is too long")
            decode_heartbeat(data)
        except DecodeError:
            return self._refuse(Verdict.REJECT, "heartbeat-malformed")
        self._heartbeats[publisher] = now
        self._tell_relay(HeartbeatSeen(origin, data))
        return Verdict.ACCEPT

    def _refuse(self, verdict: Verdict, reason: str) -> Verdict:
        self._conduct.count(reason)
        return verdict
