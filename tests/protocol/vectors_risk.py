"""Vectors of risk reports: digests and signatures, reports that are none, and what several come to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any

from protocol_kit import NOW_MS
from risk_kit import ADDRESSES, INCIDENT, ORACLE, OTHER_INCIDENT, SIGNERS, SUBJECT, risk_report, said
from tocsin_protocol.ids import NO_DIGEST
from tocsin_protocol.quantities import MAX_MICRO_USD
from tocsin_protocol.risk.aggregate import Quorum, aggregate
from tocsin_protocol.risk.report import (
    MAX_AHEAD_MS,
    MAX_LIFETIME_MS,
    MAX_MULTIPLIER_BPS,
    OracleDomain,
    RiskReport,
    SignedReport,
    category_bytes,
    encode_report,
)
from tocsin_protocol.risk.states import RiskState
from tocsin_protocol.taxonomy import Category
from vector_kit import case

LOUD, QUIET = risk_report(RiskState.CONFIRMED), risk_report()
LARGEST = risk_report(
    RiskState.SUSPECTED, posterior_ppm=10**6, tvl_at_risk=MAX_MICRO_USD, loss_observed=MAX_MICRO_USD,
    loss_p50=MAX_MICRO_USD, loss_p90=MAX_MICRO_USD, loss_p99=MAX_MICRO_USD, drain_rate=MAX_MICRO_USD,
    multiplier_bps=MAX_MULTIPLIER_BPS, capacity_bps=10_000, category=category_bytes(Category.GOVERNANCE_TAKEOVER),
    previous=b"\x01" * 32, evidence_root=b"\x02" * 32,
)  # fmt: skip
PLACES = {field.name: place for place, field in enumerate(fields(RiskReport))}
THREE = Quorum(frozenset(ADDRESSES[:3]), 2)


def risk() -> dict[str, Any]:
    """specs/vectors/risk.json"""
    return {
        "oracle": ORACLE,
        "signers": [
            case(f"signer-{n}", "", secret=secret, address=address) for n, (address, secret) in enumerate(SIGNERS)
        ],
        "reports": {"valid": _valid(), "invalid": _invalid()},
        "moves": _moves(),
        "several": _several(),
    }


def _valid() -> list[dict[str, Any]]:
    other = "eip155:1:0x" + "0b" * 20
    return [
        _signed("quiet", "no incident", said(0, QUIET)),
        _signed("confirmed", "", said(1, LOUD)),
        _signed("largest", "the ends of the ranges", said(2, LARGEST)),
        _signed("another-oracle", "another digest", said(0, LOUD, OracleDomain(other)), other),
        *(
            _signed(state.word, "", said(3, risk_report(state)))
            for state in RiskState
            if 0 < state < RiskState.CONFIRMED
        ),
    ]


def _signed(name: str, why: str, one: SignedReport, oracle: str = ORACLE) -> dict[str, Any]:
    shown = {field.name: getattr(one.report, field.name) for field in fields(one.report)}
    shown = {key: str(int(value)) if isinstance(value, int) else value for key, value in shown.items()}
    return case(name, why, oracle=oracle, fields=shown, signed=one.encoded, digest=one.digest, signer=one.signer)


def _invalid() -> list[dict[str, Any]]:
    p90 = LOUD.loss_p90
    return [
        _broken("median-above-p90", "losses rise", "loss_p50", p90 + 1),
        _broken("p90-above-p99", "losses rise", "loss_p90", LOUD.loss_p99 + 1),
        _broken("p99-above-value", "no more is lost than is there", "loss_p99", LOUD.tvl_at_risk + 1),
        _broken("lost-above-value", "no more is lost than is there", "loss_observed", LOUD.tvl_at_risk + 1),
        _broken("posterior-above-one", "", "posterior_ppm", 10**6 + 1),
        _broken("cheaper-than-usual", "a multiplier is at least 1", "multiplier_bps", 9_999),
        _broken("multiplier-too-large", "", "multiplier_bps", MAX_MULTIPLIER_BPS + 1),
        _broken("open-though-confirmed", "no capacity", "capacity_bps", 1),
        _broken("unknown", "no report says it", "state", 7),
        _broken("no-such-state", "", "state", 8),
        _broken("incident-missing", "confirmed names one", "incident", 0),
        _broken("category-missing", "confirmed names one", "category", 0),
        _broken("no-such-category", "", "category", int.from_bytes(b"asset.gone".ljust(32, b"\0"), "big")),
        _broken("severity-missing", "confirmed has one", "severity", 0),
        _broken("severity-too-high", "", "severity", 5),
        _broken("expired-at-once", "", "expires", LOUD.observed),
        _broken("too-long", "a minute at most", "expires", LOUD.observed + MAX_LIFETIME_MS + 1),
        _broken("epoch-zero", "", "epoch", 0),
        _broken("value-too-large", "", "tvl_at_risk", MAX_MICRO_USD + 1),
        _broken("word-too-large", "64 bits", "drain_rate", 2**64),
        case("cut", "a whole number of words", report=encode_report(LOUD)[:-1]),
        case("longer", "no more than its words", report=encode_report(LOUD) + bytes(32)),
    ]


def _broken(name: str, why: str, field: str, value: int) -> dict[str, Any]:
    data = bytearray(encode_report(LOUD))
    data[32 * PLACES[field] : 32 * PLACES[field] + 32] = value.to_bytes(32, "big")
    return case(name, why, report=bytes(data))


def _moves() -> list[dict[str, Any]]:
    from tocsin_protocol.errors import RiskError
    from tocsin_protocol.risk.states import Standing, check_move

    found = []
    states = [state for state in RiskState if state is not RiskState.UNKNOWN]
    for before in states:
        for after in states:
            for word, incident in (("same", INCIDENT), ("other", OTHER_INCIDENT)):
                first = Standing(before, NO_DIGEST if before is RiskState.NONE else INCIDENT)
                second = Standing(after, NO_DIGEST if after is RiskState.NONE else incident)
                try:
                    check_move(first, second)
                    legal = True
                except RiskError:
                    legal = False
                found.append(
                    case(
                        f"{before.word}-{after.word}-{word}", "", before=before.word, after=after.word,
                        same=first.incident == second.incident, legal=legal,
                    )
                )  # fmt: skip
    return found


def _several() -> list[dict[str, Any]]:
    mild = replace(QUIET, capacity_bps=4_000, multiplier_bps=20_000, tvl_at_risk=90_000_000 * 10**6)
    later = replace(QUIET, epoch=LOUD.epoch + 1)
    risen = replace(LOUD, epoch=QUIET.epoch + 1)
    lie = replace(QUIET, epoch=LOUD.epoch)
    ahead = replace(LOUD, epoch=LOUD.epoch + 1, observed=NOW_MS + MAX_AHEAD_MS + 1, expires=NOW_MS + MAX_AHEAD_MS + 2)
    over = risk_report(RiskState.RESOLVED)
    return [
        _sum("one-liar-raises", "he is alone", [said(0, QUIET), said(1, QUIET), said(2, LOUD)]),
        _sum("one-liar-lowers", "he is alone", [said(0, LOUD), said(1, LOUD), said(2, QUIET)]),
        _sum("one-liar-after", "he is alone", [said(0, over), said(1, over), said(2, LOUD)]),
        _sum("two-agree", "enough of them", [said(0, LOUD), said(1, LOUD)]),
        _sum("more-cautious", "of two in the middle", [said(0, QUIET), said(1, mild)]),
        _sum("median", "of three", [said(0, QUIET), said(1, mild), said(2, LARGEST)]),
        _sum("one-alone", "too few", [said(0, QUIET)]),
        _sum("none", "too few", []),
        _sum("stale", "expired now", [said(0, QUIET), said(1, QUIET)], QUIET.expires),
        _sum("ahead", "a clock that runs ahead", [said(0, QUIET), said(1, QUIET)], NOW_MS - MAX_AHEAD_MS),
        _sum("too-far-ahead", "", [said(0, QUIET), said(1, QUIET)], NOW_MS - MAX_AHEAD_MS - 1),
        _sum("stranger", "no signer", [said(0, QUIET), said(3, QUIET)]),
        _sum("latest", "of each the highest epoch", [said(0, QUIET), said(0, risen), said(1, risen)]),
        _sum("equivocator", "two stories of one epoch", [said(0, LOUD), said(0, lie), said(1, QUIET), said(2, QUIET)]),
        _sum("back", "nothing leads there", [said(0, LOUD), said(0, later), said(1, LOUD)]),
        _sum("ahead-of-all", "what he said before still counts", [said(0, QUIET), said(0, ahead), said(1, QUIET)]),
        _sum(
            "equivocator-elsewhere",
            "about another subject",
            [
                *(said(0, replace(one, subject=INCIDENT)) for one in (LOUD, lie)),
                *(said(place, QUIET) for place in range(3)),
            ],
        ),
        _sum("other-subject", "", [said(0, QUIET), said(1, replace(QUIET, subject=INCIDENT))]),
        _sum(
            "two-incidents",
            "of as many the lowest id",
            [said(0, LOUD), said(1, replace(LOUD, incident=OTHER_INCIDENT))],
        ),
    ]


def _sum(name: str, why: str, reports: Iterable[SignedReport], now_ms: int = NOW_MS) -> dict[str, Any]:
    kept = list(reports)
    found = aggregate(kept, THREE, SUBJECT, now_ms)
    whole = {
        field.name: str(getattr(found, field.name))
        for field in fields(found)
        if field.name not in ("state", "incident", "counted", "equivocators")
    }
    return case(
        name, why, subject=SUBJECT, signers=sorted(THREE.signers), threshold=THREE.threshold, now_ms=now_ms,
        reports=[one.encoded for one in kept], state=found.state.word, incident=found.incident, **whole,
        counted=[one.signer for one in found.counted], equivocators=sorted(found.equivocators),
    )  # fmt: skip
