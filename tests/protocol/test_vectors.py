"""The committed vectors are what the generators say, and the core agrees with every one of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from typing import Any

import pytest
import vectors_admission
import vectors_approval
import vectors_body
import vectors_bytes
import vectors_claims
import vectors_log
import vectors_network
import vectors_proof
import vectors_report
import vectors_risk
import vectors_roster
import vectors_stix
from protocol_kit import DOMAIN
from tocsin_protocol.admission import Admission, Reason, malformation
from tocsin_protocol.approval.files import Approval, decode_approval, decode_approval_request
from tocsin_protocol.approval.judging import Asked, Refusal, count_approvals
from tocsin_protocol.approval.policy import ApprovalPolicy, ApprovalRule
from tocsin_protocol.approval.request import Request, request_digest
from tocsin_protocol.body import decode_body, encode_body
from tocsin_protocol.encoding import decode_canonical, encode_canonical
from tocsin_protocol.envelope import MAX_BODY_BYTES, decode_envelope, seal_envelope
from tocsin_protocol.errors import DecodeError, ProofError, ProtocolError, RosterError, SignatureError
from tocsin_protocol.feed import FeedHead, chain_position, verify_equivocation
from tocsin_protocol.frame import decode_frame, encode_frame
from tocsin_protocol.freshness import check_actionable
from tocsin_protocol.heartbeat import decode_heartbeat, encode_heartbeat
from tocsin_protocol.postmortem.report import decode_report, verify_redaction
from tocsin_protocol.proof import accused_by, verify_proof
from tocsin_protocol.recovery.claims import Claim, build_tree, claim_leaf, pro_rata
from tocsin_protocol.roster import RosterIndex, verify_genesis, verify_successor
from tocsin_protocol.roster_encoding import decode_roster, decode_signed_roster, encode_roster, roster_hash
from tocsin_protocol.signing import Domain, address_of_key, public_key_of, recover_key, verify_digest
from tocsin_protocol.stix.alerts import forta_drafts, monitor_draft
from tocsin_protocol.stix.common import Statement, wallet_object
from tocsin_protocol.stix.drafting import draft_of
from tocsin_protocol.stix.incidents import grow_incident
from tocsin_protocol.stix.marking import Circle
from tocsin_protocol.stix.naming import checksum_address, stix_time
from tocsin_protocol.stix.reading import check_object
from tocsin_protocol.stix.statements import export_statement
from tocsin_protocol.sync import (
    decode_heads,
    decode_items,
    decode_request,
    encode_heads,
    encode_items,
    encode_request,
)
from tocsin_protocol.taxonomy import Tlp
from tocsin_protocol.topics import judge_topic, topic_names
from vector_kit import VECTORS, check_names, json_bytes, read_vectors, untagged

GENERATORS: dict[str, Callable[[], dict[str, Any]]] = {
    "encoding": cache(vectors_bytes.encoding),
    "signing": cache(vectors_bytes.signing),
    "envelope": cache(vectors_bytes.envelope),
    "topics": cache(vectors_network.topics),
    "frame": cache(vectors_bytes.frame),
    "body": cache(vectors_body.body),
    "freshness": cache(vectors_body.freshness),
    "feed": cache(vectors_network.feed),
    "sync": cache(vectors_network.sync),
    "log-proofs": cache(vectors_proof.proof),
    "heartbeat": cache(vectors_network.heartbeat),
    "roster": cache(vectors_roster.roster),
    "admission": cache(vectors_admission.admission),
    "approval": cache(vectors_approval.approval),
    "claims": cache(vectors_claims.claims),
    "log-tree": cache(vectors_log.tree),
    "log-notes": cache(vectors_log.notes),
    "log-cases": cache(vectors_log.cases),
    "log-witness": cache(vectors_log.witness),
    "log-anchor": cache(vectors_log.anchor),
    "report": cache(vectors_report.report),
    "stix": cache(vectors_stix.stix),
    "risk": cache(vectors_risk.risk),
}


def cases_of(name: str, *keys: str) -> list[Any]:
    """The cases under a path of a file, as pytest parameters."""
    node: Any = GENERATORS[name]()
    for key in keys:
        node = node[key]
    check_names(node)
    return [pytest.param(case, id=case["name"]) for case in node]


def raw(text: str) -> bytes:
    return bytes.fromhex(text)


@pytest.mark.parametrize("name", GENERATORS)
def test_committed_vectors_are_the_generated_ones(name: str, request: pytest.FixtureRequest) -> None:
    path = VECTORS / f"{name}.json"
    generated = json_bytes(GENERATORS[name]())
    if request.config.getoption("--write-vectors", default=False):
        path.write_bytes(generated)
    assert path.read_bytes() == generated


def test_every_vector_file_has_a_generator() -> None:
    assert {path.stem for path in VECTORS.glob("*.json")} == set(GENERATORS)
    assert set(read_vectors("encoding")) == {"valid", "invalid"}


@pytest.mark.parametrize("case", cases_of("encoding", "valid"))
def test_encoding_is_the_one_spelling(case: dict[str, Any]) -> None:
    value = untagged(case["value"])
    assert encode_canonical(value) == raw(case["encoded"])
    decoded = decode_canonical(raw(case["encoded"]), max_bytes=4096)
    assert decoded == value
    assert repr(decoded) == repr(value)


@pytest.mark.parametrize("case", cases_of("encoding", "invalid"))
def test_encoding_refuses(case: dict[str, Any]) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_canonical(raw(case["encoded"]), max_bytes=4096)
    assert malformation(caught.value) == case["reason"]


def test_vector_keys() -> None:
    for case in GENERATORS["signing"]()["keys"]:
        assert public_key_of(raw(case["secret"])) == raw(case["public"])
        assert address_of_key(raw(case["public"])) == raw(case["address"])


@pytest.mark.parametrize("case", cases_of("signing", "digests"))
def test_digest(case: dict[str, Any]) -> None:
    domain = Domain(raw(case["network"]))
    if "message" in case:
        m = case["message"]
        digest = domain.signal_digest(raw(m["publisher"]), m["lane"], m["sequence"], raw(m["previous"]), raw(m["body"]))
    else:
        digest = domain.roster_change_digest(case["change"]["epoch"], raw(case["change"]["roster"]))
    assert digest == raw(case["digest"])


@pytest.mark.parametrize("case", cases_of("signing", "valid"))
def test_signature_verifies(case: dict[str, Any]) -> None:
    verify_digest(raw(case["key"]), raw(case["digest"]), raw(case["signature"]))


@pytest.mark.parametrize("case", cases_of("signing", "invalid"))
def test_signature_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(SignatureError):
        verify_digest(raw(case["key"]), raw(case["digest"]), raw(case["signature"]))


@pytest.mark.parametrize("case", cases_of("envelope", "valid"))
def test_envelope_decodes_and_seals_to_the_same_bytes(case: dict[str, Any]) -> None:
    envelope = decode_envelope(DOMAIN, raw(case["encoded"]))
    for name in ("publisher", "previous", "body", "signature", "digest"):
        assert getattr(envelope, name) == raw(case[name])
    assert (envelope.lane, envelope.sequence) == (case["lane"], case["sequence"])
    verify_digest(raw(GENERATORS["envelope"]()["key"]), envelope.digest, envelope.signature)
    fields = (envelope.publisher, envelope.lane, envelope.sequence, envelope.previous, envelope.body)
    assert seal_envelope(DOMAIN, vectors_bytes.Feed("alba").secret, *fields) == envelope


@pytest.mark.parametrize("case", cases_of("envelope", "invalid"))
def test_envelope_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_envelope(DOMAIN, raw(case["encoded"]))
    assert malformation(caught.value) == case["reason"]


@pytest.mark.parametrize("case", cases_of("topics", "networks"))
def test_topics_of_a_network(case: dict[str, Any]) -> None:
    names = topic_names(raw(case["network"]))
    assert list(names) == case["topics"]
    assert {judge_topic(name, raw(case["network"])) for name in names} == {Reason.ADMITTED}


@pytest.mark.parametrize("case", cases_of("topics", "cases"))
def test_topic(case: dict[str, Any]) -> None:
    assert judge_topic(case["topic"], raw(GENERATORS["topics"]()["ours"])) == case["reason"]


@pytest.mark.parametrize("case", cases_of("frame", "valid"))
def test_frame_holds_its_envelopes(case: dict[str, Any]) -> None:
    envelopes = [raw(item) for item in case["envelopes"]]
    assert decode_frame(raw(case["encoded"])) == envelopes
    assert encode_frame(envelopes) == raw(case["encoded"])


@pytest.mark.parametrize("case", cases_of("frame", "invalid"))
def test_frame_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_frame(raw(case["encoded"]))
    assert malformation(caught.value) == case["reason"]


@pytest.mark.parametrize("case", cases_of("body", "valid"))
def test_body_round_trips(case: dict[str, Any]) -> None:
    assert encode_body(decode_body(raw(case["body"]))) == raw(case["body"])
    assert decode_canonical(raw(case["body"]), max_bytes=MAX_BODY_BYTES) == untagged(case["fields"])


# An item of a list is named in the singular.
_SINGULAR = {"refs": "ref", "subjects": "subject"}


@pytest.mark.parametrize("case", cases_of("body", "invalid"))
def test_body_is_refused_by_the_name_of_its_field(case: dict[str, Any]) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_body(raw(case["body"]))
    assert _SINGULAR.get(case["field"], case["field"]) in str(caught.value)


@pytest.mark.parametrize("case", cases_of("freshness", "cases"))
def test_freshness(case: dict[str, Any]) -> None:
    signal = decode_body(raw(case["body"]))
    assert check_actionable(signal, case["now_ms"], case["received_ms"]) == case["reason"]


@pytest.mark.parametrize("case", cases_of("feed", "positions"))
def test_position_in_a_feed(case: dict[str, Any]) -> None:
    held = case["held"]
    position = chain_position(
        decode_envelope(DOMAIN, raw(case["envelope"])),
        same=raw(held["same"]) if held["same"] else None,
        before=raw(held["before"]) if held["before"] else None,
        after=decode_envelope(DOMAIN, raw(held["after"])) if held["after"] else None,
    )
    assert position == case["position"]


@pytest.mark.parametrize("case", cases_of("feed", "valid"))
def test_equivocation_is_proven(case: dict[str, Any]) -> None:
    document = GENERATORS["feed"]()
    first, second = verify_equivocation(DOMAIN, raw(document["key"]), raw(case["proof"]))
    assert first.publisher == second.publisher == raw(document["publisher"])


@pytest.mark.parametrize("case", cases_of("feed", "invalid"))
def test_equivocation_is_not_proven(case: dict[str, Any]) -> None:
    expected = {"decode": DecodeError, "signature": SignatureError}[case["error"]]
    with pytest.raises(expected):
        verify_equivocation(DOMAIN, raw(GENERATORS["feed"]()["key"]), raw(case["proof"]))


@pytest.mark.parametrize("case", cases_of("log-proofs", "valid"))
def test_a_split_view_is_proven_by_the_roster(case: dict[str, Any]) -> None:
    document = GENERATORS["log-proofs"]()
    index = RosterIndex(decode_roster(raw(document["roster"])))
    assert (
        verify_proof(index, raw(case["proof"])) == accused_by(index, raw(case["proof"])) == raw(document["publisher"])
    )


@pytest.mark.parametrize("case", cases_of("log-proofs", "invalid"))
def test_a_split_view_is_not_proven(case: dict[str, Any]) -> None:
    index = RosterIndex(decode_roster(raw(GENERATORS["log-proofs"]()["roster"])))
    errors = {"decode": DecodeError, "signature": SignatureError, "proof": ProofError, "roster": RosterError}
    with pytest.raises(errors[case["error"]]):
        verify_proof(index, raw(case["proof"]))


SYNC = {
    "requests": (decode_request, encode_request),
    "heads": (decode_heads, encode_heads),
    "items": (lambda data: decode_items(data, 2), encode_items),
}


@pytest.mark.parametrize("kind", SYNC)
def test_sync_messages(kind: str) -> None:
    decode, encode = SYNC[kind]
    document = GENERATORS["sync"]()[kind]
    check_names(document["valid"] + document["invalid"])
    for case in document["valid"]:
        assert encode(decode(raw(case["encoded"]))) == raw(case["encoded"]), case["name"]
    for case in document["invalid"]:
        with pytest.raises(DecodeError):
            decode(raw(case["encoded"]))


def test_heartbeats() -> None:
    document = GENERATORS["heartbeat"]()
    for case in document["valid"]:
        assert encode_heartbeat(decode_heartbeat(raw(case["encoded"]))) == raw(case["encoded"])
    for case in document["invalid"]:
        with pytest.raises(DecodeError):
            decode_heartbeat(raw(case["encoded"]))


@pytest.mark.parametrize("case", cases_of("roster", "bodies", "valid"))
def test_roster_round_trips(case: dict[str, Any]) -> None:
    assert encode_roster(decode_roster(raw(case["body"]))) == raw(case["body"])
    assert roster_hash(raw(case["body"])) == raw(case["hash"])


@pytest.mark.parametrize("case", cases_of("roster", "bodies", "invalid"))
def test_roster_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        decode_roster(raw(case["body"]))


@pytest.mark.parametrize("case", cases_of("roster", "genesis", "valid"))
def test_genesis_is_the_pinned_one(case: dict[str, Any]) -> None:
    assert verify_genesis(decode_signed_roster(raw(case["signed"])), raw(case["pinned"])).epoch == 0


@pytest.mark.parametrize("case", cases_of("roster", "genesis", "invalid"))
def test_genesis_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(RosterError):
        verify_genesis(decode_signed_roster(raw(case["signed"])), raw(case["pinned"]))


@pytest.mark.parametrize("case", cases_of("roster", "succession"))
def test_succession(case: dict[str, Any]) -> None:
    current, signed = decode_roster(raw(case["current"])), decode_signed_roster(raw(case["signed"]))
    if case["error"] is None:
        assert verify_successor(current, signed).epoch == current.epoch + 1
    else:
        with pytest.raises(RosterError):
            verify_successor(current, signed)


@pytest.mark.parametrize("case", cases_of("admission", "cases"))
def test_admission(case: dict[str, Any]) -> None:
    admission = Admission(RosterIndex(decode_roster(raw(case["roster"]))))
    for number, step in enumerate(case["steps"]):
        if "heads" in step:
            admission.set_heads(FeedHead(raw(p), lane, sequence, raw(d)) for p, lane, sequence, d in step["heads"])
        elif "equivocators" in step:
            admission.set_equivocators(raw(p) for p in step["equivocators"])
        elif "roster" in step:
            admission.set_roster(RosterIndex(decode_roster(raw(step["roster"]))))
        else:
            for _ in range(step["repeat"]):
                check_frame_step(admission, step, number)


def check_frame_step(admission: Admission, step: dict[str, Any], number: int) -> None:
    outcome = admission.admit_frame(raw(step["frame"]), step["from"], step["at_ms"])
    assert (outcome.verdict, outcome.reason) == (step["verdict"], step["reason"]), number
    assert len(outcome.admitted) == step["admitted"], number
    assert outcome.dropped == step["dropped"], number
    assert len(outcome.doubtful) == step["doubtful"], number


@pytest.mark.parametrize("case", cases_of("approval", "requests"))
def test_approval_request(case: dict[str, Any]) -> None:
    network_id, request = decode_approval_request(json.dumps(case["typed_data"]).encode())
    assert request_digest(Domain(network_id), request) == raw(case["digest"])
    assert request.use_key == raw(case["use_key"])
    assert address_of_key(recover_key(raw(case["digest"]), raw(case["signature"]))) == raw(case["signer"])


@pytest.mark.parametrize("case", cases_of("approval", "files", "valid"))
def test_approval_file(case: dict[str, Any]) -> None:
    approval = decode_approval(case["file"].encode())
    assert request_digest(DOMAIN, approval.request) == raw(case["digest"])
    assert recover_key(raw(case["digest"]), approval.signature)


@pytest.mark.parametrize("case", cases_of("approval", "files", "invalid"))
def test_approval_file_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(DecodeError, match=case["names"]):
        decode_approval(case["file"].encode())


def request_of(message: dict[str, Any]) -> Request:
    """The request of a message, with the rest of the typed data around it."""
    whole = GENERATORS["approval"]()["requests"][0]["typed_data"]
    return decode_approval_request(json.dumps({**whole, "message": message}).encode())[1]


@pytest.mark.parametrize("case", cases_of("approval", "judging"))
def test_approvals_are_judged(case: dict[str, Any]) -> None:
    policy = ApprovalPolicy(
        {raw(address): address for address in case["policy"]["operators"]},
        tuple(
            ApprovalRule(r["m"], frozenset(map(raw, r["operators"])), r["tier"], r["scope"])
            for r in case["policy"]["rules"]
        ),
        frozenset(map(raw, case["policy"]["removed"])),
    )
    asked = Asked(request_of(case["asked"]), frozenset(map(raw, case["used"])), case["now_ms"], case["latest_ms"])
    approvals = [
        Approval(raw(one["network"]), request_of(one["message"]), raw(one["signature"])) for one in case["approvals"]
    ]
    tally = count_approvals(Domain(raw(case["network"])), policy, asked, approvals)
    assert [verdict.refusal for verdict in tally.verdicts] == case["refusals"]
    assert [operator.hex() for operator in tally.operators] == case["counted"]
    assert (tally.granted is not None) == case["granted"]


def test_every_refusal_has_a_vector() -> None:
    judged = GENERATORS["approval"]()["judging"]
    assert {refusal for case in judged for refusal in case["refusals"] if refusal is not None} == set(Refusal)


def claim_of(row: dict[str, Any]) -> Claim:
    return Claim(raw(row["account"]), raw(row["asset"]), int(row["amount"]))


@pytest.mark.parametrize("case", cases_of("claims", "trees"))
def test_claims_tree(case: dict[str, Any]) -> None:
    tree = build_tree(map(claim_of, case["claims"]))
    assert tree.root.hex() == case["root"]
    for row in case["claims"]:
        assert claim_leaf(claim_of(row)).hex() == row["leaf"]
        assert [node.hex() for node in tree.proof(claim_of(row))] == row["proof"]


@pytest.mark.parametrize("case", cases_of("claims", "payouts"))
def test_claims_payout(case: dict[str, Any]) -> None:
    funds = {raw(fund["asset"]): int(fund["amount"]) for fund in case["funds"]}
    assert list(pro_rata(map(claim_of, case["claims"]), funds)) == [claim_of(row) for row in case["paid"]]


@pytest.mark.parametrize("case", cases_of("report", "valid"))
def test_valid_report(case: dict[str, Any]) -> None:
    report = decode_report(case["text"].encode())
    assert report.root.hex() == case["root"]
    assert [leaf.hash.hex() for leaf in report.leaves] == case["hashes"]
    assert report.withheld == case["withheld"]


@pytest.mark.parametrize("case", cases_of("report", "invalid"))
def test_invalid_report(case: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        decode_report(case["text"].encode())


@pytest.mark.parametrize("case", cases_of("report", "parts"))
def test_part_of_a_report(case: dict[str, Any]) -> None:
    public, full = (decode_report(case[name].encode()) for name in ("public", "full"))
    try:
        verify_redaction(public, full)
    except ProtocolError:
        assert not case["is_part"]
    else:
        assert case["is_part"]


def test_every_error_is_ours() -> None:
    assert issubclass(DecodeError, ProtocolError)


def statement_of(header: dict[str, Any]) -> Statement:
    octets = {name: raw(header[name]) for name in ("digest", "network", "publisher")}
    texts = {name: header[name] for name in ("member", "organisation", "lane", "sequence", "incident")}
    return Statement(**octets, **texts, signal=decode_body(raw(header["body"])))


@pytest.mark.parametrize("case", cases_of("stix", "wallets"))
def test_stix_wallet(case: dict[str, Any]) -> None:
    assert checksum_address(case["address"]) == case["value"]
    assert wallet_object(case["value"], Tlp.CLEAR)["id"] == case["id"]


@pytest.mark.parametrize("case", cases_of("stix", "times"))
def test_stix_time(case: dict[str, Any]) -> None:
    assert stix_time(case["at_ms"]) == case["time"]


@pytest.mark.parametrize("case", cases_of("stix", "statements"))
def test_stix_statement(case: dict[str, Any]) -> None:
    referred = {said.digest: said for said in map(statement_of, case["referred"])}
    assert export_statement(statement_of(case), referred) == case["objects"]


@pytest.mark.parametrize("case", cases_of("stix", "incidents"))
def test_stix_incident(case: dict[str, Any]) -> None:
    incident = None
    for header in case["statements"]:
        said = statement_of(header)
        incident = grow_incident(incident, Circle(case["circle"]), said, case["author"], case["at_ms"])
    assert incident == case["object"]


@pytest.mark.parametrize("case", cases_of("stix", "drafts"))
def test_stix_draft(case: dict[str, Any]) -> None:
    draft = draft_of(check_object(case["object"]))
    assert (None if draft is None else json.loads(json.dumps(asdict(draft)))) == case["draft"]


@pytest.mark.parametrize("case", cases_of("stix", "alerts"))
def test_stix_alert(case: dict[str, Any]) -> None:
    made = forta_drafts(case["body"]) if case["source"] == "forta" else [monitor_draft(case["body"])]
    assert [json.loads(json.dumps(asdict(draft))) for draft in made] == case["drafts"]


@pytest.mark.parametrize("case", cases_of("stix", "invalid"))
def test_stix_refuses(case: dict[str, Any]) -> None:
    with pytest.raises(DecodeError, match=case["names"]):
        check_object(case["object"])
