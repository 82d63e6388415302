"""Three operators, a request to approve, and approvals of it by fixed keys."""

from __future__ import annotations

from typing import Any

from protocol_kit import DOMAIN, Feed, bytes_of_label
from tocsin_protocol.approval.files import Approval
from tocsin_protocol.approval.judging import Asked
from tocsin_protocol.approval.policy import ApprovalPolicy, ApprovalRule
from tocsin_protocol.approval.request import Purpose, Request, request_digest
from tocsin_protocol.signing import Domain, address_of_key, keccak256, public_key_of, sign_digest

# 2026-11-21 14:00:00 UTC
BEGINS_MS = 1_795_269_600_000
HOUR_MS = 3_600_000
NODE = Feed("alba").publisher
SAFE = "eip155:1:0x" + "5a" * 20


def operator_secret(name: str) -> bytes:
    return bytes_of_label(name, "operator")


def address(name: str) -> bytes:
    return address_of_key(public_key_of(operator_secret(name)))


NAMES = ("ann", "ben", "cam")
EVERYBODY = frozenset(map(address, NAMES))


def make_policy(m: int = 2, **changes: Any) -> ApprovalPolicy:
    operators = {address(name): name for name in NAMES}
    return ApprovalPolicy(**{"operators": operators, "rules": (ApprovalRule(m, EVERYBODY),), **changes})


def make_request(**changes: Any) -> Request:
    fields: dict[str, Any] = {
        "purpose": Purpose.ACT,
        "effect": "Pause the lending pool: pause() on the pool configurator.",
        "scope": "usdc-market",
        "lever": "pause-pool",
        "target": SAFE,
        "tier": 3,
        "payload": keccak256(b"pause"),
        "incident": bytes_of_label("incident"),
        "epoch": 7,
        "not_before_ms": BEGINS_MS,
        "expires_ms": BEGINS_MS + HOUR_MS,
        "node": NODE,
    }
    return Request(**{**fields, **changes})


def approve(name: str, request: Request, domain: Domain = DOMAIN) -> Approval:
    digest = request_digest(domain, request)
    return Approval(domain.network_id, request, sign_digest(operator_secret(name), digest))


def ask(request: Request | None = None, **changes: Any) -> Asked:
    now_ms = BEGINS_MS + 60_000
    return Asked(
        **{"request": request or make_request(), "used": frozenset(), "now_ms": now_ms, "latest_ms": now_ms, **changes}
    )
