"""Incidents, decisions, intents, drafts and the outbox: what one transaction makes of a batch."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest
from protocol_kit import DAY_MS, DOMAIN, NOW_MS, VAULT, Feed, make_signal, make_standard
from store_kit import HOOK, OWN, Lever, arm, audit_kinds, count, file, make_rules, memory_database
from tocsin_node.hooks.hook import Occasion
from tocsin_node.store.actions import (
    append_event,
    count_actions_by_state,
    find_action,
    insert_intent,
    read_arms,
    read_open_actions,
    set_arm,
)
from tocsin_node.store.arrivals import Path
from tocsin_node.store.audit import read_audit
from tocsin_node.store.decision_detail import decode_detail
from tocsin_node.store.decisions import Decided
from tocsin_node.store.drafts import MAX_DRAFTS, MAX_DRAFTS_SEARCHED, file_draft, take_drafts
from tocsin_node.store.outbox import MAX_OUTBOX_READ, clear_outbox, publish_signals, read_outbox
from tocsin_node.store.rules import Rules
from tocsin_protocol.admission import Reason
from tocsin_protocol.audit import EntryKind
from tocsin_protocol.body import encode_body
from tocsin_protocol.containment.action import Action, IntentVerdict, new_action
from tocsin_protocol.containment.life_cycle import ContainmentError, Event, State
from tocsin_protocol.correlation import CORRELATION_WINDOW_MS
from tocsin_protocol.envelope import decode_envelope
from tocsin_protocol.freshness import FRESHNESS_MS, actionable_until_ms
from tocsin_protocol.ids import NO_DIGEST
from tocsin_protocol.model import Reference, Signal, Subject
from tocsin_protocol.signing import keccak256
from tocsin_protocol.taxonomy import Category, Relation, Role, Severity, SubjectKind

BROOK, CEDAR, DELTA = Feed("brook"), Feed("cedar"), Feed("delta")
OTHER_VAULT = "eip155:1:0x" + "6b" * 20


def fresh(label: str) -> Feed:
    return Feed(label)


def about(account: str, **changes: object) -> Signal:
    return make_signal(subjects=(Subject(Role.VICTIM, SubjectKind.ACCOUNT, account),), **changes)


def issued(issued_ms: int, expires_ms: int) -> dict[str, object]:
    return {"detected_ms": issued_ms, "issued_ms": issued_ms, "expires_ms": expires_ms}


def incident_of(database: sqlite3.Connection, digest: bytes) -> bytes:
    found: bytes = database.execute("SELECT incident FROM signals WHERE digest = ?", (digest,)).fetchone()[0]
    return found


def ties(database: sqlite3.Connection) -> list[tuple[bytes, bytes, str]]:
    return database.execute("SELECT incident, other, tie FROM incident_ties").fetchall()


def one_rule() -> Rules:
    return make_rules(organisations=1)


def only(decided: list[Decided]) -> Decided:
    (one,) = decided
    return one


def make_intent(**changes: object) -> Action:
    fields: dict[str, object] = {
        "ledger": bytes(16),
        "hook": HOOK,
        "target": VAULT,
        "arm_epoch": 1,
        "incident_id": b"\1" * 32,
        "decision_id": b"\0" * 8,
        "payload": b"pause",
        "created_ms": NOW_MS,
        "deadline_ms": NOW_MS + 60_000,
    }
    return new_action(**(fields | changes))  # type: ignore[arg-type]


def test_signals_about_one_subject_are_one_incident(database: sqlite3.Connection) -> None:
    one, other = fresh("brook").seal(), fresh("cedar").seal()
    file(database, [one, other])
    assert incident_of(database, one.digest) == incident_of(database, other.digest) == one.digest
    assert count(database, "incidents") == 1
    assert audit_kinds(database).count("incident") == 1


def test_a_signal_of_a_batch_joins_the_one_before_it_in_the_batch(database: sqlite3.Connection) -> None:
    feed = fresh("brook")
    first = feed.seal(about(VAULT))
    second = feed.seal(about(OTHER_VAULT, references=(Reference(Relation.UPDATES, first.digest),)))
    file(database, [first, second])
    assert incident_of(database, second.digest) == first.digest


def test_other_subjects_and_silence_open_another_incident(database: sqlite3.Connection) -> None:
    feed = fresh("brook")
    first, second, third = feed.seal(about(VAULT)), feed.seal(about(OTHER_VAULT)), feed.seal(about(VAULT))
    file(database, [first, second])
    file(database, [third], now_ms=NOW_MS + CORRELATION_WINDOW_MS + 1)
    assert [incident_of(database, e.digest) for e in (first, second, third)] == [
        first.digest,
        second.digest,
        third.digest,
    ]
    assert ties(database) == [(third.digest, first.digest, "follows")]
    assert audit_kinds(database).count("incident") == 4


def test_a_signal_that_belongs_to_two_incidents_ties_them(database: sqlite3.Connection) -> None:
    feed = fresh("brook")
    first, second = feed.seal(about(VAULT)), feed.seal(about(OTHER_VAULT))
    file(database, [first])
    file(database, [second], now_ms=NOW_MS + 1)
    references = tuple(Reference(Relation.UPDATES, digest) for digest in sorted((first.digest, second.digest)))
    for again in range(2):
        both = feed.seal(about(VAULT, references=references, text=f"said {again} times"))
        file(database, [both], now_ms=NOW_MS + 2 + again)
        assert incident_of(database, both.digest) == first.digest
    assert ties(database) == [(first.digest, second.digest, "bridged")]
    assert audit_kinds(database).count("incident") == 3


def test_a_met_rule_on_an_armed_hook_makes_one_intent(database: sqlite3.Connection) -> None:
    epoch = arm(database)
    short = only(file(database, [fresh("brook").seal()]).decided)
    assert (short.actions, "lacks one more independent group" in short.sentence) == ((), True)
    decided = only(file(database, [fresh("cedar").seal()]).decided)
    (action,) = decided.actions
    assert (action.hook, action.target, action.arm_epoch, action.state) == (HOOK, VAULT, epoch, State.PLANNED)
    assert action.deadline_ms == NOW_MS + FRESHNESS_MS[Category.ASSET_DRAIN] + 1
    assert decided.sentence.startswith(f"Tighten with {HOOK} for 15 min")
    assert read_open_actions(database) == [action]
    assert audit_kinds(database).count("action") == 1
    # a third organisation changes the answer, and fires nothing again
    third = only(file(database, [fresh("delta").seal()]).decided)
    assert third.actions == ()
    assert count(database, "actions") == 1


def test_a_wiped_node_does_not_use_the_id_of_an_old_action_again(database: sqlite3.Connection) -> None:
    said = [fresh("brook").seal(), fresh("cedar").seal()]
    arm(database)
    (old,) = only(file(database, said).decided).actions
    with memory_database() as wiped:
        arm(wiped)
        (new,) = only(file(wiped, said).decided).actions
    assert (new.hook, new.target, new.arm_epoch) == (old.hook, old.target, old.arm_epoch)
    assert new.action_id != old.action_id


def test_a_hook_that_does_not_know_its_arguments_alarms_and_stays_armed(database: sqlite3.Connection) -> None:
    arm(database)
    rules = make_rules(organisations=1, levers=(Lever(knows_its_arguments=False),))
    assert only(file(database, [fresh("brook").seal()], rules=rules).decided).actions == ()
    assert (count(database, "actions"), audit_kinds(database).count("alarm")) == (0, 1)
    decided = only(file(database, [fresh("cedar").seal()], rules=one_rule(), now_ms=NOW_MS + 1).decided)
    assert [action.state for action in decided.actions] == [State.PLANNED]


class Stumbling(Lever):
    """A hook of the operator's own that what strangers wrote makes stumble."""

    answer: object = None

    def payload(self, occasion: Occasion) -> bytes:
        if self.answer is None:
            raise ZeroDivisionError("a fault of the hook")
        return self.answer  # type: ignore[return-value]


