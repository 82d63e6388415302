"""What the refusals of all endpoints mean together."""

from __future__ import annotations

import pytest
import trio
from tocsin_node.chain.broadcasts import Broadcast, Refusal, Sending
from tocsin_node.chain.errors import RpcRefused, RpcUnavailable

DOWN = RpcUnavailable("rpc.example: ConnectError")


def refused(message: str) -> RpcRefused:
    return RpcRefused(-32000, message)


POOR = refused("insufficient funds for gas * price + value: balance 0")
BUSY = RpcRefused(-32005, "daily request count exceeded, request rate limited")
CHEAP = refused("replacement transaction underpriced")
USED = refused("nonce too low: next nonce 5, tx nonce 3")


async def judge(*reports: Refusal | None, endpoints: int | None = None) -> Broadcast:
    send, receive = trio.open_memory_channel[Refusal | None](len(reports))
    for report in reports:
        send.send_nowait(report)
    return await Sending(receive, len(reports), endpoints or len(reports)).wait()


async def test_one_endpoint_that_accepts_is_enough() -> None:
    assert await judge(POOR, None) == Broadcast(True, False, False, "")


@pytest.mark.parametrize(
    "message",
    ["InsufficientFunds, Balance is 0", "Upfront cost exceeds account balance", "intrinsic gas too low", POOR.message],
)
async def test_what_the_same_bytes_cannot_mend_is_refused_by_all(message: str) -> None:
    assert (await judge(refused(message), refused(message))).is_refused_by_all


@pytest.mark.parametrize("other", [DOWN, BUSY, USED, CHEAP, refused("header not found"), refused("internal error")])
async def test_anything_else_may_pass(other: Refusal) -> None:
    assert not (await judge(other, other)).is_refused_by_all
    assert not (await judge(POOR, other)).is_refused_by_all


async def test_an_endpoint_that_was_not_even_asked_has_not_refused() -> None:
    assert not (await judge(POOR, endpoints=2)).is_refused_by_all


async def test_too_low_a_price_is_told_and_is_no_firm_refusal() -> None:
    low = refused("max fee per gas less than block base fee: insufficient funds")
    found = await judge(low, DOWN)
    assert (found.is_underpriced, found.is_refused_by_all) == (True, False)


async def test_the_reason_is_the_firm_one_before_others() -> None:
    assert (await judge(DOWN, BUSY, POOR)).reason == str(POOR)
    assert (await judge(DOWN, BUSY)).reason == str(BUSY)
    assert (await judge(DOWN)).reason == str(DOWN)
