"""Records of drills."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_kit import NOW_MS, Feed
from tocsin_protocol.drill import (
    DrillRecord,
    DrillStage,
    decode_record,
    encode_record,
    percentile,
    sign_record,
    verify_record,
)
from tocsin_protocol.encoding import encode_canonical
from tocsin_protocol.errors import DecodeError, ProtocolError, SignatureError

ALBA = Feed("alba")
RECORD = DrillRecord(
    drill=b"\1" * 32,
    publisher=Feed("brook").publisher,
    node=ALBA.publisher,
    hook="drill-vault",
    outcome="effective",
    stages=tuple((stage, NOW_MS + 100 * place) for place, stage in enumerate(DrillStage)),
)


def test_a_record_is_read_as_it_was_signed() -> None:
    body, signature = sign_record(ALBA.secret, RECORD)
    assert verify_record(ALBA.key, body, signature) == RECORD
    assert RECORD.ttc_ms == 600
    assert RECORD.after_publication_ms(DrillStage.DECIDED) == 200


def test_a_drill_without_effect_has_no_time_to_containment() -> None:
    stages = RECORD.stages[:3]
    assert replace(RECORD, stages=stages, outcome="lapsed").ttc_ms is None
    assert replace(RECORD, stages=stages).after_publication_ms(DrillStage.SIGNED) is None


def test_another_key_or_another_body_is_refused() -> None:
    body, signature = sign_record(ALBA.secret, RECORD)
    with pytest.raises(SignatureError):
        verify_record(Feed("brook").key, body, signature)
    with pytest.raises(SignatureError):
        verify_record(ALBA.key, encode_record(replace(RECORD, hook="other")), signature)


@pytest.mark.parametrize(
    "stages",
    [
        [["heard", 1], ["published", 2]],
        [["heard", 1], ["heard", 2]],
        [["arrived", 1]],
        [["heard", -1]],
        [],
        [["heard"]],
    ],
)
def test_stages_stand_once_and_in_order(stages: list[object]) -> None:
    fields = {
        "drill": RECORD.drill,
        "hook": RECORD.hook,
        "node": RECORD.node,
        "outcome": RECORD.outcome,
        "publisher": RECORD.publisher,
    }
    with pytest.raises(DecodeError):
        decode_record(encode_canonical(fields | {"stages": stages}))


@given(st.binary(max_size=200))
def test_garbage_raises_only_our_own_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_record(data)


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([], 50, None),
        ([7], 1, 7),
        ([7], 99, 7),
        ([4, 1, 3, 2], 50, 2),
        ([4, 1, 3, 2], 99, 4),
        (list(range(1, 101)), 90, 90),
    ],
)
def test_a_percentile_is_a_time_that_was_measured(values: list[int], percent: int, expected: int | None) -> None:
    assert percentile(values, percent) == expected
