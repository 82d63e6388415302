"""Incidents: order does not matter much, and one member cannot keep others apart."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from protocol_kit import ATTACKER, DAY_MS, NOW_MS, VAULT, bytes_of_label, make_signal
from strategies_kit import FIXED
from tocsin_protocol.correlation import (
    CORRELATION_WINDOW_MS,
    MAX_INCIDENT_MS,
    Incident,
    correlating_subjects,
    is_open,
    referenced_digests,
    tied_incidents,
)
from tocsin_protocol.model import Reference, Subject
from tocsin_protocol.taxonomy import Category, Relation, Role, SubjectKind

CHAIN = Subject(Role.AT_RISK, SubjectKind.CHAIN, "eip155:1")
OWN = Subject(Role.VICTIM, SubjectKind.ACCOUNT, VAULT)


def incident(label: str, family: str = "asset", first_ms: int = NOW_MS, last_ms: int = NOW_MS) -> Incident:
    return Incident(bytes_of_label("incident", label), family, first_ms, last_ms)


def test_a_shared_subject_ties_within_a_family() -> None:
    same, other = incident("same"), incident("other", "bridge", NOW_MS - 5)
    assert tied_incidents(make_signal(), NOW_MS, [], [other, same]) == (same,)
    assert tied_incidents(make_signal(), NOW_MS, [], [other]) == ()


def test_a_reference_ties_across_families() -> None:
    other = incident("other", "bridge")
    assert tied_incidents(make_signal(), NOW_MS, [other], []) == (other,)


def test_derived_signals_are_not_tied_by_their_source() -> None:
    references = tuple(Reference(relation, bytes_of_label(relation)) for relation in Relation)
    assert set(referenced_digests(make_signal(references=references))) == {
        bytes_of_label(relation) for relation in Relation if relation is not Relation.DERIVED_FROM
    }


def test_a_meta_signal_joins_what_it_is_about_and_ties_nothing_else() -> None:
    update = make_signal(category=Category.META_UPDATE)
    opened_by_meta = incident("meta", "meta", NOW_MS - 9)
    asset = incident("asset")
    assert tied_incidents(update, NOW_MS, [], [asset]) == (asset,)
    assert tied_incidents(make_signal(), NOW_MS, [], [opened_by_meta]) == ()
    assert tied_incidents(make_signal(), NOW_MS, [], [opened_by_meta, asset]) == (asset,)


@FIXED
@given(st.permutations([incident(str(n), first_ms=NOW_MS - n) for n in range(5)]))
def test_the_choice_does_not_depend_on_the_order_of_candidates(candidates: list[Incident]) -> None:
    assert tied_incidents(make_signal(), NOW_MS, candidates[:2], candidates[2:]) == tuple(
        incident(str(n), first_ms=NOW_MS - n) for n in reversed(range(5))
    )


def test_incidents_of_one_moment_are_told_by_their_id() -> None:
    pair = [incident("a"), incident("b")]
    assert tied_incidents(make_signal(), NOW_MS, [], pair) == tuple(sorted(pair, key=lambda i: i.id))


def test_a_whole_chain_ties_only_those_who_say_no_more() -> None:
    assert correlating_subjects(make_signal(subjects=(CHAIN, OWN))) == (VAULT,)
    assert correlating_subjects(make_signal(subjects=(CHAIN,))) == ("eip155:1",)
    assert correlating_subjects(make_signal()) == tuple(sorted((ATTACKER, VAULT, make_signal().subjects[2].value)))


def test_silence_ends_an_incident_and_so_does_age() -> None:
    quiet = incident("quiet")
    assert is_open(quiet, NOW_MS + CORRELATION_WINDOW_MS)
    assert not is_open(quiet, NOW_MS + CORRELATION_WINDOW_MS + 1)
    assert tied_incidents(make_signal(), NOW_MS + CORRELATION_WINDOW_MS + 1, [quiet], [quiet]) == ()


def test_nobody_keeps_an_incident_open_for_ever() -> None:
    fed = incident("fed")
    for day in range(30):
        now_ms = NOW_MS + day * DAY_MS
        if is_open(fed, now_ms):
            fed = Incident(fed.id, fed.family, fed.first_ms, now_ms)
    assert fed.last_ms == NOW_MS + MAX_INCIDENT_MS
