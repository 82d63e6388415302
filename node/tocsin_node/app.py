"""The node: every task of the relay and how they are wired. Nothing else knows them all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import structlog
import trio
from tocsin_protocol.ids import chain_of
from tocsin_protocol.proof import accused_by
from tocsin_protocol.risk.report import OracleDomain
from tocsin_protocol.taxonomy import Category

from .care import make_care, private_files, split_hooks
from .chain.errors import ChainConfigError
from .chain.evidence import EvidenceChecker
from .clock import now_ms
from .config import CONFIG_NAME, NodeConfig
from .control import serve_control
from .control_verbs import Verb
from .detect.finding import WatcherStatus
from .detect.outflow_watcher import run_outflow_watcher
from .errors import ConfigError
from .hooks.build import Levers, open_hooks
from .interpreter import tune_interpreter
from .keystore import NodeSecrets, open_keystore
from .log_anchor import open_anchor_key, run_log_anchor
from .manifest_file import LoadedExposure, load_exposure
from .meshlink import Admitted, Asked, HeartbeatSeen, PeerDown, PeerUp, ProofSeen, Published, Ready
from .peer_ids import peer_id_of_seed
from .policy_file import LoadedPolicy, load_policy
from .relay.acting import Acting
from .relay.amounts import Amounts
from .relay.anchoring import Anchoring
from .relay.approving import Approving
from .relay.arming import Arming
from .relay.catching_up import CatchingUp
from .relay.checking import Checking
from .relay.doctor import Doctor, Probe
from .relay.drills import Drills
from .relay.expiry import Expiry
from .relay.findings import Findings
from .relay.gauges import Gauges
from .relay.heartbeats import Heartbeats
from .relay.intake import Intake
from .relay.ledger import Ledger
from .relay.ledger_desk import LedgerDesk
from .relay.log_desk import LogDesk
from .relay.mesh_state import MeshState
from .relay.metrics import Metrics
from .relay.network import Network
from .relay.operator import Operator
from .relay.publishing import Publishing, Speech
from .relay.recovery import Recovery
from .relay.risk import RiskReports
from .relay.rules_in_force import RulesInForce
from .relay.serving_sync import ServingSync
from .relay.supervisor import MeshSupervisor
from .relay.verdicts import run_verdicts
from .relay.witnessing import Witnessing
from .risk_model import load_model
from .roster_files import load_genesis, read_roster
from .store.adjudications import read_records
from .store.basis import log_rules
from .store.feeds import read_feeds
from .store.marks import mark_for_exposure
from .store.reader import Reader
from .store.risk_sight import Reporting
from .store.writer import Store

_log = structlog.get_logger("tocsin.node")


@dataclass(frozen=True, slots=True)
class Relay:
    """The parts of a running relay that tests and benchmarks drive directly."""

    store: Store
    network: Network
    supervisor: MeshSupervisor
    intake: Intake
    publishing: Publishing
    operator: Operator
    metrics: Metrics


async def run_node(config: NodeConfig, *, task_status: trio.TaskStatus[Relay] = trio.TASK_STATUS_IGNORED) -> None:
    """Run relay and mesh until cancelled; started when the control socket answers.

    Raises ConfigError or StoreError about what the operator has to put right first.
    """
    tune_interpreter()
    async with open_relay(config) as relay:
        task_status.started(relay)
        await trio.sleep_forever()


@asynccontextmanager
async def open_relay(config: NodeConfig) -> AsyncIterator[Relay]:
    """Open everything in the order of dependence; leaving the context stops the node."""
    keys = open_keystore(config.keys.keystore, config.read_passphrase())
    genesis = load_genesis(config.network.genesis, config.genesis_hash)
    store = Store(config.node.data_dir, keys.publisher_id, genesis.network_id, keys.log)
    try:
        async with (
            open_hooks(config.hooks, config.chains, keys.guardian, Path(CONFIG_NAME)) as levers,
            trio.open_nursery() as nursery,
        ):
            await _check_chains(levers)
            await nursery.start(store.writer.run_writer)
            ledger = Ledger(store, now_ms)
            await ledger.load()
            network = Network(store, read_roster(config.network.genesis), config.genesis_hash, now_ms)
            await network.load()
            _check_member(network, keys.publisher_id, config.node.member)
            loaded = load_exposure(config, network.index)
            rules = _load_rules(config, loaded, keys.publisher_id, network, levers)
            rules.use_records(await store.writer.submit(partial(read_records, now_ms=now_ms())))
            # What weighs words takes a third of a second to import: now, and not when the first alarm comes.
            rules().speakers_of(Category.ASSET_DRAIN)
            # On disk before the first alarm; what changes later is logged with the first decision that stands on it.
            await store.writer.submit(partial(log_rules, rules=rules(), now_ms=now_ms()))
            exposure = rules().exposure
            await store.writer.submit(partial(mark_for_exposure, domain=network.index.domain, exposure=exposure))
            await nursery.start(Amounts(loaded, levers.clients, rules, now_ms).run_amounts)
            relay = await _start(nursery, config, keys, store, ledger, network, rules, levers)
            _log.info("node is ready", member=config.node.member, publisher=keys.publisher_id)
            try:
                yield relay
            finally:
                nursery.cancel_scope.cancel()
    finally:
        store.close()


async def _start(
    nursery: trio.Nursery,
    config: NodeConfig,
    keys: NodeSecrets,
    store: Store,
    ledger: Ledger,
    network: Network,
    rules: RulesInForce,
    levers: Levers,
) -> Relay:
    """Wire the parts to one another and start every task; the mesh comes last, when all is there to hear it."""
    publisher, metrics = keys.publisher_id, Metrics()
    feeds = await store.writer.submit(read_feeds)
    mesh_state = MeshState(network, keys.transport, publisher, config.mesh.listen, config.mesh.addresses)
    await mesh_state.load(store, feeds)
    supervisor = MeshSupervisor(
        mesh_state.configure, lambda peer_id: network.index.publisher_of_peer(peer_id) is not None, metrics
    )
    mesh_state.send = supervisor.send
    intake = Intake(store, rules, metrics, now_ms)
    publishing = Publishing(store, intake, supervisor, rules, keys.publisher, publisher, now_ms)
    care = make_care(config, keys, store, ledger, network.index.domain, levers.clients, metrics, now_ms)
    usable, for_drills = split_hooks(config.hooks, levers.hooks)
    acting = Acting(store, ledger, care.brake, care.never, levers.hooks, metrics, now_ms)
    drills = Drills(
        store,
        acting,
        care.brake,
        for_drills,
        keys.publisher,
        answer_peers=config.drills.answer_peers,
        metrics=metrics,
        now_ms=now_ms,
    )
    checking = Checking(store, rules, EvidenceChecker(levers.clients), metrics, now_ms, intake.announce)

    def proof_found(proof: bytes) -> None:
        mesh_state.proof_found(proof)
        publishing.proof_found(proof)
        witnessing.proven(accused_by(network.index, proof))

    async def own_feed_shown(peer_id: str) -> None:
        # The log as well: a database that is an older copy must not show heads of it.
        await witnessing.ask_own(peer_id)
        publishing.settle(peer_id)

    catching_up = CatchingUp(store, network, intake, supervisor, metrics, now_ms, own_feed_shown, proof_found)

    def may_show() -> bool:
        return publishing.speech is Speech.OPEN

    witnessing = Witnessing(
        store,
        network,
        supervisor,
        ledger,
        keys.log,
        metrics,
        now_ms,
        catching_up.admit_proof,
        may_show,
    )
    await witnessing.load()
    network.listeners.append(witnessing.use_roster)
    watchers = {watcher.name: WatcherStatus() for watcher in config.watchers}

    def heights() -> list[tuple[str, int]]:
        return sorted({w.chain: watchers[w.name].head_number for w in config.watchers}.items())

    coverage = (Category.ASSET_DRAIN,) if watchers else ()
    heartbeats = Heartbeats(store, network, supervisor, metrics, now_ms, heights, coverage, witnessing.shown)
    rules.use_watching(heartbeats.watching)
    anchor_key = open_anchor_key(config, keys, rules().people.approvals.operators)
    identity = {
        "member": config.node.member,
        "version": version("tocsin"),
        "publisher": "0x" + publisher.hex(),
        "peer_id": peer_id_of_seed(keys.transport),
        "guardian": keys.guardian_address,
    }
    if anchor_key is not None:
        identity["anchor_account"] = anchor_key.address

    def load_policy_anew() -> LoadedPolicy:
        members = [member.name for member in network.index.roster.members]
        return load_policy(config.policy.file, config.hook_names, rules().exposure.holdings, members)

    operator = Operator(
        store,
        ledger,
        network,
        supervisor,
        publishing,
        heartbeats,
        witnessing,
        care.brake,
        care.about_us,
        usable,
        watchers,
        metrics,
        identity,
        keys.publisher,
        rules,
        load_policy_anew,
        now_ms,
    )
    reader = Reader(config.node.data_dir)
    serving = ServingSync(reader, supervisor, metrics)
    probes: dict[str, Probe] = {name: hook.probe for name, hook in levers.hooks.items()}
    # Before it publishes, enough peers have been asked what they keep of its log as well.
    log_desk = LogDesk(store, keys.publisher, now_ms, lambda: publishing.speech is Speech.OPEN)
    if config.log.anchor is not None and anchor_key is not None:
        anchor = partial(
            run_log_anchor,
            config.log.anchor,
            config.chains,
            anchor_key,
            store,
            lambda: may_show() and not ledger.doubt,
            metrics,
            now_ms,
        )
        anchoring: Anchoring = await nursery.start(anchor)
        probes["log anchor"] = anchoring.probe
        log_desk.find_unknown_anchors = anchoring.find_unknown
    doctor = Doctor(
        store,
        ledger,
        care.brake,
        network,
        supervisor,
        publishing,
        rules,
        probes,
        levers.clients,
        private_files(config),
        now_ms,
    )
    recovery = Recovery(store, rules, levers.clients, metrics, now_ms)
    intake.listeners += [acting.start, mesh_state.filed, checking.filed, recovery.filed]
    intake.listeners += [care.brake.filed, care.about_us.filed, drills.filed]
    metrics.gauge("tocsin_mesh_peers", "Connected members.", lambda: len(supervisor.peers))
    metrics.gauge("tocsin_mesh_up", "Whether the mesh listens.", lambda: supervisor.up.is_set())

    supervisor.routes = _routes(intake, serving, publishing, catching_up, heartbeats, witnessing, mesh_state)
    network.listeners.append(lambda _: heartbeats.hurry())

    if (risk := _risk(config, keys, store, rules, levers, publishing, metrics)) is not None:
        intake.listeners.append(risk.filed)
        await nursery.start(risk.run_risk)

    nursery.start_soon(_close_at_end, reader)
    for task in (
        care.doubles.run_doubles,
        acting.run_acting,
        checking.run_checking,
        intake.run_intake,
        publishing.run_outbox,
        publishing.run_receipts,
        publishing.run_resumption,
        catching_up.run_catching_up,
        witnessing.run_witnessing,
        serving.run_serving,
        mesh_state.run_heads,
        heartbeats.run_heartbeats,
        Expiry(store, levers.hooks, metrics, now_ms).run_expiry,
        recovery.run_recovery,
        partial(run_verdicts, store, metrics, now_ms),
        care.brake.run_file,
        care.brake.run_statements,
        care.about_us.run_alarms,
        care.watch.run_self_watch,
        care.watch.run_chain_clock,
        drills.run_drills,
        doctor.run_daily,
    ):
        await nursery.start(task)
    findings = Findings(store, network, publishing, metrics, now_ms)
    for watcher in config.watchers:
        client, status = levers.clients[watcher.chain], watchers[watcher.name]
        nursery.start_soon(partial(run_outflow_watcher, watcher, client, findings.report, now_ms, status=status))
    await nursery.start(supervisor.run_supervisor)
    gauges = Gauges(
        store,
        ledger,
        care.brake,
        network,
        supervisor,
        publishing,
        heartbeats,
        witnessing,
        operator,
        rules,
        usable,
        watchers,
        levers.clients,
        metrics,
        now_ms,
    )
    desk, approving = LedgerDesk(store, ledger, acting, levers.hooks), Approving(store, rules, acting, now_ms)
    arming = Arming(store, ledger, care.brake, usable, rules, now_ms)
    handlers = operator.handlers() | desk.handlers() | approving.handlers() | recovery.handlers()
    handlers |= arming.handlers() | log_desk.handlers()
    handlers |= {Verb.DOCTOR: doctor.answer, Verb.METRICS: gauges.answer}
    await nursery.start(serve_control, config.control_path, handlers)
    return Relay(store, network, supervisor, intake, publishing, operator, metrics)


def _risk(
    config: NodeConfig,
    keys: NodeSecrets,
    store: Store,
    rules: RulesInForce,
    levers: Levers,
    publishing: Publishing,
    metrics: Metrics,
) -> RiskReports | None:
    """The reports, where the operator named an oracle; raises ConfigError for a model that cannot be used."""
    section = config.risk
    if section.oracle is None:
        return None
    for subject in section.subjects:
        if subject.tvl_usd is None and subject.id not in rules().exposure.subjects:
            wanted = "is wanted for a subject that is not in our own manifest"
            raise ConfigError(CONFIG_NAME, "risk.subject.tvl_usd", wanted, found=subject.id)
    reporting = Reporting(
        OracleDomain(section.oracle), keys.publisher, keys.publisher_id, load_model(section.model), section.may_count
    )
    checker = EvidenceChecker(levers.clients)
    return RiskReports(
        store,
        rules,
        reporting,
        section.subjects,
        checker,
        levers.clients.get(chain_of(section.oracle)),
        lambda: publishing.speech is Speech.OPEN,
        metrics,
        now_ms,
    )


def _load_rules(
    config: NodeConfig, loaded: LoadedExposure, publisher: bytes, network: Network, levers: Levers
) -> RulesInForce:
    """Read the policy; raises ConfigError naming what is wrong with it."""
    members = [member.name for member in network.index.roster.members]
    policy = load_policy(config.policy.file, config.hook_names, loaded.exposure.holdings, members)
    for warning in (*loaded.warnings, *policy.warnings):
        _log.warning("policy", warning=warning)
    trusted = frozenset(config.evidence.trusted)
    return RulesInForce(policy, loaded.exposure, levers.hooks, network, publisher, trusted, now_ms)


def _routes(
    intake: Intake,
    serving: ServingSync,
    publishing: Publishing,
    catching_up: CatchingUp,
    heartbeats: Heartbeats,
    witnessing: Witnessing,
    mesh_state: MeshState,
) -> Mapping[type[Any], Callable[[Any], None]]:
    """Which part takes which message of the mesh."""

    def hear(message: HeartbeatSeen) -> None:
        beat = heartbeats.take(message)
        if beat is not None:
            catching_up.heard(message.peer_id, beat)
            witnessing.offer(message.peer_id, beat)

    def greet(_: Ready) -> None:
        mesh_state.tell_all()
        publishing.offer_again()

    return {
        Admitted: intake.offer,
        Asked: serving.offer,
        Published: publishing.confirm,
        ProofSeen: lambda message: catching_up.offer_proof(message.proof),
        HeartbeatSeen: hear,
        PeerUp: lambda message: catching_up.peer_up(message.peer_id),
        PeerDown: lambda message: catching_up.peer_down(message.peer_id),
        Ready: greet,
    }


def _check_member(network: Network, publisher: bytes, member: str) -> None:
    """The roster says whose node this is; one that it does not list yet may listen to whoever lets it in."""
    listed = network.index.member(publisher)
    if listed is None:
        _log.warning("the roster does not list this node", publisher=publisher, epoch=network.index.roster.epoch)
    elif listed.name != member:
        raise ConfigError(CONFIG_NAME, "node.member", f"the roster lists this node under {listed.name!r}", found=member)


async def _check_chains(levers: Levers) -> None:
    """An endpoint of another chain stops the start; one that does not answer, or follows another fork, only warns."""
    for chain, client in levers.clients.items():
        try:
            faults = await client.check_chain()
        except ChainConfigError as exc:
            raise ConfigError(CONFIG_NAME, "chain.endpoints", str(exc)) from exc
        for line in faults:
            _log.warning("chain endpoint", chain=chain, why=line)


async def _close_at_end(reader: Reader) -> None:
    try:
        await trio.sleep_forever()
    finally:
        reader.close()
