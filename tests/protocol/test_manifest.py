"""Manifests: one spelling, every bound, and who signed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak
from exposure_kit import (
    CHAIN,
    E_TOKEN,
    FEED,
    KEY,
    LENDER,
    OUR_VAULT,
    OURS,
    POOL,
    VYPER,
    account,
    hangs_on,
    holding,
    manifest,
    token,
    usd,
)
from hypothesis import given
from hypothesis import strategies as st
from protocol_kit import DOMAIN, NETWORK_ID, NOW_MS, OTHER_NETWORK_ID, bytes_of_label
from strategies_kit import FIXED, garbage_or, slugs
from tocsin_protocol.encoding import MAX_UINT, decode_canonical, encode_canonical
from tocsin_protocol.errors import DecodeError, OversizedError, ProtocolError, SignatureError, SpellingError
from tocsin_protocol.exposure.manifest import (
    LINK_SUBJECTS,
    MAX_DEPENDENCIES,
    MAX_HOLDINGS,
    MAX_LINKS,
    Link,
    Manifest,
    SubjectId,
    Token,
    TokenKind,
)
from tocsin_protocol.exposure.manifest_encoding import MAX_MANIFEST_BYTES, decode_manifest, encode_manifest
from tocsin_protocol.exposure.manifest_signing import (
    decode_signed_manifest,
    encode_signed_manifest,
    sign_manifest,
    verify_manifest,
)
from tocsin_protocol.signing import Domain, public_key_of
from tocsin_protocol.taxonomy import SubjectKind

SECRET = bytes_of_label("manifest")
KEY_OF_SECRET = public_key_of(SECRET)


def changed(change: Callable[[dict[str, Any]], object], base: Manifest = OURS) -> bytes:
    """The body of a manifest after a change to its fields."""
    fields = decode_canonical(encode_manifest(base), max_bytes=MAX_MANIFEST_BYTES)
    change(fields)
    return encode_canonical(fields)


@pytest.mark.parametrize("known", [LENDER, POOL, OURS])
def test_a_manifest_survives_its_bytes(known: Manifest) -> None:
    body = encode_manifest(known)
    assert decode_manifest(body) == known
    assert encode_manifest(decode_manifest(body)) == body


@FIXED
@given(
    st.lists(
        st.tuples(slugs, st.integers(0, MAX_UINT), st.integers(0, NOW_MS), st.integers(1, 9)),
        min_size=1,
        max_size=8,
        unique_by=lambda row: row[0],
    ),
    st.integers(1, 1_000_000),
)
def test_any_manifest_survives_its_bytes(rows: list[tuple[str, int, int, int]], share_ppm: int) -> None:
    parts = [holding(name, account(n), token(n), amount=usd(0, at)) for name, _, at, n in rows]
    parts = [replace(p, amount=replace(p.amount, micro_usd=row[1])) for p, row in zip(parts, rows, strict=True)]  # type: ignore[type-var]
    links = [hangs_on(CHAIN, Link.CHAIN, on=name, share_ppm=share_ppm) for name, *_ in rows]
    known = manifest("any", *parts, *links)
    assert decode_manifest(encode_manifest(known)) == known


@FIXED
@given(garbage_or(encode_manifest(OURS)))
def test_garbage_raises_only_our_own_error(data: bytes) -> None:
    try:
        known = decode_manifest(data)
    except DecodeError:
        return
    assert encode_manifest(known) == data


FAULTS: list[tuple[str, Callable[[dict[str, Any]], object], str]] = [
    ("unknown key", lambda f: f.update(extra=1), "unknown key 'extra'"),
    ("no holdings", lambda f: f.update(holdings=[]), "holdings is not a list of 1…"),
    ("protocol", lambda f: f.update(protocol="Ours"), "protocol"),
    ("holding order", lambda f: f["holdings"].reverse(), "holdings are not in rising order"),
    ("holding twice", lambda f: f["holdings"].insert(0, f["holdings"][0]), "same holding stands twice"),
    ("holding kind", lambda f: f["holdings"][0].__setitem__(1, "safe"), r"holdings\[0\].kind"),
    ("holding subject", lambda f: f["holdings"][0].__setitem__(2, [["lineage", "a"]]), "is lineage, not account"),
    ("no subject", lambda f: f["holdings"][0].__setitem__(2, []), r"holdings\[0\].subjects"),
    ("negative money", lambda f: f["holdings"][0].__setitem__(3, ["chain", 0, 0]), r"holdings\[0\].amount"),
    ("two amounts", lambda f: f["holdings"][0].__setitem__(3, [1, 2]), r"holdings\[0\].amount"),
    ("amount as text", lambda f: f["holdings"][0].__setitem__(3, ""), r"holdings\[0\].amount"),
    ("source", lambda f: f["holdings"][0][3].__setitem__(2, "rumour"), r"holdings\[0\].amount is 'rumour'"),
    ("upper-case address", lambda f: f["holdings"][0][2][0].__setitem__(1, "eip155:1:0xAB"), "lower-case"),
    ("dependency order", lambda f: f["dependencies"].reverse(), "links are not in rising order"),
    ("part is not written", lambda f: f["dependencies"][0].__setitem__(1, "part"), "link part takes no account"),
    ("unknown link", lambda f: f["dependencies"][0].__setitem__(1, "friend"), r"dependencies\[0\].link"),
    ("share of nothing", lambda f: f["dependencies"][0].__setitem__(4, 0), r"dependencies\[0\].share"),
    ("share above the whole", lambda f: f["dependencies"][0].__setitem__(4, 1_000_001), r"dependencies\[0\].share"),
    ("unknown holding", lambda f: f["dependencies"][-1].__setitem__(0, "zzz"), "'zzz', which is no holding of 'ours'"),
    ("provider", lambda f: f["dependencies"][0].__setitem__(3, "A b"), r"dependencies\[0\].provider"),
    ("amount of all", lambda f: f["dependencies"][0].__setitem__(5, [1, 1, "chain"]), "though no holding is named"),
    ("bounds elsewhere", lambda f: f["dependencies"][0].__setitem__(6, [1, 2, 3]), "bounds stand at link admin-key"),
]


@pytest.mark.parametrize(("change", "message"), [pytest.param(*rest, id=name) for name, *rest in FAULTS])
def test_a_fault_is_named(change: Callable[[dict[str, Any]], object], message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        decode_manifest(changed(change))


def test_an_oracle_has_bounds_that_rise() -> None:
    at = next(n for n, d in enumerate(OURS.dependencies) if d.link is Link.ORACLE)
    with pytest.raises(DecodeError, match="bounds lack at link oracle"):
        decode_manifest(changed(lambda f: f["dependencies"][at].__setitem__(6, [])))
    with pytest.raises(DecodeError, match="bounds high"):
        decode_manifest(changed(lambda f: f["dependencies"][at].__setitem__(6, [5, 4, 1])))


def test_a_second_spelling_is_refused() -> None:
    with pytest.raises(SpellingError):
        decode_manifest(encode_manifest(OURS) + b"\0")
    with pytest.raises(OversizedError):
        decode_manifest(bytes(MAX_MANIFEST_BYTES + 1))


@pytest.mark.parametrize("link", [link for link in Link if link is not Link.PART])
def test_each_link_takes_only_its_kinds_of_subject(link: Link) -> None:
    code = SubjectId(SubjectKind.CODE_HASH, "0x" + "00" * 32)
    for subject in (KEY, E_TOKEN, code, VYPER, CHAIN, SubjectId(SubjectKind.LINEAGE, "a")):
        known = manifest("one", holding("a", OUR_VAULT), hangs_on(subject, link))
        if subject.kind in LINK_SUBJECTS[link]:
            assert decode_manifest(encode_manifest(known)) == known
        else:
            with pytest.raises(DecodeError, match=f"link {link} takes no {subject.kind}"):
                encode_manifest(known)


def test_a_largest_manifest_fits_and_one_link_more_does_not() -> None:
    holdings = [holding(f"h{n:02}", account(n), amount=usd(1)) for n in range(MAX_HOLDINGS)]
    on_all = [hangs_on(account(n), Link.ADMIN_KEY) for n in range(MAX_LINKS // MAX_HOLDINGS)]
    known = manifest("large", *holdings, *on_all)
    assert decode_manifest(encode_manifest(known)) == known
    with pytest.raises(DecodeError, match="links where at most 1024"):
        encode_manifest(manifest("large", *holdings, *on_all, Token(E_TOKEN.value, TokenKind.LP, "h00")))
    named = [hangs_on(token(n), Link.COLLATERAL, on="h00", amount=usd(1)) for n in range(MAX_DEPENDENCIES)]
    known = manifest("large", *holdings, *named)
    assert decode_manifest(encode_manifest(known)) == known
    with pytest.raises(DecodeError):
        encode_manifest(manifest("large", *holdings, *named, hangs_on(FEED, Link.DEPOSIT, on="h00")))


def test_a_token_is_its_contract_unless_it_has_a_number() -> None:
    assert token(7).key == account(7).key
    numbered = SubjectId(SubjectKind.ASSET, f"eip155:1/erc1155:0x{7:040x}/5")
    assert numbered.key != account(7).key
    assert SubjectId(SubjectKind.LINEAGE, "eip155").key != SubjectId(SubjectKind.CHAIN, "eip155").key


def test_a_signed_manifest_survives_and_verifies() -> None:
    signed = sign_manifest(DOMAIN, SECRET, NOW_MS, OURS)
    assert decode_signed_manifest(encode_signed_manifest(signed)) == signed
    assert verify_manifest(DOMAIN, KEY_OF_SECRET, signed) == OURS


def test_the_digest_is_that_of_eth_account() -> None:
    signed = sign_manifest(DOMAIN, SECRET, NOW_MS, OURS)
    typed = encode_typed_data(
        full_message={
            "types": {
                "EIP712Domain": [
                    {"name": "name", "type": "string"},
                    {"name": "version", "type": "string"},
                    {"name": "salt", "type": "bytes32"},
                ],
                "Manifest": [
                    {"name": "publisher", "type": "address"},
                    {"name": "issued", "type": "uint64"},
                    {"name": "body", "type": "bytes32"},
                ],
            },
            "primaryType": "Manifest",
            "domain": {"name": "Tocsin", "version": "1", "salt": NETWORK_ID},
            "message": {"publisher": signed.publisher, "issued": NOW_MS, "body": keccak(signed.body)},
        }
    )
    assert DOMAIN.manifest_digest(signed.publisher, NOW_MS, signed.body) == keccak(
        b"\x19" + typed.version + typed.header + typed.body
    )


def test_nothing_signed_can_be_changed() -> None:
    signed = sign_manifest(DOMAIN, SECRET, NOW_MS, OURS)
    other = public_key_of(bytes_of_label("other manifest"))
    for key, changes in (
        (KEY_OF_SECRET, {"issued_ms": NOW_MS + 1}),
        (KEY_OF_SECRET, {"body": encode_manifest(POOL)}),
        (KEY_OF_SECRET, {"publisher": bytes(20)}),
        (KEY_OF_SECRET, {"signature": bytes(64)}),
        (other, {}),
    ):
        with pytest.raises(SignatureError):
            verify_manifest(DOMAIN, key, replace(signed, **changes))  # type: ignore[arg-type]
    with pytest.raises(SignatureError):
        verify_manifest(Domain(OTHER_NETWORK_ID), KEY_OF_SECRET, signed)


def test_an_amount_from_after_the_issue_is_refused() -> None:
    with pytest.raises(DecodeError, match="after the manifest was issued"):
        sign_manifest(DOMAIN, SECRET, NOW_MS - 120_000, OURS)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, 2, "manifest version"),
        (1, bytes(19), "manifest publisher"),
        (2, True, "issued"),
        (3, "body", "manifest body"),
        (4, bytes(65), "manifest signature"),
    ],
)
def test_a_fault_around_the_body_is_named(place: int, value: object, message: str) -> None:
    fields = decode_canonical(encode_signed_manifest(sign_manifest(DOMAIN, SECRET, NOW_MS, OURS)), max_bytes=70_000)
    fields[place] = value
    with pytest.raises(DecodeError, match=message):
        decode_signed_manifest(encode_canonical(fields))


@FIXED
@given(garbage_or(encode_signed_manifest(sign_manifest(DOMAIN, SECRET, NOW_MS, OURS))))
def test_a_damaged_signed_manifest_never_verifies_as_another(data: bytes) -> None:
    try:
        signed = decode_signed_manifest(data)
        known = verify_manifest(DOMAIN, KEY_OF_SECRET, signed)
    except ProtocolError:
        return
    assert known == OURS
    assert encode_signed_manifest(signed) == data
