"""One action of one hook under one fault of its chain: three endpoints, a lever, and what came of it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import trio
from chain_kit import DEADLINE_S, FAR_MS, OCCASION, MemoryJournal, Proxy, open_proxy
from contract_kit import START_S
from hook_kit import GUARDIAN_KEY, MAKERS, Stage, wait_for
from tocsin_node.chain.client import open_chain
from tocsin_node.chain.guardian import Guardian
from tocsin_node.chain.sender import Sender
from tocsin_node.clock import now_ms
from tocsin_node.demo.anvil import open_anvil
from tocsin_node.demo.faults import CHAIN_FAULTS, Fault
from tocsin_node.hooks.config import SafeOwnersHookConfig, SafeProposalHookConfig
from tocsin_node.hooks.hook import Hook
from tocsin_protocol.containment.action import Action, new_action
from tocsin_protocol.containment.life_cycle import WITHOUT_EFFECT, Event, State

ENDPOINTS = 3
HANG_MS = 200
"""Deadline of a request where every endpoint hangs: nothing else is waited for."""


class Where(StrEnum):
    """Who has the fault."""

    ONE = "one of three"
    TWO = "two of three"
    EVERY = "every endpoint"
    LATER = "every endpoint, later"
    CHAIN = "the chain"


@dataclass(frozen=True)
class Outcome:
    """How often the effect is there, and with which sentence the action ended; none where it ended as effective."""

    effects: int
    sentence: str


# An endpoint that is alone with such a lie is outvoted; when most tell the same one, no node can know.
BELIEVED = frozenset({Fault.INVENTED_RECEIPT, Fault.WRONG_NONCE, Fault.OTHER_FORK})
MUTE = frozenset(
    {Fault.DOWN, Fault.HANG, Fault.STATUS_500, Fault.GARBAGE, Fault.TRUNCATED, Fault.WRONG_ID, Fault.WRONG_CHAIN}
)
CASES = [
    (fault, where)
    for fault in Fault
    for where in ([Where.CHAIN] if fault in CHAIN_FAULTS else [Where.ONE, Where.TWO, Where.EVERY, Where.LATER])
    if not (where is not Where.ONE and fault in BELIEVED)
]
# The owners send it, with keys and fees of their own.
OF_A_SENDER = frozenset({Fault.FEE_SPIKE, Fault.NONCE_CONTENTION})
CELLS = [
    (name, fault, where)
    for name in MAKERS
    for fault, where in CASES
    if not (name.startswith("safe-proposal") and fault in OF_A_SENDER)
]
"""All that the page has on calls: (lever of MAKERS, fault, where)."""


@dataclass
class Scene:
    """A lever, the doors to its chain, and the journal of the one action; whether people have acted in time."""

    stage: Stage
    proxies: list[Proxy]
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    have_acted: bool = False

    @property
    def is_proposal(self) -> bool:
        """Whether people send it."""
        return isinstance(self.stage.config, SafeProposalHookConfig)

    @property
    def action(self) -> Action:
        """The only action."""
        (action,) = self.journal.actions.values()
        return action

    async def run(self, *, clock: Callable[[], int] = now_ms, **settings: Any) -> Action:
        """One run of the hook, as a process would after a start."""
        patience = {"request_timeout_ms": 2_000, "grace_ms": 200, "bump_ms": 150}
        config = self.stage.chain_config(*(proxy.url for proxy in self.proxies), **(patience | settings))
        async with open_chain(config) as client:
            sender = Sender(client, Guardian(self.stage.key))
            await client.nursery.start(sender.run_warm)
            hook = self.stage.open(sender, clock)
            return await hook.run(intend(hook, self.journal), self.journal)

    async def run_with_people(self, *, clock: Callable[[], int] = now_ms, **settings: Any) -> Action:
        """The same, while people do their part."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.stage.people)
            done = await self.run(clock=clock, **settings)
            nursery.cancel_scope.cancel()
        return done


