"""A cover pool closes on the demo's incident and opens again, by what three nodes' feeds show, one of them a liar's."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import trio
from tocsin_node.chain.abi import decode_result, encode_arguments, encode_call, parse_function
from tocsin_node.clock import now_ms
from tocsin_node.contracts import load_artifact
from tocsin_node.control_verbs import Verb
from tocsin_node.demo.anvil import Anvil, open_anvil
from tocsin_node.demo.cast import (
    DETECTORS,
    DEX,
    HOOKS,
    LENDER,
    LIAR,
    MEMBERS,
    VAULT,
    Cast,
    configure_members,
    cry_wolf,
    report_the_dump,
    take_it_back,
    tell_the_lie,
)
from tocsin_node.demo.incident import DEPOSITED_SECONDS_AGO
from tocsin_node.demo.network import create_local_network
from tocsin_node.demo.processes import NodeProcess, open_nodes, wait_connected
from tocsin_node.demo.reopening import Operator, hire_operators, is_lender_open, plan_way_back, reopen_lender
from tocsin_node.demo.rpc_proxy import open_rpc_proxy
from tocsin_node.demo.scenario_chain import GUARDIAN_WEI, Guardians, Scenario, StepKind, deploy_scenario, run_step
from tocsin_node.keystore import open_keystore, read_passphrase
from tocsin_node.setup_node import NodeHome
from tocsin_node.store.database import DATABASE_NAME
from tocsin_protocol.ids import NO_DIGEST, address_of
from tocsin_protocol.risk.report import (
    MAX_LIFETIME_MS,
    MAX_MULTIPLIER_BPS,
    OracleDomain,
    RiskReport,
    category_bytes,
    open_report,
    sign_report,
    subject_hash,
)
from tocsin_protocol.risk.states import RiskState
from tocsin_protocol.taxonomy import Category

SIGNERS = (LENDER, DEX, LIAR)
THRESHOLD = 2
CAPITAL_WEI = 100 * 10**18
RATE_BPS = 200
TVL_USD = 200_000_000
# As much money as a report can name.
EVERYTHING = 10**18
EVERY_SECONDS = 2
BLOCK_SECONDS = 1.0
# Deadlines are for what hangs, not for what is slow.
SETTLE_SECONDS = 240
_IS_OPEN = parse_function("isOpen()(bool)")
_QUOTE = parse_function("quote(uint256,uint256)(uint256)")
_EXCLUDED = parse_function("isEquivocator(address)(bool)")
_HELD = parse_function("heldOf(bytes32,address)(uint64,uint8,bytes32,uint64)")
_STATUS = parse_function("statusOf(bytes32)(uint8,uint32,uint32,uint16,uint8,uint64,uint64,uint64)")
_LOSSES = parse_function("lossesOf(bytes32)(bytes32,uint64,uint64,uint64,uint64,uint64,uint64,uint64)")


@dataclass
class Liar:
    """The third signer. His own node says nothing: he writes into its database, and its feed shows it."""

    node: NodeProcess
    oracle: str
    subject: str
    said: list[RiskReport] = field(default_factory=list)

    @property
    def address(self) -> str:
        return "0x" + self.node.home.entry.publisher.id.hex()

    def say(self, state: RiskState) -> None:
        """Sign what is not so, and put it in the place of what was said before."""
        at_ms, loud = now_ms(), state is not RiskState.NONE
        report = RiskReport(
            subject=subject_hash(self.subject), incident=b"\x66" * 32 if loud else NO_DIGEST, state=state,
            category=category_bytes(Category.ASSET_DRAIN if loud else None), severity=4 if loud else 0,
            posterior_ppm=1_000_000 if loud else 0, tvl_at_risk=EVERYTHING if loud else 0, loss_observed=0, loss_p50=0,
            loss_p90=0, loss_p99=EVERYTHING if loud else 0, drain_rate=EVERYTHING if loud else 0, hazard_rate=0,
            multiplier_bps=MAX_MULTIPLIER_BPS if loud else 10_000, capacity_bps=0 if loud else 10_000, epoch=at_ms,
            observed=at_ms, expires=at_ms + MAX_LIFETIME_MS, previous=NO_DIGEST, evidence_root=NO_DIGEST,
            model_hash=NO_DIGEST,
        )  # fmt: skip
        self._show(report)

    def contradict(self) -> None:
        """Tell another story of the moment that the last one was about."""
        last = self.said[-1]
        self._show(replace(last, multiplier_bps=last.multiplier_bps - 1))

    def _show(self, report: RiskReport) -> None:
        home = self.node.home.directory
        keys = open_keystore(home / "keystore.json", read_passphrase(home / "passphrase"))
        signed = sign_report(OracleDomain(self.oracle), keys.publisher, report, keys.publisher_id)
        row = (self.oracle, self.subject, report.epoch, signed.encoded, report.observed)
        with closing(sqlite3.connect(self.node.config.node.data_dir / DATABASE_NAME, timeout=60)) as database:
            database.execute("INSERT OR REPLACE INTO risk_reports VALUES (?, ?, ?, ?, ?)", row)
            database.commit()
        self.said.append(report)


@dataclass(frozen=True, slots=True)
class Market:
    """The chain with its oracle and pool, and the nodes by member."""

    cast: Cast
    oracle: str
    pool: str
    liar: Liar
    payer: Operator

    @property
    def subject(self) -> str:
        return self.cast.scenario.account(self.cast.scenario.lender)

    async def read(self, to: str, function: Any, *arguments: Any) -> tuple[Any, ...]:
        data = "0x" + encode_call(function, list(arguments)).hex()
        answer = await self.cast.anvil.call("eth_call", {"to": to, "data": data}, "latest")
        return decode_result(function, bytes.fromhex(answer[2:]))

    async def is_open(self) -> bool:
        return bool((await self.read(self.pool, _IS_OPEN))[0])

    async def quote(self) -> int:
        return int((await self.read(self.pool, _QUOTE, 10**18, 30))[0])

    async def status(self) -> tuple[RiskState, int, int, int, int]:
        """State, posterior, multiplier, capacity and how many reports are in it, as consumers read them."""
        found = await self.read(address_of(self.oracle), _STATUS, subject_hash(self.subject))
        return (RiskState(found[0]), *found[1:5])

    async def losses(self) -> tuple[Any, ...]:
        return await self.read(address_of(self.oracle), _LOSSES, subject_hash(self.subject))

    async def is_excluded(self) -> bool:
        return bool((await self.read(address_of(self.oracle), _EXCLUDED, self.liar.address))[0])

    async def wait_lie(self, state: RiskState, epoch: int = 0) -> None:
        """Wait until the contract holds this of the liar, of this epoch or later."""

        async def is_held() -> bool:
            held = await self.read(address_of(self.oracle), _HELD, subject_hash(self.subject), self.liar.address)
            return RiskState(held[1]) is state and int(held[0]) >= epoch

        await self.wait(is_held)

    async def wait_report(self, member: str, state: RiskState) -> RiskReport:
        """What a node says of the lender, once it says this."""
        with trio.fail_after(SETTLE_SECONDS):
            while True:
                with self.cast.nodes[member].open_reader() as reader:
                    found = [open_report(OracleDomain(self.oracle), row[2]).report for row in reader.risk_reports(1)]
                if found and found[0].state is state:
                    return found[0]
                await trio.sleep(0.2)

    async def wait(self, is_so: Callable[[], Awaitable[bool]]) -> None:
        """Wait until something is so on the chain, to which only the carrier carries."""
        with trio.fail_after(SETTLE_SECONDS):
            while not await is_so():  # noqa: ASYNC110 - a chain has no event for it
                await trio.sleep(0.2)

    async def wait_status(self, state: RiskState, fresh: int) -> None:
        async def is_so() -> bool:
            found = await self.status()
            return (found[0], found[4]) == (state, fresh)

        await self.wait(is_so)


def run(*words: str) -> str:
    """A command; returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "tocsin_node.cli", *words], capture_output=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@asynccontextmanager
