"""A risk oracle with signers whose keys we hold, a feed on it and a pool behind it.

bench = await open_oracle(anvil, signers=5, threshold=3)
await bench.submit(*(bench.say(key, await bench.report(state=RiskState.CONFIRMED)) for key in bench.keys[:3]))
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

from contract_kit import Contract, Refusal, Sent, deploy, time_of
from safe_kit import address_of_secret
from tocsin_node.demo.anvil import Anvil
from tocsin_protocol.ids import NO_DIGEST, account_of
from tocsin_protocol.risk.report import (
    MAX_LIFETIME_MS,
    OracleDomain,
    RiskReport,
    SignedReport,
    category_bytes,
    sign_report,
    subject_hash,
)
from tocsin_protocol.risk.states import RiskState
from tocsin_protocol.signing import keccak256
from tocsin_protocol.taxonomy import Category

SUBJECT = "eip155:31337:0x" + "5a" * 20
INCIDENT = keccak256(b"incident 1")
MILLION_USD = 10**12
ETHER = 10**18
# Ascending by address, as the oracle wants them.
SIGNER_KEYS = tuple(
    sorted((hashlib.sha256(f"risk signer {n}".encode()).digest() for n in range(33)), key=address_of_secret)
)


@dataclass(frozen=True, slots=True)
class OracleBench:
    """An oracle, a feed of each kind on SUBJECT, and a pool with 100 ether that covers it."""

    anvil: Anvil
    oracle: Contract
    capacity: Contract
    multiplier: Contract
    pool: Contract
    owner: str
    stranger: str
    keys: tuple[bytes, ...]

    @property
    def domain(self) -> OracleDomain:
        """What its signers sign in."""
        return OracleDomain(account_of(self.anvil.chain, self.oracle.address))

    async def report(self, **changes: Any) -> RiskReport:
        """A report observed now; of a quiet subject unless a state is given."""
        return make_report(1_000 * await time_of(self.anvil), **changes)

    def say(self, key: bytes, report: RiskReport) -> SignedReport:
        """The report as one signer's."""
        return sign_report(self.domain, key, report, bytes.fromhex(address_of_secret(key)[2:]))

    async def submit(self, *signed: SignedReport) -> Sent:
        """Submit by ascending signer, as a stranger does; raises Refusal."""
        ordered = sorted(signed, key=lambda one: one.signer)
        return await self.oracle.must(self.stranger, "submit", *arguments_of(ordered))

    async def refused(self, *signed: SignedReport) -> Refusal:
        """Why the oracle refuses them, in this order."""
        return await self.oracle.refusal(self.stranger, "submit", *arguments_of(signed))

    async def all_say(self, *reports: RiskReport) -> Sent:
        """Each signer in turn says one of these."""
        pairs = zip(self.keys, reports, strict=False)
        return await self.submit(*(self.say(key, report) for key, report in pairs))

    async def state(self) -> RiskState:
        """Of SUBJECT."""
        return RiskState((await self.status())[0])

    async def status(self) -> tuple[int, ...]:
        """State, posterior, multiplier, capacity, fresh, epoch, observed, until."""
        return tuple(await self.oracle.call("statusOf", subject_hash(SUBJECT)))

    async def losses(self) -> tuple[Any, ...]:
        """Incident, value at risk, observed, p50, p90, p99, drain, hazard."""
        return tuple(await self.oracle.call("lossesOf", subject_hash(SUBJECT)))


def make_report(now_ms: int, **changes: Any) -> RiskReport:
    """A report that is right, with these changes; what depends on the state follows it unless given."""
    state = RiskState(changes.pop("state", RiskState.NONE))
    quiet = state is RiskState.NONE
    base: dict[str, Any] = {
        "subject": subject_hash(SUBJECT),
        "incident": NO_DIGEST if quiet else INCIDENT,
        "state": state,
        "category": category_bytes(None if quiet else Category.ASSET_DRAIN),
        "severity": 0 if quiet else 4,
        "posterior_ppm": 950_000 if state >= RiskState.RECOVERING else 100,
        "tvl_at_risk": 100 * MILLION_USD,
        "loss_observed": 0,
        "loss_p50": MILLION_USD,
        "loss_p90": 10 * MILLION_USD,
        "loss_p99": 50 * MILLION_USD,
        "drain_rate": 0,
        "hazard_rate": 50_000,
        "multiplier_bps": 10_000,
        "capacity_bps": 0 if state >= RiskState.RECOVERING else 9_000,
        "epoch": now_ms,
        "observed": now_ms,
        "expires": now_ms + MAX_LIFETIME_MS,
        "previous": NO_DIGEST,
        "evidence_root": NO_DIGEST,
        "model_hash": keccak256(b"a model"),
    }
    return RiskReport(**base | changes)


def words_of(report: RiskReport) -> tuple[Any, ...]:
    """A report as the ABI wants it."""
    return tuple(int(value) if isinstance(value, int) else value for value in astuple(report))


def arguments_of(signed: Sequence[SignedReport]) -> tuple[Any, ...]:
    """The arguments of `submit`."""
    return [words_of(one.report) for one in signed], b"".join(one.signature for one in signed)


async def open_oracle(anvil: Anvil, signers: int = 3, threshold: int = 2) -> OracleBench:
    """Deploy all of it."""
    owner, stranger = anvil.accounts[0], anvil.accounts[7]
    keys = SIGNER_KEYS[:signers]
    oracle = await deploy(anvil, "RiskOracle", owner, [address_of_secret(key) for key in keys], threshold)
    subject = subject_hash(SUBJECT)
    capacity, multiplier = [await deploy(anvil, "RiskFeed", oracle.address, subject, kind) for kind in (0, 1)]
    pool = await deploy(anvil, "CoverPool", owner, oracle.address, subject, 200)
    await pay(anvil, owner, pool.address, 100 * ETHER)
    return OracleBench(anvil, oracle, capacity, multiplier, pool, owner, stranger, keys)


async def pay(anvil: Anvil, sender: str, to: str, wei: int, data: bytes = b"") -> bool:
    """Send ether with a call; whether it succeeded."""
    request = {"from": sender, "to": to, "value": hex(wei), "data": "0x" + data.hex(), "gas": hex(5_000_000)}
    sent = await anvil.call("eth_sendTransaction", request)
    receipt = await anvil.wait_receipt(sent)
    return bool(receipt["status"] == "0x1")


async def pay_gas(bench: OracleBench, data: bytes) -> int:
    """What a call of the pool with an ether uses; the call succeeds."""
    request = {"from": bench.stranger, "to": bench.pool.address, "value": hex(ETHER), "data": "0x" + data.hex()}
    sent = await bench.anvil.call("eth_sendTransaction", request | {"gas": hex(5_000_000)})
    receipt = await bench.anvil.wait_receipt(sent)
    assert receipt["status"] == "0x1"
    return int(receipt["gasUsed"], 16)


def later(report: RiskReport, **changes: Any) -> RiskReport:
    """The next report of the same signer."""
    return replace(report, **{"epoch": report.epoch + 1} | changes)
