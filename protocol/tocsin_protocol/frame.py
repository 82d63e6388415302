"""Frames: one gossip message carries 1…N envelopes of one publisher (specs/gossip.md)."""

from __future__ import annotations

from collections.abc import Sequence

import msgpack

from .encoding import encode_canonical
from .errors import DecodeError

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
    if len(data) > MAX_FRAME_BYTES:
        raise DecodeError(f"frame of {len(data)} bytes where at most {MAX_FRAME_BYTES} are allowed")
    try:
        envelopes = msgpack.unpackb(data)
    except (ValueError, msgpack.UnpackException, RecursionError) as exc:
        raise DecodeError(f"frame is not msgpack: {type(exc).__name__}") from exc
    if type(envelopes) is not list or not 1 <= len(envelopes) <= MAX_FRAME_ENVELOPES:
        raise DecodeError(f"frame is not an array of 1…{MAX_FRAME_ENVELOPES} envelopes")
    if any(type(envelope) is not bytes for envelope in envelopes):
        raise DecodeError("frame holds something else than byte strings")
    if encode_canonical(envelopes) != data:
        raise DecodeError("frame is not in canonical form")
    return envelopes
