"""What a node makes of the heads in one heartbeat: pure, so that a thousand nodes can be tried in one process."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from ..errors import ProtocolError
from ..roster import RosterIndex
from .checkpoint import NodeLog, read_origin
from .members import log_key, log_of_head
from .split_view import SplitView
from .watch import LogView, see_growth, see_head
from .witness import Growth


@dataclass(slots=True)
class Heard:
    """What one heartbeat changed.

    `views`: by publisher, those of other logs that are seen otherwise now; `splits`: proofs by publisher; `begun`: logs
    that have a new generation; `own`: heads of our own log that others keep; `broken`: heads that count for nothing.
    """

    views: dict[bytes, LogView] = field(default_factory=dict)
    splits: dict[bytes, SplitView] = field(default_factory=dict)
    begun: list[NodeLog] = field(default_factory=list)
    own: list[bytes] = field(default_factory=list)
    broken: int = 0


class Hearing:
    """One node's ear: whose roster it goes by, who it is, what it knows, and whose logs no longer count."""

    def __init__(
        self, index: RosterIndex, own: bytes, views: Mapping[bytes, LogView], excluded: Collection[bytes]
    ) -> None:
        self._index = index
        self._own = own
        self._views = views
        self._excluded = excluded

    def hear(self, sender: bytes, growth: Growth | None, cosigned: Collection[bytes]) -> Heard:
        """Take the growth of the sender's own log, and the heads of others' logs that it keeps."""
        heard = Heard()
        told: set[bytes] = set()
        if growth is not None:
            self._take(heard, sender, growth.checkpoint, growth, told)
        for head in cosigned:
            self._take(heard, sender, head, None, told)
        return heard

    def _take(self, heard: Heard, sender: bytes, head: bytes, growth: Growth | None, told: set[bytes]) -> None:
        try:
            log = log_of_head(self._index, head)
            # [LOG] How a log has grown only its own publisher shows, and others what they keep of it.
            # [LOG] A heartbeat shows one head of each log; a second one counts for nothing.
            if (growth is not None) != (log.publisher == sender) or log.publisher in told:
                heard.broken += 1
                return
            told.add(log.publisher)
            if log.publisher == self._own:
                heard.own.append(head)
            # [LOG] A log that was proven to have split is cosigned no more; the proof is the answer.
            elif log.publisher not in self._excluded:
                self._see(heard, log, sender, head, growth)
        except ProtocolError:
            heard.broken += 1

    def _see(self, heard: Heard, log: NodeLog, sender: bytes, head: bytes, growth: Growth | None) -> None:
        view = heard.views.get(log.publisher) or self._views.get(log.publisher)
        generation = generation_of(view)
        # [LOG] A higher generation of a log takes the place of the one before; a lower one counts for nothing.
        if log.generation < generation:
            return
        if view is None or log.generation > generation:
            view = LogView(log_key(self._index, log.publisher, log.generation))
        seen = see_head(view, head, sender) if growth is None else see_growth(view, growth, sender)
        if generation and log.generation > generation:
            heard.begun.append(log)
        heard.views[log.publisher] = seen.view
        if seen.split is not None:
            heard.splits[log.publisher] = seen.split


def generation_of(view: LogView | None) -> int:
    """The generation of the log that is seen, 0 where there is none."""
    named = None if view is None else read_origin(view.key.name)
    return 0 if named is None else named.generation


def choose_shown(publishers: Collection[bytes], turn: int, most: int) -> list[bytes]:
    """Which logs' heads the next heartbeat shows: all, or so many in turn."""
    # [LOG] A heartbeat shows the heads of MAX_COSIGNED logs; where there are more, in turn.
    ordered = sorted(publishers)
    if len(ordered) <= most:
        return ordered
    first = turn * most % len(ordered)
    return (ordered[first:] + ordered[:first])[:most]