@pytest.mark.parametrize(("answer", "fault"), [(None, "ZeroDivisionError"), ("pause", "TypeError"), (7, "TypeError")])
def test_a_hook_that_stumbles_over_its_payload_alarms_and_loses_no_signal(
    database: sqlite3.Connection, answer: object, fault: str
) -> None:
    arm(database)
    lever = Stumbling()
    lever.answer = answer
    sealed = fresh("brook").seal()
    decided = only(file(database, [sealed], rules=make_rules(organisations=1, levers=(lever,))).decided)
    assert decided.actions == ()
    assert (count(database, "signals"), count(database, "decisions"), count(database, "actions")) == (1, 1, 0)
    assert incident_of(database, sealed.digest) == sealed.digest
    (alarm,) = [entry.detail for entry in read_audit(database, 0, 100) if entry.kind is EntryKind.ALARM]
    assert f"its payload could not be made: {fault}".encode() in alarm
    # its arming is not spent
    later = only(file(database, [fresh("cedar").seal()], rules=one_rule(), now_ms=NOW_MS + 1).decided)
    assert [action.payload for action in later.actions] == [b"pause " + VAULT.encode()]


class Telling(Lever):
    """A hook whose payload tells what it was used for."""

    def payload(self, occasion: Occasion) -> bytes:
        return " ".join((occasion.severity, *occasion.subjects)).encode()


