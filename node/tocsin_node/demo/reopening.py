"""The end of the demo: the lender is opened again in stages, each approved by two of its three operators."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio
from tocsin_protocol.approval.files import decode_approval_request
from tocsin_protocol.ids import address_of
from tocsin_protocol.recovery.stages import LIMIT_PERCENT, Stage

from tocsin_node.chain.abi import encode_call, parse_function
from tocsin_node.control_verbs import Verb
from tocsin_node.keystore import LEAST_COST, generate_passphrase
from tocsin_node.operator_keys import create_operator_key, sign_request
from tocsin_node.private_files import make_private_directory, write_new_file
from tocsin_node.setup_node import NodeHome

from .cast import HOOKS, LENDER, VAULT, Cast, cry_wolf, take_it_back
from .processes import POLL_SECONDS
from .scenario_chain import Scenario, StepKind, is_paused, run_step

OPERATORS = ("ana", "ben", "cleo")
# His machine is off all night: the other two are enough, and nobody waits for him.
AWAY = "ben"
WANTED = 2
SCOPE = "funds"
OWNER = "lender's owner"
# Hours in earnest: the demo has no such patience.
DWELL_SECONDS = 2
# Half a minute of waiting times; the rest is for machines that do much else.
REOPEN_SECONDS = 300.0
_OPENED_BY_PEOPLE = tuple(stage for stage in Stage if stage.rank >= Stage.EXIT_ONLY.rank)
_EFFECTS = {Stage.EXIT_ONLY: "let people out and nothing new in", Stage.NORMAL: "take the limit away"}
_OPEN_TO = parse_function("openTo(uint8)")
_STAGE = parse_function("stage()")
_STOP = parse_function("stopDonations()")

Say = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Operator:
    """One of the lender's own people, with a key on a machine of his own."""

    name: str
    key_file: Path
    passphrase_file: Path
    address: str


def hire_operators(directory: Path) -> tuple[Operator, ...]:
    """Make the operators' keys, each in a folder of his own."""
    hired = []
    for name in OPERATORS:
        folder = directory / name
        make_private_directory(folder)
        key_file, passphrase_file = folder / "operator.json", folder / "passphrase"
        write_new_file(passphrase_file, generate_passphrase())
        address = create_operator_key(key_file, passphrase_file, LEAST_COST)
        hired.append(Operator(name, key_file, passphrase_file, address))
    return tuple(hired)


def plan_way_back(home: NodeHome, operators: tuple[Operator, ...], scenario: Scenario) -> None:
    """Write into the lender's policy who approves, how long each stage is watched, and the calls of each."""
    target = scenario.account(scenario.lender)
    text = "\n[operators]\n" + "".join(f'{one.name} = "{one.address}"\n' for one in operators)
    text += f"\n[approval]\nwindow_minutes = 30\n\n[[approval.rule]]\nm = {WANTED}\n\n[recovery]\ngrace_minutes = 0\n"
    text += "close_percent = 5\ncalm_percent = 2\n"
    text += "\n[recovery.dwell_seconds]\n" + "".join(f"{stage} = {DWELL_SECONDS}\n" for stage in Stage)
    text += (
        f'\n[[recovery.undo]]\nhook = "{HOOKS[LENDER]}"\ntarget = "{target}"\nfunction = "unpause()"\n'
        'effect = "start the lender again"\nat = "exit-only"\n'
    )
    for stage in _OPENED_BY_PEOPLE:
        text += (
            f'\n[[recovery.stage]]\nscope = "{SCOPE}"\nstage = "{stage}"\ntarget = "{target}"\n'
            f'function = "openTo(uint8)"\narguments = [{stage.rank}]\ncheck = "stage()(uint8)"\nvalue = {stage.rank}\n'
            f'effect = "{_EFFECTS.get(stage, f"let in new exposure up to {LIMIT_PERCENT[stage]} %")}"\n'
        )
    with home.policy_path.open("a") as file:
        file.write(text)


async def reopen_lender(cast: Cast, operators: tuple[Operator, ...], say: Say) -> tuple[str, ...]:
    """Open the lender stage by stage; returns the stages it went through, as far as it came in REOPEN_SECONDS."""
    stages = [str(Stage.HALTED)]
    with trio.move_on_after(REOPEN_SECONDS):
        await _wait_under_recovery(cast)
        await _mend(cast, say)
        while stages[-1] != Stage.NORMAL:
            stages.append(await _open_next(cast, operators, say))
            if stages.count(Stage.CANARY_1) == 1 and stages[-1] == Stage.CANARY_1:
                await _try_again(cast, say)
                stages.append(await _step_back(cast, say))
    return tuple(stages)


