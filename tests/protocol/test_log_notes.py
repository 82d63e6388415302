"""Notes, checkpoints and proof files: any change is refused, and garbage raises only our own errors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from log_kit import (
    LOG_KEY,
    LOG_SECRET,
    ORIGIN,
    TIME_S,
    WITNESSES,
    bundle_of,
    cosign_note,
    cosignature,
    entries,
    head_of,
    secret_of,
    sign_head,
    signed,
    split_of,
    trust,
    trust_text,
    witness_key,
)
from strategies_kit import FIXED
from tocsin_protocol.audit import MAX_DETAIL_BYTES, EntryKind, decode_entry, encode_entry, stand_in
from tocsin_protocol.encoding import encode_canonical
from tocsin_protocol.errors import DecodeError, OversizedError, ProofError, ProtocolError, SignatureError
from tocsin_protocol.log.bundle import decode_proof_bundle, encode_proof_bundle, verify_proof_bundle
from tocsin_protocol.log.checkpoint import encode_checkpoint, origin_of, verify_checkpoint
from tocsin_protocol.log.note import (
    MAX_NAME_BYTES,
    MAX_NOTE_BYTES,
    MAX_TIMESTAMP_S,
    Algorithm,
    Note,
    check_name,
    decode_note,
    decode_verifier_key,
    encode_note,
    verifier_key,
    verify_note,
)
from tocsin_protocol.log.split_view import decode_split_view, encode_split_view, verify_split_view
from tocsin_protocol.log.tiles import MAX_ENTRY_BYTES, decode_bundle
from tocsin_protocol.log.trust import MAX_TRUST_BYTES, MAX_TRUST_LINES, decode_trust, judge_head

HEAD = head_of(entries(300))
BUNDLE = encode_proof_bundle(bundle_of(entries(300), 17, "brook", "cedar"))


def flipped(data: bytes, bit: int) -> bytes:
    return data[: bit // 8] + bytes((data[bit // 8] ^ 1 << bit % 8,)) + data[bit // 8 + 1 :]


def test_flipping_any_bit_of_a_checkpoint_is_seen() -> None:
    data, keys = signed(HEAD, "brook"), [witness_key("brook")]
    whole = verify_checkpoint(data, [LOG_KEY], keys)
    for bit in range(8 * len(data)):
        try:
            found = verify_checkpoint(flipped(data, bit), [LOG_KEY], keys)
        except (DecodeError, SignatureError):
            continue
        # what is left is a cosignature under the name of somebody unknown
        assert found.checkpoint == whole.checkpoint
        assert not found.cosigned


def test_flipping_any_bit_of_a_proof_file_is_seen() -> None:
    policy = trust()
    verify_proof_bundle(decode_proof_bundle(BUNDLE), policy)
    for bit in range(8 * len(BUNDLE)):
        with pytest.raises(ProtocolError):
            verify_proof_bundle(decode_proof_bundle(flipped(BUNDLE, bit)), policy)


def test_any_end_cut_off_a_proof_file_is_seen() -> None:
    for end in range(len(BUNDLE)):
        with pytest.raises(ProtocolError):
            verify_proof_bundle(decode_proof_bundle(BUNDLE[:end]), trust())


READERS: list[Callable[[bytes], object]] = [
    decode_note,
    decode_proof_bundle,
    decode_trust,
    decode_split_view,
    lambda data: decode_entry(0, data),
    lambda data: decode_bundle(data, 2),
    lambda data: decode_verifier_key(data.decode("latin-1")),
    lambda data: verify_checkpoint(data, [LOG_KEY]),
]


@FIXED
@given(st.one_of(st.binary(max_size=300), st.integers(0, 8 * len(BUNDLE) - 1).map(lambda bit: flipped(BUNDLE, bit))))
def test_garbage_raises_only_our_own_errors(data: bytes) -> None:
    for read in READERS:
        try:
            read(data)
        except ProtocolError:
            continue


def test_the_origin_of_a_log_names_network_and_publisher() -> None:
    assert check_name(origin_of(b"\x01\x02", b"\xab" * 20)) == "tocsin/0102/0x" + "ab" * 20


def test_a_head_needs_the_logs_own_signature() -> None:
    data = signed(HEAD, "brook", "cedar", "delta")
    with pytest.raises(SignatureError, match=r"signed by none of tocsin\.example/other"):
        verify_checkpoint(data, [verifier_key(bytes(32), "tocsin.example/other", Algorithm.ED25519)])
    with pytest.raises(SignatureError, match="signed by none of no logs"):
        verify_checkpoint(data, [])


def test_one_key_in_two_uses_does_not_mix_them() -> None:
    """A log's signature is no cosignature, and the other way round, though the key be the same."""
    as_witness = verifier_key(LOG_SECRET, ORIGIN, Algorithm.COSIGNATURE)
    assert as_witness.key_id != LOG_KEY.key_id
    assert not verify_checkpoint(signed(HEAD), [LOG_KEY], [as_witness]).cosigned
    text = encode_checkpoint(HEAD)
    cosigned = encode_note(Note(text, (cosign_note(text, LOG_SECRET, ORIGIN, TIME_S),)))
    with pytest.raises(SignatureError, match="signed by none"):
        verify_checkpoint(cosigned, [LOG_KEY], [as_witness])


def test_a_log_may_have_an_old_and_a_new_key() -> None:
    new = bytes(32)
    text = trust_text("1").replace("group", f"log {verifier_key(new, ORIGIN, Algorithm.ED25519)}\ngroup", 1)
    policy = decode_trust(text.encode())
    for secret in (LOG_SECRET, new):
        assert judge_head(signed(HEAD, "brook", secret=secret), policy).checkpoint == HEAD


