"""Alerts of monitors as drafts: OpenZeppelin Monitor's matches and Forta's alerts, each as its webhook sends them."""

from __future__ import annotations

import re
from typing import Any

from ..errors import DecodeError
from ..fields import list_of, text_of
from ..taxonomy import Category, EvidenceKind, Role, Severity, Stage, Tlp
from .drafting import MAX_DRAFT_SUBJECTS, Draft, plain_text, subject_of
from .reading import check_depth

MAX_ALERTS = 100
MAX_CHAIN_NUMBER = 2**63 - 1
# The names by which OpenZeppelin Monitor knows networks. Any other needs the chain id in the transaction.
NETWORK_CHAINS = {
    "arbitrum_one": 42161,
    "avalanche_mainnet": 43114,
    "base_mainnet": 8453,
    "bsc_mainnet": 56,
    "ethereum_mainnet": 1,
    "ethereum_sepolia": 11155111,
    "optimism_mainnet": 10,
    "polygon_mainnet": 137,
}
ALERT_CONFIDENCE = 60
_SEVERITIES = {
    "CRITICAL": Severity.CRITICAL,
    "HIGH": Severity.HIGH,
    "MEDIUM": Severity.MEDIUM,
    "LOW": Severity.LOW,
    "INFO": Severity.LOW,
    "UNKNOWN": Severity.LOW,
}
_FINDINGS = {
    "EXPLOIT": (Category.ASSET_DRAIN, Stage.EXPLOITATION),
    "SUSPICIOUS": (Category.FUNDING_SUSPICIOUS, Stage.PREPARATION),
    "SCAM": (Category.APPROVAL_DRAINER, Stage.PREPARATION),
    "DEGRADED": (Category.INFRA_OUTAGE, Stage.PREPARATION),
}
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")


def forta_drafts(document: Any) -> list[Draft]:
    """Drafts of {"alerts": [alert, …]} or of one alert; raises DecodeError."""
    check_depth(document)
    if type(document) is not dict:
        raise DecodeError("the webhook's body is not a map")
    alerts = list_of("alerts", document.get("alerts", [document]), 1, MAX_ALERTS)
    return [_forta_draft(alert) for alert in alerts]


def monitor_draft(document: Any) -> Draft:
    """The draft of one match of OpenZeppelin Monitor, sent whole (payload_mode raw); raises DecodeError."""
    check_depth(document)
    whole = _map("the webhook's body", document)
    # older versions wrap what they send
    match = _map("EVM", _map("monitor_match", whole.get("monitor_match", whole)).get("EVM"))
    name = text_of("monitor.name", _map("monitor", match.get("monitor")).get("name"))
    transaction = _map("transaction", match.get("transaction"))
    chain, notes = _monitor_chain(match, transaction)
    reference = _hash("transaction.hash", transaction.get("hash"))
    # [STIX] A monitor's match names the contracts that it watches as at risk; who sent the transaction is related only.
    watched = [_address_in(item) for item in _maps(match.get("logs"))] + [_address(transaction.get("to"))]
    sender = _address(transaction.get("from"))
    subjects = [subject_of(Role.AT_RISK, chain, address) for address in dict.fromkeys(watched) if address]
    subjects += [subject_of(Role.RELATED, chain, sender)] if sender else []
    if not subjects:
        raise DecodeError("the match names no address")
    matched = [m.get("signature") for kind in ("events", "functions") for m in _maps(_args(match).get(kind))]
    document = _document(Category.ASSET_DRAIN, Stage.PREPARATION, Severity.MEDIUM, subjects)
    document["evidence"] = [_transaction(chain, _number(transaction.get("blockNumber")), reference)]
    document["text"] = plain_text(name, *matched)
    notes += ["a match has no category: asset.drain is assumed", "a match has no severity: medium is assumed"]
    return Draft(f"openzeppelin-monitor:{name}:{reference}", reference, document, tuple(notes))


