"""One run of the incident: four nodes, one chain, the drain step by step, and what the record says of it after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import trio
from tocsin_protocol.adjudication import Finding
from tocsin_protocol.containment.life_cycle import Event
from tocsin_protocol.taxonomy import Category

from tocsin_node.clock import now_ms
from tocsin_node.control_verbs import Verb

from .anvil import open_anvil
from .cast import (
    DETECTORS,
    DEX,
    HOOKS,
    LENDER,
    LIAR,
    MEMBERS,
    POOL_GUARD,
    UNTOUCHED,
    VAULT,
    Cast,
    configure_members,
    report_the_dump,
    tell_the_lie,
)
from .network import create_local_network
from .processes import NodeProcess, open_nodes, wait_connected
from .reopening import Operator, Say, hire_operators, is_lender_open, plan_way_back, reopen_lender
from .rpc_proxy import open_rpc_proxy
from .scenario_chain import (
    DECIMALS,
    Guardians,
    Holdings,
    Step,
    StepKind,
    deploy_scenario,
    is_paused,
    read_holdings,
    run_step,
)

# The attacker's transactions came minutes apart; the demo has no such patience.
STEP_SECONDS = 1.0
DEPOSITED_SECONDS_AGO = 24 * 3600
# Deadlines are for what hangs, not for what is slow.
START_SECONDS = 240.0
SETTLE_SECONDS = 120.0
# Signals of one node, and decisions about one incident, that the timeline looks at.
MAX_SHOWN = 200

ATTACKER = "attacker"

Tell = Callable[[str], None]

_EVENTS = {
    Event.SEND: "pause transaction sent",
    Event.INCLUDE: "PAUSE MINED",
    Event.CONFIRM: "pause confirmed",
    Event.REFUSE: "not sent, the simulation says it would revert",
    Event.REVERT: "pause transaction reverted",
    Event.FAIL: "given up",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of the timeline; `at_ms` is the UTC ms of the machine that all of it ran on."""

    at_ms: int
    who: str
    what: str
    incident: bytes = b""


@dataclass(frozen=True, slots=True)
class RunResult:
    """What one run came to; money in micro-USD.

    `reopened` are the stages that the lender went through afterwards, `is_open_again` is what its contract says then.
    """

    armed: bool
    steps_sent: int
    steps_failed: int
    lender_lost_micro_usd: int
    dex_lost_micro_usd: int
    paused: tuple[str, ...]
    timeline: tuple[Moment, ...]
    reopened: tuple[str, ...] = ()
    is_open_again: bool = False

    @property
    def lost_micro_usd(self) -> int:
        """What both protocols lost."""
        return self.lender_lost_micro_usd + self.dex_lost_micro_usd


