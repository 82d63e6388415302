"""Decisions and findings come out of the log alone as they were logged; what was changed or is missing is named."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from protocol_kit import DAY_MS, NOW_MS, VAULT, Feed, make_signal
from replay_kit import BROOK, CEDAR, CLAIM, POLICY, earned, happen, open_database, replay, rule, rules_of, say
from store_kit import HOOK, OWN, arm, file, make_exposure_of
from tocsin_node.replay.taking import Result
from tocsin_node.store.actions import append_event, read_open_actions, set_arm
from tocsin_node.store.arrivals import insert_proof
from tocsin_node.store.audit import append_audit
from tocsin_node.store.drafts import file_draft
from tocsin_node.store.evidence_checks import insert_checks
from tocsin_node.store.ledger import read_mark
from tocsin_node.store.ledger_doubt import confirm_ledger, raise_doubt
from tocsin_node.store.rules import Rules
from tocsin_node.store.sightings import load_sightings
from tocsin_protocol.adjudication import Finding
from tocsin_protocol.admission import Reason
from tocsin_protocol.audit import EntryKind
from tocsin_protocol.belief.silence import MIN_DELAYS
from tocsin_protocol.containment.action import Detail
from tocsin_protocol.containment.life_cycle import Event
from tocsin_protocol.decision.judge import Sighting
from tocsin_protocol.encoding import decode_canonical, encode_canonical
from tocsin_protocol.evidence.answers import Answer, Checked, Doubt
from tocsin_protocol.evidence.grammar import decode_predicate
from tocsin_protocol.model import Subject
from tocsin_protocol.taxonomy import Category, Role, SubjectKind


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with open_database(tmp_path) as connection:
        yield connection


def results(database: sqlite3.Connection, data_dir: Path) -> list[tuple[str, Result]]:
    return [(one.what, one.result) for one in replay(database, data_dir)]


def test_decisions_come_out_as_they_were_logged(database: sqlite3.Connection, tmp_path: Path) -> None:
    happen(database, rules_of())
    assert results(database, tmp_path) == [("decision", Result.EQUAL)] * 2


def test_a_word_that_was_not_published_yet_is_found_again_after_it_was(
    database: sqlite3.Connection, tmp_path: Path
) -> None:
    own = Feed(OWN)
    signal = make_signal()
    assert file_draft(database, rules_of(), signal, NOW_MS) is not None
    assert results(database, tmp_path) == [("decision", Result.EQUAL)]
    database.execute("DELETE FROM drafts")
    (missing,) = replay(database, tmp_path)
    assert (missing.result, missing.why[0].split(" ")[-3:]) == (Result.NOT_REPLAYABLE, ["is", "not", "kept"])
    file(database, [own.seal(signal)], rules=rules_of(), now_ms=NOW_MS + 5)
    assert {result for _, result in results(database, tmp_path)} == {Result.EQUAL}


def test_reputations_follow_from_the_findings(database: sqlite3.Connection, tmp_path: Path) -> None:
    feeds = Feed("brook"), Feed("delta")

    def watched(category: Category) -> list[tuple[bytes, int]]:
        return [(feeds[0].publisher, NOW_MS), (CEDAR, NOW_MS)]

    for day in range(MIN_DELAYS + 1):
        now_ms = NOW_MS + day * DAY_MS * 2
        rules = replace(earned(database, now_ms), watching=watched, _speakers={})
        incident, *_ = [one for feed in feeds for one in say(database, feed, rules, now_ms, incident=f"day {day}")]
        finding = Finding.FALSE if day == 2 else Finding.CONFIRMED
        rule(database, rules, incident, now_ms + 1, finding)
    say(database, feeds[0], replace(earned(database, now_ms + DAY_MS), watching=watched), now_ms + DAY_MS)
    taken = replay(database, tmp_path)
    assert [one for one in taken if one.result is not Result.EQUAL] == []
    assert sum(one.what == "adjudication" for one in taken) == MIN_DELAYS + 1


def test_a_reputation_that_nobody_earned_is_named(database: sqlite3.Connection, tmp_path: Path) -> None:
    rules = rules_of()
    incident = say(database, Feed("brook"), rules)[0]
    rule(database, rules, incident, NOW_MS + 1, Finding.CONFIRMED)
    better = earned(database, NOW_MS + 2)
    key = (BROOK, Category.ASSET_DRAIN)
    better = replace(better, tallies={**better.tallies, key: replace(better.tallies[key], hits=50.0)}, _speakers={})
    say(database, Feed("cedar"), better, NOW_MS + 3)
    first, finding, last = replay(database, tmp_path)
    assert (first.result, finding.result, last.result) == (Result.EQUAL, Result.EQUAL, Result.DIFFERS)
    assert last.why == (f"what {BROOK.hex()} has earned in asset.drain does not follow from the findings",)


def test_an_outcome_that_was_signed_and_does_not_follow_is_named(
    database: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    incident = say(database, Feed("brook"), rules_of())[0]
    monkeypatch.setattr("tocsin_node.store.adjudications.foreign_outcomes", lambda *_: [])
    rule(database, rules_of(), incident, NOW_MS + 1, Finding.CONFIRMED)
    _, finding = replay(database, tmp_path)
    assert finding.result is Result.DIFFERS
    assert f"{BROOK.hex()} earned something else" in finding.why


def change_detail(database: sqlite3.Connection, kind: str, **changes: object) -> None:
    """Have the log say something else from the first: what an operator could do before he signs."""
    sequence, encoded = database.execute(
        "SELECT sequence, detail FROM audit WHERE kind = ? ORDER BY sequence DESC LIMIT 1", (kind,)
    ).fetchone()
    detail = decode_canonical(encoded, max_bytes=65_535) | changes
    database.execute(
        "UPDATE audit SET detail = ? WHERE sequence = ?",
        (encode_canonical({k: v for k, v in detail.items() if v is not None}), sequence),
    )


def test_a_decision_with_another_outcome_is_named_with_what_differs(
    database: sqlite3.Connection, tmp_path: Path
) -> None:
    say(database, Feed("brook"), rules_of())
    number, detail = database.execute("SELECT id, detail FROM decisions").fetchone()
    other = decode_canonical(detail, max_bytes=100_000) | {"belief": 999_999, "sentence": "Pause."}
    other = encode_canonical(other)
    database.execute("UPDATE decisions SET detail = ? WHERE id = ?", (other, number))
    change_detail(database, "decision", detail=sha256(other).digest())
    (taken,) = replay(database, tmp_path)
    assert taken.result is Result.DIFFERS
    assert [why.split(" comes out as ")[0] for why in taken.why] == ["sentence", "belief_ppm"]
    assert taken.why[1].endswith(", not 999999")


def test_an_entry_with_another_sentence_than_its_decision_is_named(
    database: sqlite3.Connection, tmp_path: Path
) -> None:
    say(database, Feed("brook"), rules_of())
    change_detail(database, "decision", sentence="Nothing was reported.")
    (taken,) = replay(database, tmp_path)
    assert (taken.result, len(taken.why)) == (Result.DIFFERS, 1)
    assert taken.why[0].startswith("its entry says Nothing was reported., and ")


@pytest.mark.parametrize("change", [(2, Reason.STALE.value), (2, Reason.EQUIVOCATOR.value), (1, NOW_MS - 60_000)])
def test_a_signal_that_was_seen_otherwise_than_it_came_is_named(
    database: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: tuple[int, object]
) -> None:
    """What was done would follow from it, and it from nothing."""

    def altered(*arguments: Any, **more: Any) -> list[Sighting]:
        place, value = change
        changes = {"standing": Reason(value)} if place == 2 else {"received_ms": value}
        return [replace(one, **changes) for one in load_sightings(*arguments, **more)]

    monkeypatch.setattr("tocsin_node.store.decisions.load_sightings", altered)
    say(database, Feed("brook"), rules_of())
    (taken,) = replay(database, tmp_path)
    assert taken.result is Result.DIFFERS
    assert any(" and was admitted by the log, and " in why for why in taken.why)


def test_what_the_log_says_of_an_equivocator_is_taken_again(database: sqlite3.Connection, tmp_path: Path) -> None:
    say(database, Feed("brook"), rules_of())
    insert_proof(database, BROOK, b"proof", NOW_MS + 1)
    say(database, Feed("cedar"), rules_of(), NOW_MS + 2)
    assert results(database, tmp_path) == [("decision", Result.EQUAL)] * 2


def test_where_the_decision_itself_is_not_kept_that_is_said(database: sqlite3.Connection, tmp_path: Path) -> None:
    say(database, Feed("brook"), rules_of())
    change_detail(database, "decision", detail=bytes(32))
    (taken,) = replay(database, tmp_path)
    assert (taken.result, len(taken.why)) == (Result.DIFFERS, 1)
    assert "is not kept" in taken.why[0]


@pytest.mark.parametrize("part", ["policy", "manifest", "roster", "rules", "charges", "decision"])
def test_a_part_that_the_log_lacks_is_named_and_nothing_counts_as_equal(
    database: sqlite3.Connection, tmp_path: Path, part: str
) -> None:
    say(database, Feed("brook"), rules_of())
    kept = database.execute("SELECT sequence, detail FROM audit WHERE kind = 'basis'").fetchall()
    details = [(sequence, decode_canonical(detail, max_bytes=65_535)) for sequence, detail in kept]
    (sequence,) = (sequence for sequence, detail in details if detail["part"] == part)
    database.execute("UPDATE audit SET reference = ? WHERE sequence = ?", (bytes(32), sequence))
    (taken,) = replay(database, tmp_path)
    assert taken.result is Result.NOT_REPLAYABLE
    assert taken.why[0].startswith(f"the log has no {part} ")


def test_a_decision_that_does_not_say_what_it_stood_on_cannot_be_taken_again(
    database: sqlite3.Connection, tmp_path: Path
) -> None:
    incident = say(database, Feed("brook"), rules_of())[0]
    rule(database, rules_of(), incident, NOW_MS + 1, Finding.CONFIRMED)
    for kind in ("decision", "adjudication"):
        change_detail(database, kind, basis=None)
    taken = replay(database, tmp_path)
    assert [(one.result, one.why) for one in taken] == [
        (Result.NOT_REPLAYABLE, ("it does not say what it stood on",))
    ] * 2


def test_a_signal_that_was_logged_later_or_is_not_kept_is_named(database: sqlite3.Connection, tmp_path: Path) -> None:
    say(database, Feed("brook"), rules_of())
    database.execute("UPDATE audit SET reference = ? WHERE kind = 'signal'", (bytes(32),))
    (taken,) = replay(database, tmp_path)
    assert taken.result is Result.NOT_REPLAYABLE
    assert "has no signal" in taken.why[0]


def test_an_answer_that_the_log_does_not_have_is_named(database: sqlite3.Connection, tmp_path: Path) -> None:
    happen(database, rules_of())
    change_detail(database, "evidence", answer="contradicted")
    first, second = replay(database, tmp_path)
    assert (first.result, second.result) == (Result.EQUAL, Result.DIFFERS)
    assert second.why[0].startswith("the log has another answer, or none, to the claim ")


def test_a_change_of_doubt_alone_is_not_logged_and_a_disagreement_is(database: sqlite3.Connection) -> None:
    predicate = decode_predicate(CLAIM)
    for doubt, disagrees in ((Doubt.TOO_FEW, False), (Doubt.FORK, False), (Doubt.DISAGREEMENT, True)):
        insert_checks(database, [Checked(predicate, Answer.UNKNOWN, doubt, disagrees, ())], NOW_MS)
    rows = database.execute("SELECT detail FROM audit WHERE kind = 'evidence'").fetchall()
    assert [decode_canonical(detail, max_bytes=65_535)["disagrees"] for (detail,) in rows] == [False, True]


def test_parts_are_logged_once_and_again_when_they_change(database: sqlite3.Connection, tmp_path: Path) -> None:
    def parts() -> list[str]:
        rows = database.execute("SELECT detail FROM audit WHERE kind = 'basis' ORDER BY sequence").fetchall()
        return [decode_canonical(detail, max_bytes=65_535)["part"] for (detail,) in rows]

    first = ["policy", "roster", "manifest", "rules", "charges", "decision"]
    say(database, Feed("brook"), rules_of())
    assert parts() == first
    say(database, Feed("cedar"), rules_of(), NOW_MS + 1)
    assert parts() == [*first, "decision"]
    more = replace(rules_of(), exposure=make_exposure_of(VAULT, micro_usd=5))
    feed = Feed("delta")
    for number, rules in enumerate((more, rules_of(POLICY + "\n# changed")), 2):
        other = Subject(Role.VICTIM, SubjectKind.ACCOUNT, "eip155:1:0x" + f"{number:040x}")
        load_policy(database, rules, NOW_MS + number)
        assert say(database, feed, rules, NOW_MS + number, subjects=(other,), incident="another")
    assert parts()[7:] == ["manifest", "rules", "decision", "policy", "rules", "decision"]
    assert {result for _, result in results(database, tmp_path)} == {Result.EQUAL}


def load_policy(database: sqlite3.Connection, rules: Rules, now_ms: int) -> None:
    """What the node logs when its operator has the policy read anew."""
    detail = {"verb": "reload-policy", "policy": rules.policy_hash, "by": "operator"}
    append_audit(database, now_ms, EntryKind.OPERATOR, b"", detail)


def test_levers_that_were_used_ended_and_armed_anew_come_out_as_they_were(
    database: sqlite3.Connection, tmp_path: Path
) -> None:
    delta = Feed("delta")
    happen(database, rules_of())
    (action,) = read_open_actions(database)
    steps: tuple[tuple[Event, Detail], ...] = ((Event.SEND, {}), (Event.CONFIRM, {}), (Event.LIFT, {"reason": "over"}))
    for number, (event, detail) in enumerate(steps, 1):
        append_event(database, action.action_id, event, detail, NOW_MS + 10)
        say_elsewhere(database, delta, NOW_MS + 1_000 * number)
    arm(database)
    say_elsewhere(database, delta, NOW_MS + 60_000)
    set_arm(database, HOOK, armed=False, now_ms=NOW_MS + 61_000, by="operator")
    say_elsewhere(database, delta, NOW_MS + 62_000)
    raise_doubt(database, "a test", NOW_MS + 63_000)
    mark = read_mark(database)
    confirm_ledger(database, replace(mark, epochs=((HOOK, 9),)), bytes(16), NOW_MS + 64_000)
    say_elsewhere(database, delta, NOW_MS + 65_000)
    set_arm(database, HOOK, armed=True, now_ms=NOW_MS + 66_000, by="operator")
    say_elsewhere(database, delta, NOW_MS + 67_000)
    taken = replay(database, tmp_path)
    assert [one for one in taken if one.result is not Result.EQUAL] == []
    assert len(taken) == 9


def say_elsewhere(database: sqlite3.Connection, feed: Feed, now_ms: int) -> None:
    """Of an incident that nothing was said of before, so that it is decided on."""
    other = Subject(Role.VICTIM, SubjectKind.ACCOUNT, "eip155:1:0x" + f"{now_ms:040x}")
    assert say(database, feed, rules_of(), now_ms, subjects=(other,), incident=f"at {now_ms}")


def test_a_lever_that_was_not_as_is_told_is_named(database: sqlite3.Connection, tmp_path: Path) -> None:
    happen(database, rules_of())
    change_detail(database, "operator", verb="disarm")
    first, second = replay(database, tmp_path)
    assert (first.result, first.why) == (
        Result.DIFFERS,
        ("lever pause-vault was disarmed (uses: 0) by the log, and armed (uses: 0) is told",),
    )
    assert (second.result, "was disarmed, used up, in effect (uses: 1)" in second.why[0]) == (Result.DIFFERS, True)


def test_a_use_that_the_log_has_otherwise_is_named(database: sqlite3.Connection, tmp_path: Path) -> None:
    happen(database, rules_of())
    say_elsewhere(database, Feed("delta"), NOW_MS + 1_000)
    change_detail(database, "action", state="failed")
    *_, last = replay(database, tmp_path)
    assert (last.result, last.why[0].split(" by the log, and ")) == (
        Result.DIFFERS,
        ["lever pause-vault was armed, used up (uses: 0)", "armed, used up, in effect (uses: 1) is told"],
    )


def test_an_entry_of_another_shape_is_said_to_be_one(database: sqlite3.Connection, tmp_path: Path) -> None:
    happen(database, rules_of())
    change_detail(database, "evidence", claim=None)
    change_detail(database, "operator", epoch=None)
    change_detail(database, "action", state="asleep")
    taken = replay(database, tmp_path)
    assert {one.result for one in taken if one.what != "decision"} == {Result.NOT_REPLAYABLE}
    assert [one.what for one in taken if "not as this version writes it" in one.why[0]] == [
        "operator",
        "action",
        "evidence",
    ]
    assert all(one.result is not Result.EQUAL for one in taken)
