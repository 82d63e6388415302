"""A report: its rules, its bytes, its digest, of which eth_account is the judge."""

from __future__ import annotations

import re
from dataclasses import astuple, fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from risk_kit import INCIDENT, ORACLE, RISK_DOMAIN, SIGNERS, SUBJECT, risk_report, said
from strategies_kit import FIXED
from tocsin_protocol.errors import DecodeError, ProtocolError, RiskError
from tocsin_protocol.ids import NO_DIGEST
from tocsin_protocol.quantities import MAX_MICRO_USD
from tocsin_protocol.risk.report import (
    BPS,
    MAX_LIFETIME_MS,
    ORACLE_NAME,
    ORACLE_VERSION,
    REPORT_BYTES,
    REPORT_TYPE,
    SIGNED_BYTES,
    OracleDomain,
    RiskReport,
    category_bytes,
    contradict,
    decode_report,
    encode_report,
    open_report,
    severity_number,
)
from tocsin_protocol.risk.states import RiskState
from tocsin_protocol.taxonomy import Category, Severity

LOUD = risk_report(RiskState.CONFIRMED)


def typed_data(report: RiskReport) -> dict[str, Any]:
    """The input of eth_signTypedData_v4."""
    parts = [part.split(" ") for part in REPORT_TYPE.removeprefix("RiskReport(").removesuffix(")").split(",")]
    chain, address = ORACLE.rsplit(":", 1)
    return {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            "RiskReport": [{"name": name, "type": kind} for kind, name in parts],
        },
        "primaryType": "RiskReport",
        "domain": {
            "name": ORACLE_NAME,
            "version": ORACLE_VERSION,
            "chainId": int(chain.removeprefix("eip155:")),
            "verifyingContract": address,
        },
        "message": {name: value for (_, name), value in zip(parts, astuple(report), strict=True)},
    }


def test_the_digest_is_that_of_typed_data_that_a_wallet_can_show() -> None:
    from eth_account import Account
    from eth_account.messages import encode_typed_data

    for report in (LOUD, risk_report(), risk_report(RiskState.SUSPECTED, capacity_bps=1)):
        signed = Account.sign_typed_data(SIGNERS[0][1], full_message=typed_data(report))
        message = encode_typed_data(full_message=typed_data(report))
        ours = said(0, report)
        assert signed.message_hash == ours.digest
        compact = signed.s | (signed.v - 27) << 255
        assert ours.signature == signed.r.to_bytes(32, "big") + compact.to_bytes(32, "big")
        assert Account.recover_message(message, signature=signed.signature).lower() == "0x" + ours.signer.hex()


def test_fields_are_named_as_the_type_names_them() -> None:
    names = [part.split(" ")[1] for part in REPORT_TYPE.split("(")[1].removesuffix(")").split(",")]
    assert [field.name for field in fields(RiskReport)] == [
        re.sub(r"(?<=[a-z])([A-Z])", r"_\1", name).lower() for name in names
    ]


def test_a_signed_report_is_read_back() -> None:
    one = said(0, LOUD)
    assert open_report(RISK_DOMAIN, one.encoded) == one
    assert decode_report(encode_report(LOUD)) == LOUD
    for data in (b"", one.encoded[:-1], one.encoded + b"\0"):
        with pytest.raises(DecodeError, match="bytes where"):
            open_report(RISK_DOMAIN, data)
    with pytest.raises(DecodeError, match="bytes where"):
        decode_report(encode_report(LOUD)[:-1])


