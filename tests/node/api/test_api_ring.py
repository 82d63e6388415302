"""The ring that all who listen read from: bounded, in order, and written once for all of a channel."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from tocsin_node.api.access import Scope
from tocsin_node.api.live import ring as ring_module
from tocsin_node.api.live.events import Channel, LiveEvent, LiveFilter
from tocsin_node.api.live.ring import Ring
from tocsin_protocol.audit import EntryKind

CHANNEL = Channel(Scope.OPERATOR)
OPERATORS = frozenset((Scope.OPERATOR,))


def event(sequence: int, size: int = 10, kind: EntryKind = EntryKind.NODE) -> LiveEvent:
    return LiveEvent(sequence, 0, kind, {Scope.OPERATOR: b"x" * size})


def sequences(ring: Ring, after: int) -> list[int]:
    return [one.sequence for one in ring.after(after)]


def make_ring(*events: LiveEvent) -> Ring:
    async def make() -> Ring:
        return Ring()

    ring = asyncio.run(make())
    ring.start(0)
    if events:
        ring.add(events, OPERATORS)
    return ring


def test_what_comes_after_a_cursor_is_found_whatever_is_missing_between() -> None:
    ring = make_ring(*(event(n) for n in (1, 2, 5, 9)))
    assert sequences(ring, 0) == [1, 2, 5, 9]
    assert sequences(ring, 2) == sequences(ring, 4) == [5, 9]
    assert sequences(ring, 9) == []
    assert (ring.floor, ring.position) == (0, 9)


def test_only_so_many_events_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring_module, "MAX_EVENTS", 3)
    ring = make_ring(*(event(n) for n in range(1, 8)))
    assert (ring.floor, ring.position) == (4, 7)
    assert sequences(ring, 4) == [5, 6, 7]


def test_only_so_many_bytes_are_kept_and_the_newest_event_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring_module, "MAX_BYTES", 25)
    ring = make_ring(*(event(n) for n in range(1, 8)))
    assert ring.floor == 5
    ring.add([event(8, size=1_000)], OPERATORS)
    assert (ring.floor, sequences(ring, 7)) == (7, [8])


def test_what_one_channel_is_sent_is_written_once() -> None:
    ring, written = make_ring(*(event(n) for n in range(1, 4))), list[int]()

    def write(taken: Sequence[tuple[LiveEvent, bytes]]) -> bytes:
        written.append(len(taken))
        return b"."

    outlet = ring.outlet(CHANNEL, write)
    for _ in range(5):
        assert ring.outlet(Channel(Scope.OPERATOR), write).next(0) == (3, b".", 3)
    assert written == [3]
    quiet = Channel(Scope.OPERATOR, LiveFilter(frozenset((EntryKind.SIGNAL,))))
    assert ring.outlet(quiet, write).next(0)[0] == 3
    assert written == [3, 0]
    ring.add([event(4)], OPERATORS)
    assert outlet.next(3) == (4, b".", 1)
    assert outlet.next(4) == (4, b"", 0)


def test_a_ring_that_begins_anew_holds_nothing_of_before() -> None:
    ring = make_ring(event(1), event(2))
    ring.start(1)
    assert (ring.floor, ring.position, sequences(ring, 0)) == (1, 1, [])


def test_a_scope_finds_in_the_ring_what_was_rendered_for_it_and_the_rest_in_the_record() -> None:
    ring = make_ring(event(1), event(2))
    members = frozenset((Scope.MEMBER,))
    # nobody of the members listened: whatever came is in the record
    assert (ring.floor_of(Scope.OPERATOR), ring.floor_of(Scope.MEMBER)) == (0, 2)
    ring.add([event(3)], OPERATORS | members)
    assert (ring.floor_of(Scope.OPERATOR), ring.floor_of(Scope.MEMBER)) == (0, 2)
    ring.add([event(4)], OPERATORS)
    assert (ring.floor_of(Scope.OPERATOR), ring.floor_of(Scope.MEMBER)) == (0, 4)


def test_only_who_could_have_read_what_is_gone_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring_module, "MAX_EVENTS", 2)
    ring = make_ring(event(1), event(2))
    ring.add([event(3), event(4)], OPERATORS)
    assert ring.has_lost(Scope.OPERATOR, 1)
    assert not ring.has_lost(Scope.OPERATOR, 2)
    # it was never rendered for members: they read the record
    assert not ring.has_lost(Scope.MEMBER, 1)
    # nobody listened: what came is in the record, and lost to nobody
    ring.start(9)
    assert not ring.has_lost(Scope.OPERATOR, 4)
    assert ring.floor_of(Scope.OPERATOR) == 9


def test_what_was_written_of_another_record_is_not_sent_again() -> None:
    ring = make_ring(event(1), event(2))
    outlet = ring.outlet(CHANNEL, lambda taken: b"".join(text for _, text in taken))
    assert outlet.next(0) == (2, b"x" * 20, 2)
    ring.start(0)
    ring.add([event(1, size=1), event(2, size=1)], OPERATORS)
    assert outlet.next(0) == (2, b"xx", 2)
