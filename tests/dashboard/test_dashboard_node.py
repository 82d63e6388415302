"""The dashboard of a running node through a real drain: it appears, is drilled into, approved, and opened again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio
from browser_kit import Page
from e2e_kit import START_SECONDS, feed_key
from tocsin_node.clock import now_ms
from tocsin_node.control_verbs import Verb
from tocsin_node.demo.anvil import open_anvil
from tocsin_node.demo.cast import DETECTORS, HOOKS, LENDER, MEMBERS, Cast, configure_members
from tocsin_node.demo.incident import DEPOSITED_SECONDS_AGO
from tocsin_node.demo.network import create_local_network
from tocsin_node.demo.processes import open_nodes, wait_connected
from tocsin_node.demo.reopening import Operator, hire_operators, is_lender_open, plan_way_back
from tocsin_node.demo.rpc_proxy import open_rpc_proxy
from tocsin_node.demo.scenario_chain import Guardians, deploy_scenario, is_paused, run_step
from tocsin_node.operator_keys import sign_request
from tocsin_protocol.approval.files import decode_approval_request
from tocsin_protocol.ids import address_of

# All of it, on a machine that does much else.
DRILL_SECONDS = 1_800
STAGES = ("exit-only", "canary-1", "canary-5", "canary-25", "normal")
ALONE = "0 of 2 signed"
SIGNERS = ("cleo", "ana")


@dataclass
class Night:
    """What an operator has before him: his page, his node, and the machine with the signing keys."""

    page: Page
    cast: Cast
    operators: dict[str, Operator]
    folder: Path

    async def attack(self) -> None:
        """The drain, until the lender is paused."""
        for step in self.cast.scenario.steps:
            await run_step(self.cast.anvil, self.cast.scenario, step)
            await trio.sleep(1)
            if await is_paused(self.cast.anvil, self.cast.scenario.lender):
                return
        # all of it is sent: what the node decided meanwhile may still be on its way
        with trio.fail_after(START_SECONDS):
            while not await is_paused(self.cast.anvil, self.cast.scenario.lender):  # noqa: ASYNC110 - a node acts
                await trio.sleep(0.1)

    async def sign(self, name: str, saved: Path) -> Path:
        """What the operator does on his own machine, with the file that the page saved."""
        network_id, request = decode_approval_request(await trio.Path(saved).read_bytes())
        one = self.operators[name]
        _, approval = await trio.to_thread.run_sync(
            sign_request, one.key_file, one.passphrase_file, network_id, request
        )
        signed = self.folder / f"approval-{name}.json"
        await trio.Path(signed).write_bytes(approval)
        return signed

    async def make_calls(self) -> None:
        """The owner sends what the node proposes once the step is approved and calm."""
        with self.cast.nodes[LENDER].open_reader() as reader:
            incident = next(
                row.action.incident_id.hex() for row in reader.actions() if row.action.hook == HOOKS[LENDER]
            )
        with trio.fail_after(START_SECONDS):
            while True:
                plan = await self.cast.nodes[LENDER].ask(Verb.RECOVERY, incident=incident)
                if ready := [one for one in plan["proposals"] if one["kind"] == "reopen"]:
                    break
                await trio.sleep(0.1)
        for call in ready[0]["calls"]:
            await self.cast.anvil.send(
                self.cast.scenario.owner, address_of(call["to"]), bytes.fromhex(call["data"][2:])
            )


@asynccontextmanager
async def open_night(folder: Path, page: Page) -> AsyncIterator[Night]:
    """The demo's network, whose lender serves its feed."""
    async with (
        open_anvil("--timestamp", str(now_ms() // 1000 - DEPOSITED_SECONDS_AGO)) as anvil,
        open_rpc_proxy(anvil.url) as second,
        open_rpc_proxy(anvil.url) as lying,
    ):
        homes = create_local_network(folder / "homes", MEMBERS, now_ms(), detectors=DETECTORS)
        guardians = Guardians(*(home.guardian_address for home in homes[:3]))
        scenario = await deploy_scenario(anvil, guardians)
        await anvil.call("evm_setNextBlockTimestamp", now_ms() // 1000)
        await anvil.mine()
        configure_members(homes, scenario, [anvil.url, second.url], lying.url)
        operators = hire_operators(folder / "operators")
        plan_way_back(homes[0], operators, scenario)
        with (homes[0].directory / "node.toml").open("a") as config:
            config.write(f'\n[risk]\noracle = "{scenario.chain}:0x{"0a" * 20}"\n')
            config.write(f'\n[[risk.subject]]\nid = "{scenario.account(scenario.lender)}"\n')
        async with open_nodes(homes[1:]) as peers, open_nodes(homes[:1], "up") as (lender,):
            with trio.fail_after(START_SECONDS):
                await wait_connected([lender, *peers])
            cast = Cast(anvil, scenario, lying, {node.name: node for node in (lender, *peers)})
            yield Night(page, cast, {one.name: one for one in operators}, folder)


async def test_an_incident_appears_is_drilled_into_approved_and_opened_again(tmp_path: Path, page: Page) -> None:
    async with open_night(tmp_path, page) as night:
        with trio.fail_after(DRILL_SECONDS):
            await sign_in(night)
            await see_arming(night)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(night.attack)
                await see_the_drain(night)
            await drill_down(night)
            await see_witnesses(night)
            await refuse_what_is_no_approval(night)
            for stage in STAGES:
                await open_next(night, stage)
            await page.go("#/")
            await page.wait_text("Over", ".tiles")
            await page.wait_text("open again as before", ".tiles")
            assert await is_lender_open(night.cast)
            await page.check_accessible()
            await page.check_clean()


async def sign_in(night: Night) -> None:
    page, node = night.page, night.cast.nodes[LENDER]
    key = feed_key(node)["Authorization"].removeprefix("Bearer ")
    await page.open(f"http://{node.config.feed.listen}/dashboard/")
    await page.wait("!!document.getElementById('key')")
    await page.evaluate("document.getElementById('key').focus()")
    await page.type(key)
    await page.press("Enter", 13)
    await page.wait_text("No sign of it", ".tiles")


async def see_arming(night: Night) -> None:
    await night.page.wait_text("DISARMED: no lever acts", "#banners")
    await night.page.wait_text("Disarmed", ".tiles")
    await night.cast.nodes[LENDER].ask(Verb.ARM, hook=HOOKS[LENDER])
    await night.page.wait_text("Armed", ".tiles")
    await night.page.wait("document.getElementById('banners').innerText === ''")


async def see_the_drain(night: Night) -> None:
    page = night.page
    await page.wait_text("asset.drain on lender (us)", ".incidents")
    await page.wait_text("1 lever in effect", ".tiles")
    await page.wait_text("Held", ".tiles")
    await page.wait("document.querySelector('svg.map')?.textContent.includes('funds')")
    await page.wait("document.querySelector('svg.map')?.getAttribute('aria-label').includes('reports on lender (us)')")


async def drill_down(night: Night) -> None:
    page = night.page
    await page.click(".incidents li.bad a")
    for text in (
        "Freeze with pause-lender", "Our endpoints confirm", "own-outflow", "halted", "Risk report about lender (us)",
        "contained, posterior", "Save the case file",
    ):  # fmt: skip
        await page.wait_text(text, "main")
    await page.check_accessible()
    back = await page.evaluate("location.hash")
    await page.click('a[href^="#/signal/"]')
    for text in ("Checked here", "confidence", "that were signed and sent", "TLP:AMBER"):
        await page.wait_text(text, "main")
    await page.check_accessible()
    await page.go(back)
    await page.wait_text("Ask the operators for this step", "main")


async def see_witnesses(night: Night) -> None:
    """The peers' nodes have cosigned the head of the record: their heartbeats say so."""
    back = await night.page.evaluate("location.hash")
    await night.page.go("#/node")
    await night.page.wait_text("3 of 3 others cosigned the head", "main")
    await night.page.check_accessible()
    await night.page.go(back)
    await night.page.wait_text("Ask the operators for this step", "main")


async def refuse_what_is_no_approval(night: Night) -> None:
    page = night.page
    await page.click("[data-do=ask-step]")
    await page.wait_text(ALONE, "main")
    nonsense = night.folder / "nonsense.json"
    nonsense.write_text("{}")
    await page.upload("input[type=file]", nonsense)
    await page.wait_text("Refused", "#told")
    await page.check_accessible()


async def open_next(night: Night, stage: str) -> None:
    """Ask for the step, if nobody has yet; save it, sign it twice elsewhere, hand both in, and see it opened."""
    page = night.page
    incident = await page.evaluate("import('/dashboard/state.js').then(({ state }) => state.actions[0].incident)")
    if stage != STAGES[0]:
        await page.go(f"#/incident/{incident}")
        await page.click("[data-do=ask-step]")
    await page.go("#/waiting")
    await page.wait_text(f"to {stage} (", ".request")
    saved = await save(night)
    for count, name in enumerate(SIGNERS, start=1):
        await page.upload("input[type=file]", await night.sign(name, saved))
        await page.wait_text(f"{count} approved of 2 wanted", "#told")
        if count == 1:
            await page.wait_text(f"{name} signed", ".request")
    await page.wait("!document.querySelector('.request')")
    await night.make_calls()
    await page.go(f"#/incident/{incident}")
    await page.wait(f"document.querySelector('.stages .here')?.innerText === {stage!r}")


async def save(night: Night) -> Path:
    folder = night.folder / "downloads"
    await night.page.send("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    before = set(folder.glob("*.json")) if folder.is_dir() else set()
    await night.page.click("[data-do=save-request]")
    with trio.fail_after(START_SECONDS):
        while not (new := set(folder.glob("*.json")) - before):  # noqa: ASYNC110 - a browser writes it
            await trio.sleep(0.05)
    return new.pop()
