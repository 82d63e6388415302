from __future__ import annotations

import pytest
from tocsin_node.chain.quotes import choose_nonce
from tocsin_node.chain.receipts import Receipt, Standing, View, judge


@pytest.mark.parametrize(
    ("nonces", "floor", "nonce"),
    [([5], 0, 5), ([5, 99], 0, 5), ([4, 5], 5, 5), ([99, 5, 5], 0, 5), ([4, 4], 5, 5), ([5, 6, 6], 0, 6)],
)
def test_the_nonce_is_what_most_say_and_never_one_that_is_used(nonces: list[int], floor: int, nonce: int) -> None:
    assert choose_nonce(nonces, floor) == nonce


OURS = b"\x11" * 32
RECEIPT = Receipt(hash=OURS, block_hash=b"\x22" * 32, block_number=10, is_success=True)
OTHER_BLOCK = Receipt(hash=OURS, block_hash=b"\x33" * 32, block_number=10, is_success=True)
REVERTED = Receipt(hash=OURS, block_hash=b"\x22" * 32, block_number=10, is_success=False)
FOREIGN = Receipt(hash=b"\x99" * 32, block_hash=b"\x22" * 32, block_number=10, is_success=True)


def seen(receipt: Receipt | None, *, head: int = 10, mined: int = 1) -> View:
    return View(head=head, mined_nonces=mined, receipt=receipt)


@pytest.mark.parametrize(
    ("views", "witnesses", "depth", "standing", "note"),
    [
        ([], 1, 1, Standing.PENDING, "no endpoint answers"),
        ([seen(None, mined=0)], 1, 1, Standing.PENDING, "not in a block"),
        ([seen(RECEIPT)], 1, 1, Standing.SETTLED, ""),
        ([seen(RECEIPT)], 1, 2, Standing.SEEN, "not yet 2 deep"),
        ([seen(RECEIPT, head=11)], 1, 2, Standing.SETTLED, ""),
        ([seen(RECEIPT)], 2, 1, Standing.PENDING, "2 are wanted, 1 answer"),
        ([seen(RECEIPT), seen(None, mined=0)], 2, 1, Standing.PENDING, "unknown to the others"),
        ([seen(RECEIPT), seen(RECEIPT)], 2, 1, Standing.SETTLED, ""),
        ([seen(RECEIPT), seen(OTHER_BLOCK)], 2, 1, Standing.PENDING, "disagree"),
        ([seen(RECEIPT), seen(REVERTED)], 2, 1, Standing.PENDING, "disagree"),
        ([seen(RECEIPT), seen(RECEIPT), seen(OTHER_BLOCK)], 2, 1, Standing.SETTLED, ""),
        ([seen(RECEIPT), seen(RECEIPT, head=9)], 2, 1, Standing.SEEN, ""),
        ([seen(None, mined=1)], 1, 1, Standing.NONCE_USED, "nonce 0 was used"),
        ([seen(None, mined=1), seen(None, mined=0)], 2, 1, Standing.PENDING, "not in a block"),
        ([seen(None, mined=1)], 2, 1, Standing.PENDING, "not in a block"),
        ([seen(FOREIGN, mined=0)], 1, 1, Standing.PENDING, "not in a block"),
    ],
)
def test_a_nonce_stands_where_enough_endpoints_agree(
    views: list[View], witnesses: int, depth: int, standing: Standing, note: str
) -> None:
    outlook = judge(views, 0, [OURS], witnesses=witnesses, depth=depth)
    assert outlook.standing is standing
    assert note in outlook.note
    assert outlook.answered == len(views)
