"""Sync messages and heartbeats."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_kit import NOW_MS
from strategies_kit import FIXED, digests, garbage_or
from tocsin_protocol.encoding import encode_canonical
from tocsin_protocol.errors import DecodeError
from tocsin_protocol.feed import FeedHead
from tocsin_protocol.heartbeat import Heartbeat, decode_heartbeat, encode_heartbeat
from tocsin_protocol.roster_encoding import MAX_MEMBERS, MAX_PUBLISHERS_PER_MEMBER, MAX_ROSTER_BYTES
from tocsin_protocol.sync import (
    MAX_HEADS,
    MAX_RANGE_ENVELOPES,
    MAX_ROSTERS_PER_RESPONSE,
    MAX_SYNC_RESPONSE_BYTES,
    HeadsRequest,
    HeadsResponse,
    ItemsResponse,
    ProofsRequest,
    RangeRequest,
    Request,
    RostersRequest,
    decode_heads,
    decode_items,
    decode_request,
    encode_heads,
    encode_items,
    encode_request,
)
from tocsin_protocol.taxonomy import LANES, Category

publishers = st.binary(min_size=20, max_size=20)
sequences = st.integers(1, 2**53 - 1)
heads = st.builds(FeedHead, publishers, st.sampled_from(LANES), sequences, digests)
ranges = st.tuples(publishers, st.sampled_from(LANES), sequences, sequences).map(
    lambda r: RangeRequest(r[0], r[1], min(r[2:]), max(r[2:]))
)
requests = st.one_of(
    st.just(HeadsRequest()),
    ranges,
    st.builds(RostersRequest, st.integers(0, 2**53 - 1)),
    st.builds(ProofsRequest, st.integers(0, 2**53 - 1)),
)
BEAT = Heartbeat(NOW_MS, 1, (FeedHead(bytes(20), 0, 1, bytes(32)),), (("eip155:1", 5),), (Category.ASSET_DRAIN,))


@FIXED
@given(requests)
def test_requests_round_trip(request_: Request) -> None:
    assert decode_request(encode_request(request_)) == request_


@FIXED
@given(st.lists(heads, max_size=8, unique_by=lambda h: (h.publisher, h.lane)), st.integers(0, 9), st.integers(0, 9))
def test_heads_and_heartbeats_round_trip(found: list[FeedHead], epoch: int, proofs: int) -> None:
    response = HeadsResponse(epoch, proofs, tuple(found))
    assert decode_heads(encode_heads(response)) == response
    beat = Heartbeat(NOW_MS, epoch, tuple(found), (), ())
    assert decode_heartbeat(encode_heartbeat(beat)) == beat


@FIXED
@given(st.lists(st.binary(max_size=20), max_size=8))
def test_items_round_trip(items: list[bytes]) -> None:
    response = ItemsResponse(tuple(items))
    assert decode_items(encode_items(response), 8) == response


@FIXED
@given(garbage_or(encode_request(RangeRequest(bytes(20), 1, 1, 9))), garbage_or(encode_heartbeat(BEAT)))
def test_garbage_raises_only_ours(request_: bytes, beat: bytes) -> None:
    for decode, data in ((decode_request, request_), (decode_heads, beat), (decode_heartbeat, beat)):
        try:
            decode(data)
        except DecodeError:
            continue
    try:
        decode_items(request_, 4)
    except DecodeError:
        return


def test_heads_of_the_largest_network_fit_one_response() -> None:
    found = tuple(
        FeedHead(n.to_bytes(20, "big"), lane, 2**53 - 1, bytes(32)) for n in range(MAX_HEADS // 2) for lane in LANES
    )
    assert len(found) == MAX_HEADS == MAX_MEMBERS * MAX_PUBLISHERS_PER_MEMBER * len(LANES)
    encoded = encode_heads(HeadsResponse(0, 0, found))
    assert len(encoded) <= MAX_SYNC_RESPONSE_BYTES
    assert decode_heads(encoded).heads == found


def test_a_response_holds_as_many_items_as_fit() -> None:
    large = tuple(bytes([n]) * MAX_ROSTER_BYTES for n in range(MAX_ROSTERS_PER_RESPONSE))
    encoded = encode_items(ItemsResponse(large))
    assert len(encoded) <= MAX_SYNC_RESPONSE_BYTES
    assert decode_items(encoded, MAX_ROSTERS_PER_RESPONSE).items == large[:1]


def test_more_items_than_any_answer_has_are_refused() -> None:
    with pytest.raises(DecodeError):
        decode_items(encode_canonical([b""] * (MAX_RANGE_ENVELOPES + 1)), 10**6)