def _forta_draft(value: Any) -> Draft:
    alert = _map("alert", value)
    name = text_of("hash", alert.get("hash")) if alert.get("hash") else text_of("alertId", alert.get("alertId"))
    severity = _SEVERITIES.get(str(alert.get("severity", "")).upper())
    if severity is None:
        raise DecodeError(f"severity {str(alert.get('severity'))[:20]!r} is none of {', '.join(_SEVERITIES)}")
    finding = str(alert.get("findingType", "")).upper()
    category, stage = _FINDINGS.get(finding, _FINDINGS["SUSPICIOUS"])
    source = alert["source"] if _is_map(alert.get("source")) else {}
    block = source["block"] if _is_map(source.get("block")) else {}
    chain = f"eip155:{_chain_number(block.get('chainId', alert.get('chainId')))}"
    subjects = _forta_subjects(alert, chain)
    document = _document(category, stage, severity, subjects)
    notes = [] if finding in _FINDINGS else [f"findingType {finding[:20]!r} is taken for SUSPICIOUS"]
    reference = source.get("transactionHash", alert.get("transactionHash"))
    if isinstance(reference, str) and _HASH.fullmatch(reference):
        document["evidence"] = [_transaction(chain, _number(block.get("number")), reference.lower())]
    document["text"] = plain_text(alert.get("name"), alert.get("description"))
    return Draft(f"forta:{name}", name, document, tuple(notes))


def _forta_subjects(alert: dict[str, Any], chain: str) -> list[dict[str, str]]:
    # [STIX] Of an alert's addresses those that it labels as attacker are attackers, the others are related.
    labelled = [
        str(label.get("entity")).lower()
        for label in _maps(alert.get("labels"))
        if "attacker" in str(label.get("label", "")).lower() and label.get("remove") is not True
    ]
    attackers = [address for address in labelled if _ADDRESS.fullmatch(address)]
    listed = alert.get("addresses")
    named = [
        a.lower() for a in (listed if isinstance(listed, list) else []) if isinstance(a, str) and _ADDRESS.fullmatch(a)
    ]
    if not attackers and not named:
        raise DecodeError("addresses: the alert names no EVM address")
    found = [subject_of(Role.ATTACKER, chain, address) for address in dict.fromkeys(attackers)]
    found += [subject_of(Role.RELATED, chain, address) for address in dict.fromkeys(named) if address not in attackers]
    return found[:MAX_DRAFT_SUBJECTS]


def _document(category: Category, stage: Stage, severity: Severity, subjects: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "category": category.value,
        "stage": stage.value,
        "severity": severity.value,
        "confidence": ALERT_CONFIDENCE,
        "subjects": subjects[:MAX_DRAFT_SUBJECTS],
        "tlp": Tlp.AMBER.value,
    }


def _monitor_chain(match: dict[str, Any], transaction: dict[str, Any]) -> tuple[str, list[str]]:
    if transaction.get("chainId") is not None:
        return f"eip155:{_chain_number(transaction['chainId'])}", []
    slug = text_of("network_slug", match.get("network_slug"))
    number = NETWORK_CHAINS.get(slug.replace("-", "_"))
    if number is None:
        raise DecodeError(f"network_slug {slug[:80]!r} is none that is known, and the transaction has no chainId")
    return f"eip155:{number}", [f"the chain is that of the network {slug}"]


def _chain_number(value: Any) -> int:
    number = _number(value)
    if not 1 <= number <= MAX_CHAIN_NUMBER:
        raise DecodeError(f"chainId is not a number of 1…{MAX_CHAIN_NUMBER}")
    return number


def _number(value: Any) -> int:
    """A block or chain number as JSON number or 0x and hex; 0 where there is none."""
    if isinstance(value, str) and re.fullmatch(r"0x[0-9a-fA-F]{1,16}", value):
        return int(value, 16)
    if value is None:
        return 0
    if type(value) is not int or not 0 <= value <= MAX_CHAIN_NUMBER:
        raise DecodeError("a block or chain number is neither a whole number nor 0x and hex digits")
    return value


def _transaction(chain: str, block: int, reference: str) -> dict[str, Any]:
    return {
        "kind": EvidenceKind.TRANSACTION.value,
        "chain": chain,
        "block": block,
        "reference": reference,
        "detail": "",
    }


def _hash(where: str, value: Any) -> str:
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise DecodeError(f"{where} is not 0x and 64 hex digits")
    return value.lower()


def _address(value: Any) -> str:
    return value.lower() if isinstance(value, str) and _ADDRESS.fullmatch(value) else ""


def _address_in(item: dict[str, Any]) -> str:
    return _address(item.get("address"))


def _args(match: dict[str, Any]) -> dict[str, Any]:
    found = match.get("matched_on_args")
    return found if isinstance(found, dict) else {}


def _is_map(value: Any) -> bool:
    return type(value) is dict


def _map(where: str, value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise DecodeError(f"{where} is not a map")
    return value


def _maps(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
