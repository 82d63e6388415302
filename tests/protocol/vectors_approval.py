"""Vectors of approvals: typed data and digests, files, and how a node judges them. Each failure is one fault."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from approval_kit import BEGINS_MS, NAMES, address, approve, ask, make_policy, make_request, operator_secret
from protocol_kit import DOMAIN, NETWORK_ID, OTHER_NETWORK_ID
from tocsin_protocol.approval.files import Approval, decode_approval, encode_approval
from tocsin_protocol.approval.judging import Asked, count_approvals
from tocsin_protocol.approval.policy import ApprovalPolicy, ApprovalRule
from tocsin_protocol.approval.request import MAX_WINDOW_MS, Purpose, Request, request_digest, typed_data
from tocsin_protocol.signing import Domain, sign_digest
from vector_kit import case

REQUEST = make_request()


def approval() -> dict[str, Any]:
    """specs/vectors/approval.json"""
    return {
        "operators": [
            {"name": name, "secret": operator_secret(name).hex(), "address": address(name).hex()} for name in NAMES
        ],
        "requests": [
            _request_case("act", "a lever of tier 3", NETWORK_ID, REQUEST),
            _request_case("other-network", "another salt, another digest", OTHER_NETWORK_ID, REQUEST),
            _request_case(
                "reopen",
                "a step of a reopening, at the ends of all ranges",
                NETWORK_ID,
                make_request(
                    purpose=Purpose.REOPEN,
                    effect="x" * 200,
                    scope="*",
                    lever="recovery",
                    target="y" * 160,
                    tier=4,
                    epoch=2**53 - 1,
                    not_before_ms=253_402_300_799_000 - MAX_WINDOW_MS,
                    expires_ms=253_402_300_799_000,
                ),
            ),
            _request_case(
                "least",
                "the least of everything",
                bytes(32),
                Request(Purpose.REOPEN, "d", "s", "l", "t", 0, bytes(32), bytes(32), 0, 0, 1000, bytes(20)),
            ),
        ],
        "files": _files(),
        "judging": _judging(),
    }


def _request_case(name: str, why: str, network_id: bytes, request: Request) -> dict[str, Any]:
    digest = request_digest(Domain(network_id), request)
    return case(
        name,
        why,
        typed_data=typed_data(network_id, request),
        digest=digest,
        use_key=request.use_key,
        signer=address("ann"),
        signature=sign_digest(operator_secret("ann"), digest),
    )


def _files() -> dict[str, Any]:
    good = encode_approval(approve("ann", REQUEST))
    document = json.loads(good)
    message = document["request"]["message"]
    signature = document["signature"]

    def file(**changes: Any) -> dict[str, Any]:
        return {**document, **changes}

    def asked(**changes: Any) -> dict[str, Any]:
        return file(request={**document["request"], **changes})

    def said(**changes: Any) -> dict[str, Any]:
        return asked(message={**message, **changes})

    v_of_0 = signature[:-2] + f"{int(signature[-2:], 16) - 27:02x}"
    high_s = signature[:66] + f"{2**256 - 1:064x}" + signature[130:]
    types = document["request"]["types"]
    valid = [
        ("as-written", "as this repository writes it", good.decode()),
        ("one-line", "spaces are free", json.dumps(document, separators=(",", ":"))),
        ("other-order", "the order of keys is free", json.dumps(dict(reversed(document.items())))),
        ("v-of-0-or-1", "a hardware wallet's last byte", json.dumps(file(signature=v_of_0))),
        ("upper-case-signature", "letters of the signature", json.dumps(file(signature="0x" + signature[2:].upper()))),
    ]
    invalid = [
        ("not-json", "text", "approved", "JSON"),
        ("not-an-object", "a list", "[]", "approval file"),
        ("key-twice", "one key twice", '{"approval": 1, ' + good.decode().lstrip("{\n "), "twice"),
        ("float", "a number that is no integer", good.decode().replace('"epoch": 7', '"epoch": 7.0'), "integer"),
        ("version", "another version", json.dumps(file(approval=2)), "version"),
        ("unknown-key", "a key that nobody knows", json.dumps(file(note="ok")), "note"),
        (
            "no-signature",
            "a key that lacks",
            json.dumps({k: v for k, v in document.items() if k != "signature"}),
            "signature",
        ),
        ("signature-short", "64 bytes", json.dumps(file(signature=signature[:-2])), "signature"),
        ("v-of-29", "no last byte of a signature", json.dumps(file(signature=signature[:-2] + "1d")), "signature"),
        ("high-s", "the other value of s", json.dumps(file(signature=high_s)), "high s"),
        ("window-lies", "words that do not follow from the times", json.dumps(said(window="always")), "window"),
        ("not-ascii", "text that not every wallet shows", json.dumps(said(effect="Pause ü")), "effect"),
        ("control", "a line feed in the text", json.dumps(said(effect="Pause\nall")), "effect"),
        ("no-purpose", "a purpose that there is not", json.dumps(said(purpose="transfer")), "purpose"),
        ("tier-5", "above the highest", json.dumps(said(tier=5)), "tier"),
        ("epoch-true", "no integer", json.dumps(said(epoch=True)), "epoch"),
        ("payload-upper", "hex in upper case", json.dumps(said(payload=message["payload"].upper())), "payload"),
        ("payload-short", "31 bytes", json.dumps(said(payload=message["payload"][:-2])), "payload"),
        ("part-of-a-second", "times are whole seconds", json.dumps(said(notBefore=BEGINS_MS + 1)), "not_before_ms"),
        ("ends-first", "it ends as it begins", json.dumps(said(expires=BEGINS_MS)), "expires_ms"),
        (
            "too-long",
            "valid for longer than a day",
            json.dumps(said(expires=BEGINS_MS + MAX_WINDOW_MS + 1000)),
            "expires_ms",
        ),
        (
            "chain-id",
            "a domain with a chain",
            json.dumps(asked(domain={**document["request"]["domain"], "chainId": 1})),
            "chainId",
        ),
        (
            "other-name",
            "another application",
            json.dumps(asked(domain={**document["request"]["domain"], "name": "Dinner"})),
            "domain",
        ),
        ("other-type", "another primary type", json.dumps(asked(primaryType="Signal")), "primaryType"),
        (
            "types-differ",
            "a field's type is another",
            json.dumps(asked(types={**types, "Approval": types["Approval"][1:]})),
            "types",
        ),
        ("oversized", "more than 8192 bytes", good.decode() + " " * 8192, "bytes"),
    ]
    return {
        "valid": [
            case(name, why, file=text, digest=request_digest(DOMAIN, decode_approval(text.encode()).request))
            for name, why, text in valid
        ],
        "invalid": [case(name, why, file=text, names=names) for name, why, text, names in invalid],
    }


def _judging() -> list[dict[str, Any]]:
    ann, ben, cam = (approve(name, REQUEST) for name in NAMES)
    dan = approve("dan", REQUEST)
    other = Domain(OTHER_NETWORK_ID)
    without_cam = make_policy(
        operators={address(name): name for name in NAMES[:2]},
        rules=(ApprovalRule(2, frozenset(map(address, NAMES[:2]))),),
        removed=frozenset((address("cam"),)),
    )
    narrow = make_policy(
        rules=(ApprovalRule(1, frozenset((address("ann"),)), 3), ApprovalRule(3, frozenset(map(address, NAMES))))
    )
    flipped = replace(ben, signature=bytes((ben.signature[0] ^ 1,)) + ben.signature[1:])
    unrecoverable = replace(ben, signature=b"\xff" * 32 + ben.signature[32:])
    end = REQUEST.expires_ms
    cases: list[tuple[str, str, ApprovalPolicy, Asked, list[Approval]]] = [
        ("two-of-three", "enough", make_policy(), ask(), [ann, ben]),
        ("other-two", "any two, in any order", make_policy(), ask(), [cam, ann]),
        ("all", "more than enough", make_policy(), ask(), [cam, ann, ben]),
        ("one", "not enough yet", make_policy(), ask(), [ben]),
        ("none", "nobody yet", make_policy(), ask(), []),
        ("twice-the-same", "an operator counts once", make_policy(), ask(), [ben, ben]),
        ("stranger", "signed by nobody we know", make_policy(), ask(), [ann, dan]),
        ("removed", "signed by an operator who was removed", without_cam, ask(), [ann, cam]),
        ("tampered", "a signature with a bit flipped leads elsewhere", make_policy(), ask(), [ann, flipped]),
        ("no-signature", "a signature that leads nowhere", make_policy(), ask(), [ann, unrecoverable]),
        ("other-network", "approved in another network", make_policy(), ask(), [ann, approve("ben", REQUEST, other)]),
        ("other-node", "approved for another node", make_policy(), ask(), [ann, _by_ben(node=bytes(20))]),
        ("other-payload", "approved for other bytes", make_policy(), ask(), [ann, _by_ben(payload=bytes(32))]),
        ("other-scope", "approved for another market", make_policy(), ask(), [ann, _by_ben(scope="dai-market")]),
        ("other-incident", "approved for another incident", make_policy(), ask(), [ann, _by_ben(incident=bytes(32))]),
        ("other-epoch", "a replay of the last arm epoch", make_policy(), ask(), [ann, _by_ben(epoch=6)]),
        ("other-words", "the same bytes under other words", make_policy(), ask(), [ann, _by_ben(effect="Dust.")]),
        ("used", "what it allows was done", make_policy(), ask(used=frozenset((REQUEST.use_key,))), [ann, ben]),
        ("first-moment", "from the first ms on", make_policy(), ask(now_ms=BEGINS_MS, latest_ms=BEGINS_MS), [ann, ben]),
        ("too-soon", "before the first ms", make_policy(), ask(now_ms=BEGINS_MS - 1, latest_ms=0), [ann, ben]),
        ("last-moment", "to the last ms", make_policy(), ask(now_ms=end - 1, latest_ms=end - 1), [ann, ben]),
        ("expired", "and no longer", make_policy(), ask(now_ms=end, latest_ms=0), [ann, ben]),
        ("clock-set-back", "the record knows that it expired", make_policy(), ask(latest_ms=end), [ann, ben]),
        ("record-ahead", "the record does not begin it", make_policy(), ask(now_ms=BEGINS_MS - 1), [ann, ben]),
        ("no-rule", "an empty policy refuses", make_policy(rules=()), ask(), [ann, ben]),
        ("narrow-rule", "tier 3 is for one alone", narrow, ask(), [ben, ann]),
    ]  # fmt: skip
    return [_judged(*row) for row in cases]


def _by_ben(**changes: Any) -> Approval:
    return approve("ben", make_request(**changes))


def _judged(name: str, why: str, policy: ApprovalPolicy, asked: Asked, approvals: list[Approval]) -> dict[str, Any]:
    tally = count_approvals(DOMAIN, policy, asked, approvals)
    return case(
        name,
        why,
        policy={
            "operators": sorted(policy.operators),
            "removed": sorted(policy.removed),
            "rules": [
                {"m": r.m, "operators": sorted(r.operators), "tier": r.tier, "scope": r.scope} for r in policy.rules
            ],
        },
        network=NETWORK_ID,
        asked=_message(asked.request),
        used=sorted(asked.used),
        now_ms=asked.now_ms,
        latest_ms=asked.latest_ms,
        approvals=[
            {"network": one.network_id, "message": _message(one.request), "signature": one.signature}
            for one in approvals
        ],
        refusals=[verdict.refusal for verdict in tally.verdicts],
        counted=list(tally.operators),
        granted=tally.granted is not None,
    )


def _message(request: Request) -> Any:
    return typed_data(NETWORK_ID, request)["message"]
