"""A small incident as the entries of a report: heard of, decided on, contained, and told."""

from __future__ import annotations

from typing import Any

import msgspec
from protocol_kit import NOW_MS
from tocsin_protocol.adjudication import Finding
from tocsin_protocol.belief.outcomes import Verdict
from tocsin_protocol.evidence.answers import Answer
from tocsin_protocol.postmortem.entries import (
    Acted,
    AnyEntry,
    Asked,
    Check,
    Claim,
    Decided,
    Earned,
    Found,
    Header,
    Heard,
    Journal,
    Recovered,
    Ruled,
    Said,
    Statement,
    Step,
)
from tocsin_protocol.taxonomy import Category, Severity, Stage, Tlp

INTERNAL = Tlp.AMBER_STRICT


def hash_of(number: int) -> str:
    return f"{number:064x}"


def header(**changes: Any) -> Header:
    fields = {
        "tlp": Tlp.CLEAR, "incident": hash_of(1), "network": hash_of(2), "publisher": f"{3:040x}", "member": "alba",
        "made_ms": NOW_MS + 3_600_000,
    }  # fmt: skip
    return Header(**fields | changes)


def said(number: int = 1, *, member: str = "brook", after_ms: int = 0, lost: int = 0, **changes: Any) -> Said:
    statement = Statement(
        category=Category.ASSET_DRAIN,
        stage=Stage.EXPLOITATION,
        severity=Severity.CRITICAL,
        confidence=90,
        detected_ms=NOW_MS + after_ms - 300,
        issued_ms=NOW_MS + after_ms - 100,
        drill=changes.pop("drill", False),
        observed_micro_usd=lost * 1_000_000,
        rate_micro_usd_per_hour=0,
        at_risk_micro_usd=0,
        subjects=("victim eip155:1:0x" + "11" * 20,),
        claims=(),
        references=(),
        text=changes.pop("text", "The vault is drained."),
    )
    fields = {
        "tlp": Tlp.AMBER, "digest": hash_of(100 + number), "publisher": f"{number:040x}", "member": member,
        "own": False, "lane": 1, "sequence": number, "path": "gossip", "standing": "admitted",
        "received_ms": NOW_MS + after_ms, "statement": statement,
    }  # fmt: skip
    return Said(**fields | changes)


def decided(number: int = 1, *, after_ms: int = 10, would_with: tuple[str, ...] = (), **changes: Any) -> Decided:
    lever = Ruled(
        hook=changes.pop("hook", "pause-vault"), tier=2, verdict="tier-closed" if would_with else "fires", held=(),
        cost_micro_usd=0, observe_micro_usd=0, would_with=would_with,
    )  # fmt: skip
    fields = {
        "tlp": INTERNAL, "number": number, "at_ms": NOW_MS + after_ms, "sentence": "Freeze with pause-vault.",
        "category": "asset.drain", "policy": hash_of(9), "sums": ("-9.210", "+4.000"), "voices": (),
        "evidence": "None.", "stakes": (), "levers": (lever,),
    }  # fmt: skip
    return Decided(**fields | changes)


def acted(*, decided_ms: int = 10, effective_ms: int | None = 50, **changes: Any) -> Acted:
    steps = [Step(event="sign", at_ms=NOW_MS + decided_ms + 5)]
    if effective_ms is not None:
        steps += [
            Step(event="include", at_ms=NOW_MS + effective_ms - 5),
            Step(event="confirm", at_ms=NOW_MS + effective_ms),
        ]
    fields = {
        "tlp": Tlp.CLEAR, "action": hash_of(50), "hook": "pause-vault", "target": "eip155:1:0x" + "22" * 20,
        "decision": 1, "state": "effective" if effective_ms is not None else "refused",
        "decided_ms": NOW_MS + decided_ms, "steps": tuple(steps), "transactions": (hash_of(60),),
        "ends_ms": NOW_MS + 3_600_000,
    }  # fmt: skip
    return Acted(**fields | changes)


def check(answer: Answer = Answer.CONFIRMED, doubt: str = "", number: int = 1) -> Check:
    claim = Claim(kind="transaction", chain="eip155:1", block=number, reference="0x" + hash_of(number), detail="")
    return Check(
        tlp=INTERNAL if doubt else Tlp.AMBER, at_ms=NOW_MS + 5, claim=claim, answer=answer, doubt=doubt,
        disagrees=doubt == "disagreement",
    )  # fmt: skip


def asked(**changes: Any) -> Asked:
    fields = {
        "tlp": INTERNAL, "request": hash_of(70), "purpose": "reopen", "effect": "Open vault.", "scope": "vault",
        "asked_ms": NOW_MS + 1000, "expires_ms": NOW_MS + 9000, "state": "open", "reason": "", "answers": (),
    }  # fmt: skip
    return Asked(**fields | changes)


def journal(reason: str = "the simulation says it would revert") -> Journal:
    return Journal(tlp=INTERNAL, action=hash_of(50), reason=reason, steps=())


def heard() -> Heard:
    return Heard(
        tlp=Tlp.AMBER, action=hash_of(50), digest=hash_of(101), detected_ms=NOW_MS - 300, issued_ms=NOW_MS - 100,
        received_ms=NOW_MS,
    )  # fmt: skip


def stepped_back() -> Recovered:
    return Recovered(
        tlp=INTERNAL, at_ms=NOW_MS + 5000, scope="vault", stage="exit-only", step=3, why="stepped-back", alarm=True
    )


def found(finding: Finding = Finding.CONFIRMED) -> Found:
    return Found(tlp=Tlp.CLEAR, at_ms=NOW_MS + 9000, category=Category.ASSET_DRAIN, finding=finding)


def earned(verdict: Verdict = Verdict.MISS, member: str = "cedar") -> Earned:
    return Earned(tlp=Tlp.AMBER, publisher=f"{8:040x}", member=member, verdict=verdict)


def incident() -> list[AnyEntry]:
    """One of most kinds, in the order of a report."""
    return [
        header(), said(lost=27_400_000), check(), decided(), acted(), heard(), journal(), asked(), stepped_back(),
        found(), earned(),
    ]  # fmt: skip


def salts(count: int) -> list[bytes]:
    return [bytes([number]) * 32 for number in range(count)]


def changed(entry: AnyEntry, **changes: Any) -> AnyEntry:
    return msgspec.structs.replace(entry, **changes)