def test_who_weighs_nothing_chooses_neither_what_a_lever_is_used_on_nor_until_when(
    database: sqlite3.Connection,
) -> None:
    arm(database)
    stranger, known = fresh("delta"), fresh("brook")
    rules = make_rules(organisations=1, levers=(Telling(),))
    rules = replace(
        rules,
        policy=replace(rules.policy, pins={name: pin for name, pin in rules.policy.pins.items() if name != "delta"}),
        tallies={key: tally for key, tally in rules.tallies.items() if key[0] != stranger.publisher},
    )
    subjects = tuple(Subject(Role.VICTIM, SubjectKind.ACCOUNT, account) for account in (VAULT, OTHER_VAULT))
    loud = make_signal(subjects=subjects, severity=Severity.CRITICAL, expires_ms=NOW_MS + DAY_MS)
    assert only(file(database, [stranger.seal(loud)], rules=rules).decided).actions == ()
    until_ms = NOW_MS + 120_000
    quiet = about(VAULT, severity=Severity.HIGH, expires_ms=until_ms)
    (action,) = only(file(database, [known.seal(quiet)], rules=rules).decided).actions
    assert action.payload == f"high {VAULT}".encode()
    assert action.deadline_ms == actionable_until_ms(quiet)
    assert action.deadline_ms < actionable_until_ms(loud)


def test_a_disarmed_lever_and_a_policy_without_any_do_nothing_and_say_so(database: sqlite3.Connection) -> None:
    decided = only(file(database, [fresh("brook").seal()], rules=one_rule()).decided)
    assert decided.actions == ()
    assert "is disarmed; with the lever armed it would have been used" in decided.sentence
    bare = only(file(database, [fresh("cedar").seal()], rules=make_rules(levers=())).decided)
    assert bare.sentence.startswith("No action. ")
    assert "The policy has no levers." in bare.sentence
    assert count(database, "actions") == 0


def test_the_same_answer_is_recorded_once(database: sqlite3.Connection) -> None:
    feed = fresh("brook")
    rules = make_rules(organisations=3)
    file(database, [feed.seal()], rules=rules)
    decisions = count(database, "decisions")
    # no rule is about it: it joins the incident, and there is nothing new to say
    joined = feed.seal(make_standard(subjects=(Subject(Role.RELATED, SubjectKind.ACCOUNT, VAULT),)))
    assert file(database, [joined], rules=rules).decided == []
    assert count(database, "decisions") == decisions


