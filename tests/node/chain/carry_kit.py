"""A RiskOracle on a chain of the test's, signers whose keys we hold, and an account that pays."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tocsin_node.chain.abi import decode_result, encode_arguments, encode_call, parse_function
from tocsin_node.chain.client import open_chain
from tocsin_node.chain.config import ChainConfig
from tocsin_node.contracts import load_artifact
from tocsin_node.demo.anvil import Anvil
from tocsin_node.risk_chain import read_quorum
from tocsin_node.risk_push import Pushed, choose_reports, push_reports
from tocsin_node.risk_view import risk_report_view
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
from tocsin_protocol.signing import address_of_key, public_key_of
from tocsin_protocol.taxonomy import Category

SUBJECT = subject_hash("eip155:31337:0x" + "5a" * 20)
PAYER = hashlib.sha256(b"payer").digest()
SIGNERS = sorted(
    (
        (address_of_key(public_key_of(secret)), secret)
        for secret in (hashlib.sha256(n.encode()).digest() for n in "abc")
    ),
)
_HELD = parse_function("heldOf(bytes32,address)(uint64,uint8,bytes32,uint64)")


@dataclass(frozen=True)
class Oracle:
    """A contract of which two of three signers have to agree."""

    anvil: Anvil
    account: str
    config: ChainConfig
    now_ms: int

    def say(self, place: int, state: RiskState = RiskState.NONE, **changes: Any) -> SignedReport:
        address, secret = SIGNERS[place]
        loud, at_ms = state is not RiskState.NONE, self.now_ms
        report = RiskReport(
            subject=SUBJECT, incident=b"\x11" * 32 if loud else NO_DIGEST, state=state,
            category=category_bytes(Category.ASSET_DRAIN if loud else None), severity=4 if loud else 0, posterior_ppm=0,
            tvl_at_risk=9, loss_observed=0, loss_p50=1, loss_p90=2, loss_p99=3, drain_rate=0, hazard_rate=1,
            multiplier_bps=10_000, capacity_bps=0 if loud else 10_000, epoch=at_ms, observed=at_ms,
            expires=at_ms + MAX_LIFETIME_MS, previous=NO_DIGEST, evidence_root=NO_DIGEST, model_hash=NO_DIGEST,
        )  # fmt: skip
        return sign_report(OracleDomain(self.account), secret, replace(report, **changes), address)

    async def choose(self, *reports: SignedReport) -> tuple[SignedReport, ...]:
        async with open_chain(self.config) as client:
            quorum = await read_quorum(client, self.account)
            assert quorum is not None
            return await choose_reports(client, self.account, quorum, reports, SUBJECT, self.now_ms)

    async def push(self, *reports: SignedReport) -> list[Pushed]:
        return await push_reports(self.config, PAYER, self.account, reports)

    def show(self, path: Path, signed: Sequence[SignedReport]) -> Path:
        """A file of these, as commands print them."""
        shown = [risk_report_view(one, self.account, None) for one in signed]
        path.write_text("".join(json.dumps(one) + "\n" for one in shown))
        return path

    async def held(self, place: int, subject: bytes = SUBJECT) -> int:
        """The epoch of the report that the contract holds of a signer."""
        to = self.account.rsplit(":", 1)[1]
        data = "0x" + encode_call(_HELD, [subject, "0x" + SIGNERS[place][0].hex()]).hex()
        answer = await self.anvil.call("eth_call", {"to": to, "data": data}, "latest")
        epoch: int = decode_result(_HELD, bytes.fromhex(answer[2:]))[0]
        return epoch


async def open_oracle(anvil: Anvil) -> Oracle:
    """Deploy it, and give the payer ether."""
    signers = ["0x" + address.hex() for address, _ in SIGNERS]
    arguments = encode_arguments("RiskOracle", ["address", "address[]", "uint256"], [anvil.accounts[0], signers, 2])
    mined = await anvil.send(anvil.accounts[0], None, load_artifact("RiskOracle").bytecode + arguments)
    assert mined.is_success
    await anvil.fund("0x" + address_of_key(public_key_of(PAYER)).hex(), 10**20)
    block = await anvil.call("eth_getBlockByNumber", "latest", False)
    config = ChainConfig(chain=anvil.chain, endpoints=[anvil.url], confirmations=1)
    return Oracle(anvil, account_of(anvil.chain, mined.contract), config, 1_000 * int(block["timestamp"], 16))
