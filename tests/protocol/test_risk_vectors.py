"""The core agrees with every vector of risk reports."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import vectors_risk
from tocsin_protocol.errors import ProtocolError, RiskError
from tocsin_protocol.ids import NO_DIGEST
from tocsin_protocol.risk.aggregate import Quorum, aggregate
from tocsin_protocol.risk.report import OracleDomain, decode_report, open_report, sign_report
from tocsin_protocol.risk.states import RiskState, Standing, check_move
from tocsin_protocol.signing import address_of_key, public_key_of
from vector_kit import check_names

FILE = cache(vectors_risk.risk)
WORDS = {state.word: state for state in RiskState}
Case = dict[str, Any]


def cases_of(*keys: str) -> list[Any]:
    node: Any = FILE()
    for key in keys:
        node = node[key]
    check_names(node)
    return [pytest.param(case, id=case["name"]) for case in node]


@pytest.mark.parametrize("case", cases_of("signers"))
def test_a_signer_follows_from_his_secret(case: Case) -> None:
    assert address_of_key(public_key_of(bytes.fromhex(case["secret"]))).hex() == case["address"]


@pytest.mark.parametrize("case", cases_of("reports", "valid"))
def test_a_report_is_read_and_signed_again_to_the_same_bytes(case: Case) -> None:
    one = open_report(OracleDomain(case["oracle"]), bytes.fromhex(case["signed"]))
    assert (one.digest.hex(), one.signer.hex()) == (case["digest"], case["signer"])
    secrets = {signer["address"]: bytes.fromhex(signer["secret"]) for signer in FILE()["signers"]}
    again = sign_report(OracleDomain(case["oracle"]), secrets[case["signer"]], one.report, one.signer)
    assert again == one
    for name, value in case["fields"].items():
        found = getattr(one.report, name)
        assert value == (found.hex() if isinstance(found, bytes) else str(int(found))), name


@pytest.mark.parametrize("case", cases_of("reports", "invalid"))
def test_what_is_no_report_is_refused(case: Case) -> None:
    with pytest.raises(ProtocolError):
        decode_report(bytes.fromhex(case["report"]))


@pytest.mark.parametrize("case", cases_of("moves"))
def test_a_move_is_legal_or_not(case: Case) -> None:
    def standing(word: str, incident: bytes) -> Standing:
        return Standing(WORDS[word], NO_DIGEST if word == "none" else incident)

    one, other = b"\x01" * 32, b"\x02" * 32
    before, after = standing(case["before"], one), standing(case["after"], one if case["same"] else other)
    if case["legal"]:
        check_move(before, after)
    else:
        with pytest.raises(RiskError):
            check_move(before, after)


@pytest.mark.parametrize("case", cases_of("several"))
def test_several_come_to_one(case: Case) -> None:
    domain = OracleDomain(FILE()["oracle"])
    reports = [open_report(domain, bytes.fromhex(text)) for text in case["reports"]]
    quorum = Quorum(frozenset(map(bytes.fromhex, case["signers"])), case["threshold"])
    found = aggregate(reports, quorum, bytes.fromhex(case["subject"]), case["now_ms"])
    assert (found.state.word, found.incident.hex()) == (case["state"], case["incident"])
    assert [one.signer.hex() for one in found.counted] == case["counted"]
    assert sorted(signer.hex() for signer in found.equivocators) == case["equivocators"]
    for name in ("posterior_ppm", "tvl_at_risk", "loss_p99", "multiplier_bps", "capacity_bps", "until_ms"):
        assert str(getattr(found, name)) == case[name], name