@pytest.mark.parametrize(
    ("changes", "standing"),
    [
        ({"drill": True}, Reason.DRILL),
        (
            {"issued_ms": NOW_MS + 60_000, "detected_ms": NOW_MS + 60_000, "expires_ms": NOW_MS + 120_000},
            Reason.FROM_FUTURE,
        ),
        ({"expires_ms": NOW_MS - 1, "issued_ms": NOW_MS - 10, "detected_ms": NOW_MS - 10}, Reason.EXPIRED),
        ({"issued_ms": NOW_MS - DAY_MS, "detected_ms": NOW_MS - DAY_MS, "expires_ms": NOW_MS + DAY_MS}, Reason.STALE),
    ],
)
def test_what_may_not_actuate_is_stored_decided_and_fires_nothing(
    database: sqlite3.Connection, changes: dict[str, object], standing: Reason
) -> None:
    arm(database)
    filed = file(database, [fresh("brook").seal(make_signal(**changes))], rules=one_rule())
    assert [opened.standing for opened in filed.stored] == [standing]
    decided = only(filed.decided)
    assert decided.actions == ()
    assert decided.sentence.startswith("No action: none of its signals may act")


def test_a_signal_from_the_future_does_not_ripen(database: sqlite3.Connection) -> None:
    arm(database)
    later = NOW_MS + 60_000
    feed = fresh("brook")
    file(
        database,
        [feed.seal(make_signal(issued_ms=later, detected_ms=later, expires_ms=later + 3_600_000))],
        rules=one_rule(),
    )
    drill = fresh("cedar").seal(make_signal(issued_ms=later, detected_ms=later, expires_ms=later + 10_000, drill=True))
    decided = file(database, [drill], rules=one_rule(), now_ms=later).decided
    assert all(not one.actions for one in decided)
    assert count(database, "actions") == 0


def test_a_member_counts_once_however_often_it_speaks(database: sqlite3.Connection) -> None:
    arm(database)
    feed = fresh("brook")
    filed = file(database, [feed.seal(make_signal(incident=f"n{n}")) for n in range(20)])
    assert count(database, "actions") == 0
    assert "by 1 other member" in filed.decided[-1].sentence


def test_a_retracted_signal_counts_no_more(database: sqlite3.Connection) -> None:
    arm(database)
    feed = fresh("brook")
    first = feed.seal()
    file(database, [first])
    retraction = feed.seal(
        make_standard(category=Category.META_RETRACTION, references=(Reference(Relation.RETRACTS, first.digest),))
    )
    decided = only(file(database, [retraction]).decided)
    assert "none of its signals may act" in decided.sentence
    later = only(file(database, [fresh("cedar").seal()]).decided)
    assert (later.actions, "by 1 other member" in later.sentence) == ((), True)


def test_only_its_publisher_can_retract_a_signal(database: sqlite3.Connection) -> None:
    arm(database)
    first = fresh("brook").seal()
    file(database, [first])
    foreign = fresh("cedar").seal(
        make_standard(category=Category.META_RETRACTION, references=(Reference(Relation.RETRACTS, first.digest),))
    )
    file(database, [foreign])
    assert only(file(database, [fresh("delta").seal()]).decided).actions != ()


def test_an_equivocators_signals_weigh_nothing(database: sqlite3.Connection) -> None:
    arm(database)
    feed = fresh("brook")
    file(database, [feed.seal(make_signal())])
    file(database, [feed.seal_at(1, NO_DIGEST, make_signal(text="another history"))])
    file(database, [fresh("cedar").seal()])
    assert count(database, "actions") == 0
    (detail,) = database.execute("SELECT detail FROM decisions ORDER BY id DESC").fetchone()
    assert [term.member for term in decode_detail(detail).terms] == ["cedar"]


def test_each_arming_fires_once(database: sqlite3.Connection) -> None:
    rules = one_rule()
    feed = fresh("brook")
    assert arm(database) == 1
    assert only(file(database, [feed.seal()], rules=rules).decided).actions
    again = file(database, [feed.seal(make_signal(incident="again"))], rules=rules).decided
    assert all(not decided.actions for decided in again)
    assert arm(database, armed=False) == 1
    assert arm(database) == 2
    assert only(file(database, [feed.seal(make_signal(incident="third"))], rules=rules).decided).actions
    assert [row for row in database.execute("SELECT arm_epoch FROM actions ORDER BY arm_epoch")] == [(1,), (2,)]
    assert audit_kinds(database).count("operator") == 3


