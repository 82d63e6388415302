"""How a follower goes on: where he is, what he had already, when he asks again. No socket and no clock here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import msgspec

from .errors import BadAnswer, ClientError, Problem, RecordReplaced
from .results import ShownCut, ShownEvent
from .sse import EventParser, ServerEvent
from .state import StateFile

FIRST_PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 60.0
MAX_ASKED_PAUSE_SECONDS = 300.0
# Three times the pause after which a feed says that it is still there.
STALE_SECONDS = 45.0
SAVE_SECONDS = 1.0
LIVE_PATH = "/v1/live"
QUIET = "quiet"
_NUMBER = re.compile(r"[0-9]{1,16}")


class Cut(ClientError):
    """The feed ended the stream; `resume` is where to go on."""

    def __init__(self, reason: str, resume: int) -> None:
        super().__init__(f"the feed ended the stream: {reason}")
        self.resume = resume


class Saver:
    """Writes a follower's place into his state, now and then and at the end: after a crash some events come twice."""

    def __init__(self, file: StateFile, clock: Callable[[], float]) -> None:
        self._file = file
        self._clock = clock
        self._saved_at = clock()

    def note(self, cursor: int | None) -> None:
        """The place is this now."""
        self._file.state.cursor = cursor
        if self._clock() - self._saved_at >= SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Write it; raises ClientError."""
        self._saved_at = self._clock()
        self._file.save()


class Following:
    """One follower. `cursor` is the last sequence that he was handed, None before the first where he began now."""

    def __init__(self, cursor: int | None) -> None:
        self.cursor = cursor
        self._parser = EventParser()
        self._pause = FIRST_PAUSE_SECONDS

    def begin(self) -> dict[str, str]:
        """A new stream begins; the headers that resume it."""
        self._parser = EventParser()
        return {} if self.cursor is None else {"last-event-id": str(self.cursor)}

    def take(self, chunk: bytes) -> Iterator[ShownEvent]:
        """What is new in a chunk, each once the one before is done with; raises BadAnswer, Cut or RecordReplaced."""
        for event in self._parser.take(chunk):
            shown = _read(event)
            self._pause = FIRST_PAUSE_SECONDS
            if isinstance(shown, ShownCut):
                if self.cursor is not None and shown.resume < self.cursor:
                    raise RecordReplaced(f"the record goes to {shown.resume}, and went to {self.cursor} before")
                raise Cut(shown.reason, shown.resume)
            # [CLIENT] An event that was handed on before is not handed on again.
            is_new = self.cursor is None or shown.sequence > self.cursor
            # quiet tells again and again how far the record is
            if is_new or (shown.kind == QUIET and shown.sequence == self.cursor):
                yield shown

    def done(self, sequence: int) -> None:
        """An event was handed on."""
        self.cursor = sequence if self.cursor is None else max(self.cursor, sequence)

    def after(self, error: ClientError, spread: float) -> float:
        """How long to wait after an error, in s; `spread` (0 to 1) keeps many followers apart. Raises what lasts."""
        if isinstance(error, Cut):
            self.done(error.resume)
        if isinstance(error, Problem):
            if not error.is_passing:
                raise error
            if error.retry_after_s is not None:
                return min(error.retry_after_s, MAX_ASKED_PAUSE_SECONDS) + spread
        # [CLIENT] Each pause is twice the one before, up to MAX_PAUSE_SECONDS, until something comes again.
        pause, self._pause = self._pause, min(2 * self._pause, MAX_PAUSE_SECONDS)
        return pause * (0.8 + 0.4 * spread)


def _read(event: ServerEvent) -> ShownEvent | ShownCut:
    try:
        if event.name == "cut":
            return msgspec.json.decode(event.data, type=ShownCut)
        if _NUMBER.fullmatch(event.id) is None:
            raise BadAnswer(f"an event whose id is {event.id[:40]!r}, not its sequence")
        sequence = int(event.id)
        if not event.data:
            return ShownEvent(sequence=sequence, at_ms=0, kind=QUIET, about="")
        shown = msgspec.json.decode(event.data, type=ShownEvent)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise BadAnswer(f"an event of the stream: {exc}") from exc
    if shown.sequence != sequence:
        raise BadAnswer(f"the event {sequence} says that it is {shown.sequence}")
    return shown
