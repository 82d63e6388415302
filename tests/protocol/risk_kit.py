"""Risk reports that are right but for the changes asked for, and signers whose keys we hold."""

from __future__ import annotations

from typing import Any

from protocol_kit import NOW_MS, root_secret
from tocsin_protocol.ids import NO_DIGEST
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
from tocsin_protocol.signing import address_of_key, keccak256, public_key_of
from tocsin_protocol.taxonomy import Category

ORACLE = "eip155:31337:0x" + "0a" * 20
RISK_DOMAIN = OracleDomain(ORACLE)
SUBJECT = subject_hash("eip155:1:0x" + "5a" * 20)
INCIDENT = keccak256(b"incident")
OTHER_INCIDENT = keccak256(b"another incident")
USD = 10**6
SIGNERS = tuple(sorted((address_of_key(public_key_of(root_secret(n))), root_secret(n)) for n in "abcde"))
ADDRESSES = tuple(address for address, _ in SIGNERS)


def risk_report(state: RiskState = RiskState.NONE, **changes: Any) -> RiskReport:
    quiet = state is RiskState.NONE
    base: dict[str, Any] = {
        "subject": SUBJECT,
        "incident": NO_DIGEST if quiet else INCIDENT,
        "state": state,
        "category": category_bytes(None if quiet else Category.ASSET_DRAIN),
        "severity": 0 if quiet else 4,
        "posterior_ppm": 950_000 if state >= RiskState.RECOVERING else 100,
        "tvl_at_risk": 100_000_000 * USD,
        "loss_observed": 0,
        "loss_p50": 180_000 * USD,
        "loss_p90": 9_000_000 * USD,
        "loss_p99": 90_000_000 * USD,
        "drain_rate": 0,
        "hazard_rate": 50_000,
        "multiplier_bps": 10_000,
        "capacity_bps": 0 if state >= RiskState.RECOVERING else 9_998,
        "epoch": NOW_MS,
        "observed": NOW_MS,
        "expires": NOW_MS + MAX_LIFETIME_MS,
        "previous": NO_DIGEST,
        "evidence_root": NO_DIGEST,
        "model_hash": keccak256(b"a model"),
    }
    return RiskReport(**base | changes)


def said(place: int, report: RiskReport, domain: OracleDomain = RISK_DOMAIN) -> SignedReport:
    """The report as that of a signer, by place."""
    address, secret = SIGNERS[place]
    return sign_report(domain, secret, report, address)
