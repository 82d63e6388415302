"""Feeds and equivocation: every break in a chain is a gap or a proof, and nobody can be framed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_kit import DOMAIN, Feed, make_signal, make_standard
from strategies_kit import FIXED, garbage_or
from tocsin_protocol.encoding import decode_canonical, encode_canonical
from tocsin_protocol.envelope import MAX_ENVELOPE_BYTES, Envelope, decode_envelope
from tocsin_protocol.errors import DecodeError, SignatureError
from tocsin_protocol.feed import (
    MAX_PROOF_BYTES,
    Position,
    chain_position,
    decode_equivocation,
    encode_equivocation,
    verify_equivocation,
)

ALBA = Feed("alba")
CHAIN = ALBA.seal_many(4)
FORK = ALBA.seal_at(2, CHAIN[0].digest, make_standard(incident="fork"))
PROOF = encode_equivocation(CHAIN[1], FORK)


@FIXED
@given(st.permutations(range(4)), st.integers(1, 4))
def test_an_honest_chain_in_any_order_is_never_an_equivocation(order: list[int], held_count: int) -> None:
    held: dict[int, Envelope] = {}
    for place in order:
        envelope = CHAIN[place]
        assert position_in(held, envelope) in (Position.LINKED, Position.UNLINKED)
        held[envelope.sequence] = envelope
        assert position_in(held, envelope) is Position.DUPLICATE
    assert held_count


def position_in(held: dict[int, Envelope], envelope: Envelope) -> Position:
    same, before = held.get(envelope.sequence), held.get(envelope.sequence - 1)
    return chain_position(
        envelope,
        same=same.digest if same else None,
        before=before.digest if before else None,
        after=held.get(envelope.sequence + 1),
    )


@FIXED
@given(st.permutations(range(5)))
def test_a_fork_is_found_in_any_order_and_always_proven(order: list[int]) -> None:
    held: dict[int, Envelope] = {}
    proofs = []
    for place in order:
        envelope = [*CHAIN, FORK][place]
        if position_in(held, envelope) is not Position.EQUIVOCATION:
            held[envelope.sequence] = envelope
            continue
        neighbours = (held.get(envelope.sequence + step) for step in (0, -1, 1))
        for other in neighbours:
            if other is not None:
                try:
                    proofs.append(encode_equivocation(envelope, other))
                except DecodeError:
                    continue
    assert proofs
    for proof in proofs:
        verify_equivocation(DOMAIN, ALBA.key, proof)


def test_a_proof_does_not_depend_on_who_makes_it() -> None:
    assert encode_equivocation(FORK, CHAIN[1]) == PROOF
    assert len(PROOF) <= MAX_PROOF_BYTES


@FIXED
@given(garbage_or(PROOF))
def test_no_changed_proof_speaks_against_anybody(data: bytes) -> None:
    if data == PROOF:
        return
    with pytest.raises((DecodeError, SignatureError)):
        verify_equivocation(DOMAIN, ALBA.key, data)


def test_honest_signals_prove_nothing() -> None:
    pairs = [(a, b) for a in CHAIN for b in CHAIN if a.sequence <= b.sequence]
    for one, other in pairs:
        with pytest.raises(DecodeError):
            encode_equivocation(one, other)
        with pytest.raises(DecodeError):
            decode_equivocation(DOMAIN, encode_canonical([one.encoded, other.encoded]))


def test_lanes_do_not_contradict_each_other() -> None:
    brook = Feed("brook")
    with pytest.raises(DecodeError):
        encode_equivocation(brook.seal(make_signal()), brook.seal(make_standard()))


def test_two_signatures_of_one_signal_prove_nothing() -> None:
    """ECDSA allows many signatures of one digest: they are one signal."""
    fields = decode_canonical(CHAIN[1].encoded, max_bytes=MAX_ENVELOPE_BYTES)
    twin = decode_envelope(DOMAIN, encode_canonical([*fields[:6], FORK.signature]))
    assert twin.digest == CHAIN[1].digest
    assert chain_position(twin, same=CHAIN[1].digest, before=None, after=None) is Position.DUPLICATE
    with pytest.raises(DecodeError):
        encode_equivocation(CHAIN[1], twin)


def test_a_thief_of_the_name_alone_cannot_frame_its_owner() -> None:
    thief = Feed("thief")
    fields = decode_canonical(FORK.encoded, max_bytes=MAX_ENVELOPE_BYTES)
    forged = decode_envelope(
        DOMAIN, encode_canonical([*fields[:6], thief.seal_at(2, CHAIN[0].digest, make_standard()).signature])
    )
    proof = encode_equivocation(CHAIN[1], forged)
    for key in (ALBA.key, thief.key):
        with pytest.raises(SignatureError):
            verify_equivocation(DOMAIN, key, proof)


def test_a_proof_of_one_key_is_not_one_of_another() -> None:
    """Both envelopes name alba and are signed by the thief: with his key the signatures verify."""
    thief = Feed("thief")
    one, other = (thief.seal_at(2, b"\x01" * 32, make_standard(incident=name)) for name in ("one", "other"))
    proof = encode_equivocation(one, other)
    verify_equivocation(DOMAIN, thief.key, proof)
    with pytest.raises(SignatureError, match="not its publisher's"):
        verify_equivocation(DOMAIN, ALBA.key, proof)
