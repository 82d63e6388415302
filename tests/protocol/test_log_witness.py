"""A witness cosigns growth and nothing else, and what it cannot cosign it can prove."""

from __future__ import annotations

import random
from typing import Any

import pytest
import vectors_log
from hypothesis import given
from hypothesis import strategies as st
from log_kit import LOG_KEY, entries, growth_of, head_of, signed
from strategies_kit import FIXED
from tocsin_protocol.encoding import encode_canonical
from tocsin_protocol.errors import DecodeError, ProofError, ProtocolError, SignatureError
from tocsin_protocol.log.note import Algorithm, verifier_key
from tocsin_protocol.log.split_view import decode_split_view, encode_split_view, verify_split_view
from tocsin_protocol.log.witness import Answer, Growth, decode_growth, encode_growth, judge_growth

MOST = 40


def test_every_growth_of_an_honest_log_is_cosigned() -> None:
    for old in range(MOST):
        kept = signed(head_of(entries(old)))
        for size in range(old, MOST):
            judged = judge_growth(kept, growth_of(old, entries(size)), LOG_KEY)
            assert judged.answer is Answer.COSIGN
            assert judged.kept == signed(head_of(entries(size)))


def test_the_first_head_is_taken_as_it_is() -> None:
    first = growth_of(0, entries(9))
    assert judge_growth(None, first, LOG_KEY).kept == first.checkpoint


def test_every_split_is_proven_to_anybody() -> None:
    rng = random.Random(1)
    for old in range(1, MOST):
        kept = signed(head_of(entries(old)))
        for size in range(old, MOST, 3):
            forked = entries(size)
            forked[rng.randrange(old)] = b"another"
            judged = judge_growth(kept, growth_of(old, forked), LOG_KEY)
            assert (judged.answer, judged.kept) == (Answer.SPLIT, kept)
            assert judged.split is not None
            verify_split_view(decode_split_view(encode_split_view(judged.split)), LOG_KEY)


@pytest.mark.parametrize(("old", "size"), [(0, 3), (7, 6), (6, 9), (8, 9), (9, 9)])
def test_a_log_that_is_behind_hears_what_the_witness_keeps(old: int, size: int) -> None:
    kept = signed(head_of(entries(7)))
    judged = judge_growth(kept, growth_of(old, entries(size)), LOG_KEY)
    assert (judged.answer, judged.kept, judged.split) == (Answer.BEHIND, kept, None)


def test_a_path_that_leads_nowhere_is_refused_and_nothing_is_proven_by_it() -> None:
    """Else anybody who carries a head could make a log look split."""
    kept, honest = signed(head_of(entries(7))), growth_of(7, entries(20))
    for path in (honest.path[:-1], (*honest.path, bytes(32)), honest.path[::-1], (), (bytes(32),) * len(honest.path)):
        with pytest.raises(ProofError):
            judge_growth(kept, Growth(7, path, honest.checkpoint), LOG_KEY)


def test_a_head_of_another_is_refused() -> None:
    other = verifier_key(bytes(32), LOG_KEY.name, Algorithm.ED25519)
    with pytest.raises(SignatureError):
        judge_growth(None, growth_of(0, entries(3)), other)


@FIXED
@given(st.integers(0, 2**53 - 1), st.lists(st.binary(min_size=32, max_size=32), max_size=63), st.binary(max_size=200))
def test_growth_round_trips_and_its_path_proves_nothing_by_itself(old: int, path: list[bytes], note: bytes) -> None:
    told = Growth(old, tuple(path), note)
    assert decode_growth(encode_growth(told)) == told
    kept = signed(head_of(entries(7)))
    try:
        judged = judge_growth(kept, Growth(old, tuple(path), signed(head_of(entries(20)))), LOG_KEY)
    except ProtocolError:
        return
    assert judged.answer is Answer.BEHIND


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in vectors_log.witness()["cases"]])
def test_the_vectors_are_answered(case: dict[str, Any]) -> None:
    kept, told = case["kept"], decode_growth(bytes.fromhex(case["growth"]))
    before = None if kept is None else kept.encode()
    if case["answer"] is None:
        with pytest.raises((ProofError, SignatureError)):
            judge_growth(before, told, LOG_KEY)
    else:
        assert judge_growth(before, told, LOG_KEY).answer.value == case["answer"]


@pytest.mark.parametrize("value", [[], [0, [], "x"], [0, [b"short"], b""], [-0.5, [], b""], [0, [bytes(32)] * 64, b""]])
def test_a_growth_of_another_form_is_refused(value: list[object]) -> None:
    with pytest.raises(DecodeError):
        decode_growth(encode_canonical(value))