async def is_lender_open(cast: Cast) -> bool:
    """Ask the lender's contract whether everything is open."""
    lender = cast.scenario.lender
    stage = await cast.anvil.call("eth_call", {"to": lender, "data": "0x" + encode_call(_STAGE).hex()}, "latest")
    return not await is_paused(cast.anvil, lender) and int(stage, 16) == Stage.NORMAL.rank


async def _mend(cast: Cast, say: Say) -> None:
    """What no node does: the owner takes the flaw out before anybody is let in."""
    await cast.anvil.send(cast.scenario.owner, cast.scenario.lender, encode_call(_STOP))
    say(OWNER, "takes the flaw out of the lender")


async def _open_next(cast: Cast, operators: tuple[Operator, ...], say: Say) -> str:
    """One step: asked, approved by two files in whatever order, proposed when calm for its time, made by the owner."""
    node = cast.nodes[LENDER]
    asked = await node.ask(Verb.ASK_STEP, scope=SCOPE)
    network_id, request = decode_approval_request(json.dumps(asked["typed_data"]).encode())
    signed = []
    for one in reversed(operators):
        if one.name != AWAY:
            _, approval = await trio.to_thread.run_sync(
                sign_request, one.key_file, one.passphrase_file, network_id, request
            )
            told = await node.ask(Verb.APPROVE, approval=approval.decode())
            signed.append(one.name)
    say("operators", f"{' and '.join(signed)} approve: {asked['effect']} {told['sentence']}")
    proposal = await _wait_proposal(cast)
    for call in proposal["calls"]:
        await cast.anvil.send(cast.scenario.owner, address_of(call["to"]), bytes.fromhex(call["data"][2:]))
    say(OWNER, f"sends what the plan proposes: {', then '.join(call['effect'] for call in proposal['calls'])}")
    stage = await _wait_stage(cast, proposal["by"])
    say(LENDER, f"sees on chain that it is open to {stage}")
    return stage


async def _wait_proposal(cast: Cast) -> dict[str, Any]:
    """The proposal of the step, which comes once the stage before it has been calm for its time."""
    while True:
        plan = await _plan(cast)
        ready = [one for one in plan["proposals"] if one["kind"] == "reopen"]
        if ready:
            return dict(ready[0])
        await trio.sleep(POLL_SECONDS)


async def _wait_stage(cast: Cast, stage: str) -> str:
    while True:
        (scope,) = (await _plan(cast))["scopes"]
        if scope["stage"] == stage:
            return stage
        await trio.sleep(POLL_SECONDS)


async def _plan(cast: Cast) -> dict[str, Any]:
    with cast.nodes[LENDER].open_reader() as reader:
        incident = next(row.action.incident_id for row in reader.actions() if row.action.hook == HOOKS[LENDER])
    return await cast.nodes[LENDER].ask(Verb.RECOVERY, incident=incident.hex())


async def _try_again(cast: Cast, say: Say) -> None:
    step = next(step for step in cast.scenario.steps if step.kind is StepKind.DRAIN)
    mined = await run_step(cast.anvil, cast.scenario, step)
    say("attacker", "tries once more. " + ("It works!" if mined.is_success else "BLOCKED, the flaw is gone"))


async def _step_back(cast: Cast, say: Say) -> str:
    """A false alarm while the first are let in: the node steps back by itself, and goes on when it is taken back."""
    digest = await cry_wolf(cast)
    say(VAULT, "reports another drain of the lender: in truth, savers who leave")
    await _wait_stage(cast, Stage.EXIT_ONLY)
    say(LENDER, f"steps back to {Stage.EXIT_ONLY} by itself; what was approved is void, and the waiting times double")
    close = encode_call(_OPEN_TO, [Stage.EXIT_ONLY.rank])
    await cast.anvil.send(cast.scenario.owner, cast.scenario.lender, close)
    say(OWNER, "closes the lender to exits")
    await take_it_back(cast, digest)
    say(VAULT, "has looked again, and takes it back")
    return str(Stage.EXIT_ONLY)


async def _wait_under_recovery(cast: Cast) -> None:
    """Wait until the node watches over what its lever holds."""
    while not (await _plan(cast))["scopes"]:  # noqa: ASYNC110 - another process makes it so
        await trio.sleep(POLL_SECONDS)
