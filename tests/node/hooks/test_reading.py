from __future__ import annotations

import pytest
from tocsin_node.chain.errors import RpcRefused
from tocsin_node.hooks.reading import _agree


@pytest.mark.parametrize(
    ("results", "witnesses", "agreed"),
    [
        (["0x1"], 1, "0x1"),
        (["0x1"], 2, None),
        (["0x1", "0x2"], 2, None),
        (["0x1", "0x1"], 2, "0x1"),
        (["0x1", "0x2", "0x1"], 2, "0x1"),
        (["0x1", "0x1", "0x2", "0x2"], 2, None),
        (["0x1", "0x2", "0x3"], 2, None),
        ([{"hash": 1}, {"hash": 1}, {"hash": 2}], 2, {"hash": 1}),
        ([], 1, None),
    ],
)
def test_most_are_believed_and_never_one_against_another(results: list[object], witnesses: int, agreed: object) -> None:
    assert _agree(results, witnesses) == agreed


def test_refusals_that_decode_to_the_same_are_the_same() -> None:
    data = "0xd93c0665"
    refusal = _agree([RpcRefused(3, "execution reverted", data), RpcRefused(-32000, "reverted", data)], 2)
    assert isinstance(refusal, RpcRefused)
    assert _agree([RpcRefused(3, "execution reverted", data), "0x"], 2) is None