def test_hook_target_and_arm_epoch_have_one_action(database: sqlite3.Connection) -> None:
    assert insert_intent(database, make_intent(), NOW_MS) is IntentVerdict.NEW
    assert insert_intent(database, make_intent(incident_id=b"\2" * 32), NOW_MS) is IntentVerdict.SAME
    assert insert_intent(database, make_intent(payload=b"something else"), NOW_MS) is IntentVerdict.CONFLICT
    assert insert_intent(database, make_intent(arm_epoch=2), NOW_MS) is IntentVerdict.NEW
    assert insert_intent(database, make_intent(target=OTHER_VAULT), NOW_MS) is IntentVerdict.NEW
    assert count(database, "actions") == 3
    with pytest.raises(sqlite3.IntegrityError):
        database.execute(
            "INSERT INTO actions SELECT x'00', hook, target, arm_epoch, incident, decision, payload, created_ms,"
            " deadline_ms, state, ends_ms FROM actions LIMIT 1"
        )


def test_an_action_is_found_in_the_state_its_events_left_it_in(database: sqlite3.Connection) -> None:
    arm(database)
    action = make_intent()
    insert_intent(database, action, NOW_MS)
    signed = {"raw": b"\2raw", "hash": b"\3" * 32, "nonce": 4, "max_fee_wei": 5, "priority_fee_wei": 1}
    append_event(database, action.action_id, Event.SIGN, signed, NOW_MS)
    append_event(database, action.action_id, Event.SEND, {}, NOW_MS)
    included = {"block_number": 7, "block_hash": b"\6" * 32, "hash": b"\3" * 32}
    after = append_event(database, action.action_id, Event.INCLUDE, included, NOW_MS)
    assert find_action(database, action.action_id) == after
    assert (after.state, after.transactions[0].nonce, after.attempts, after.block_number) == (State.INCLUDED, 4, 1, 7)
    assert read_open_actions(database) == [after]
    append_event(database, action.action_id, Event.CONFIRM, {}, NOW_MS)
    assert read_open_actions(database) == []
    assert count_actions_by_state(database) == {State.EFFECTIVE: 1}
    assert audit_kinds(database) == ["operator", "action", "action", "action", "action", "outcome"]
    assert all(b"raw" not in detail for (detail,) in database.execute("SELECT detail FROM audit"))


@pytest.mark.parametrize("first", [Event.SIGN, Event.SEND])
@pytest.mark.parametrize(
    ("arms", "reason"),
    [([], "disarmed"), ([True, False], "disarmed"), ([True, False, True], "armed anew (epoch 2)")],
)
def test_the_first_step_of_what_was_disarmed_meanwhile_is_a_lapse(
    database: sqlite3.Connection, arms: list[bool], reason: str, first: Event
) -> None:
    action = make_intent()
    insert_intent(database, action, NOW_MS)
    for armed in arms:
        arm(database, armed=armed)
    signed = {"raw": b"\2raw", "hash": b"\3" * 32, "nonce": 4, "max_fee_wei": 5, "priority_fee_wei": 1}
    after = append_event(database, action.action_id, first, signed, NOW_MS)
    assert (after.state, after.transactions, after.attempts) == (State.LAPSED, (), 0)
    assert reason in after.reason
    assert find_action(database, action.action_id) == after
    assert audit_kinds(database)[-1] == "outcome"


def test_what_is_signed_already_goes_on_after_a_disarm(database: sqlite3.Connection) -> None:
    arm(database)
    action = make_intent()
    insert_intent(database, action, NOW_MS)
    signed = {"raw": b"\2raw", "hash": b"\3" * 32, "nonce": 4, "max_fee_wei": 5, "priority_fee_wei": 1}
    append_event(database, action.action_id, Event.SIGN, signed, NOW_MS)
    arm(database, armed=False)
    append_event(database, action.action_id, Event.SEND, {}, NOW_MS)
    bumped = signed | {"raw": b"\2more", "hash": b"\4" * 32}
    assert append_event(database, action.action_id, Event.SIGN, bumped, NOW_MS).state is State.SIGNED


