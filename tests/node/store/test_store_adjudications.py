"""Adjudicated incidents make reputations, give minutes back, and are recorded once each."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

from protocol_kit import DAY_MS, NOW_MS, Feed, make_signal
from store_kit import HOOK, OWN, arm, audit_kinds, count, file, make_rules
from tocsin_node.store.adjudications import adjudicate, read_tallies
from tocsin_node.store.lever_states import read_charges, read_lever_states
from tocsin_node.store.rules import Rules
from tocsin_protocol.adjudication import Adjudication, Finding, verify_adjudication
from tocsin_protocol.belief.reputation import Basis
from tocsin_protocol.taxonomy import Category

BROOK = Feed("brook")


def strangers() -> Rules:
    return replace(make_rules(), tallies={})


def settle(database: sqlite3.Connection, incident: bytes, finding: Finding, now_ms: int, **more: object) -> int:
    ruling = Adjudication(incident, Category.ASSET_DRAIN, finding, now_ms)
    return adjudicate(database, strangers(), Feed(OWN).secret, ruling, more.get("watching", ()))  # type: ignore[arg-type]


def test_a_stranger_earns_weight_by_incidents_that_were_real(database: sqlite3.Connection) -> None:
    feed = Feed("brook")
    weights = []
    for day in range(12):
        now_ms = NOW_MS + day * DAY_MS * 2
        signal = make_signal(detected_ms=now_ms, issued_ms=now_ms, expires_ms=now_ms + 60_000, incident=f"day {day}")
        (decided,) = file(database, [feed.seal(signal)], rules=strangers(), now_ms=now_ms).decided
        assert settle(database, decided.incident, Finding.CONFIRMED, now_ms + 1) == 1
        rules = replace(strangers(), tallies=read_tallies(database, now_ms + 1))
        standing = rules.speakers_of(Category.ASSET_DRAIN)[feed.publisher].standing
        weights.append(standing.llr)
    assert weights == sorted(weights)
    assert weights[-1] > 2
    assert standing.basis is Basis.EARNED
    assert rules.speakers_of(Category.KEY_COMPROMISE)[feed.publisher].standing.basis is Basis.STRANGER


def test_a_finding_may_be_taken_back_by_another(database: sqlite3.Connection) -> None:
    (decided,) = file(database, [Feed("brook").seal(make_signal())], rules=strangers()).decided
    watching = {Feed("cedar").publisher, Feed(OWN).publisher}
    assert settle(database, decided.incident, Finding.CONFIRMED, NOW_MS, watching=watching) == 2
    tally = read_tallies(database, NOW_MS)
    assert tally[Feed("brook").publisher, Category.ASSET_DRAIN].hits == 1
    assert tally[Feed("cedar").publisher, Category.ASSET_DRAIN].misses == 1
    assert (Feed(OWN).publisher, Category.ASSET_DRAIN) not in tally
    assert settle(database, decided.incident, Finding.FALSE, NOW_MS + 1, watching=watching) == 1
    tally = read_tallies(database, NOW_MS + 1)
    assert set(tally) == {(Feed("brook").publisher, Category.ASSET_DRAIN)}
    assert tally[Feed("brook").publisher, Category.ASSET_DRAIN].false_alarms > 4.99
    assert count(database, "adjudications") == 1
    assert audit_kinds(database).count("adjudication") == 2
    body, signature = database.execute("SELECT body, signature FROM adjudications").fetchone()
    assert verify_adjudication(Feed(OWN).key, body, signature).finding is Finding.FALSE


def test_groups_are_charged_and_a_confirmed_incident_gives_it_back(database: sqlite3.Connection) -> None:
    arm(database)
    file(database, [Feed("brook").seal()])
    (decided,) = file(database, [Feed("cedar").seal()]).decided
    charges = read_charges(database, NOW_MS)
    assert sorted((c.member, c.minutes, c.is_refunded) for c in charges) == [("brook", 15, False), ("cedar", 15, False)]
    state = read_lever_states(database, make_rules().policy, decided.incident, NOW_MS)[HOOK]
    assert (state.is_armed, state.is_spent, state.is_in_effect, state.uses_ms) == (True, True, True, (NOW_MS,))
    settle(database, decided.incident, Finding.FALSE, NOW_MS)
    assert not any(charge.is_refunded for charge in read_charges(database, NOW_MS))
    settle(database, decided.incident, Finding.CONFIRMED, NOW_MS)
    assert all(charge.is_refunded for charge in read_charges(database, NOW_MS))
    assert read_charges(database, NOW_MS + 30 * DAY_MS) == []
