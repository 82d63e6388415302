"""One run of the incident: three nodes, one chain, the drain step by step, and what the record says of it after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import trio
from tocsin_protocol.containment import Event

from tocsin_node.clock import now_ms
from tocsin_node.control_verbs import Verb
from tocsin_node.setup_node import NodeHome

from .anvil import Anvil, open_anvil
from .network import create_local_network
from .processes import NodeProcess, open_nodes, wait_connected
from .scenario_chain import (
    DECIMALS,
    Guardians,
    Holdings,
    Scenario,
    Step,
    StepKind,
    deploy_scenario,
    is_paused,
    read_holdings,
    run_step,
)

LENDER, DEX, VAULT = "lender", "dex", "vault"
MEMBERS = (LENDER, DEX, VAULT)
HOOKS = {LENDER: "pause-lender", DEX: "pause-dex"}
# The attacker's transactions came minutes apart; the demo has no such patience.
STEP_SECONDS = 1.0
MAX_OUTFLOW_BPS = 1_000
DEPOSITED_SECONDS_AGO = 24 * 3600
MICRO_USD_PER_DOLLAR = 1_000_000
START_SECONDS = 90.0
SETTLE_SECONDS = 30.0

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


@dataclass(frozen=True, slots=True)
class RunResult:
    """What one run came to; money in micro-USD."""

    armed: bool
    steps_sent: int
    steps_failed: int
    lender_lost_micro_usd: int
    dex_lost_micro_usd: int
    paused: tuple[str, ...]
    timeline: tuple[Moment, ...]

    @property
    def lost_micro_usd(self) -> int:
        """What both protocols lost."""
        return self.lender_lost_micro_usd + self.dex_lost_micro_usd


async def run_incident(directory: Path, *, armed: bool, tell: Tell) -> RunResult:
    """Run the drain against three nodes; raises NodeError or AnvilError when something does not start."""
    # The deposits lie a day back: what came in within the limiter's window would count against what goes out.
    async with open_anvil("--timestamp", str(now_ms() // 1000 - DEPOSITED_SECONDS_AGO)) as anvil:
        homes = create_local_network(directory, MEMBERS, now_ms())
        guardians = Guardians(*(home.guardian_address for home in homes))
        scenario = await deploy_scenario(anvil, guardians)
        await anvil.call("evm_setNextBlockTimestamp", now_ms() // 1000)
        await anvil.mine()
        _configure(homes, anvil, scenario)
        tell("three protocols are deployed; their nodes start")
        async with open_nodes(homes) as nodes:
            with trio.fail_after(START_SECONDS):
                await wait_connected(nodes)
            if armed:
                for node in nodes:
                    if node.name in HOOKS:
                        await node.ask(Verb.ARM, hook=HOOKS[node.name])
            tell("the nodes are connected" + (", their levers armed" if armed else ", their levers disarmed"))
            return await _attack(anvil, scenario, nodes, armed=armed, tell=tell)


def _configure(homes: list[NodeHome], anvil: Anvil, scenario: Scenario) -> None:
    """The lender watches itself and pauses itself; the pool pauses when the lender is drained; the vault watches."""
    lender, dex, _ = homes
    chain = f'\n[[chain]]\nchain = "{scenario.chain}"\nendpoints = ["{anvil.url}"]\nconfirmations = 1\n'
    watcher = (
        f'\n[[watcher]]\nname = "outflow"\naccounts = ["{scenario.account(scenario.lender)}"]\npoll_ms = 100\n'
        f'[[watcher.assets]]\nasset = "{scenario.asset}"\ndecimals = {DECIMALS}\n'
        f"price_micro_usd = {MICRO_USD_PER_DOLLAR}\nmax_outflow_bps = {MAX_OUTFLOW_BPS}\n"
    )
    _append(lender, chain + _hook(HOOKS[LENDER], scenario.account(scenario.lender)) + watcher)
    _append(dex, chain + _hook(HOOKS[DEX], scenario.account(scenario.dex)))
    subject = scenario.account(scenario.lender)
    lender.policy_path.write_text(_rule("we are being drained", subject, HOOKS[LENDER]))
    dex.policy_path.write_text(_rule("the lender whose receipts our pool holds is drained", subject, HOOKS[DEX]))


def _append(home: NodeHome, text: str) -> None:
    with home.config_path.open("a") as file:
        file.write(text)


def _hook(name: str, target: str) -> str:
    return f'\n[[hook]]\nkind = "evm"\nname = "{name}"\ntarget = "{target}"\nfunction = "pause()"\n'


def _rule(name: str, subject: str, hook: str) -> str:
    return (
        f'[[rule]]\nname = "{name}"\ncategories = ["asset.drain"]\nmin_severity = "critical"\nmin_confidence = 80\n'
        f'subjects = ["{subject}"]\norganisations = 1\nhook = "{hook}"\n'
    )


async def _attack(anvil: Anvil, scenario: Scenario, nodes: list[NodeProcess], *, armed: bool, tell: Tell) -> RunResult:
    before = await read_holdings(anvil, scenario)
    moments: list[Moment] = []
    failed = 0
    for number, step in enumerate(scenario.steps, start=1):
        mined = await run_step(anvil, scenario, step)
        at_ms = now_ms()
        failed += not mined.is_success
        what = _describe(step) if mined.is_success else f"{_describe(step)} — REVERTED, the contract is paused"
        tell(f"attacker, transaction {number} of {len(scenario.steps)}: {what}")
        if mined.is_success or failed == 1:
            moments.append(Moment(at_ms, "attacker", f"transaction {number}: {what}"))
        await trio.sleep(STEP_SECONDS)
    if armed:
        await _wait_confirmed(nodes)
    after = await read_holdings(anvil, scenario)
    paused = [name for name, address in ((LENDER, scenario.lender), (DEX, scenario.dex))
              if await is_paused(anvil, address)]  # fmt: skip
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


def _lost(before: Holdings, after: Holdings, who: str) -> int:
    # One token is a dollar, and both have six decimals.
    lost: int = getattr(before, who) - getattr(after, who)
    return lost


def _describe(step: Step) -> str:
    millions = step.loss / 10 ** (DECIMALS + 6)
    if step.kind is StepKind.DRAIN:
        return f"drains {millions:,.2f} M from the lender"
    return f"sells the lender's receipts to the pool for {millions:,.2f} M"


async def _wait_confirmed(nodes: list[NodeProcess]) -> None:
    with trio.move_on_after(SETTLE_SECONDS):
        for node in nodes:
            if node.name in HOOKS:
                await node.wait_status(lambda s: s["actions"].get("confirmed", 0) + s["actions"].get("refused", 0) > 0)


def _read_record(node: NodeProcess) -> list[Moment]:
    """What a node's own database says: first signal, first decision to act, and the life of its action."""
    moments = []
    with node.open_reader() as reader:
        first = reader.signals(after=0, limit=1)
        for row in first:
            what = "signs and publishes the signal" if row.path == "own" else f"has the signal (by {row.path})"
            moments.append(Moment(row.received_ms, node.name, what))
            decisions = reader.decisions(row.incident or b"", limit=200)
            chosen = next((d for d in reversed(decisions) if d.acts), decisions[-1] if decisions else None)
            if chosen is not None:
                moments.append(Moment(chosen.at_ms, node.name, f"decides. {chosen.sentence}"))
        for action in reader.actions():
            moments += [
                Moment(event.at_ms, node.name, f"{action.action.hook}: {_EVENTS[event.event]}")
                for event in action.events
                if event.event in _EVENTS
            ]
    return moments