def test_too_few_witnesses_are_named() -> None:
    with pytest.raises(ProofError, match="cosigned by brook, which is not the quorum 'peers'"):
        judge_head(signed(HEAD, "brook"), trust())
    with pytest.raises(ProofError, match="cosigned by nobody"):
        judge_head(signed(HEAD), trust())
    assert set(judge_head(signed(HEAD, *WITNESSES), trust()).cosigned) == set(map(witness_key, WITNESSES))


def test_a_witness_who_signs_twice_counts_once() -> None:
    note = sign_head(HEAD, LOG_SECRET)
    twice = (cosignature(HEAD, "brook"), cosignature(HEAD, "brook", TIME_S + 1))
    with pytest.raises(ProofError, match="cosigned by brook, which"):
        judge_head(encode_note(Note(note.text, (*note.signatures, *twice))), trust())


def test_a_false_signature_of_a_known_key_voids_the_note() -> None:
    note = sign_head(HEAD, LOG_SECRET)
    false = cosignature(head_of(entries(5)), "brook")
    data = encode_note(Note(note.text, (*note.signatures, false)))
    with pytest.raises(SignatureError, match=r"the signature of brook\.example/w does not verify"):
        judge_head(data, trust("1"))
    assert verify_note(decode_note(data), [LOG_KEY]) == {LOG_KEY: note.signatures[0]}


@pytest.mark.parametrize(
    "name", ["", "a b", "a+b", "a\nb", "a\u2003b", "a\u202eb", "\x7f", "à", "\ud800", "x" * (MAX_NAME_BYTES + 1)]
)
def test_a_name_that_no_note_can_carry_is_refused(name: str) -> None:
    with pytest.raises(DecodeError, match="name"):
        check_name(name)


def test_the_longest_name_and_every_letter_of_names_is_taken() -> None:
    assert check_name("x" * MAX_NAME_BYTES)
    assert check_name("".join(chr(letter) for letter in range(0x21, 0x7F) if letter != ord("+")))


def test_bounds_are_kept() -> None:
    for read, data in (
        (decode_note, b"x" * (MAX_NOTE_BYTES + 1)),
        (decode_trust, b"#" * (MAX_TRUST_BYTES + 1)),
        (decode_trust, b"\n" * MAX_TRUST_LINES),
        (decode_proof_bundle, b"x" * 300_000),
    ):
        with pytest.raises(DecodeError, match=r"at most|where"):
            read(data)
    large = BUNDLE.split(b"\n")
    large[1] = b"extra " + b"AAAA" * (MAX_ENTRY_BYTES // 3 + 1)
    with pytest.raises(OversizedError, match="an entry of"):
        decode_proof_bundle(b"\n".join(large))
    many = BUNDLE.split(b"\n")
    many[3:3] = [many[3]] * 63
    with pytest.raises(DecodeError, match="hashes where at most 63"):
        decode_proof_bundle(b"\n".join(many))


@pytest.mark.parametrize("time_s", [-1, MAX_TIMESTAMP_S + 1])
def test_no_cosignature_at_a_time_that_cannot_be_told(time_s: int) -> None:
    with pytest.raises(DecodeError, match="a cosignature at"):
        cosign_note("x\n", secret_of("brook"), "brook.example/w", time_s)


@pytest.mark.parametrize("at_ms", [-1, 2**53])
def test_an_entry_at_a_time_that_cannot_be_told_is_refused(at_ms: int) -> None:
    with pytest.raises(DecodeError, match="outside"):
        encode_entry(at_ms, "node", b"", encode_canonical({}))


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ([1, "decision", b"", {}, 0], "list of 4"),
        ([1, "rumour", b"", {}], "kind is 'rumour'"),
        ([True, "decision", b"", {}], "time"),
        ([1, "decision", "x", {}], "reference"),
        ([1, "decision", b"x" * 33, {}], "reference"),
        ([1, "decision", b"", b""], "detail"),
    ],
)
def test_an_entry_of_another_form_is_refused(entry: list[object], why: str) -> None:
    with pytest.raises(DecodeError, match=why):
        decode_entry(0, encode_canonical(entry))


def test_the_largest_detail_fits_an_entry_and_a_larger_has_a_stand_in() -> None:
    detail = encode_canonical({"x": bytes(MAX_DETAIL_BYTES - 8)})
    assert MAX_DETAIL_BYTES - 8 < len(detail) <= MAX_DETAIL_BYTES
    longest = max(EntryKind, key=len).value
    assert len(encode_entry(2**53 - 1, longest, b"\xff" * 32, detail)) <= MAX_ENTRY_BYTES
    assert len(stand_in(detail)) < 64


def test_a_split_view_is_against_the_holder_of_the_key_alone() -> None:
    split = split_of(entries(7), [b"another", *entries(11)[1:]])
    other = verifier_key(bytes(32), ORIGIN, Algorithm.ED25519)
    with pytest.raises(SignatureError):
        verify_split_view(split, other)


def test_flipping_any_bit_of_a_split_view_is_seen() -> None:
    data = encode_split_view(split_of(entries(7), [b"another", *entries(11)[1:]]))
    verify_split_view(decode_split_view(data), LOG_KEY)
    for bit in range(8 * len(data)):
        with pytest.raises(ProtocolError):
            verify_split_view(decode_split_view(flipped(data, bit)), LOG_KEY)
