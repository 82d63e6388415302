"""What the operator may ask of a running node: the handlers behind the control socket."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tocsin_protocol.adjudication import Adjudication, Finding
from tocsin_protocol.audit import EntryKind
from tocsin_protocol.containment.action import Action
from tocsin_protocol.encoding import MAX_UINT
from tocsin_protocol.fields import enum_of, map_of, text_of
from tocsin_protocol.roster import tolerated_faults
from tocsin_protocol.roster_encoding import decode_signed_roster, encode_roster, encode_signed_roster, roster_hash
from tocsin_protocol.taxonomy import Category

from tocsin_node.action_words import end_text, next_step
from tocsin_node.control import Handler
from tocsin_node.control_verbs import Verb
from tocsin_node.detect.finding import WatcherStatus
from tocsin_node.errors import ConfigError, ControlError
from tocsin_node.hooks.hook import Hook
from tocsin_node.policy_file import LoadedPolicy
from tocsin_node.signal_json import draft_signal
from tocsin_node.store.actions import Arm, count_actions_by_state, read_arms, read_expiring
from tocsin_node.store.adjudications import Records, adjudicate, read_records
from tocsin_node.store.anchors import AnchorStatus, read_anchor_status
from tocsin_node.store.audit import append_audit
from tocsin_node.store.doctor import read_doctor
from tocsin_node.store.feeds import read_feeds
from tocsin_node.store.rosters import read_equivocators, read_rosters
from tocsin_node.store.standstills import Standstill, read_standstills
from tocsin_node.store.writer import Connection, Store

from .about_us import AboutUs
from .brake import Brake
from .heartbeats import Heartbeats
from .ledger import Ledger
from .metrics import Metrics
from .network import Network
from .publishing import Publishing, Speech
from .rules_in_force import RulesInForce
from .supervisor import MeshSupervisor
from .waiting import read_waiting
from .witnessing import Witnessing

MAX_WATCHER_SILENCE_MS = 60_000
# An endpoint may answer every poll with the same old block. No chain that is worth watching is this slow.
MAX_HEAD_AGE_MS = 10 * 60 * 1000
_MINUTE_MS = 60 * 1000
_HOUR_MS = 60 * _MINUTE_MS
_MIN_MEMBERS_FOR_TOLERANCE = 4


class Operator:
    """Answers requests; every one that changes something leaves an audit entry."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        network: Network,
        supervisor: MeshSupervisor,
        publishing: Publishing,
        heartbeats: Heartbeats,
        witnessing: Witnessing,
        brake: Brake,
        about_us: AboutUs,
        hooks: Mapping[str, Hook],
        watchers: Mapping[str, WatcherStatus],
        metrics: Metrics,
        identity: Mapping[str, str],
        secret: bytes,
        rules: RulesInForce,
        load_policy: Callable[[], LoadedPolicy],
        now_ms: Callable[[], int],
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._network = network
        self._supervisor = supervisor
        self._publishing = publishing
        self._heartbeats = heartbeats
        self._witnessing = witnessing
        self._brake = brake
        self._about_us = about_us
        self._hooks = hooks
        self._watchers = watchers
        self._metrics = metrics
        self._identity = dict(identity)
        self._secret = secret
        self._rules = rules
        self._load_policy = load_policy
        self._now_ms = now_ms
        self._started_ms = now_ms()
        # When the watchdog last asked, None before that.
        self.watched_ms: int | None = None

    def handlers(self) -> dict[str, Handler]:
        """The verbs and who answers them."""
        return {
            Verb.STATUS: self.status,
            Verb.HEALTH: self.health,
            Verb.PUBLISH: self.publish,
            Verb.RELOAD_POLICY: self.reload_policy,
            Verb.ADJUDICATE: self.adjudicate,
            Verb.RESUME: self.resume,
            Verb.ROSTER: self.roster,
            Verb.APPLY_ROSTER: self.apply_roster,
        }

    async def status(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """What the node knows about itself, most urgent first in `warnings`."""
        roster = self._network.index.roster
        now_ms = self._now_ms()
        rules = self._rules()
        (
            feeds,
            arms,
            actions,
            expiring,
            equivocators,
            waiting,
            standstills,
            examined,
            decided,
            anchored,
        ) = await self._store.writer.submit(
            lambda c: (
                read_feeds(c),
                read_arms(c),
                count_actions_by_state(c),
                read_expiring(c, now_ms),
                read_equivocators(c),
                read_waiting(c, rules, now_ms),
                read_standstills(c),
                read_doctor(c),
                c.execute("SELECT at_ms FROM decisions ORDER BY id DESC LIMIT 1").fetchone(),
                read_anchor_status(c),
            )
        )
        members, log = len(roster.members), await self._witnessing.describe()
        health = await self.health({})
        warnings = [_standstill_warning(standstill, now_ms) for standstill in standstills]
        warnings += [f"nothing may be armed: {sentence}" for sentence in self._brake.holding.values()]
        warnings += [*health["reasons"], *self._about_us.warnings]
        if examined is not None and not examined[1]:
            warnings.append("the doctor found something wrong: see `tocsin doctor`")
        warnings += [*waiting, *(_expiry_warning(action, now_ms) for action in expiring)]
        is_anchored = "anchor_account" in self._identity
        if is_anchored and anchored.trouble:
            warnings.append(f"the log is not anchored: {anchored.trouble}")
        if members < _MIN_MEMBERS_FOR_TOLERANCE:
            warnings.append(f"{members} members: below {_MIN_MEMBERS_FOR_TOLERANCE} nothing Byzantine is tolerated")
        warnings += [f"publisher 0x{p.hex()} has told two histories: its signals weigh nothing" for p in equivocators]
        unproven = sorted(self._witnessing.unproven)
        warnings += [
            f"the log of 0x{p.hex()} shows no path between its heads: does it show others another?" for p in unproven
        ]
        return {
            **self._identity,
            "network": roster.network_id.hex(),
            "started_ms": self._started_ms,
            "epoch": roster.epoch,
            "members": members,
            "tolerated_faults": tolerated_faults(members),
            "publishing": f"{self._publishing.speech}: {self._publishing.why}",
            "ledger": f"in doubt: {self._ledger.doubt}" if self._ledger.doubt else "confirmed",
            "log": log,
            "last_decision_ms": decided[0] if decided else None,
            "standstills": [f"{s.cause}: {s.sentence}" for s in standstills],
            "doctor": _doctor_text(examined, now_ms),
            **({"anchored": _anchor_text(anchored, self._store.record.edge.size, now_ms)} if is_anchored else {}),
            "mesh": {
                "up": self._supervisor.up.is_set(),
                "listen": ", ".join(self._supervisor.listen),
                "peers": len(self._supervisor.peers),
            },
            "peers": self._peers(),
            "feeds": [
                {
                    "publisher": "0x" + feed.publisher.hex(),
                    "lane": feed.lane,
                    "head": feed.head,
                    "missing": feed.has_gap,
                }
                for feed in feeds
            ],
            "hooks": [self._hook(hook, arms.get(name)) for name, hook in sorted(self._hooks.items())],
            "watchers": [self._watcher(name, watcher) for name, watcher in self._watchers.items()],
            "actions": {str(state): count for state, count in actions.items()},
            "counters": self._counters(),
            "warnings": warnings,
        }

    async def health(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Whether the node can hear, speak and write, and what stands in the way; the watchdog says that it asks."""
        if arguments.get("watchdog") is True:
            self.watched_ms = self._now_ms()
        reasons = []
        if self._ledger.doubt:
            reasons.append(f"no hook acts: {self._ledger.doubt}; see `tocsin ledger show`")
        if not self._supervisor.up.is_set():
            reasons.append("the mesh is down")
        elif not self._supervisor.peers and len(self._network.index.publishers) > 1:
            reasons.append("no peer is connected")
        if self._publishing.speech is not Speech.OPEN:
            reasons.append(f"publishing is {self._publishing.speech}: {self._publishing.why}")
        for name, watcher in self._watchers.items():
            now_ms = self._now_ms()
            if now_ms - watcher.polled_ms > MAX_WATCHER_SILENCE_MS:
                reasons.append(f"watcher {name} cannot read its chain: {watcher.last_error or 'not yet started'}")
            elif (age_ms := watcher.head_age_ms(now_ms)) > MAX_HEAD_AGE_MS:
                reasons.append(f"watcher {name}: the newest block of {watcher.endpoint} is {age_ms // 1000} s old")
        return {"healthy": not reasons, "reasons": reasons}

    async def publish(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Sign and send signals; raises DecodeError naming the field that is wrong."""
        documents = arguments.get("signals")
        if not isinstance(documents, list):
            raise ControlError("malformed", "publish: signals is not a list")
        now_ms = self._now_ms()
        sealing = await self._publishing.publish([draft_signal(document, now_ms) for document in documents])
        sealed = [{"digest": e.digest.hex(), "lane": e.lane, "sequence": e.sequence} for e in sealing.envelopes]
        return {"sealed": sealed, "drafts": sealing.drafts, "why": "" if sealed else self._publishing.why}

    async def adjudicate(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Record what an incident was; raises DecodeError naming what is wrong with the request."""
        fields = map_of("adjudicate", arguments, ("category", "finding", "incident"))
        adjudication = Adjudication(
            bytes.fromhex(text_of("incident", fields["incident"])),
            enum_of("category", fields["category"], Category),
            enum_of("finding", fields["finding"], Finding),
            self._now_ms(),
        )
        watching = [publisher for publisher, _ in self._heartbeats.watching(adjudication.category)]
        rules = self._rules()

        def record(connection: Connection) -> tuple[int, Records]:
            if not connection.execute("SELECT 1 FROM incidents WHERE id = ?", (adjudication.incident,)).fetchone():
                raise ControlError("unknown-incident", f"{adjudication.incident.hex()} is no incident of this node")
            count = adjudicate(connection, rules, self._secret, adjudication, watching)
            return count, read_records(connection, adjudication.at_ms)

        count, records = await self._store.writer.submit(record)
        self._rules.use_records(records)
        return {"incident": adjudication.incident.hex(), "publishers": count}

    async def reload_policy(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Read the policy file anew; from the next decision on it counts."""
        try:
            loaded = self._load_policy()
        except ConfigError as exc:
            raise ControlError("config", f"{exc}; the policy in force stays") from exc
        now_ms = self._now_ms()
        detail = {"verb": "reload-policy", "policy": loaded.hash, "by": "operator"}
        # In the log before the first decision by it, so that a replay knows why it changed.
        await self._store.writer.submit(lambda c: append_audit(c, now_ms, EntryKind.OPERATOR, b"", detail))
        self._rules.use_policy(loaded)
        return {"policy": loaded.hash.hex(), "warnings": list(loaded.warnings)}

    async def resume(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The operator vouches for this database."""
        await self._publishing.allow("the operator said so")
        return {"publishing": f"{self._publishing.speech}: {self._publishing.why}"}

    async def roster(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The signed roster in force, in hex."""
        epoch = self._network.index.roster.epoch
        (signed,) = await self._store.writer.submit(lambda connection: read_rosters(connection, epoch, 1))
        return {"roster": encode_signed_roster(signed).hex()}

    async def apply_roster(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Bring the next roster into force; raises RosterError or DecodeError."""
        try:
            data = bytes.fromhex(str(arguments.get("roster")))
        except ValueError as exc:
            raise ControlError("malformed", "apply-roster: roster is not hex") from exc
        roster = await self._network.apply(decode_signed_roster(data))
        return {"epoch": roster.epoch, "hash": roster_hash(encode_roster(roster)).hex()}

    def _peers(self) -> list[dict[str, Any]]:
        rows = []
        for publisher_id, publisher in self._network.index.publishers.items():
            if publisher_id == self._store.publisher:
                continue
            member = self._network.index.member(publisher_id)
            heard = self._heartbeats.heard.get(publisher_id)
            rows.append(
                {
                    "member": member.name if member else "",
                    "publisher": "0x" + publisher_id.hex(),
                    "connected": publisher.peer_id in self._supervisor.peers,
                    "heard_ms": heard.received_ms if heard else None,
                    "epoch": heard.beat.epoch if heard else None,
                }
            )
        return rows

    def _watcher(self, name: str, watcher: WatcherStatus) -> dict[str, Any]:
        return {
            "watcher": name,
            "head": watcher.head_number,
            "head_age_ms": watcher.head_age_ms(self._now_ms()) if watcher.head_number else None,
            "findings": watcher.findings,
            "unwitnessed": watcher.unwitnessed,
            "errors": watcher.errors,
            "last_error": watcher.last_error,
        }

    def _hook(self, hook: Hook, arm: Arm | None) -> dict[str, Any]:
        return {
            "hook": hook.name,
            "target": hook.target,
            "armed": arm is not None and arm.armed,
            "epoch": arm.epoch if arm else 0,
        }

    def _counters(self) -> dict[str, int]:
        families = (family for family in self._metrics.registry.collect() if family.type != "histogram")
        samples = (sample for family in families for sample in family.samples)
        return {
            " ".join([sample.name, *sample.labels.values()]): int(min(sample.value, MAX_UINT))
            for sample in samples
            if not sample.name.endswith("_created") and sample.value
        }


def _standstill_warning(standstill: Standstill, now_ms: int) -> str:
    minutes = max(0, now_ms - standstill.at_ms) // _MINUTE_MS
    return f"every hook was disarmed {minutes} minutes ago: {standstill.sentence} ({standstill.cause})"


def _doctor_text(examined: tuple[int, bool] | None, now_ms: int) -> str:
    if examined is None:
        return "has not looked yet: run `tocsin doctor`"
    at_ms, is_healthy = examined
    hours = max(0, now_ms - at_ms) // _HOUR_MS
    return f"{'all right' if is_healthy else 'not all right'}, {hours} h ago"


def _anchor_text(status: AnchorStatus, size: int, now_ms: int) -> str:
    if status.newest is None:
        return f"nothing of {size} entries"
    minutes = max(0, now_ms - status.newest.anchor.created_ms) // _MINUTE_MS
    return f"{status.newest.size} of {size} entries on {status.newest.chain}, {minutes} min ago"


def _expiry_warning(action: Action, now_ms: int) -> str:
    return f"{action.hook} on {action.target} (end: {end_text(action, now_ms)}): {next_step(action)}"
