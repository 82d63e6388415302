"""What a ledger is beside its anchor: named cases, in the manner of the slashing protection tests of EIP-3076."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tocsin_protocol.containment.ledger import (
    LEDGER_ID_BYTES,
    MAY_ACT,
    SLOT_BYTES,
    LedgerMark,
    LedgerStanding,
    decode_mark,
    encode_mark,
    join_marks,
    judge_ledger,
    new_anchor,
    next_slot,
    read_newest,
)
from tocsin_protocol.encoding import encode_canonical
from tocsin_protocol.errors import DecodeError

OURS, OTHER = b"o" * LEDGER_ID_BYTES, b"x" * LEDGER_ID_BYTES
CASES: list[dict[str, Any]] = [
    {"name": "first start", "anchor": None, "found": (OURS, 0, {}), "is": "fresh"},
    {"name": "started once and never armed", "anchor": (OURS, 0, {}), "found": (OURS, 0, {}), "is": "fresh"},
    {"name": "made anew before anything was armed", "anchor": (OTHER, 0, {}), "found": (OURS, 0, {}), "is": "fresh"},
    {"name": "the usual restart", "anchor": (OURS, 7, {"a": 3}), "found": (OURS, 7, {"a": 3}), "is": "continuous"},
    {"name": "cut before the anchor", "anchor": (OURS, 7, {"a": 3}), "found": (OURS, 8, {"a": 4}), "is": "continuous"},
    {"name": "anchor lost", "anchor": None, "found": (OURS, 7, {"a": 3}), "is": "unanchored"},
    {"name": "database lost", "anchor": (OURS, 7, {"a": 3}), "found": (OTHER, 0, {}), "is": "emptied"},
    {"name": "another database", "anchor": (OURS, 7, {"a": 3}), "found": (OTHER, 9, {"a": 4}), "is": "foreign"},
    {"name": "copy before the last intent", "anchor": (OURS, 7, {"a": 3}), "found": (OURS, 6, {"a": 3}), "is": "older"},
    {"name": "copy before anything", "anchor": (OURS, 7, {"a": 3}), "found": (OURS, 0, {}), "is": "older"},
    {"name": "copy that went on elsewhere", "anchor": (OURS, 7, {"a": 3}), "found": (OURS, 9, {"a": 2}), "is": "older"},
    {"name": "copy without a hook", "anchor": (OURS, 7, {"a": 3}), "found": (OURS, 9, {"b": 4}), "is": "older"},
]  # fmt: skip


def mark(value: tuple[bytes, int, dict[str, int]]) -> LedgerMark:
    ledger, sequence, epochs = value
    return LedgerMark(ledger, sequence, tuple(sorted(epochs.items())))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"].replace(" ", "-"))
def test_a_ledger_beside_its_anchor_is(case: dict[str, Any]) -> None:
    anchor = None if case["anchor"] is None else mark(case["anchor"])
    assert judge_ledger(anchor, mark(case["found"])) is LedgerStanding(case["is"])


def test_every_standing_has_a_case_and_two_may_act() -> None:
    assert {case["is"] for case in CASES} == set(LedgerStanding)
    assert {LedgerStanding.FRESH, LedgerStanding.CONTINUOUS} == MAY_ACT


ids = st.sampled_from([OURS, OTHER])
marks = st.builds(
    LedgerMark,
    ids,
    st.integers(0, 2**53 - 2),
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 9)).map(lambda epochs: tuple(sorted(epochs.items()))),
)


@given(marks)
def test_what_is_written_is_what_is_read(written: LedgerMark) -> None:
    assert decode_mark(encode_mark(written)) == written


@given(marks, marks)
def test_a_confirmed_ledger_is_above_both_and_older_than_neither(anchor: LedgerMark, found: LedgerMark) -> None:
    joined = join_marks(anchor, found, b"n" * LEDGER_ID_BYTES)
    assert joined.sequence > max(anchor.sequence, found.sequence)
    for hook, epoch in (*anchor.epochs, *found.epochs):
        assert dict(joined.epochs)[hook] >= epoch
    # whichever of the two turns up again is seen to be another
    assert judge_ledger(joined, found) not in MAY_ACT
    assert judge_ledger(joined, joined) is LedgerStanding.CONTINUOUS


@given(marks, marks, st.integers(0, 2 * SLOT_BYTES - 1), st.integers(0, SLOT_BYTES))
def test_a_torn_anchor_tells_of_the_mark_before_or_of_the_new_one(
    before: LedgerMark, after: LedgerMark, torn_at: int, kept: int
) -> None:
    anchor = bytearray(new_anchor(before))
    assert read_newest(bytes(anchor)) == before
    offset, data = next_slot(bytes(anchor), after)
    anchor[offset : offset + min(kept, len(data))] = data[:kept]
    assert read_newest(bytes(anchor)) == (after if kept >= len(data) else before)
    anchor[offset : offset + len(data)] = data
    assert read_newest(bytes(anchor)) == after
    assert len(anchor) == 2 * SLOT_BYTES
    # the next one goes where the first stood
    assert next_slot(bytes(anchor), before)[0] == SLOT_BYTES - offset
    anchor[torn_at] ^= 1
    assert read_newest(bytes(anchor)) in (before, after)


@pytest.mark.parametrize("anchor", [b"", b"\0" * 20, b"\xff" * 2 * SLOT_BYTES])
def test_what_has_no_whole_slot_is_no_anchor(anchor: bytes) -> None:
    with pytest.raises(DecodeError, match="neither of its slots is whole"):
        read_newest(anchor)


def test_a_mark_too_long_for_its_slot_is_refused() -> None:
    hooks = tuple((f"hook-{number:04}", 1) for number in range(2000))
    with pytest.raises(DecodeError, match="are the most"):
        new_anchor(LedgerMark(OURS, 1, hooks))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"ledger": b"short"}, "anchor.ledger"),
        ({"ledger": "text"}, "anchor.ledger"),
        ({"sequence": True}, "anchor.sequence"),
        ({"epochs": {"a": "1"}}, "anchor.epochs"),
        ({"epochs": []}, "anchor.epochs"),
        ({"more": 1}, "unknown key 'more'"),
    ],
)
def test_an_anchor_that_is_not_one_is_refused(changes: dict[str, Any], named: str) -> None:
    good = {"epochs": {"a": 1}, "ledger": OURS, "sequence": 1}
    with pytest.raises(DecodeError, match=named):
        decode_mark(encode_canonical(good | changes))
    with pytest.raises(DecodeError):
        decode_mark(encode_canonical(good)[:-1])
