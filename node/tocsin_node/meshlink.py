"""The messages between the relay and its mesh process, over one Unix socket.

Length-prefixed msgpack arrays `[kind, fields…]`. The relay trusts the mesh for nothing: what comes out of here
is typed and bounded, and every envelope, roster and proof in it is verified again.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

import msgpack
import trio
from tocsin_protocol.encoding import MAX_UINT

MAX_LINK_MESSAGE_BYTES = 4 * 1024 * 1024
PULSE_INTERVAL_SECONDS = 0.25

_LENGTH = struct.Struct(">I")


class LinkError(Exception):
    """The other end sent something that is not a link message, or closed in the middle of one."""


class LinkClosedError(LinkError):
    """The other end is gone, perhaps with messages of ours unread."""


@dataclass(frozen=True, slots=True)
class Configure:
    """relay → mesh, first: who we are and whom we know. The seed is the Ed25519 transport key, 32 bytes."""

    transport_seed: bytes
    listen: list[str]
    publisher: bytes
    roster: bytes
    addresses: dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class UseRoster:
    """relay → mesh: the roster body now in force, and extra addresses by peer id."""

    roster: bytes
    addresses: dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class UseHeads:
    """relay → mesh: [publisher, lane, sequence] up to where feeds are held without a gap."""

    heads: list[list[Any]]


@dataclass(frozen=True, slots=True)
class UseEquivocators:
    """relay → mesh: publishers whose frames are no longer carried."""

    publishers: list[bytes]


@dataclass(frozen=True, slots=True)
class Publish:
    """relay → mesh: one own envelope for gossip; answered by Published."""

    lane: int
    sequence: int
    envelope: bytes


@dataclass(frozen=True, slots=True)
class PublishProof:
    """relay → mesh: a proof of equivocation for gossip."""

    proof: bytes


@dataclass(frozen=True, slots=True)
class PublishHeartbeat:
    """relay → mesh: our heartbeat for gossip."""

    heartbeat: bytes


@dataclass(frozen=True, slots=True)
class Ask:
    """relay → mesh: send a sync request to a peer; answered by Answered with the same id."""

    request_id: int
    peer_id: str
    request: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """relay → mesh: the response to an Asked with the same id."""

    request_id: int
    response: bytes


@dataclass(frozen=True, slots=True)
class Ready:
    """mesh → relay, first: listening here."""

    listen: list[str]


@dataclass(frozen=True, slots=True)
class Admitted:
    """mesh → relay: new envelopes of one frame, and those only the store can judge."""

    peer_id: str
    envelopes: list[bytes]
    doubtful: list[bytes]


@dataclass(frozen=True, slots=True)
class ProofSeen:
    """mesh → relay: a gossiped proof of equivocation."""

    peer_id: str
    proof: bytes


@dataclass(frozen=True, slots=True)
class HeartbeatSeen:
    """mesh → relay: a heartbeat, with the peer that signed it."""

    peer_id: str
    heartbeat: bytes


@dataclass(frozen=True, slots=True)
class PeerUp:
    """mesh → relay: a roster peer is connected."""

    peer_id: str


@dataclass(frozen=True, slots=True)
class PeerDown:
    """mesh → relay: a roster peer is gone."""

    peer_id: str


@dataclass(frozen=True, slots=True)
class Asked:
    """mesh → relay: a peer's sync request; to be answered by Reply."""

    request_id: int
    peer_id: str
    request: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """mesh → relay: the response to an Ask, or why there is none (`error` not empty)."""

    request_id: int
    response: bytes
    error: str


@dataclass(frozen=True, slots=True)
class Published:
    """mesh → relay: an own envelope was handed to gossip towards at least one peer."""

    lane: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Pulse:
    """mesh → relay, every PULSE_INTERVAL_SECONDS: alive, with counters since the start."""

    counters: dict[str, int]


Message = (
    Configure | UseRoster | UseHeads | UseEquivocators | Publish | PublishProof | PublishHeartbeat | Ask | Reply
    | Ready | Admitted | ProofSeen | HeartbeatSeen | PeerUp | PeerDown | Asked | Answered | Published | Pulse
)  # fmt: skip
_KINDS: tuple[type[Any], ...] = Message.__args__
_HINTS: list[list[Any]] = [list(get_type_hints(kind).values()) for kind in _KINDS]
_NUMBER = {kind: number for number, kind in enumerate(_KINDS)}
_NAMES = {kind: tuple(field.name for field in fields(kind)) for kind in _KINDS}


def encode_message(message: Message) -> bytes:
    """A message with its length in front."""
    kind = type(message)
    data: bytes = msgpack.packb([_NUMBER[kind], *(getattr(message, name) for name in _NAMES[kind])])
    return _LENGTH.pack(len(data)) + data


def decode_message(data: bytes) -> Message:
    """Parse one message without its length, checked to its innermost values; raises LinkError."""
    try:
        values = msgpack.unpackb(data, strict_map_key=False)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as exc:
        raise LinkError(f"not a link message: {type(exc).__name__}") from exc
    if type(values) is not list or not values or type(values[0]) is not int or not 0 <= values[0] < len(_KINDS):
        raise LinkError("not a link message: no known kind")
    kind, hints = _KINDS[values[0]], _HINTS[values[0]]
    if len(values) - 1 != len(hints) or not all(map(_is_of, values[1:], hints)):
        raise LinkError(f"{kind.__name__} with wrong fields")
    message: Message = kind(*values[1:])
    return message


def _is_of(value: Any, hint: Any) -> bool:
    """Whether a value is what a field is declared as. Integers are 0…MAX_UINT: both ends count."""
    if hint is Any or hint is int:
        return type(value) in (int, bytes) if hint is Any else type(value) is int and 0 <= value <= MAX_UINT
    origin = getattr(hint, "__origin__", hint)
    parts: tuple[Any, ...] = getattr(hint, "__args__", ())
    if type(value) is not origin:
        return False
    if origin is list:
        return all(_is_of(item, parts[0]) for item in value)
    if origin is dict:
        return all(_is_of(key, parts[0]) and _is_of(item, parts[1]) for key, item in value.items())
    return True


class Link:
    """One end of the socket. Sends of several tasks do not mix; one task receives."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._buffer = bytearray()
        self._sending = trio.StrictFIFOLock()

    async def send(self, *messages: Message) -> None:
        """Send messages in one write; raises LinkClosedError when the other end is gone."""
        data = b"".join(encode_message(message) for message in messages)
        async with self._sending:
            try:
                await self._stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
                raise LinkClosedError("the other end is gone") from exc

    async def receive(self) -> list[Message] | None:
        """The next messages (one or more), or None when the other end has closed; raises LinkError."""
        while True:
            messages = self._take()
            if messages:
                return messages
            try:
                chunk = await self._stream.receive_some(256 * 1024)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
                raise LinkClosedError("the other end is gone") from exc
            if not chunk:
                return None
            self._buffer += chunk

    def _take(self) -> list[Message]:
        messages, position = [], 0
        while len(self._buffer) - position >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, position)
            if length > MAX_LINK_MESSAGE_BYTES:
                raise LinkError(f"message of {length} bytes where at most {MAX_LINK_MESSAGE_BYTES} are allowed")
            end = position + _LENGTH.size + length
            if len(self._buffer) < end:
                break
            messages.append(decode_message(bytes(self._buffer[position + _LENGTH.size : end])))
            position = end
        del self._buffer[:position]
        return messages

    async def aclose(self) -> None:
        """Close this end."""
        await self._stream.aclose()
