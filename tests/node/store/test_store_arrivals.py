"""Arrivals: whatever the order and the batches, the same feeds; contradictions become proofs."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protocol_kit import DOMAIN, NOW_MS, Feed, make_signal, make_standard
from store_kit import audit_kinds, count, file, memory_database
from tocsin_node.store.arrivals import Path, insert_proof
from tocsin_node.store.feeds import FeedState, read_feed, read_feeds, read_gaps, read_range
from tocsin_node.store.rosters import read_equivocators, read_proofs
from tocsin_protocol.admission import Reason
from tocsin_protocol.envelope import Envelope
from tocsin_protocol.feed import encode_equivocation, verify_equivocation
from tocsin_protocol.ids import NO_DIGEST
from tocsin_protocol.model import Reference, Subject
from tocsin_protocol.taxonomy import CRITICAL, STANDARD, Category, Relation, Role, SubjectKind

BROOK, CEDAR = "brook", "cedar"
_SEALED: list[Envelope] = []


def sealed() -> list[Envelope]:
    """Two publishers, both lanes, 18 envelopes; sealed once."""
    if not _SEALED:
        for label in (BROOK, CEDAR):
            feed = Feed(label)
            _SEALED.extend(feed.seal_many(6, STANDARD) + feed.seal_many(3, CRITICAL))
    return _SEALED


_ACCOUNTS = [f"eip155:1:0x{n:040x}" for n in range(1, 7)]


@st.composite
def stories(draw: st.DrawFn) -> list[Envelope]:
    """One feed's signals on a few subjects in some families, some of which refer to an earlier one."""
    feed = Feed(BROOK)
    told: list[Envelope] = []
    for n in range(draw(st.integers(1, 10))):
        accounts = draw(st.sets(st.sampled_from(_ACCOUNTS), min_size=1, max_size=3))
        relation = draw(st.sampled_from((Relation.UPDATES, Relation.DERIVED_FROM)))
        earlier = draw(st.sampled_from(told)).digest if told and draw(st.booleans()) else None
        signal = make_standard(
            category=draw(st.sampled_from((Category.ASSET_DRAIN, Category.KEY_COMPROMISE, Category.META_UPDATE))),
            subjects=tuple(Subject(Role.VICTIM, SubjectKind.ACCOUNT, account) for account in sorted(accounts)),
            references=(Reference(relation, earlier),) if earlier else (),
            text=f"part {n}",
        )
        told.append(feed.seal(signal))
    return told


@given(stories())
@settings(deadline=None, max_examples=60)
def test_one_batch_ties_signals_into_the_same_incidents_as_one_by_one(told: list[Envelope]) -> None:
    with memory_database() as at_once, memory_database() as one_by_one:
        file(at_once, told)
        for envelope in told:
            file(one_by_one, [envelope])
        for table in ("incidents", "incident_subjects", "incident_ties"):
            assert rows(at_once, table) == rows(one_by_one, table)
        assert rows(at_once, "signals", "digest, incident") == rows(one_by_one, "signals", "digest, incident")


def rows(database: sqlite3.Connection, table: str, columns: str = "*") -> list[tuple[object, ...]]:
    return sorted(database.execute(f"SELECT {columns} FROM {table}"))  # noqa: S608 - names of ours


def only_feed(database: sqlite3.Connection, feed: Feed, lane: int = STANDARD) -> FeedState:
    state = read_feed(database, feed.publisher, lane)
    assert state is not None
    return state


@st.composite
def batches(draw: st.DrawFn) -> list[list[Envelope]]:
    """Every envelope once or twice, in any order, cut into batches anywhere."""
    order = draw(st.permutations(sealed() + draw(st.lists(st.sampled_from(sealed()), max_size=6))))
    cuts = sorted(draw(st.sets(st.integers(1, len(order) - 1), max_size=8)))
    return [order[a:b] for a, b in zip([0, *cuts], [*cuts, len(order)], strict=True)]


@given(batches())
@settings(deadline=None, max_examples=60)
def test_every_order_and_every_cut_give_the_same_feeds(cuts: list[list[Envelope]]) -> None:
    with memory_database() as database:
        stored = [len(file(database, batch).stored) for batch in cuts]
        assert sum(stored) == count(database, "signals") == len(sealed())
        for label in (BROOK, CEDAR):
            for lane, length in ((STANDARD, 6), (CRITICAL, 3)):
                state = only_feed(database, Feed(label), lane)
                assert (state.contiguous, state.head, state.has_gap) == (length, length, False)
                held = read_range(database, state.publisher, lane, 1, length, most=100, max_bytes=10**6)
                mine = [e for e in sealed() if (e.publisher, e.lane) == (state.publisher, lane)]
                assert held == [envelope.encoded for envelope in mine]
                assert state.head_digest == mine[-1].digest
        assert count(database, "equivocations") == 0


@given(st.sets(st.integers(1, 20), min_size=1), st.integers(1, 64))
@settings(deadline=None, max_examples=60)
def test_gaps_are_what_is_missing_below_the_head(held: set[int], most: int) -> None:
    feed = Feed(BROOK)
    envelopes = feed.seal_many(20)
    with memory_database() as database:
        file(database, [envelopes[sequence - 1] for sequence in held])
        state = only_feed(database, feed)
        missing = set(range(1, state.head)) - held
        gaps = read_gaps(database, state, 100)
        assert {sequence for first, last in gaps for sequence in range(first, last + 1)} == missing
        assert gaps == sorted(gaps)
        assert read_gaps(database, state, most) == gaps[:most]
        assert state.head == max(held)
        assert state.contiguous == (min(missing) - 1 if missing else state.head)
        # what sync brings closes them
        file(database, [envelopes[sequence - 1] for sequence in missing], path=Path.SYNC)
        assert not only_feed(database, feed).has_gap


