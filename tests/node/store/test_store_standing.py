"""What a stored signal is worth later: today's roster and today's policy say, not those of its arrival."""

from __future__ import annotations

import sqlite3

import pytest
from protocol_kit import NOW_MS, Feed, make_index, make_signal, make_standard
from store_kit import HOOK, arm, file, independent_roster, make_rules
from tocsin_node.store.decisions import incidents_kept_from
from tocsin_node.store.marks import mark_for_exposure
from tocsin_node.store.sightings import _NEWEST_MARKED, load_sightings
from tocsin_protocol.admission import Reason
from tocsin_protocol.model import Reference
from tocsin_protocol.roster import RosterIndex
from tocsin_protocol.roster_model import Capability
from tocsin_protocol.taxonomy import CRITICAL, STANDARD, Category, Relation


def roster_with(**changes: object) -> RosterIndex:
    return RosterIndex(independent_roster(**changes))


@pytest.mark.parametrize(
    ("changes", "standing"),
    [
        ({"revoked": ((CRITICAL, 0), (STANDARD, 0))}, Reason.KEY_REVOKED),
        ({"capabilities": (Capability.PUBLISH,)}, Reason.NOT_CAPABLE),
        ({"valid_until_ms": NOW_MS - 1}, Reason.KEY_NOT_VALID),
        ({}, Reason.ADMITTED),
    ],
)
def test_a_stored_voice_counts_by_todays_roster(
    database: sqlite3.Connection, changes: dict[str, object], standing: Reason
) -> None:
    envelope = Feed("brook").seal(make_signal())
    filed = file(database, [envelope], rules=make_rules())
    rules = make_rules(roster=roster_with(**changes))
    incident = filed.decided[0].incident
    (sighting,) = load_sightings(database, rules.roster, rules.exposure.subjects, incident, NOW_MS)
    assert sighting.standing is standing


def test_a_revoked_voice_makes_no_quorum(database: sqlite3.Connection) -> None:
    arm(database)
    file(database, [Feed("brook").seal(make_signal())], rules=make_rules())
    rules = make_rules(roster=roster_with(revoked=((CRITICAL, 0), (STANDARD, 0))))
    filed = file(database, [Feed("cedar").seal(make_signal())], rules=rules)
    assert [action for decided in filed.decided for action in decided.actions] == []


def test_updates_do_not_push_a_retraction_out_of_sight(database: sqlite3.Connection) -> None:
    arm(database)
    brook, rules = Feed("brook"), make_rules()
    alarm = brook.seal(make_signal())
    back = brook.seal(
        make_standard(category=Category.META_RETRACTION, references=(Reference(Relation.RETRACTS, alarm.digest),))
    )
    chatter = [brook.seal(make_standard(confidence=1, text=f"update {n}")) for n in range(40)]
    file(database, [alarm, back, *chatter], rules=rules)
    filed = file(database, [Feed("cedar").seal(make_signal())], rules=rules, now_ms=NOW_MS + 1)
    assert [action for decided in filed.decided for action in decided.actions] == []


def test_a_changed_manifest_marks_what_is_stored_anew(database: sqlite3.Connection) -> None:
    domain = make_index().domain
    elsewhere = make_rules(accounts=("eip155:1:0x" + "00" * 20,))
    mark_for_exposure(database, domain, elsewhere.exposure)
    file(database, [Feed("brook").seal(make_signal())], rules=elsewhere)
    marked = "SELECT matters FROM signals"
    assert database.execute(marked).fetchone() == (0,)
    ours = make_rules().exposure
    assert mark_for_exposure(database, domain, ours) == 1
    assert database.execute(marked).fetchone() == (1,)
    assert mark_for_exposure(database, domain, ours) == 0


def test_the_newest_that_matter_are_read_without_sorting_all_that_do(database: sqlite3.Connection) -> None:
    plan = " ".join(row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {_NEWEST_MARKED}", (b"", 1)))
    assert plan.count("USING INDEX signals_that") == plan.count("SEARCH") == 4
    assert "TEMP B-TREE" not in plan


def test_arming_can_say_what_a_disarmed_hook_was_kept_from(database: sqlite3.Connection) -> None:
    rules = make_rules(organisations=1)
    filed = file(database, [Feed("brook").seal(make_signal())], rules=rules)
    incident = filed.decided[0].incident
    assert incidents_kept_from(database, HOOK, NOW_MS - 1) == [incident]
    assert incidents_kept_from(database, HOOK, NOW_MS + 1) == []
    assert incidents_kept_from(database, "another", NOW_MS - 1) == []
    arm(database)
    file(database, [Feed("cedar").seal(make_signal())], rules=rules, now_ms=NOW_MS + 1)
    assert incidents_kept_from(database, HOOK, NOW_MS - 1) == []
