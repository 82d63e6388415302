"""Catching up: heads, ranges, rosters and proofs over one request and one response (specs/sync.md)."""

from __future__ import annotations

from dataclasses import dataclass

from .encoding import decode_canonical, encode_canonical
from .errors import DecodeError
from .feed import FeedHead
from .fields import bytes_of, list_of, uint_of
from .ids import DIGEST_BYTES, PUBLISHER_BYTES
from .taxonomy import LANES

MAX_SYNC_REQUEST_BYTES = 1024
MAX_SYNC_RESPONSE_BYTES = 1024 * 1024
MAX_RANGE_ENVELOPES = 1024
MAX_RANGE_BYTES = 512 * 1024
MAX_HEADS = 4096
MAX_ROSTERS_PER_RESPONSE = 4
MAX_PROOFS = 16
MAX_LOG_ITEMS = 1

# The longest heads msgpack puts before a list and before bytes.
_LIST_HEAD_BYTES, _ITEM_HEAD_BYTES = 5, 5


@dataclass(frozen=True, slots=True)
class HeadsRequest:
    """What feeds do you hold, up to where, and which roster epoch?"""


@dataclass(frozen=True, slots=True)
class RangeRequest:
    """Which signals do you hold of a feed, `first` to `last` inclusive?"""

    publisher: bytes
    lane: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class RostersRequest:
    """Signed rosters from `first_epoch` on."""

    first_epoch: int


@dataclass(frozen=True, slots=True)
class ProofsRequest:
    """Proofs of equivocation, after the first `skip`."""

    skip: int


@dataclass(frozen=True, slots=True)
class GrowthRequest:
    """How has your own log grown since it had `old` entries?"""

    old: int


@dataclass(frozen=True, slots=True)
class WitnessedRequest:
    """Which head do you keep of this publisher's log?"""

    publisher: bytes


Request = HeadsRequest | RangeRequest | RostersRequest | ProofsRequest | GrowthRequest | WitnessedRequest


@dataclass(frozen=True, slots=True)
class HeadsResponse:
    """The highest signal held of each feed (gaps below it are possible), and counts of rosters and proofs."""

    epoch: int
    proofs: int
    heads: tuple[FeedHead, ...]


@dataclass(frozen=True, slots=True)
class ItemsResponse:
    """Encoded envelopes in rising sequence, signed rosters in rising epoch, proofs, or one growth or head, as asked."""

    items: tuple[bytes, ...]


def encode_request(request: Request) -> bytes:
    """The wire form of a request."""
    match request:
        case HeadsRequest():
            fields: list[object] = ["heads"]
        case RangeRequest(publisher, lane, first, last):
            fields = ["range", publisher, lane, first, last]
        case RostersRequest(first_epoch):
            fields = ["rosters", first_epoch]
        case ProofsRequest(skip):
            fields = ["proofs", skip]
        case GrowthRequest(old):
            fields = ["growth", old]
        case WitnessedRequest(publisher):
            fields = ["witnessed", publisher]
    return encode_canonical(fields)


def decode_request(data: bytes) -> Request:
    """Parse a request; raises DecodeError."""
    fields = list_of("request", decode_canonical(data, max_bytes=MAX_SYNC_REQUEST_BYTES), 1, 5)
    match fields:
        case ["heads"]:
            return HeadsRequest()
        case ["range", publisher, lane, first, last]:
            start = uint_of("first", first, 1)
            return RangeRequest(
                bytes_of("publisher", publisher, PUBLISHER_BYTES),
                uint_of("lane", lane, 0, len(LANES) - 1),
                start,
                uint_of("last", last, start),
            )
        case ["rosters", first_epoch]:
            return RostersRequest(uint_of("first epoch", first_epoch))
        case ["proofs", skip]:
            return ProofsRequest(uint_of("skip", skip))
        case ["growth", old]:
            return GrowthRequest(uint_of("old", old))
        case ["witnessed", publisher]:
            return WitnessedRequest(bytes_of("publisher", publisher, PUBLISHER_BYTES))
    raise DecodeError("request is of no known kind")


def encode_heads(response: HeadsResponse) -> bytes:
    """The wire form of heads."""
    heads = [[h.publisher, h.lane, h.sequence, h.digest] for h in response.heads]
    return encode_canonical([response.epoch, response.proofs, heads])


def decode_heads(data: bytes) -> HeadsResponse:
    """Parse heads; raises DecodeError."""
    fields = decode_canonical(data, max_bytes=MAX_SYNC_RESPONSE_BYTES, max_items=MAX_HEADS)
    epoch, proofs, heads = list_of("heads response", fields, 3, 3)
    return HeadsResponse(uint_of("epoch", epoch), uint_of("proofs", proofs), decode_head_list(heads))


def decode_head_list(value: object) -> tuple[FeedHead, ...]:
    """Heads as they stand in sync responses and heartbeats; raises DecodeError."""
    heads = []
    for item in list_of("heads", value, 0, MAX_HEADS):
        publisher, lane, sequence, digest = list_of("head", item, 4, 4)
        heads.append(
            FeedHead(
                bytes_of("head publisher", publisher, PUBLISHER_BYTES),
                uint_of("head lane", lane, 0, len(LANES) - 1),
                uint_of("head sequence", sequence, 1),
                bytes_of("head digest", digest, DIGEST_BYTES),
            )
        )
    if len({(h.publisher, h.lane) for h in heads}) != len(heads):
        raise DecodeError("the same feed stands twice in the heads")
    return tuple(heads)


def encode_items(response: ItemsResponse) -> bytes:
    """The wire form of items: as many from the first on as one response may hold."""
    size = _LIST_HEAD_BYTES
    fitting = []
    for item in response.items:
        size += _ITEM_HEAD_BYTES + len(item)
        if size > MAX_SYNC_RESPONSE_BYTES:
            break
        fitting.append(item)
    return encode_canonical(fitting)


def decode_items(data: bytes, most: int) -> ItemsResponse:
    """Parse up to `most` items, unopened; raises DecodeError."""
    value = decode_canonical(data, max_bytes=MAX_SYNC_RESPONSE_BYTES, max_items=MAX_RANGE_ENVELOPES)
    items = list_of("items", value, 0, most)
    if any(type(item) is not bytes for item in items):
        raise DecodeError("items hold something else than byte strings")
    return ItemsResponse(tuple(items))