def test_an_impossible_event_and_an_unknown_action_change_nothing(database: sqlite3.Connection) -> None:
    action = make_intent()
    insert_intent(database, action, NOW_MS)
    with pytest.raises(ContainmentError, match="not possible in state"):
        append_event(database, action.action_id, Event.CONFIRM, {}, NOW_MS)
    with pytest.raises(ContainmentError, match="not in the journal"):
        append_event(database, b"\0" * 32, Event.SEND, {}, NOW_MS)
    assert count(database, "action_events") == 0
    assert find_action(database, action.action_id) == action


def test_arms_are_remembered(database: sqlite3.Connection) -> None:
    set_arm(database, "a", armed=True, now_ms=1, by="test")
    set_arm(database, "b", armed=False, now_ms=2, by="test")
    arms = read_arms(database)
    assert {name: (a.epoch, a.armed) for name, a in arms.items()} == {"a": (1, True), "b": (0, False)}


def test_a_draft_counts_for_our_own_decisions_at_once(database: sqlite3.Connection) -> None:
    arm(database)
    decided = file_draft(database, make_rules(organisations=1), make_signal(), NOW_MS)
    assert decided is not None
    assert len(decided.actions) == 1
    assert count(database, "signals") == 0
    assert count(database, "drafts") == 1


def test_a_draft_tightens_at_once_and_publishing_it_fires_nothing_again(
    database: sqlite3.Connection,
) -> None:
    arm(database)
    rules = make_rules()
    decided = file_draft(database, rules, make_signal(), NOW_MS)
    assert decided is not None
    assert len(decided.actions) == 1
    file(database, [fresh("brook").seal()])
    signals = take_drafts(database)
    assert signals == [make_signal()]
    own = Feed(OWN)
    envelopes, filed = publish_signals(database, rules, own.secret, own.publisher, signals, NOW_MS)
    assert len(envelopes) == 1
    assert all(not decided.actions for decided in filed.decided)
    assert count(database, "incidents") == 1
    assert count(database, "actions") == 1
    assert take_drafts(database) == []


def test_the_same_draft_is_kept_once(database: sqlite3.Connection) -> None:
    rules = make_rules()
    assert file_draft(database, rules, make_signal(), NOW_MS) is not None
    assert file_draft(database, rules, make_signal(), NOW_MS) is None
    assert count(database, "drafts") == 1


def test_a_draft_that_was_kept_before_keeps_no_incident_open(database: sqlite3.Connection) -> None:
    """What is not kept again is not logged again: an incident that it held open would follow from no log."""
    rules, later = make_rules(), NOW_MS + CORRELATION_WINDOW_MS // 2
    file_draft(database, rules, make_signal(), NOW_MS)
    before = list(database.iterdump())
    assert file_draft(database, rules, make_signal(), later) is None
    assert list(database.iterdump()) == before
    # nor does it open another, once its own has ended
    assert file_draft(database, rules, make_signal(), NOW_MS + CORRELATION_WINDOW_MS + 1) is None
    assert list(database.iterdump()) == before


def fill_drafts(database: sqlite3.Connection, expired: int | None) -> list[bytes]:
    """As many drafts as are kept, of which one may have expired; returns their bodies, oldest first."""
    times = (issued(NOW_MS - 10, NOW_MS if number == expired else NOW_MS + 60_000) for number in range(MAX_DRAFTS))
    bodies = [encode_body(make_signal(incident=f"old-{number}", **of)) for number, of in enumerate(times)]
    database.executemany(
        "INSERT INTO drafts (digest, body, at_ms, incident) VALUES (?, ?, 0, x'00')",
        ((keccak256(body), body) for body in bodies),
    )
    return bodies