async def run_call(name: str, fault: Fault, where: Where, folder: Path) -> Outcome:
    """Act once under the fault, to the end, on a chain of its own; then lift it, where the outcome is still open."""
    async with open_anvil("--timestamp", str(START_S)) as anvil:
        stage = await MAKERS[name](anvil, GUARDIAN_KEY, folder)
        before = await stage.count()
        with trio.fail_after(DEADLINE_S):
            async with open_endpoints(stage, fault, where) as proxies:
                scene = Scene(stage, proxies)
                clock = _clock_that_runs_out(scene, where) if _is_endless(scene, fault, where) else now_ms
                done = await _meet(scene, fault, where, clock)
                scene.journal.on_record = None
                if not done.is_settled:
                    for proxy in proxies:
                        proxy.fault = None
                    done = await scene.run(clock=clock)
        return describe(done, await stage.count() - before, str(stage.config.check), str(folder))


def describe(done: Action, effects: int, check: str = "", folder: str = "") -> Outcome:
    """Say what came of it, in words that are the same in every run.

    Whatever is neither one effect nor a refusal that says why is a failure.
    """
    if done.state is State.EFFECTIVE and effects == 1:
        return Outcome(1, "")
    assert effects == 0, (done, effects)
    assert done.state in WITHOUT_EFFECT, (done, effects)
    assert done.reason
    said = re.sub(r"127\.0\.0\.1:\d+", "an endpoint", done.reason)
    for own, everybodys in ((check, "the check"), (folder, "the folder"), (done.action_id.hex()[:16], "ID")):
        said = said.replace(own, everybodys) if own else said
    return Outcome(0, f"{done.state}: " + re.sub(r"\b0x[0-9a-f]{40}\b", "0x…", said))


def intend(hook: Hook, journal: MemoryJournal) -> Action:
    """Make the intent durable, or return what has become of it."""
    now = now_ms()
    action = new_action(
        ledger=bytes(16),
        hook=hook.name,
        target=hook.target,
        arm_epoch=1,
        incident_id=OCCASION.incident_id,
        decision_id=OCCASION.decision_id,
        payload=hook.payload(OCCASION),
        created_ms=now,
        deadline_ms=now + FAR_MS,
    )
    return journal.add(action)


@asynccontextmanager
async def open_endpoints(stage: Stage, fault: Fault, where: Where) -> AsyncIterator[list[Proxy]]:
    """Three doors to the chain, with the fault at one, at all or, to begin with, at none of them."""
    async with AsyncExitStack() as stack:
        # Before the proxies, so that it ends after them: no request of theirs is left without an answer.
        fork = await stack.enter_async_context(open_anvil()) if fault is Fault.OTHER_FORK else stage.anvil
        proxies = [await stack.enter_async_context(open_proxy(stage.anvil)) for _ in range(ENDPOINTS)]
        for proxy in {Where.ONE: proxies[:1], Where.TWO: proxies[:2], Where.EVERY: proxies}.get(where, []):
            proxy.fault, proxy.target = fault, fork.url
        yield proxies


async def _meet(scene: Scene, fault: Fault, where: Where, clock: Callable[[], int]) -> Action:
    if where is Where.CHAIN:
        return await _CHAIN_CASES[fault](scene)
    if where is Where.LATER:
        _begin_later(scene, fault)
    hang = {"request_timeout_ms": HANG_MS} if where is not Where.ONE and fault is Fault.HANG else {}
    settle_ms = 500 if where in (Where.TWO, Where.LATER) else 2_000
    return await scene.run_with_people(clock=clock, settle_ms=settle_ms, **hang)


def _begin_later(scene: Scene, fault: Fault) -> None:
    """The fault begins when the action is signed and not yet sent; or proposed, and its owners have not acted yet."""

    def begin() -> None:
        for proxy in scene.proxies:
            proxy.fault = fault

    stage = scene.stage
    if not isinstance(stage.config, SafeProposalHookConfig):
        scene.journal.on_record = lambda event: begin() if event is Event.SIGN else None
        return
    desk = stage.config.folder

    async def people() -> None:
        await wait_for(lambda: any(desk.glob("*.builder.json")))
        begin()
        with trio.CancelScope(shield=True):  # whatever the hook makes of it meanwhile
            await stage.people()
        scene.have_acted = True

    scene.stage = replace(stage, people=people)