async def run_incident(directory: Path, *, armed: bool, tell: Tell) -> RunResult:
    """Run the drain against four nodes; raises NodeError or AnvilError when something does not start."""
    # The deposits lie a day back: what came in within the limiter's window would count against what goes out.
    async with (
        open_anvil("--timestamp", str(now_ms() // 1000 - DEPOSITED_SECONDS_AGO)) as anvil,
        open_rpc_proxy(anvil.url) as second,
        open_rpc_proxy(anvil.url) as lying,
    ):
        homes = create_local_network(directory, MEMBERS, now_ms(), detectors=DETECTORS)
        guardians = Guardians(*(home.guardian_address for home in homes[:3]))
        scenario = await deploy_scenario(anvil, guardians)
        await anvil.call("evm_setNextBlockTimestamp", now_ms() // 1000)
        await anvil.mine()
        configure_members(homes, scenario, [anvil.url, second.url], lying.url)
        operators = hire_operators(directory / "operators")
        plan_way_back(homes[0], operators, scenario)
        tell("three protocols are deployed; their nodes start, and with them that of a member who will lie")
        async with open_nodes(homes) as nodes:
            with trio.fail_after(START_SECONDS):
                await wait_connected(nodes)
            if armed:
                for node in nodes:
                    if node.name in HOOKS:
                        await node.ask(Verb.ARM, hook=HOOKS[node.name])
            tell("the nodes are connected" + (", their levers armed" if armed else ", their levers disarmed"))
            cast = Cast(anvil, scenario, lying, {node.name: node for node in nodes})
            result = await _attack(cast, armed=armed, tell=tell)
            return await _reopen(cast, operators, result, tell) if armed else result


async def _attack(cast: Cast, *, armed: bool, tell: Tell) -> RunResult:
    anvil, scenario = cast.anvil, cast.scenario
    before = await read_holdings(anvil, scenario)
    moments = [Moment(now_ms(), LIAR, await tell_the_lie(cast))]
    tell(f"{LIAR}: {moments[0].what}")
    failed = 0
    for number, step in enumerate(scenario.steps, start=1):
        mined = await run_step(anvil, scenario, step)
        at_ms = now_ms()
        failed += not mined.is_success
        what = _describe(step) if mined.is_success else f"tries: {_describe(step)}. BLOCKED, the contract is paused"
        tell(f"attacker, transaction {number} of {len(scenario.steps)}: {what}")
        if mined.is_success or failed == 1:
            moments.append(Moment(at_ms, ATTACKER, f"transaction {number}: {what}"))
        if step.kind is StepKind.DUMP and mined.is_success and not any(m.who == POOL_GUARD for m in moments):
            moments.append(Moment(now_ms(), POOL_GUARD, await report_the_dump(cast, mined)))
        await trio.sleep(STEP_SECONDS)
    nodes = list(cast.nodes.values())
    if armed:
        await _wait_confirmed(nodes)
    after = await read_holdings(anvil, scenario)
    addresses = ((LENDER, scenario.lender), (DEX, scenario.dex), (VAULT, scenario.vault))
    paused = [name for name, address in addresses if await is_paused(anvil, address)]
    moments += [moment for node in nodes for moment in _read_record(node)]
    return RunResult(
        armed=armed,
        steps_sent=len(scenario.steps),
        steps_failed=failed,
        lender_lost_micro_usd=_lost(before, after, LENDER),
        dex_lost_micro_usd=_lost(before, after, DEX),
        paused=tuple(paused),
        timeline=tuple(sorted(moments, key=lambda moment: moment.at_ms)),
    )


async def _reopen(cast: Cast, operators: tuple[Operator, ...], result: RunResult, tell: Tell) -> RunResult:
    moments = list(result.timeline)

    def say(who: str, what: str) -> None:
        moments.append(Moment(now_ms(), who, what))
        tell(f"{who}: {what}")

    stages = await reopen_lender(cast, operators, say)
    is_open = await is_lender_open(cast)
    await _say_what_it_was(cast, say)
    timeline = tuple(sorted(moments, key=lambda moment: moment.at_ms))
    return replace(result, reopened=stages, is_open_again=is_open, timeline=timeline)


async def _say_what_it_was(cast: Cast, say: Say) -> None:
    """The operators of whoever paused say that it was real: only then does a member's word weigh more or less."""
    for name in sorted(set(HOOKS) - {UNTOUCHED}):
        with cast.nodes[name].open_reader() as reader:
            incidents = [row.action.incident_id for row in reader.actions(limit=1)]
        for incident in incidents:
            answer = await cast.nodes[name].ask(
                Verb.ADJUDICATE, incident=incident.hex(), finding=str(Finding.CONFIRMED), category=Category.ASSET_DRAIN
            )
            say(name, f"records that the incident was real; the record of {answer['publishers']} publishers follows")


def _lost(before: Holdings, after: Holdings, who: str) -> int:
    # One token is a dollar, and both have six decimals.
    lost: int = getattr(before, who) - getattr(after, who)
    return lost


def _describe(step: Step) -> str:
    millions = step.loss / 10 ** (DECIMALS + 6)
    if step.kind is StepKind.DRAIN:
        return f"drains {millions:,.2f} M USD from the lender"
    return f"sells the lender's receipts to the pool for {millions:,.2f} M USD"


async def _wait_confirmed(nodes: list[NodeProcess]) -> None:
    with trio.move_on_after(SETTLE_SECONDS):
        for node in nodes:
            if node.name in HOOKS and node.name != UNTOUCHED:
                await node.wait_status(lambda s: s["actions"].get("effective", 0) + s["actions"].get("refused", 0) > 0)


def _read_record(node: NodeProcess) -> list[Moment]:
    """What a node's own database says: its first signals, its decisions of note, and the life of its action."""
    moments = []
    with node.open_reader() as reader:
        for row in reader.signals(after=0, limit=MAX_SHOWN):
            if row.incident is not None and row.signal is not None:
                told = f"publishes: {row.signal.text}" if row.path == "own" else "hears of it"
                moments.append(Moment(row.received_ms, node.name, told, row.incident))
        for incident in reader.incidents():
            decisions = reader.decisions(incident.id, limit=MAX_SHOWN)
            of_note = [d for d in decisions if d.acts] or ([] if node.name == LIAR else decisions[:1])
            moments += [Moment(d.at_ms, node.name, f"decides: {d.sentence}", incident.id) for d in of_note]
        for action in reader.actions():
            moments += [
                Moment(
                    event.at_ms, node.name, f"{action.action.hook}: {_EVENTS[event.event]}", action.action.incident_id
                )
                for event in action.events
                if event.event in _EVENTS
            ]
    return moments