@pytest.mark.parametrize(
    ("expired", "goes"), [(None, 0), (5, 5), (MAX_DRAFTS_SEARCHED, 0)], ids=["none", "one", "one out of sight"]
)
def test_full_drafts_let_an_expired_or_the_oldest_go_and_the_new_one_is_decided(
    database: sqlite3.Connection, expired: int | None, goes: int
) -> None:
    arm(database)
    bodies = fill_drafts(database, expired)
    decided = file_draft(database, make_rules(organisations=1), make_signal(), NOW_MS)
    assert decided is not None
    assert len(decided.actions) == 1
    assert count(database, "drafts") == MAX_DRAFTS
    kept = {body for (body,) in database.execute("SELECT body FROM drafts")}
    assert set(bodies) - kept == {bodies[goes]}
    assert encode_body(make_signal()) in kept
    dropped = [entry for entry in read_audit(database, 0, 100) if entry.reference == keccak256(bodies[goes])]
    assert [b"newer ones came" in entry.detail for entry in dropped] == [True]


def test_own_signals_are_sealed_on_top_of_the_head_and_queued(database: sqlite3.Connection) -> None:
    rules, own = make_rules(), Feed(OWN)
    signals = [make_standard(incident="a"), make_signal(), make_standard(incident="b")]
    first, _ = publish_signals(database, rules, own.secret, own.publisher, signals, NOW_MS)
    second, filed = publish_signals(database, rules, own.secret, own.publisher, [make_standard()], NOW_MS)
    assert [(e.lane, e.sequence) for e in (*first, *second)] == [(1, 1), (0, 1), (1, 2), (1, 3)]
    assert second[0].previous == first[2].digest
    assert not filed.feeds[0].has_gap
    # CRITICAL first, then in rising sequence
    waiting = read_outbox(database, own.publisher)
    assert [(lane, sequence) for lane, sequence, _ in waiting] == [(0, 1), (1, 1), (1, 2), (1, 3)]
    assert decode_envelope(DOMAIN, waiting[0][2]).digest == first[1].digest
    clear_outbox(database, [(0, 1), (1, 2)])
    assert [(lane, sequence) for lane, sequence, _ in read_outbox(database, own.publisher)] == [(1, 1), (1, 3)]


def test_own_signals_go_above_what_peers_have_shown_of_our_feed(database: sqlite3.Connection) -> None:
    own, newer_us = Feed(OWN), Feed(OWN)
    rules = make_rules()
    seen = newer_us.seal_many(5)
    # the gap below does not matter: the head does
    file(database, seen[2:], path=Path.SYNC)
    (envelope,), filed = publish_signals(database, rules, own.secret, own.publisher, [make_standard()], NOW_MS)
    assert (envelope.sequence, envelope.previous) == (6, seen[-1].digest)
    assert filed.proofs == []


def test_the_outbox_is_read_in_pages(database: sqlite3.Connection) -> None:
    own = Feed(OWN)
    signals = [make_standard(incident=f"n{n}") for n in range(MAX_OUTBOX_READ + 5)]
    publish_signals(database, make_rules(), own.secret, own.publisher, signals, NOW_MS)
    page = read_outbox(database, own.publisher)
    assert len(page) == MAX_OUTBOX_READ
    clear_outbox(database, [(lane, sequence) for lane, sequence, _ in page])
    assert [sequence for _, sequence, _ in read_outbox(database, own.publisher)] == [
        MAX_OUTBOX_READ + n for n in range(1, 6)
    ]


def test_the_hook_acts_for_the_worst_of_what_was_counted(database: sqlite3.Connection) -> None:
    arm(database)
    lever = Lever()
    rules = make_rules(levers=[lever])
    file(database, [fresh("brook").seal(make_standard()), fresh("cedar").seal(make_signal())], rules=rules)
    (action,) = read_open_actions(database)
    assert action.payload == lever.payload.__func__(lever, None)  # type: ignore[attr-defined, arg-type]
    assert action.incident_id == database.execute("SELECT id FROM incidents").fetchone()[0]
