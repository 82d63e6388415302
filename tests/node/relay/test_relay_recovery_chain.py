"""What governance opens is seen on a real chain: counted where it was agreed, an alarm where it was not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path as FilePath

from protocol_kit import VAULT
from recovery_watch_kit import PEOPLE, SCOPE, Watch, open_watch
from tocsin_node.chain.abi import encode_call, parse_function
from tocsin_node.chain.client import open_chain
from tocsin_node.chain.config import ChainConfig
from tocsin_node.demo.anvil import Anvil, open_anvil
from tocsin_node.demo.scenario_chain import Guardians, Scenario, deploy_scenario
from tocsin_node.people import Shown
from tocsin_protocol.ids import address_of
from tocsin_protocol.recovery.stages import Stage


@dataclass
class Chain:
    """The demo's lender, which tells how far it is open, and a relay that watches it."""

    anvil: Anvil
    scenario: Scenario
    watch: Watch

    async def open_to(self, stage: Stage) -> None:
        data = encode_call(parse_function("openTo(uint8)"), [stage.rank])
        assert (await self.anvil.send(self.scenario.owner, self.scenario.lender, data)).is_success

    async def stage(self) -> str:
        return str((await self.watch.scope())["stage"])


@asynccontextmanager
async def open_lender(folder: FilePath, *more_endpoints: str) -> AsyncIterator[Chain]:
    async with open_anvil() as anvil:
        scenario = await deploy_scenario(anvil, Guardians(*(address_of(VAULT),) * 3))
        account = scenario.account(scenario.lender)
        shown = {(SCOPE, s): Shown(account, "stage()(uint8)", s.rank) for s in Stage if s.rank >= Stage.EXIT_ONLY.rank}
        patience = {"grace_ms": 5_000, "request_timeout_ms": 30_000}
        config = ChainConfig(chain=anvil.chain, endpoints=[anvil.url, *more_endpoints], **patience)
        async with (
            open_chain(config) as client,
            open_watch(folder, replace(PEOPLE, shown=shown), {anvil.chain: client}) as watch,
        ):
            chain = Chain(anvil, scenario, watch)
            await chain.open_to(Stage.EXIT_ONLY)
            yield chain


async def test_a_step_that_is_approved_and_calm_counts_once_the_chain_shows_it(tmp_path: FilePath) -> None:
    async with open_lender(tmp_path) as chain:
        await chain.open_to(Stage.NORMAL)
        await chain.watch.fire()
        await chain.watch.look(times=7)
        await chain.watch.approve()
        await chain.watch.look()
        # open, but not to the stage that was approved
        assert await chain.stage() == "halted"
        await chain.open_to(Stage.EXIT_ONLY)
        await chain.watch.look()
        assert await chain.stage() == "exit-only"


async def test_what_is_opened_without_approval_alarms_once_and_does_not_count(tmp_path: FilePath) -> None:
    async with open_lender(tmp_path) as chain:
        await chain.watch.fire()
        await chain.watch.look(times=9)
        scope = await chain.watch.scope()
        assert (scope["stage"], scope["note"]) == ("halted", "not-approved")
        assert len([alarm for alarm in await chain.watch.alarms() if b"not-approved" in alarm]) == 1
        # approved afterwards, it counts from then on
        await chain.watch.approve()
        await chain.watch.look()
        assert await chain.stage() == "exit-only"


async def test_a_chain_that_does_not_answer_shows_nothing(tmp_path: FilePath) -> None:
    async with open_lender(tmp_path, "http://127.0.0.1:9") as chain:
        await chain.watch.fire()
        await chain.watch.look(times=7)
        await chain.watch.approve()
        await chain.watch.look()
        # one of two endpoints is not enough to go by
        assert await chain.stage() == "halted"
        assert await chain.watch.open() == "exit-only"
