"""One member cannot part the voices of others by tying their subject to an incident of its own making."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

from protocol_kit import NOW_MS, VAULT, Feed, make_signal
from store_kit import arm, file, make_rules
from tocsin_node.exposure import make_exposure
from tocsin_node.store.rules import Rules
from tocsin_protocol.exposure.manifest import Dependency, Link, SubjectId
from tocsin_protocol.freshness import freshness_bound_ms
from tocsin_protocol.model import Reference, Signal, Subject
from tocsin_protocol.taxonomy import Category, Relation, Role, SubjectKind

ELSEWHERE = "eip155:1:0x" + "6b" * 20


def about(*subjects: tuple[Role, str], **changes: object) -> Signal:
    return make_signal(
        subjects=tuple(sorted(Subject(role, SubjectKind.ACCOUNT, value) for role, value in subjects)), **changes
    )


ALARM = about((Role.VICTIM, VAULT))
UNRELATED = about((Role.VICTIM, ELSEWHERE))
BRIDGE = about((Role.RELATED, VAULT), (Role.VICTIM, ELSEWHERE))


def part_the_voices(database: sqlite3.Connection, *, second_at_ms: int = NOW_MS + 3) -> tuple[Feed, list[int]]:
    """brook's alarm, then a bridge by delta to its older incident, then cedar's alarm; returns actions after each."""
    brook, delta = Feed("brook"), Feed("delta")
    rules, started = make_rules(), []
    steps = [
        (delta, UNRELATED, 0),
        (brook, ALARM, 1),
        (delta, BRIDGE, 2),
        (Feed("cedar"), ALARM, second_at_ms - NOW_MS),
    ]
    arm(database)
    for feed, signal, later_ms in steps:
        filed = file(database, [feed.seal(signal)], rules=rules, now_ms=NOW_MS + later_ms)
        started.append(sum(len(decided.actions) for decided in filed.decided))
    return brook, started


def test_two_voices_in_two_incidents_are_a_quorum(database: sqlite3.Connection) -> None:
    _, started = part_the_voices(database)
    incidents = database.execute(
        "SELECT DISTINCT incident FROM signals WHERE publisher IN (?, ?)",
        (Feed("brook").publisher, Feed("cedar").publisher),
    ).fetchall()
    assert len(incidents) == 2
    assert started == [0, 0, 0, 1]


def test_a_voice_that_is_no_longer_fresh_does_not_help(database: sqlite3.Connection) -> None:
    late_ms = NOW_MS + freshness_bound_ms(Category.ASSET_DRAIN) + 1
    _, started = part_the_voices(database, second_at_ms=late_ms)
    assert started == [0, 0, 0, 0]


def test_a_retraction_reaches_into_the_other_incident(database: sqlite3.Connection) -> None:
    brook, rules = Feed("brook"), make_rules()
    arm(database)
    alarm = brook.seal(ALARM)
    back = about(
        (Role.VICTIM, "eip155:1:0x" + "99" * 20),
        category=Category.META_RETRACTION,
        references=(Reference(Relation.RETRACTS, alarm.digest),),
    )
    for feed_envelope in (Feed("delta").seal(UNRELATED), alarm, brook.seal(back)):
        file(database, [feed_envelope], rules=rules)
    bridge = Feed("delta")
    bridge.seal(UNRELATED)
    file(database, [bridge.seal(BRIDGE)], rules=rules, now_ms=NOW_MS + 1)
    filed = file(database, [Feed("cedar").seal(ALARM)], rules=rules, now_ms=NOW_MS + 2)
    assert [action for decided in filed.decided for action in decided.actions] == []


def test_incidents_about_other_subjects_do_not_add_up(database: sqlite3.Connection) -> None:
    rules = make_rules(accounts=(VAULT, ELSEWHERE))
    arm(database)
    file(database, [Feed("brook").seal(ALARM)], rules=rules)
    filed = file(database, [Feed("cedar").seal(UNRELATED)], rules=rules, now_ms=NOW_MS + 1)
    assert [action for decided in filed.decided for action in decided.actions] == []


def test_two_families_that_speak_of_what_we_hang_on_are_heard_together(database: sqlite3.Connection) -> None:
    rules = hanging_on(ELSEWHERE)
    arm(database)
    started = []
    for label, category in (("brook", Category.ASSET_DRAIN), ("cedar", Category.FLASHLOAN_ATTACK)):
        signal = about((Role.VICTIM, ELSEWHERE), category=category)
        filed = file(database, [Feed(label).seal(signal)], rules=rules)
        started.append(sum(len(decided.actions) for decided in filed.decided))
    assert database.execute("SELECT COUNT(*) FROM incidents").fetchone() == (2,)
    assert started == [0, 1]


def hanging_on(account: str) -> Rules:
    """Our vault is deposited with somebody else."""
    rules = make_rules()
    manifest = rules.exposure.own
    subject = SubjectId(SubjectKind.ACCOUNT, account)
    deposit = Dependency(manifest.holdings[0].name, Link.DEPOSIT, subject, "", 500_000)
    return replace(rules, exposure=make_exposure(replace(manifest, dependencies=(deposit,))))
