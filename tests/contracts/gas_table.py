"""Measures what each lever costs, for the table of specs/contracts.md.

Gas is the same in every run: the addresses, keys and times are, and so is every byte of calldata.
"""

from __future__ import annotations

from pathlib import Path

from breaker_kit import open_breaker
from contract_kit import START_S, Contract, deploy, go_to
from gate_kit import INCIDENT, SCOPE, Attestation, GateBench, Level, open_gate
from module_kit import DAY_S, MARKET, Ward, freeze_scope, open_ward, pause_scope, supply_cap_scope, word
from oracle_kit import ETHER, OracleBench, arguments_of, later, make_report, open_oracle, pay_gas
from tocsin_node.demo.anvil import Anvil, open_anvil
from tocsin_protocol.risk.report import RiskReport
from tocsin_protocol.risk.states import RiskState

SPEC = Path(__file__).parents[2] / "specs" / "contracts.md"
HEADING = "| call | gas |\n|---|---|\n"
ZERO = "0x" + "00" * 20


async def measure() -> list[tuple[str, int]]:
    """Each call and its gas, in the order of the table."""
    rows: list[tuple[str, int]] = []
    for part in (_direct, _module, _gate, _breaker, _oracle):
        async with open_anvil("--timestamp", str(START_S)) as anvil:
            rows += await part(anvil)
    return rows


def render(rows: list[tuple[str, int]]) -> str:
    """The table as it stands in the spec."""
    return HEADING + "".join(f"| {name} | {gas:,} |\n" for name, gas in rows)


def stored() -> str:
    """The table that stands in the spec."""
    text = SPEC.read_text()
    return text[text.index(HEADING) :].partition("\n\n")[0] + "\n"


def write(table: str) -> None:
    """Put a table in the place of the one in the spec."""
    SPEC.write_text(SPEC.read_text().replace(stored(), table))


async def _direct(anvil: Anvil) -> list[tuple[str, int]]:
    owner, guardian = anvil.accounts[:2]
    target = await deploy(anvil, "PausableTarget", owner, guardian)
    expiring = await deploy(anvil, "ExpiringTarget", owner, guardian)
    lock = await deploy(anvil, "TestTimelock", DAY_S, [owner], [ZERO], ZERO)
    call = (target.address, 0, target.data("unpause"), bytes(32), bytes(32))
    await lock.must(owner, "schedule", *call, DAY_S)
    operation = await lock.call("hashOperation", *call)
    return [
        ("`pause()` by a guardian's own key", await _gas(target, guardian, "pause")),
        ("`pauseFor` by a guardian's own key", await _gas(expiring, guardian, "pauseFor", 3_600)),
        ("timelock `cancel` by a canceller's own key", await _gas(lock, owner, "cancel", operation)),
    ]


async def _module(anvil: Anvil) -> list[tuple[str, int]]:
    rows = []
    ward = await open_ward(anvil, "1.4.1")
    rows.append(("Safe 1.4.1, 2 of 3 owners: `pause()`", await _by_owners(ward)))
    rows.append(("Safe 1.4.1, module: `pause()`, first call of a window", await _by_module(ward)))
    ward = await open_ward(anvil, "1.5.0")
    rows.append(("Safe 1.5.0, 2 of 3 owners: `pause()`", await _by_owners(ward)))
    rows.append(("Safe 1.5.0, module: `pause()`, first call of a window", await _by_module(ward)))
    module, guardian, pause = ward.module, ward.guardian, 1
    rows.append(("the same when it is in effect already", await _gas(module, guardian, "execute", pause, [])))
    await ward.safe.must(ward.pausable, "unpause")
    rows.append(("the same, a later call of the window", await _gas(module, guardian, "execute", pause, [])))
    for name, scope, value in (
        ("Safe 1.5.0, module: freeze one market", freeze_scope(ward.market), 1),
        ("Safe 1.5.0, module: lower one cap", supply_cap_scope(ward.market, 100), 400),
    ):
        scope_id = await ward.allow(scope)
        rows.append((name, await _gas(module, guardian, "execute", scope_id, [MARKET, word(value)])))
    return rows


