"""Frames: one gossip message carries 1…N envelopes of one publisher (specs/gossip.md)."""

from __future__ import annotations

from collections.abc import Sequence

from .encoding import decode_canonical, encode_canonical
from .errors import DecodeError
from .fields import list_of

MAX_FRAME_BYTES = 128 * 1024
MAX_FRAME_ENVELOPES = 128


def encode_frame(envelopes: Sequence[bytes]) -> bytes:
    """Write encoded envelopes into a frame; raises DecodeError when they do not fit one."""
    frame = encode_canonical(list(envelopes))
    if not 1 <= len(envelopes) <= MAX_FRAME_ENVELOPES or len(frame) > MAX_FRAME_BYTES:
        raise DecodeError(f"{len(envelopes)} envelopes of {len(frame)} bytes do not fit a frame")
    return frame


def decode_frame(data: bytes) -> list[bytes]:
    """The encoded envelopes of a frame, still unopened; raises DecodeError."""
    envelopes: list[bytes] = list_of(
        "frame",
        decode_canonical(data, max_bytes=MAX_FRAME_BYTES, max_items=MAX_FRAME_ENVELOPES),
        1,
        MAX_FRAME_ENVELOPES,
    )
    if any(type(envelope) is not bytes for envelope in envelopes):
        raise DecodeError("frame holds something else than byte strings")
    return envelopes
