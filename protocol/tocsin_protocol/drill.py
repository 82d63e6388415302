"""Drills: how long each stage of one took, signed by whoever measured it (specs/drills.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from .encoding import decode_canonical, encode_canonical
from .errors import DecodeError
from .fields import bytes_of, enum_of, list_of, map_of, text_of, uint_of
from .ids import DIGEST_BYTES, PUBLISHER_BYTES
from .signing import SIGNATURE_BYTES, keccak256, sign_digest, verify_digest

MAX_RECORD_BYTES = 1024
MAX_REPORTED = 1000
PERCENTILES = (50, 90, 99)
_DOMAIN = b"tocsin/slo/1"


class DrillStage(StrEnum):
    """The stages of the way, in their order. A webhook has no `signed` and no `included`."""

    PUBLISHED = "published"
    HEARD = "heard"
    DECIDED = "decided"
    SIGNED = "signed"
    BROADCAST = "broadcast"
    INCLUDED = "included"
    EFFECTIVE = "effective"


@dataclass(frozen=True, slots=True)
class DrillRecord:
    """What one node measured of one drill on one hook: when each stage was reached, in UTC ms.

    PUBLISHED is the publisher's clock, all others are the clock of `node`. `outcome` is the state the action came to.
    """

    drill: bytes
    publisher: bytes
    node: bytes
    hook: str
    outcome: str
    stages: tuple[tuple[DrillStage, int], ...]

    @property
    def ttc_ms(self) -> int | None:
        """Time to containment: from published to effective; None where it had no effect."""
        at = dict(self.stages)
        if DrillStage.EFFECTIVE not in at or DrillStage.PUBLISHED not in at:
            return None
        return at[DrillStage.EFFECTIVE] - at[DrillStage.PUBLISHED]

    def after_publication_ms(self, stage: DrillStage) -> int | None:
        """How long after publication a stage was reached."""
        at = dict(self.stages)
        return at[stage] - at[DrillStage.PUBLISHED] if stage in at and DrillStage.PUBLISHED in at else None


def encode_record(record: DrillRecord) -> bytes:
    """The canonical bytes of a record."""
    return encode_canonical(
        {
            "drill": record.drill,
            "hook": record.hook,
            "node": record.node,
            "outcome": record.outcome,
            "publisher": record.publisher,
            "stages": [[stage.value, at_ms] for stage, at_ms in record.stages],
        }
    )


def sign_record(secret: bytes, record: DrillRecord) -> tuple[bytes, bytes]:
    """The bytes of a record and the node's publisher's signature over them."""
    body = encode_record(record)
    return body, sign_digest(secret, keccak256(_DOMAIN + body))


def verify_record(public_key: bytes, body: bytes, signature: bytes) -> DrillRecord:
    """Check and read a record; raises DecodeError or SignatureError."""
    # [DRILL] A record is signed by the publisher of the node that measured it.
    verify_digest(public_key, keccak256(_DOMAIN + body), bytes_of("signature", signature, SIGNATURE_BYTES))
    return decode_record(body)


def decode_record(body: bytes) -> DrillRecord:
    """Read a record without its signature; raises DecodeError."""
    fields = map_of(
        "drill record",
        decode_canonical(body, max_bytes=MAX_RECORD_BYTES),
        ("drill", "hook", "node", "outcome", "publisher", "stages"),
    )
    pairs = [list_of("stage", pair, 2, 2) for pair in list_of("stages", fields["stages"], 1, len(DrillStage))]
    stages = tuple((enum_of("stage", stage, DrillStage), uint_of("time", at_ms)) for stage, at_ms in pairs)
    # [DRILL] Each stage stands at most once, in the order of the way.
    order = [list(DrillStage).index(stage) for stage, _ in stages]
    if sorted(set(order)) != order:
        raise DecodeError("drill record: a stage stands twice, or not in its order")
    return DrillRecord(
        bytes_of("drill", fields["drill"], DIGEST_BYTES),
        bytes_of("publisher", fields["publisher"], PUBLISHER_BYTES),
        bytes_of("node", fields["node"], PUBLISHER_BYTES),
        text_of("hook", fields["hook"]),
        text_of("outcome", fields["outcome"]),
        stages,
    )


def percentile(values: Sequence[int], percent: int) -> int | None:
    """The nearest-rank percentile; None of nothing."""
    # [DRILL] A percentile is a time that was measured: of n times in rising order the ⌈n · percent / 100⌉-th.
    if not values:
        return None
    return sorted(values)[max(1, -(-len(values) * percent // 100)) - 1]
