"""Heartbeats: heads, heights and coverage, and nothing that tells an attacker who is disarmed (specs/gossip.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .encoding import decode_canonical, encode_canonical
from .errors import DecodeError
from .feed import FeedHead
from .fields import check_unique, enum_of, id_of, list_of, map_of, uint_of
from .ids import check_chain_id
from .log.witness import Growth, growth_fields, growth_of_fields
from .sync import decode_head_list
from .taxonomy import Category

HEARTBEAT_INTERVAL_MS = 15_000
MAX_HEARTBEAT_BYTES = 64 * 1024
MAX_CHAINS = 64
MAX_COSIGNED = 32
MAX_HEAD_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A publisher's own feed heads, roster epoch, chain heights and the categories its detectors cover.

    `log` is how its log has grown, and `cosigned` the heads of others' logs that it keeps; neither is opened here.
    """

    sent_ms: int
    epoch: int
    heads: tuple[FeedHead, ...]
    heights: tuple[tuple[str, int], ...]
    coverage: tuple[Category, ...]
    log: Growth | None = None
    cosigned: tuple[bytes, ...] = ()


def encode_heartbeat(beat: Heartbeat) -> bytes:
    """The canonical bytes of a heartbeat."""
    fields: dict[str, Any] = {
        "coverage": [str(category) for category in beat.coverage],
        "epoch": beat.epoch,
        "heads": [[h.publisher, h.lane, h.sequence, h.digest] for h in beat.heads],
        "heights": [[chain, height] for chain, height in beat.heights],
        "sent": beat.sent_ms,
    }
    if beat.log is not None:
        fields["log"] = growth_fields(beat.log)
    if beat.cosigned:
        fields["cosigned"] = list(beat.cosigned)
    return encode_canonical(fields)


def decode_heartbeat(data: bytes) -> Heartbeat:
    """Parse a heartbeat; raises DecodeError."""
    value = decode_canonical(data, max_bytes=MAX_HEARTBEAT_BYTES)
    names = ("cosigned", "coverage", "epoch", "heads", "heights", "log", "sent")
    fields = map_of("heartbeat", value, names, frozenset(("cosigned", "log")))
    heights = [list_of("height", pair, 2, 2) for pair in list_of("heights", fields["heights"], 0, MAX_CHAINS)]
    coverage = list_of("coverage", fields["coverage"], 0, len(Category))
    check_unique("chain", [chain for chain, _ in heights if type(chain) is str])
    check_unique("category", [category for category in coverage if type(category) is str])
    return Heartbeat(
        sent_ms=uint_of("sent", fields["sent"]),
        epoch=uint_of("epoch", fields["epoch"]),
        heads=decode_head_list(fields["heads"]),
        heights=tuple((id_of("height chain", c, check_chain_id), uint_of("height", h)) for c, h in heights),
        coverage=tuple(enum_of("coverage", category, Category) for category in coverage),
        log=_decode_log(fields["log"]) if "log" in fields else None,
        cosigned=_decode_cosigned(fields["cosigned"]) if "cosigned" in fields else (),
    )


def _decode_log(value: Any) -> Growth:
    growth = growth_of_fields(value)
    _head_of("log", growth.checkpoint)
    return growth


def _decode_cosigned(value: Any) -> tuple[bytes, ...]:
    return tuple(_head_of("cosigned", head) for head in list_of("cosigned", value, 1, MAX_COSIGNED))


def _head_of(where: str, value: Any) -> bytes:
    if type(value) is not bytes or not 1 <= len(value) <= MAX_HEAD_BYTES:
        raise DecodeError(f"{where} has a head that is not 1…{MAX_HEAD_BYTES} bytes")
    return value