def test_flipping_any_bit_makes_it_somebody_elses_or_none() -> None:
    one = said(0, LOUD)
    for place in range(0, 8 * len(one.encoded), 7):
        flipped = bytearray(one.encoded)
        flipped[place // 8] ^= 1 << place % 8
        try:
            found = open_report(RISK_DOMAIN, bytes(flipped))
        except ProtocolError:
            continue
        assert found.signer != one.signer, place


@FIXED
@given(st.one_of(st.binary(max_size=800), st.binary(min_size=SIGNED_BYTES, max_size=SIGNED_BYTES)))
def test_garbage_raises_only_our_own_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        open_report(RISK_DOMAIN, data)


def test_another_oracle_or_chain_makes_it_somebody_elses() -> None:
    one = said(0, LOUD)
    for account in ("eip155:31337:0x" + "0b" * 20, "eip155:1:0x" + "0a" * 20):
        assert open_report(OracleDomain(account), one.encoded).signer != one.signer
    for account in ("solana:mainnet:abc", "eip155:1", "eip155:1:0xAB"):
        with pytest.raises(DecodeError):
            OracleDomain(account)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"loss_p50": LOUD.loss_p90 + 1}, "do not rise"),
        ({"loss_p90": LOUD.loss_p99 + 1}, "do not rise"),
        ({"loss_p99": LOUD.tvl_at_risk + 1}, "do not rise"),
        ({"loss_observed": LOUD.tvl_at_risk + 1}, "loss_observed"),
        ({"tvl_at_risk": MAX_MICRO_USD + 1}, "tvl_at_risk"),
        ({"drain_rate": -1}, "drain_rate"),
        ({"posterior_ppm": 1_000_001}, "posterior_ppm"),
        ({"posterior_ppm": True}, "posterior_ppm"),
        ({"multiplier_bps": BPS - 1}, "multiplier_bps"),
        ({"capacity_bps": 1}, "capacity_bps is 1 in the state confirmed"),
        ({"expires": LOUD.observed}, "apart"),
        ({"expires": LOUD.observed + MAX_LIFETIME_MS + 1}, "apart"),
        ({"epoch": 0}, "epoch"),
        ({"incident": NO_DIGEST}, "the state confirmed with the incident"),
        ({"state": RiskState.UNKNOWN}, "unknown"),
        ({"category": category_bytes(None)}, "category"),
        ({"category": b"asset.gone".ljust(32, b"\0")}, "category"),
        ({"severity": 0}, "severity"),
        ({"severity": 5}, "severity"),
        ({"previous": b"short"}, "previous"),
        ({"subject": None}, "subject"),
    ],
)
def test_a_report_that_cannot_be_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(RiskError, match=why):
        replace(LOUD, **changes)


def test_a_quiet_report_names_no_incident_category_or_severity() -> None:
    for changes in ({"incident": INCIDENT}, {"category": category_bytes(Category.ASSET_DRAIN)}, {"severity": 1}):
        with pytest.raises(RiskError):
            replace(risk_report(), **changes)
    assert (risk_report().category_text, LOUD.category_text) == ("", "asset.drain")
    assert [severity_number(one) for one in (None, *Severity)] == [0, 1, 2, 3, 4]
    assert all(len(category_bytes(one)) == 32 for one in Category)


def test_words_that_no_report_has_are_refused() -> None:
    data = bytearray(encode_report(LOUD))
    assert len(data) == REPORT_BYTES
    data[64 + 31] = 9
    with pytest.raises(DecodeError, match="state is 9"):
        decode_report(bytes(data))
    data[64 + 31] = 7
    with pytest.raises(RiskError, match="unknown"):
        decode_report(bytes(data))
    data = bytearray(encode_report(LOUD))
    data[32 * 6] = 1
    with pytest.raises(RiskError, match="tvl_at_risk"):
        decode_report(bytes(data))


def test_two_stories_of_one_epoch_contradict_each_other() -> None:
    quiet = replace(risk_report(), epoch=LOUD.epoch)
    assert contradict(said(0, LOUD), said(0, quiet))
    assert not contradict(said(0, LOUD), said(0, LOUD))
    assert not contradict(said(0, LOUD), said(1, quiet))
    assert not contradict(said(0, LOUD), said(0, replace(quiet, epoch=LOUD.epoch + 1)))
    assert not contradict(said(0, LOUD), said(0, replace(quiet, subject=INCIDENT)))
    assert LOUD.subject == SUBJECT