async def open_market(folder: Path) -> AsyncIterator[tuple[Market, tuple[Operator, ...]]]:
    async with (
        open_anvil("--timestamp", str(now_ms() // 1000 - DEPOSITED_SECONDS_AGO)) as anvil,
        open_rpc_proxy(anvil.url) as second,
        open_rpc_proxy(anvil.url) as third,
        trio.open_nursery() as nursery,
    ):
        homes = create_local_network(folder, MEMBERS, now_ms(), detectors=DETECTORS)
        scenario = await deploy_scenario(anvil, Guardians(*(home.guardian_address for home in homes[:3])))
        await anvil.call("evm_setNextBlockTimestamp", now_ms() // 1000)
        await anvil.mine()
        configure_members(homes, scenario, [anvil.url, second.url], third.url)
        operators = hire_operators(folder / "operators")
        plan_way_back(homes[0], operators, scenario)
        (payer,) = hire_operators(folder / "payer")[:1]
        await anvil.fund(payer.address, GUARDIAN_WEI)
        by_name = {home.entry.member: home for home in homes}
        oracle, pool = await _deploy(anvil, scenario, [by_name[name] for name in SIGNERS])
        for name in (LENDER, DEX):
            _append_risk(by_name[name], scenario, oracle)
        for name in (DEX, LIAR):
            _append_feed(by_name[LENDER], by_name[name])
        nursery.start_soon(_make_blocks, anvil)
        async with (
            open_nodes([by_name[VAULT]]) as others,
            open_nodes([by_name[name] for name in SIGNERS], "up") as signers,
        ):
            with trio.fail_after(SETTLE_SECONDS):
                await wait_connected([*others, *signers])
                for node in signers:
                    await _wait_served(node)
            cast = Cast(anvil, scenario, third, {node.name: node for node in (*others, *signers)})
            yield (
                Market(cast, oracle, pool, Liar(cast.nodes[LIAR], oracle, scenario.account(scenario.lender)), payer),
                operators,
            )
        nursery.cancel_scope.cancel()


async def _make_blocks(anvil: Anvil) -> None:
    """A chain has a block now and then: what is simulated is so at the time of the latest."""
    while True:
        await anvil.mine()
        await trio.sleep(BLOCK_SECONDS)


async def _wait_served(node: NodeProcess) -> None:
    while True:
        try:
            with node.http() as client:
                await trio.to_thread.run_sync(client.get, "/healthz")
        except httpx.TransportError:
            await trio.sleep(0.1)
        else:
            return


@contextmanager
def open_carrier(market: Market) -> Iterator[Path]:
    """`tocsin oracle push --every` on the lender's machine; yields its log."""
    home, log = market.cast.nodes[LENDER].home.directory, market.payer.key_file.with_name("carrier.log")
    words = ["oracle", "push", "--every", str(EVERY_SECONDS), "--json", "--home", str(home)]
    words += ["--key", str(market.payer.key_file), "--passphrase-file", str(market.payer.passphrase_file)]
    environment = os.environ | {"XDG_STATE_HOME": str(home / "state")}
    with log.open("wb") as file:
        carrier = subprocess.Popen([sys.executable, "-m", "tocsin_node.cli", *words], stderr=file, env=environment)
    try:
        yield log
        assert carrier.poll() is None, log.read_text()
        carrier.send_signal(signal.SIGINT)
        assert carrier.wait(60) == 130
    finally:
        carrier.kill()
        carrier.wait()


def read_log(log: Path) -> list[dict[str, Any]]:
    text = log.read_text()
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


async def _deploy(anvil: Anvil, scenario: Scenario, homes: list[NodeHome]) -> tuple[str, str]:
    """An oracle whose signers these nodes are, and a pool that covers the lender."""
    owner = anvil.accounts[0]
    signers = sorted("0x" + home.entry.publisher.id.hex() for home in homes)

    async def create(name: str, types: list[str], arguments: list[Any]) -> str:
        code = load_artifact(name).bytecode + encode_arguments(name, types, arguments)
        mined = await anvil.send(owner, None, code)
        assert mined.is_success, name
        return mined.contract

    oracle = await create("RiskOracle", ["address", "address[]", "uint256"], [owner, signers, THRESHOLD])
    subject = subject_hash(scenario.account(scenario.lender))
    pool = await create("CoverPool", ["address", "address", "bytes32", "uint256"], [owner, oracle, subject, RATE_BPS])
    request = {"from": owner, "to": pool, "value": hex(CAPITAL_WEI)}
    await anvil.call("eth_sendTransaction", request)
    return scenario.account(oracle), pool


def _append_risk(home: NodeHome, scenario: Scenario, oracle: str) -> None:
    with home.config_path.open("a") as file:
        file.write(
            f'\n[risk]\noracle = "{oracle}"\ncounts = "amber"\n'
            f'[[risk.subject]]\nid = "{scenario.account(scenario.lender)}"\ntvl_usd = {TVL_USD}\n'
        )


def _append_feed(home: NodeHome, other: NodeHome) -> None:
    """The other gives a key to his feed, as to an insurer; it is asked from here on."""
    name = other.entry.member
    key_file = home.directory / f"{name}.key"
    key = ["feed", "key", "add", "--scope", "insurer", "--label", LENDER, "--out", str(key_file)]
    run(*key, "--home", str(other.directory))
    assert key_file.stat().st_mode & 0o777 == 0o600
    listen = NodeProcess(other).config.feed.listen
    with home.config_path.open("a") as file:
        file.write(f'[[risk.feed]]\nurl = "http://{listen}"\nkey_file = "{key_file.name}"\n')


async def test_a_pool_closes_on_the_incident_and_opens_again_whatever_one_of_three_says(tmp_path: Path) -> None:
    async with open_market(tmp_path) as (market, operators), trio.open_nursery() as nursery:
        cast, liar = market.cast, market.liar
        for member in (LENDER, DEX):
            await cast.nodes[member].ask(Verb.ARM, hook=HOOKS[member])
            await market.wait_report(member, RiskState.NONE)
        assert (await market.status())[:4] == (RiskState.UNKNOWN, 0, MAX_MULTIPLIER_BPS, 0)
        assert not await market.is_open()
        story = Story(RiskState.NONE)
        nursery.start_soon(story.keep_telling, liar)
        with open_carrier(market) as log:
            await market.wait(market.is_open)
            await market.wait_status(RiskState.NONE, 3)
            usual = await market.quote()

            told = await _attack(cast)
            held = await market.wait_report(LENDER, RiskState.CONTAINED)
            seen = await market.wait_report(DEX, RiskState.CONFIRMED)
            # The liar says that there is nothing. It is carried to the chain as well, and keeps nothing open.
            await market.wait_status(RiskState.CONTAINED, 3)
            state, posterior, multiplier, capacity, _ = await market.status()
            assert (state, capacity, await market.is_open()) == (RiskState.CONTAINED, 0, False)
            assert min(held.posterior_ppm, seen.posterior_ppm) >= 900_000
            assert posterior >= 900_000
            assert multiplier > 10_000
            incident, tvl, lost, *_ = await market.losses()
            assert incident in (held.incident, seen.incident)
            assert tvl >= TVL_USD * 10**6
            assert 0 < lost <= tvl

            await take_it_back(cast, told)
            stages = await reopen_lender(cast, operators, lambda who, what: None)
            assert stages[-1] == "normal"
            assert await is_lender_open(cast)
            # Now he says that all is lost, and the worst that there is.
            story.state = RiskState.CONFIRMED
            await market.wait_lie(RiskState.CONFIRMED)
            held = await market.wait_report(LENDER, RiskState.RESOLVED)
            await cast.nodes[DEX].ask(
                Verb.ADJUDICATE, incident=seen.incident.hex(), finding="confirmed", category="asset.drain"
            )
            seen = await market.wait_report(DEX, RiskState.RESOLVED)
            await market.wait_status(RiskState.RESOLVED, 3)
            await market.wait(market.is_open)
            # Who was hit once is sooner hit again: cover is sold, and costs more, but no more than the honest say.
            assert await market.quote() > usual
            assert (await market.status())[2] <= max(held.multiplier_bps, seen.multiplier_bps)
            _, tvl, _, _, _, p99, drain, _ = await market.losses()
            assert tvl <= max(held.tvl_at_risk, seen.tvl_at_risk)
            assert p99 <= max(held.loss_p99, seen.loss_p99)
            assert drain == 0

            # Two stories of one moment, one after the other: the carrier has seen both.
            await story.stop()
            await market.wait_lie(RiskState.CONFIRMED, liar.said[-1].epoch)
            liar.contradict()
            await market.wait(market.is_excluded)
            await market.wait_status(RiskState.RESOLVED, 2)
            # What he says now reaches nobody, and is in nobody's way.
            carried = len(_pushes(log))
            liar.say(RiskState.CONFIRMED)

            async def is_carried_on() -> bool:
                return len(_pushes(log)) >= carried + 3

            await market.wait(is_carried_on)
            assert (await market.status())[::4] == (RiskState.RESOLVED, 2)
            assert await market.is_open()
            lines = read_log(log)
            assert {one["subject"] for one in lines if one["event"] == "reports pushed"} == {market.subject}
            (fault,) = [one for one in lines if "signed two different reports" in str(one.get("why"))]
            assert liar.address in fault["why"]


def _pushes(log: Path) -> list[dict[str, Any]]:
    return [one for one in read_log(log) if one["event"] == "reports pushed"]


class Story:
    """What the liar says again and again: a report lives for a minute only."""

    def __init__(self, state: RiskState) -> None:
        self.state = state
        self._scope = trio.CancelScope()
        self._ended = trio.Event()

    async def keep_telling(self, liar: Liar) -> None:
        with self._scope:
            while True:
                await trio.to_thread.run_sync(liar.say, self.state)
                await trio.sleep(5)
        self._ended.set()

    async def stop(self) -> None:
        """Have it end, and wait until what is being said is said."""
        self._scope.cancel()
        await self._ended.wait()


async def _attack(cast: Cast) -> str:
    """The drain as in the demo, with its lie; the pool's people tell what they see of it, and so do the vault's.

    In the demo the vault's people speak of the lender only later, and in error. Here somebody has to: the pool's node
    freezes its own pool by its own detector and one other voice, but of the lender it has no more than that one voice.
    Returns the digest of what they say.
    """
    await tell_the_lie(cast)
    told = ""
    for step in cast.scenario.steps:
        mined = await run_step(cast.anvil, cast.scenario, step)
        if step.kind is StepKind.DUMP and mined.is_success and not told:
            await report_the_dump(cast, mined)
            told = await cry_wolf(cast)
        await trio.sleep(1.0)
    return told
