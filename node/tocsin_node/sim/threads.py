"""Incidents as they grow in a replay: which signals of each may still count, and what our endpoints said of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from tocsin_protocol.admission import Reason
from tocsin_protocol.correlation import Incident, correlating_subjects, is_open, referenced_digests, tied_incidents
from tocsin_protocol.freshness import actionable_until_ms, check_actionable
from tocsin_protocol.taxonomy import Relation

from .cast import Cast
from .scenario import Answer
from .script import Heard

# As the node: of each publisher and lane the newest, in one decision.
MAX_PER_FEED = 16


@dataclass(slots=True)
class Word:
    """A signal as a decision sees it. `until_ms` is the first moment at which it may not actuate; 0: it never may.

    `answer` is what our endpoints said of its evidence, as far as they have answered.
    """

    heard: Heard
    standing: Reason
    until_ms: int
    answer: Answer | None = None

    def counts(self, now_ms: int) -> bool:
        """Whether it may actuate, or takes something back: nothing else plays a part in a decision, now or ever."""
        return now_ms < self.until_ms or bool(self.heard.signal.references)


@dataclass(slots=True)
class Thread:
    """One incident, the subjects of ours that it is about, and its words that count."""

    number: int
    incident: Incident
    subjects: set[str] = field(default_factory=set)
    words: list[Word] = field(default_factory=list)


class Threads:
    """All incidents of one replay; `ours` are our own subjects, as signals name them."""

    def __init__(self, cast: Cast, ours: frozenset[str]) -> None:
        self.all: list[Thread] = []
        self._cast, self._ours = cast, ours
        self._by_digest: dict[bytes, Thread] = {}
        self._by_subject: dict[str, list[Thread]] = {}

    def hear(self, heard: Heard) -> tuple[Thread, Word] | None:
        """Put a signal in its incident; None for one that is refused: of a stranger, or known already."""
        is_known = heard.publisher == self._cast.own or heard.publisher in self._cast.speakers
        if not is_known or heard.digest in self._by_digest:
            return None
        thread = self._join(heard)
        standing = check_actionable(heard.signal, heard.at_ms, heard.at_ms)
        is_actionable = standing is Reason.ADMITTED
        word = Word(heard, standing, actionable_until_ms(heard.signal) if is_actionable else 0)
        thread.words = [kept for kept in thread.words if kept.counts(heard.at_ms)]
        thread.words.append(word)
        return thread, word

    def words_for(self, thread: Thread, now_ms: int) -> list[Word]:
        """What a decision on an incident goes by: its own words, and those of others about what it shares with them.

        Of each feed the newest MAX_PER_FEED.
        """
        words = [word for word in thread.words if word.counts(now_ms)]
        if thread.subjects and len(self.all) > 1:
            words += [
                word for other in self.all if other is not thread for word in _about(other, thread.subjects, now_ms)
            ]
        if len(words) <= MAX_PER_FEED:
            return words
        feeds: dict[tuple[bytes, int], int] = {}
        newest = []
        for word in sorted(words, key=lambda word: (word.heard.at_ms, word.heard.digest), reverse=True):
            feed = (word.heard.publisher, word.heard.signal.lane)
            feeds[feed] = feeds.get(feed, 0) + 1
            if feeds[feed] <= MAX_PER_FEED:
                newest.append(word)
        return newest[::-1]

    def tells_more(self, thread: Thread, word: Word, now_ms: int) -> bool:
        """Whether our endpoints' answer about a word can change a decision, which stands on what was answered before.

        What they do not know cannot; nor can one more thing that they confirm, of others, when they contradict none.
        """
        if word.heard.answer in (Answer.UNKNOWN, Answer.SPLIT):
            return False
        known = {kept.answer for kept in self.words_for(thread, now_ms) if now_ms < kept.until_ms}
        is_one_more = word.heard.answer is Answer.CONFIRMED and Answer.CONFIRMED in known
        return not is_one_more or Answer.CONTRADICTED in known or word.heard.publisher == self._cast.own

    def _join(self, heard: Heard) -> Thread:
        subjects = correlating_subjects(heard.signal)
        by_reference = [self._by_digest[d] for d in referenced_digests(heard.signal) if d in self._by_digest]
        by_subject = list(self._open(subjects, heard.at_ms))
        threads = {thread.incident.id: thread for thread in (*by_reference, *by_subject)}
        tied = tied_incidents(
            heard.signal, heard.at_ms, [t.incident for t in by_reference], [t.incident for t in by_subject]
        )
        if not tied:
            incident = Incident(heard.digest, heard.signal.category.family, heard.at_ms, heard.at_ms)
            thread = Thread(len(self.all), incident)
            self.all.append(thread)
        else:
            thread = threads[tied[0].id]
            thread.incident = replace(tied[0], last_ms=max(tied[0].last_ms, heard.at_ms))
        self._by_digest[heard.digest] = thread
        for subject in subjects:
            known = self._by_subject.setdefault(subject, [])
            if thread not in known:
                known.append(thread)
            if subject in self._ours:
                thread.subjects.add(subject)
        return thread

    def _open(self, subjects: Iterable[str], now_ms: int) -> Iterator[Thread]:
        for subject in subjects:
            known = self._by_subject.get(subject)
            if known:
                known[:] = [thread for thread in known if is_open(thread.incident, now_ms)]
                yield from known


def _about(thread: Thread, subjects: set[str], now_ms: int) -> Iterator[Word]:
    """The words of another incident that speak of these subjects, or take something back."""
    for word in thread.words:
        signal = word.heard.signal
        if word.counts(now_ms) and (
            any(subject.value in subjects for subject in signal.subjects)
            or any(reference.relation is Relation.RETRACTS for reference in signal.references)
        ):
            yield word