def _is_endless(scene: Scene, fault: Fault, where: Where) -> bool:
    """Whether the hook waits as long as the fault lasts."""
    if scene.is_proposal:  # which waits for people also while the Safe is said to be none
        return where is not Where.ONE and fault in MUTE | {Fault.INVENTED_REVERT}
    # One endpoint is enough for the guardian, and not for what a Safe's owners sign.
    waits_at = (Where.TWO, Where.EVERY) if isinstance(scene.stage.config, SafeOwnersHookConfig) else (Where.EVERY,)
    return where in waits_at and fault in MUTE


def _clock_that_runs_out(scene: Scene, where: Where) -> Callable[[], int]:
    """A clock that stands past the deadline when the hook has said that it waits, or people have done their part."""
    waiting = Event.SEND if scene.is_proposal else Event.CHECK

    def clock() -> int:
        is_over = scene.have_acted if where is Where.LATER else waiting in scene.journal.events
        return now_ms() + (2 * FAR_MS if is_over else 0)

    return clock


async def _meet_reorg(scene: Scene) -> Action:
    anvil, events = scene.stage.anvil, scene.journal.events
    before = await anvil.snapshot()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: scene.run(confirmations=3))
        if scene.is_proposal:
            await _replace_block_of_people(scene, before)
        else:
            await wait_for(lambda: Event.INCLUDE in events)
            await anvil.restore(before)
            await wait_for(lambda: events.count(Event.INCLUDE) == 2)
        await anvil.mine(3)
    return scene.action


async def _replace_block_of_people(scene: Scene, before: str) -> None:
    """The hook has looked at what the owners did when it is gone again; then they send it once more."""
    await scene.stage.people()
    looks = [proxy.asked.count("eth_call") for proxy in scene.proxies]
    await wait_for(
        lambda: (
            scene.action.is_settled
            or all(proxy.asked.count("eth_call") > seen + 4 for proxy, seen in zip(scene.proxies, looks, strict=True))
        )
    )
    await scene.stage.anvil.restore(before)
    if not scene.action.is_settled:
        await scene.stage.people()


async def _meet_fee_spike(scene: Scene) -> Action:
    anvil, events = scene.stage.anvil, scene.journal.events
    await anvil.call("evm_setAutomine", False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.run)
        await wait_for(lambda: Event.SEND in events)
        offer = scene.action.transactions[0].max_fee_wei
        await anvil.call("anvil_setNextBlockBaseFeePerGas", hex(4 * offer))
        await anvil.mine()
        await wait_for(lambda: events.count(Event.SIGN) > 1)
        while not scene.action.is_settled:
            await anvil.mine()
            await trio.sleep(0.05)
    return scene.action


async def _meet_contention(scene: Scene) -> Action:
    def cut_off(event: Event) -> None:
        for proxy in scene.proxies:
            proxy.fault = Fault.DOWN if event is Event.SIGN else proxy.fault

    anvil, guardian = scene.stage.anvil, Guardian(scene.stage.key).address
    scene.journal.on_record = cut_off
    await anvil.call("anvil_impersonateAccount", guardian)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.run)
        await wait_for(lambda: Event.SEND in scene.journal.events)
        await anvil.send(guardian, anvil.accounts[0], b"")
        for proxy in scene.proxies:
            proxy.fault = None
    return scene.action


_CHAIN_CASES: dict[Fault, Callable[[Scene], Awaitable[Action]]] = {
    Fault.REORG: _meet_reorg,
    Fault.FEE_SPIKE: _meet_fee_spike,
    Fault.NONCE_CONTENTION: _meet_contention,
}
