"""Adjudicated incidents make reputations, give minutes back, and are recorded once each."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

from protocol_kit import DAY_MS, NOW_MS, Feed, make_signal
from store_kit import HOOK, OWN, arm, audit_kinds, count, file, make_rules
from tocsin_node.store.adjudications import adjudicate, read_records
from tocsin_node.store.lever_states import read_charges, read_lever_states
from tocsin_node.store.rules import Rules, Watching, no_watching
from tocsin_node.store.sightings import load_sightings
from tocsin_protocol.adjudication import Adjudication, Finding, verify_adjudication
from tocsin_protocol.belief.outcomes import Verdict
from tocsin_protocol.belief.reputation import Basis
from tocsin_protocol.belief.silence import MAX_HEARTBEAT_AGE_MS, MIN_DELAYS
from tocsin_protocol.belief.terms import Answer, Source
from tocsin_protocol.decision.judge import weigh_incident
from tocsin_protocol.decision.policy import Word
from tocsin_protocol.model import Signal
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
        rules = replace(strangers(), tallies=read_records(database, now_ms + 1).tallies)
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
    tally = read_records(database, NOW_MS).tallies
    assert tally[Feed("brook").publisher, Category.ASSET_DRAIN].hits == 1
    assert tally[Feed("cedar").publisher, Category.ASSET_DRAIN].misses == 1
    assert (Feed(OWN).publisher, Category.ASSET_DRAIN) not in tally
    assert settle(database, decided.incident, Finding.FALSE, NOW_MS + 1, watching=watching) == 1
    tally = read_records(database, NOW_MS + 1).tallies
    assert set(tally) == {(Feed("brook").publisher, Category.ASSET_DRAIN)}
    assert tally[Feed("brook").publisher, Category.ASSET_DRAIN].false_alarms > 4.99
    assert count(database, "adjudications") == 1
    assert audit_kinds(database).count("adjudication") == 2
    body, signature = database.execute("SELECT body, signature FROM adjudications").fetchone()
    found, earned = verify_adjudication(Feed(OWN).key, body, signature)
    assert found.finding is Finding.FALSE
    assert [(e.publisher, e.outcome.verdict) for e in earned] == [(Feed("brook").publisher, Verdict.FALSE_ALARM)]


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


def test_who_is_known_to_report_within_seconds_and_says_nothing_takes_from_the_belief(
    database: sqlite3.Connection,
) -> None:
    feeds = {name: Feed(name) for name in ("brook", "cedar")}
    for day in range(MIN_DELAYS):
        now_ms = NOW_MS + day * DAY_MS * 2
        for seconds, feed in enumerate(feeds.values()):
            arrived_ms = now_ms + 3_000 * seconds
            file(database, [feed.seal(report(now_ms, f"day {day}"))], rules=strangers(), now_ms=arrived_ms)
        settle(database, newest(database), Finding.CONFIRMED, now_ms + DAY_MS)
    drain, cedar = Category.ASSET_DRAIN, feeds["cedar"].publisher
    records = read_records(database, now_ms + DAY_MS)
    assert records.delays == {(feeds["brook"].publisher, drain): 0, (cedar, drain): 3_000}
    now_ms += DAY_MS * 10
    file(database, [feeds["brook"].seal(report(now_ms, "today"))], rules=strangers(), now_ms=now_ms)

    def believe(at_ms: int, watching: Watching = no_watching) -> tuple[float, list[Answer]]:
        rules = replace(make_rules(), delays=records.delays, watching=watching)
        incident = newest(database)
        sightings = load_sightings(database, rules.roster, rules.exposure.watched, incident, at_ms)
        states = read_lever_states(database, rules.policy, incident, at_ms)
        belief = weigh_incident(rules.world, incident, sightings, (), states, (), at_ms).belief
        return belief.probability, [term.answer for term in belief.terms if term.source is Source.SILENCE]

    def watched_by(heard_ms: int) -> Watching:
        return lambda category: [(cedar, heard_ms), (Feed("delta").publisher, heard_ms)] if category is drain else []

    at_ms = now_ms + 3_001
    alone, none = believe(at_ms)
    assert none == []
    held_back, answers = believe(at_ms, watched_by(at_ms))
    assert answers == [Answer.COUNTED]  # of delta no delay is known
    assert held_back < alone
    assert believe(now_ms + 3_000, watched_by(now_ms))[1] == [Answer.NOT_DUE]
    assert believe(at_ms, watched_by(at_ms - MAX_HEARTBEAT_AGE_MS - 1)) == (alone, [Answer.NO_HEARTBEAT])


def test_who_is_vouched_for_by_two_whose_word_counts_weighs_up_to_the_cap() -> None:
    rules = make_rules()
    delta = Feed("delta").publisher
    tallies = {key: tally for key, tally in rules.tallies.items() if key[0] != delta}

    def weight(*words: Word, cap: float = 0.5) -> tuple[float, Basis]:
        policy = replace(rules.policy, words=words, vouch_cap=cap)
        found = replace(rules, policy=policy, tallies=tallies, _speakers={})
        standing = found.speakers_of(Category.ASSET_DRAIN)[delta].standing
        return standing.llr, standing.basis

    two = Word("brook", "delta", 2.0), Word("cedar", "delta", 0.3)
    assert weight() == weight(two[0]) == weight(*two, cap=0.0) == (0.0, Basis.STRANGER)
    assert weight(*two) == (0.3, Basis.VOUCHED)
    assert weight(two[0], replace(two[1], llr=3.0)) == (0.5, Basis.VOUCHED)
    # a stranger's word for another is worth nothing, and nobody vouches for those who vouch
    assert weight(two[0], Word("elm", "delta", 3.0), Word("brook", "elm", 2.0), Word("cedar", "elm", 2.0))[0] == 0.0


def newest(database: sqlite3.Connection) -> bytes:
    incident: bytes = database.execute("SELECT id FROM incidents ORDER BY first_ms DESC").fetchone()[0]
    return incident


def report(now_ms: int, incident: str) -> Signal:
    return make_signal(detected_ms=now_ms, issued_ms=now_ms, expires_ms=now_ms + 60_000, incident=incident)
