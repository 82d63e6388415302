"""What others found, as drafts that an operator may publish as his own word, or drop."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ..errors import DecodeError
from ..ids import account_of, check_chain_id
from ..taxonomy import Category, Role, Severity, Stage, SubjectKind, Tlp
from .common import PROPERTY_EXTENSION
from .naming import time_of
from .reading import Object, object_tlp

# What is assumed of a finding that does not say it; the draft's notes tell so.
DEFAULT_CHAIN = "eip155:1"
DEFAULT_CATEGORY = Category.FUNDING_SUSPICIOUS
DEFAULT_CONFIDENCE = 50
DEFAULT_TLP = Tlp.AMBER
MAX_DRAFT_SUBJECTS = 32
MAX_DRAFT_TEXT_CHARS = 1000
MAX_PATTERN_CHARS = 16_384

_WALLET = re.compile(r"cryptocurrency-wallet:value\s*=\s*'((?:[^'\\]|\\.){1,200})'")
_EVM = re.compile(r"0x[0-9a-fA-F]{40}")
_UNSHOWABLE = re.compile(r"[^\x20-\x7e\xa0-\u2027\u202f-\u2065\u206a-\ud7ff\ue000-\U0010ffff]")
_OURS = ("category", "stage", "severity", "subjects", "evidence", "loss", "cause", "tier")


@dataclass(frozen=True, slots=True)
class Draft:
    """A signal as JSON, as `tocsin publish` reads it; where it comes from, and what was assumed in making it."""

    origin: str
    version: str
    document: dict[str, Any]
    notes: tuple[str, ...]


def plain_text(*parts: Any) -> str:
    """Text of strangers in one line that is safe to show, shortened."""
    joined = ". ".join(part for part in parts if isinstance(part, str) and part)
    shortened = _UNSHOWABLE.sub(" ", joined)[:MAX_DRAFT_TEXT_CHARS]
    return shortened.encode(errors="ignore").decode().strip()


def draft_of(value: Object) -> Draft | None:
    """The draft that a checked STIX object of another leads to; None where it names nothing to signal."""
    if value["type"] not in ("indicator", "incident", "note") or value.get("revoked") is True:
        return None
    told = _told(value)
    document, notes = (told, ()) if told is not None else _guessed(value)
    if not document.get("subjects"):
        return None
    # [STIX] A draft has the marking of its object; what has none is AMBER.
    document |= {
        "tlp": object_tlp(value, DEFAULT_TLP).value,
        "confidence": _confidence(value),
        "detected_ms": time_of("created", value.get("created")),
    }
    text = plain_text(value.get("name"), value.get("description"), value.get("content"))
    if text:
        document["text"] = text
    return Draft(value["id"], str(value.get("modified", value.get("created"))), document, notes)


def _told(value: Object) -> dict[str, Any] | None:
    """The fields of our own extension, where it stands; they are checked where the draft is taken."""
    extensions = value.get("extensions")
    ours = extensions.get(PROPERTY_EXTENSION) if isinstance(extensions, dict) else None
    # [STIX] An object with our own extension is drafted by what stands there, except who said it and when.
    if not isinstance(ours, dict) or "category" not in ours:
        return None
    return {name: ours[name] for name in _OURS if name in ours}


def _guessed(value: Object) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What an indicator over wallets says; the rest is assumed, and named."""
    pattern = value.get("pattern")
    if value["type"] != "indicator" or not isinstance(pattern, str) or len(pattern) > MAX_PATTERN_CHARS:
        return {}, ()
    found = dict.fromkeys(match[1] for match in _WALLET.finditer(pattern))
    addresses = [address.lower() for address in found if _EVM.fullmatch(address)][:MAX_DRAFT_SUBJECTS]
    if not addresses:
        return {}, ()
    labels = value.get("labels")
    known = [Category(x) for x in (labels if isinstance(labels, list) else []) if x in tuple(Category)]
    category = known[0] if known else DEFAULT_CATEGORY
    # [STIX] What a finding does not say is assumed and named beside the draft, the chain of an address above all.
    notes = [f"no chain is named: {DEFAULT_CHAIN} is assumed", "no severity is named: medium is assumed"]
    if not known:
        notes.append(f"no category of ours is named: {DEFAULT_CATEGORY} is assumed")
    subjects = [subject_of(Role.ATTACKER, DEFAULT_CHAIN, address) for address in addresses]
    document = {
        "category": category.value,
        "severity": Severity.MEDIUM.value,
        "stage": Stage.PREPARATION.value,
        "subjects": _distinct(subjects),
    }
    return document, tuple(notes)


def subject_of(role: Role, chain: str, address: str) -> dict[str, str]:
    """An EVM account as a draft's subject; raises DecodeError."""
    return {
        "role": role.value,
        "kind": SubjectKind.ACCOUNT.value,
        "value": account_of(check_chain_id(chain), address),
    }


def _distinct(subjects: list[dict[str, str]]) -> list[dict[str, str]]:
    return list({(s["role"], s["value"]): s for s in subjects}.values())[:MAX_DRAFT_SUBJECTS]


def _confidence(value: Object) -> int:
    found = value.get("confidence", DEFAULT_CONFIDENCE)
    if type(found) is not int or not 0 <= found <= 100:
        raise DecodeError("confidence is not an integer of 0…100")
    return found