async def _gate(anvil: Anvil) -> list[tuple[str, int]]:
    rows = []
    for attesters, threshold in ((5, 3), (19, 13)):
        bench = await open_gate(anvil, attesters, threshold)
        await go_to(anvil, 1_000 * attesters)
        rows.append((f"gate, {threshold} of {attesters}: halt", await _attest(bench, threshold)))
    behind = await deploy(anvil, "GatedTarget", (await open_gate(anvil)).gate.address, SCOPE)
    plain = await deploy(anvil, "PausableTarget", anvil.accounts[0], anvil.accounts[0])
    rows.append(("a user's call behind a gate", await _gas(behind, anvil.accounts[1], "withdraw")))
    rows.append(("the same call behind OpenZeppelin's Pausable", await _gas(plain, anvil.accounts[1], "work")))
    return rows


async def _breaker(anvil: Anvil) -> list[tuple[str, int]]:
    bench = await open_breaker(anvil)
    await bench.vault.must(bench.thief, "withdraw", 1_000)
    rows = []
    for name, at_s in (("first", 3_000), ("second", 3_010)):
        await anvil.call("evm_setNextBlockTimestamp", START_S + at_s)
        rows.append((f"a withdrawal behind the breaker, {name} of a tick",
                     await _gas(bench.vault, bench.thief, "withdraw", 1_000)))  # fmt: skip
    for name in ("tighten", "trip"):
        rows.append((f"breaker `{name}`", await _gas(bench.breaker, bench.guardian, name, bench.token.address)))
    return rows


async def _oracle(anvil: Anvil) -> list[tuple[str, int]]:
    rows = []
    for signers, threshold in ((5, 3), (19, 13)):
        bench = await open_oracle(anvil, signers, threshold)
        at_ms = 1_000 * (START_S + 1_000 * signers)
        quiet, confirmed = make_report(at_ms), make_report(at_ms + 1, state=RiskState.CONFIRMED)
        for name, report in (
            ("the first reports", quiet),
            ("again, nothing new", later(quiet, epoch=at_ms + 1)),
            ("a confirmed incident", later(confirmed, epoch=at_ms + 2)),
        ):
            await anvil.call("evm_setNextBlockTimestamp", at_ms // 1_000 + 1)
            rows.append((f"oracle, {threshold} of {signers}: {name}", await _report(bench, threshold, report)))
            at_ms += 1_000
    bench = await open_oracle(anvil, 5, 3)
    at_ms = 1_000 * (START_S + 50_000)
    await anvil.call("evm_setNextBlockTimestamp", at_ms // 1_000)
    await _report(bench, 3, make_report(at_ms))
    rows.append(("cover pool, oracle 3 of 5: `buy`", await pay_gas(bench, bench.pool.data("buy", ETHER, 30))))
    return rows


async def _report(bench: OracleBench, threshold: int, report: RiskReport) -> int:
    signed = [bench.say(key, report) for key in bench.keys[:threshold]]
    return (await bench.oracle.send(bench.stranger, "submit", *arguments_of(signed))).gas


async def _by_owners(ward: Ward) -> int:
    sent = await ward.safe.exec(ward.pausable.address, ward.pausable.data("pause"))
    await ward.safe.must(ward.pausable, "unpause")
    assert sent.is_success
    return sent.gas


async def _by_module(ward: Ward) -> int:
    await ward.grant(ward.guardian, calls=9)
    pause = await ward.allow(pause_scope(ward.pausable))
    return await _gas(ward.module, ward.guardian, "execute", pause, [])


async def _attest(bench: GateBench, threshold: int) -> int:
    issued = START_S + 1_000 * len(bench.keys)
    attestation = Attestation(SCOPE, 1, INCIDENT, Level.HALTED, issued, issued + 600)
    return (await bench.attest(attestation, bench.keys[:threshold])).gas


async def _gas(contract: Contract, sender: str, name: str, *arguments: object) -> int:
    return (await contract.must(sender, name, *arguments)).gas