def test_a_gap_delays_no_signal(database: sqlite3.Connection) -> None:
    feed = Feed(BROOK)
    first, second, third = feed.seal_many(3)
    filed = file(database, [third])
    assert [opened.envelope for opened in filed.stored] == [third]
    assert filed.feeds == [FeedState(feed.publisher, STANDARD, 0, 3, third.digest)]
    assert only_feed(database, feed).has_gap
    filed = file(database, [first])
    assert (filed.feeds[0].contiguous, filed.feeds[0].head) == (1, 3)
    filed = file(database, [second])
    assert (filed.feeds[0].contiguous, filed.feeds[0].head) == (3, 3)


def test_the_same_again_is_counted_and_changes_nothing(database: sqlite3.Connection) -> None:
    envelopes = Feed(BROOK).seal_many(3)
    file(database, envelopes)
    before = audit_kinds(database)
    filed = file(database, envelopes)
    assert (filed.stored, filed.refused[Reason.DUPLICATE]) == ([], 3)
    assert audit_kinds(database) == before


def test_every_signal_leaves_one_audit_entry(database: sqlite3.Connection) -> None:
    file(database, Feed(BROOK).seal_many(4))
    assert audit_kinds(database).count("signal") == 4


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("turned", [True, False])
def test_two_signals_with_one_sequence_are_a_proof(
    database: sqlite3.Connection, *, together: bool, turned: bool
) -> None:
    feed = Feed(BROOK)
    one = feed.seal(make_standard(text="one history"))
    other = feed.seal_at(1, NO_DIGEST, make_standard(text="another history"))
    pair = [other, one] if turned else [one, other]
    filings = [file(database, pair)] if together else [file(database, [envelope]) for envelope in pair]
    (proof,) = filings[-1].proofs
    assert filings[-1].refused[Reason.EQUIVOCATION] == 1
    assert {e.digest for e in verify_equivocation(DOMAIN, feed.key, proof)} == {one.digest, other.digest}
    assert read_equivocators(database) == {feed.publisher}
    assert read_proofs(database, 0, 10) == [proof]
    assert count(database, "signals") == 1


@pytest.mark.parametrize("later_first", [True, False])
def test_a_broken_link_is_a_proof(database: sqlite3.Connection, *, later_first: bool) -> None:
    feed = Feed(BROOK)
    one = feed.seal()
    second = feed.seal_at(2, b"\7" * 32, make_standard(text="follows something else"))
    filed = [file(database, [e]) for e in ((second, one) if later_first else (one, second))][-1]
    (proof,) = filed.proofs
    verify_equivocation(DOMAIN, feed.key, proof)
    assert read_equivocators(database) == {feed.publisher}


def test_an_equivocator_is_heard_no_more(database: sqlite3.Connection) -> None:
    feed = Feed(BROOK)
    one = feed.seal()
    other = feed.seal_at(1, NO_DIGEST, make_standard(text="another history"))
    file(database, [one, other])
    filed = file(database, [*feed.seal_many(2), *Feed(CEDAR).seal_many(1)])
    assert filed.refused[Reason.EQUIVOCATOR] == 2
    assert [opened.envelope.publisher for opened in filed.stored] == [Feed(CEDAR).publisher]


def test_the_first_proof_against_a_publisher_is_kept(database: sqlite3.Connection) -> None:
    feed = Feed(BROOK)
    one = feed.seal()
    others = [feed.seal_at(1, NO_DIGEST, make_standard(text=f"history {n}")) for n in range(2)]
    proofs = [encode_equivocation(one, other) for other in others]
    assert insert_proof(database, feed.publisher, proofs[0], NOW_MS)
    assert not insert_proof(database, feed.publisher, proofs[1], NOW_MS)
    assert read_proofs(database, 0, 10) == proofs[:1]
    assert audit_kinds(database) == ["equivocation"]


def test_a_publishers_two_lanes_are_two_feeds(database: sqlite3.Connection) -> None:
    feed = Feed(BROOK)
    file(database, [feed.seal(make_signal()), feed.seal(make_standard())])
    assert {(f.lane, f.head) for f in read_feeds(database)} == {(CRITICAL, 1), (STANDARD, 1)}
    assert not read_equivocators(database)


@given(most=st.integers(1, 12), max_bytes=st.integers(0, 20_000), first=st.integers(1, 9), last=st.integers(1, 12))
@settings(deadline=None, max_examples=40)
def test_a_range_is_bounded_in_number_and_size(most: int, max_bytes: int, first: int, last: int) -> None:
    feed = Feed(BROOK)
    envelopes = feed.seal_many(9)
    with memory_database() as database:
        file(database, envelopes)
        got = read_range(database, feed.publisher, STANDARD, first, last, most=most, max_bytes=max_bytes)
    wanted = [envelope.encoded for envelope in envelopes if first <= envelope.sequence <= last]
    assert got == wanted[: len(got)]
    assert len(got) <= most
    assert sum(map(len, got)) <= max_bytes
    full = len(got) == most or len(got) == len(wanted)
    assert full or sum(map(len, wanted[: len(got) + 1])) > max_bytes
