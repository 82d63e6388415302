"""Server-sent events out of bytes (WHATWG HTML, 9.2.6): pure, bounded. Lines end with LF or CRLF, as ours do."""

from __future__ import annotations

from typing import NamedTuple

from .errors import BadAnswer

MAX_EVENT_BYTES = 4 * 1024 * 1024


class ServerEvent(NamedTuple):
    """One event; `data` is empty where only the id has gone on, as a quiet stream tells."""

    id: str
    name: str
    data: bytes


class EventParser:
    """Takes the bytes of one stream in order."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._id = ""
        self._name = ""
        self._data: list[bytes] = []
        self._size = 0
        self._has_id = False

    def take(self, chunk: bytes) -> list[ServerEvent]:
        """The events that are whole now; raises BadAnswer where one has more than MAX_EVENT_BYTES."""
        found: list[ServerEvent] = []
        begin = len(self._rest)
        self._rest += chunk
        start = 0
        # what was there before has no end of line: it is not looked through again
        while (end := self._rest.find(b"\n", max(start, begin))) >= 0:
            line = bytes(self._rest[start:end]).removesuffix(b"\r")
            start = end + 1
            self._size += len(line)
            if line:
                self._take_line(line)
            elif (event := self._dispatch()) is not None:
                found.append(event)
            self._check(0)
        del self._rest[:start]
        self._check(len(self._rest))
        return found

    def _check(self, unread: int) -> None:
        # [CLIENT] What a feed sends is read up to a bound: an answer or an event that is longer is refused.
        if self._size + unread > MAX_EVENT_BYTES:
            raise BadAnswer(f"an event of more than {MAX_EVENT_BYTES} bytes")

    def _take_line(self, line: bytes) -> None:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match field:
            case b"data":
                self._data.append(value)
            case b"event":
                self._name = value.decode(errors="replace")
            case b"id" if b"\0" not in value:
                self._id, self._has_id = value.decode(errors="replace"), True
            case _:
                pass

    def _dispatch(self) -> ServerEvent | None:
        event = ServerEvent(self._id, self._name or "message", b"\n".join(self._data))
        told = bool(self._data) or self._has_id
        self._name, self._data, self._size, self._has_id = "", [], 0, False
        return event if told else None
