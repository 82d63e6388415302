"""The ledger on disk and its anchor: who may act on what, case by case, and what the operator's word changes."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from protocol_kit import NETWORK_ID, NOW_MS, VAULT, Feed
from store_kit import HOOK, OWN, arm, audit_kinds, count
from tocsin_node.store.actions import (
    append_event,
    end_due,
    find_action,
    insert_intent,
    lapse_unapproved,
    read_arms,
    read_due,
    read_expiring,
)
from tocsin_node.store.database import DATABASE_NAME, open_writer
from tocsin_node.store.ledger import (
    ANCHOR_NAME,
    LedgerError,
    describe_anchor,
    hold_ledger,
    read_anchor,
    read_doubt,
    read_mark,
    write_anchor,
)
from tocsin_node.store.ledger_doubt import confirm_ledger, judge_found
from tocsin_node.store.schema import MIGRATIONS
from tocsin_protocol.containment.action import EXPIRY_NOTICE_MS, Action, IntentVerdict, new_action
from tocsin_protocol.containment.life_cycle import ContainmentError, Event, State

OWNER = Feed(OWN).publisher
OTHER_VAULT = "eip155:1:0x" + "cd" * 20
NEW_ID = b"n" * 16
SIGN = {"raw": b"\2raw", "hash": b"\3" * 32, "nonce": 4, "max_fee_wei": 5, "priority_fee_wei": 1}


def intent(**changes: object) -> Action:
    fields = {
        "ledger": bytes(16),
        "hook": HOOK,
        "target": VAULT,
        "arm_epoch": 1,
        "incident_id": b"\1" * 32,
        "decision_id": b"\2" * 8,
        "payload": b"pause",
        "created_ms": NOW_MS,
        "deadline_ms": NOW_MS + 60_000,
    }
    return new_action(**(fields | changes))  # type: ignore[arg-type]


@contextmanager
def started(data_dir: Path) -> Iterator[sqlite3.Connection]:
    """A node's start: open, judge by the anchor, write the anchor where nothing is in doubt."""
    connection, lock = open_writer(data_dir, OWNER, NETWORK_ID)
    try:
        anchor, fault = describe_anchor(data_dir)
        if not judge_found(connection, anchor, fault, NOW_MS):
            write_anchor(data_dir, read_mark(connection))
        yield connection
    finally:
        connection.close()
        lock.close()


def act(connection: sqlite3.Connection, data_dir: Path, **changes: object) -> Action:
    """Arm, intend, sign, anchor: in the order in which the relay does it."""
    action = intent(ledger=read_mark(connection).ledger, arm_epoch=arm(connection), **changes)
    assert insert_intent(connection, action, NOW_MS) is IntentVerdict.NEW
    signed = append_event(connection, action.action_id, Event.SIGN, SIGN, NOW_MS)
    write_anchor(data_dir, read_mark(connection))
    return signed


def act_and_keep_the_plan(connection: sqlite3.Connection, data_dir: Path) -> Path:
    """As `act`, with a copy from when the action was planned and nothing was signed."""
    action = intent(arm_epoch=arm(connection))
    insert_intent(connection, action, NOW_MS)
    write_anchor(data_dir, read_mark(connection))
    kept = keep(data_dir)
    append_event(connection, action.action_id, Event.SIGN, SIGN, NOW_MS)
    write_anchor(data_dir, read_mark(connection))
    return kept


def keep(data_dir: Path) -> Path:
    kept = data_dir.with_name("kept.db")
    with sqlite3.connect(data_dir / DATABASE_NAME) as source, sqlite3.connect(kept) as copy:
        source.backup(copy)
    source.close()
    copy.close()
    return kept


def lose_database(data_dir: Path) -> None:
    for path in data_dir.glob(DATABASE_NAME + "*"):
        path.unlink()


def restore(data_dir: Path, kept: Path) -> None:
    lose_database(data_dir)
    shutil.copy(kept, data_dir / DATABASE_NAME)


def empty(data_dir: Path, kept: Path) -> None:
    lose_database(data_dir)


def lose_anchor(data_dir: Path, kept: Path) -> None:
    (data_dir / ANCHOR_NAME).unlink()


def spoil_anchor(data_dir: Path, kept: Path) -> None:
    (data_dir / ANCHOR_NAME).write_bytes(b"\0" * 20)


def open_anchor_to_all(data_dir: Path, kept: Path) -> None:
    (data_dir / ANCHOR_NAME).chmod(0o644)


def become_another(data_dir: Path, kept: Path) -> None:
    lose_database(data_dir)
    elsewhere = data_dir.with_name("elsewhere")
    with started(elsewhere) as connection:
        for _ in range(3):
            act(connection, elsewhere)
    shutil.copy(elsewhere / DATABASE_NAME, data_dir / DATABASE_NAME)


def leave(data_dir: Path, kept: Path) -> None:
    """Nothing happens to it."""


def words(name: object) -> str | None:
    """A test's id from the first of its parameters."""
    return name.replace(" ", "-") if isinstance(name, str) else None


# What happened to the ledger while the node was down, after one action; and what the node then says.
RESTARTS: list[tuple[str, Callable[[Path, Path], None], str]] = [
    ("nothing", leave, ""),
    ("restored copy from before the action", restore, "an older copy"),
    ("emptied", empty, "the database is empty"),
    ("foreign", become_another, "not the one that the anchor"),
    ("anchor lost", lose_anchor, "no anchor beside it"),
    ("anchor spoilt", spoil_anchor, "the anchor cannot be read"),
    ("anchor readable by others", open_anchor_to_all, "chmod 600"),
]


@pytest.mark.parametrize(("what", "happens", "doubt"), RESTARTS, ids=words)
def test_after_a_restart_only_the_ledger_that_acted_last_acts(
    tmp_path: Path, what: str, happens: Callable[[Path, Path], None], doubt: str
) -> None:
    data_dir = tmp_path / "data"
    with started(data_dir) as connection:
        arm(connection)
        kept = keep(data_dir)
        act(connection, data_dir)
    happens(data_dir, kept)
    with started(data_dir) as connection:
        assert doubt in read_doubt(connection)
        if not doubt:
            assert arm(connection) == 3
            return
        assert not any(held.armed for held in read_arms(connection).values())
        with pytest.raises(LedgerError, match="tocsin ledger confirm"):
            arm(connection)
        with pytest.raises(LedgerError, match="tocsin ledger confirm"):
            insert_intent(connection, intent(arm_epoch=9), NOW_MS)
        assert "alarm" in audit_kinds(connection)
    with started(data_dir) as connection:
        assert doubt in read_doubt(connection)  # a restart is nobody's word


def test_a_copy_from_when_an_action_was_planned_signs_nothing_anew(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with started(data_dir) as connection:
        kept = act_and_keep_the_plan(connection, data_dir)
    restore(data_dir, kept)
    with started(data_dir) as connection:
        assert "an older copy" in read_doubt(connection)
        (action_id,) = connection.execute("SELECT id FROM actions").fetchone()
        after = append_event(connection, action_id, Event.SIGN, SIGN, NOW_MS)
        assert (after.state, after.transactions) == (State.LAPSED, ())


@pytest.mark.parametrize("happens", [restore, empty, become_another])
def test_a_confirmed_ledger_never_uses_a_key_that_the_anchor_knew(
    tmp_path: Path, happens: Callable[[Path, Path], None]
) -> None:
    data_dir = tmp_path / "data"
    with started(data_dir) as connection:
        arm(connection)
        kept = keep(data_dir)
        done = act(connection, data_dir)
    happens(data_dir, kept)
    with started(data_dir) as connection:
        mark = confirm_ledger(connection, read_anchor(data_dir), NEW_ID, NOW_MS)
        write_anchor(data_dir, mark)
        assert read_doubt(connection) == ""
        assert not any(held.armed for held in read_arms(connection).values())
        assert arm(connection) > done.arm_epoch
        assert read_mark(connection).ledger == NEW_ID
    with started(data_dir) as connection:
        assert read_doubt(connection) == ""


def test_a_confirmed_copy_without_its_anchor_does_not_use_an_id_again(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with started(data_dir) as connection:
        arm(connection)
        kept = keep(data_dir)
        lost = act(connection, data_dir)
    restore(data_dir, kept)
    lose_anchor(data_dir, kept)
    with started(data_dir) as connection:
        confirm_ledger(connection, None, NEW_ID, NOW_MS)
        again = act(connection, data_dir)
    assert (again.hook, again.target, again.arm_epoch) == (lost.hook, lost.target, lost.arm_epoch)
    assert again.action_id != lost.action_id


def test_what_a_confirmed_ledger_had_not_signed_lapses(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with started(data_dir) as connection:
        planned = intent(arm_epoch=arm(connection))
        insert_intent(connection, planned, NOW_MS)
        kept = keep(data_dir)
        append_event(connection, planned.action_id, Event.SIGN, SIGN, NOW_MS)
        act(connection, data_dir, target=OTHER_VAULT)
    restore(data_dir, kept)
    with started(data_dir) as connection:
        with pytest.raises(LedgerError, match="nothing to confirm"), started(tmp_path / "fresh") as fresh:
            confirm_ledger(fresh, None, NEW_ID, NOW_MS)
        confirm_ledger(connection, read_anchor(data_dir), NEW_ID, NOW_MS)
        left = find_action(connection, planned.action_id)
        assert left is not None
        assert left.state is State.LAPSED
        assert "older copy" in left.reason


def test_a_fresh_node_needs_nobody(tmp_path: Path) -> None:
    with started(tmp_path / "data") as connection:
        assert arm(connection) == 1
    anchor = tmp_path / "data" / ANCHOR_NAME
    assert oct(anchor.stat().st_mode & 0o777) == "0o600"


def test_a_fresh_node_whose_start_was_cut_short_needs_nobody(tmp_path: Path) -> None:
    with started(tmp_path / "data"):
        pass
    (tmp_path / "data" / ANCHOR_NAME).unlink()
    with started(tmp_path / "data") as connection:
        assert arm(connection) == 1


def test_a_process_from_which_the_ledger_was_taken_acts_no_more(tmp_path: Path) -> None:
    with started(tmp_path / "data") as connection:
        planned = intent(arm_epoch=arm(connection))
        insert_intent(connection, planned, NOW_MS)
        other = sqlite3.connect(tmp_path / "data" / DATABASE_NAME, isolation_level=None)
        hold_ledger(other, b"another!")
        other.close()
        with pytest.raises(LedgerError, match="another process has taken this ledger over"):
            append_event(connection, planned.action_id, Event.SIGN, SIGN, NOW_MS)
        with pytest.raises(LedgerError, match="another process"):
            insert_intent(connection, intent(target=OTHER_VAULT), NOW_MS)
        with pytest.raises(LedgerError, match="another process"):
            arm(connection)


# One key has one action: what stood before, what is attempted, and what it is told.
PLANNED, SIGNED, LIFTED = (), ("sign",), ("sign", "send", "include", "confirm", "lift")
ATTEMPTS: list[tuple[str, tuple[str, ...], dict[str, object], str]] = [
    ("same key, same data", PLANNED, {}, "same"),
    ("same key, same data, another incident", PLANNED, {"incident_id": b"\7" * 32}, "same"),
    ("same key, same data, signed", SIGNED, {}, "same"),
    ("same key, same data, long over", LIFTED, {"created_ms": NOW_MS + 9_000_000}, "same"),
    ("same key, other data", PLANNED, {"payload": b"unpause"}, "conflict"),
    ("same key, other data, signed", SIGNED, {"payload": b"unpause"}, "conflict"),
    ("same key, other data, long over", LIFTED, {"payload": b"unpause"}, "conflict"),
    ("another target", SIGNED, {"target": OTHER_VAULT}, "new"),
    ("another hook", SIGNED, {"hook": "other"}, "new"),
    ("newer epoch", LIFTED, {"arm_epoch": 2}, "new"),
]
DETAILS: dict[str, dict[str, int | str | bytes]] = {
    "sign": SIGN,
    "include": {"block_number": 7, "block_hash": b"\6" * 32, "hash": b"\3" * 32},
}  # fmt: skip


@pytest.mark.parametrize(("name", "before", "changes", "told"), ATTEMPTS, ids=words)
def test_one_key_has_one_action(
    database: sqlite3.Connection, name: str, before: tuple[str, ...], changes: dict[str, object], told: str
) -> None:
    arm(database)
    first = intent()
    insert_intent(database, first, NOW_MS)
    for event in before:
        append_event(database, first.action_id, Event(event), DETAILS.get(event, {}), NOW_MS)
    assert insert_intent(database, intent(**changes), NOW_MS) is IntentVerdict(told)
    assert count(database, "actions") == (2 if told == "new" else 1)


def test_an_older_epoch_is_planned_and_never_signed(database: sqlite3.Connection) -> None:
    arm(database)
    arm(database)
    old = intent(arm_epoch=1)
    assert insert_intent(database, old, NOW_MS) is IntentVerdict.NEW
    after = append_event(database, old.action_id, Event.SIGN, SIGN, NOW_MS)
    assert (after.state, after.transactions) == (State.LAPSED, ())


def test_an_end_that_is_near_raises_an_alarm_once(database: sqlite3.Connection) -> None:
    arm(database)
    ends_ms = NOW_MS + 3_600_000
    action = intent(ends_ms=ends_ms)
    insert_intent(database, action, NOW_MS)
    for event in LIFTED[:-1]:
        append_event(database, action.action_id, Event(event), DETAILS.get(event, {}), NOW_MS)
    assert end_due(database, (), ends_ms - EXPIRY_NOTICE_MS - 1) == []
    (due,) = end_due(database, (), ends_ms - EXPIRY_NOTICE_MS)
    assert due.state is State.EXPIRING
    assert audit_kinds(database)[-1] == "alarm"
    assert end_due(database, (), ends_ms) == []
    assert read_expiring(database, ends_ms) == read_due(database, ends_ms) == [due]
    append_event(database, action.action_id, Event.LIFT, {"reason": "by the operator"}, ends_ms)
    assert read_expiring(database, ends_ms) == []
    assert audit_kinds(database)[-1] == "outcome"


@pytest.mark.parametrize("events", [LIFTED[:-1], (*LIFTED[:-1], "expire")])
def test_what_the_chain_says_is_over_is_lifted_near_its_end_and_not_before(
    database: sqlite3.Connection, events: tuple[str, ...]
) -> None:
    arm(database)
    ends_ms = NOW_MS + 3_600_000
    action = intent(ends_ms=ends_ms)
    insert_intent(database, action, NOW_MS)
    for event in events:
        append_event(database, action.action_id, Event(event), DETAILS.get(event, {}), NOW_MS)
    over = {action.action_id}
    assert end_due(database, over, ends_ms - EXPIRY_NOTICE_MS - 1) == []
    (lifted,) = end_due(database, over, ends_ms - EXPIRY_NOTICE_MS)
    assert (lifted.state, lifted.reason) == (State.LIFTED, "the chain says that it is over")
    assert audit_kinds(database)[-1] == "outcome"
    assert end_due(database, over, ends_ms) == []


def test_a_block_that_is_replaced_after_its_effect_was_lifted_alarms_and_changes_nothing(
    database: sqlite3.Connection,
) -> None:
    arm(database)
    action = intent(ends_ms=NOW_MS + 3_600_000)
    insert_intent(database, action, NOW_MS)
    for event in LIFTED:
        append_event(database, action.action_id, Event(event), DETAILS.get(event, {}), NOW_MS)
    lifted = find_action(database, action.action_id)
    alarms = audit_kinds(database).count("alarm")
    assert append_event(database, action.action_id, Event.REORG, {"reason": "block 7 was replaced"}, NOW_MS) == lifted
    assert find_action(database, action.action_id) == lifted
    assert audit_kinds(database).count("alarm") == alarms + 1
    # what was refused is still no event of its state
    with pytest.raises(ContainmentError, match="event send is not possible in state lifted"):
        append_event(database, action.action_id, Event.SEND, {}, NOW_MS)


def test_what_nobody_approved_lapses_at_its_deadline(database: sqlite3.Connection) -> None:
    arm(database)
    asked, planned = intent(), intent(target=OTHER_VAULT)
    for action in (asked, planned):
        insert_intent(database, action, NOW_MS)
    append_event(database, asked.action_id, Event.ASK, {}, NOW_MS)
    assert lapse_unapproved(database, asked.deadline_ms) == []
    (lapsed,) = lapse_unapproved(database, asked.deadline_ms + 1)
    assert (lapsed.action_id, lapsed.state) == (asked.action_id, State.LAPSED)
    assert lapse_unapproved(database, asked.deadline_ms + 1) == []


def test_what_has_nothing_to_end_never_expires(database: sqlite3.Connection) -> None:
    arm(database)
    notice = intent()
    insert_intent(database, notice, NOW_MS)
    append_event(database, notice.action_id, Event.SEND, {}, NOW_MS)
    append_event(database, notice.action_id, Event.CONFIRM, {}, NOW_MS)
    assert end_due(database, (), NOW_MS + 10**12) == []


@pytest.mark.parametrize(
    ("was", "events", "becomes"),
    [
        ("intended", (), State.PLANNED),
        ("mined", ("sign", "send", "include"), State.INCLUDED),
        ("confirmed", ("sign", "send", "include", "confirm"), State.EFFECTIVE),
        ("lapsed", ("lapse",), State.LAPSED),
    ],
)
def test_a_database_of_the_first_schema_keeps_its_actions(
    tmp_path: Path, was: str, events: tuple[str, ...], becomes: State
) -> None:
    from tocsin_protocol.encoding import encode_canonical

    data_dir = tmp_path / "data"
    data_dir.mkdir()
    old = sqlite3.connect(data_dir / DATABASE_NAME, isolation_level=None)
    old.executescript(MIGRATIONS[0] + "PRAGMA user_version = 1;")
    old.execute("INSERT INTO node VALUES (1, ?, ?, x'')", (OWNER, NETWORK_ID))
    action = intent()
    old.execute(
        "INSERT INTO actions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            action.action_id, HOOK, VAULT, 1, action.incident_id, action.decision_id, action.payload, NOW_MS,
            action.deadline_ms, was,
        ),
    )  # fmt: skip
    old.execute("INSERT INTO arms VALUES (?, 1, 1, ?)", (HOOK, NOW_MS))
    for event in events:
        old.execute(
            "INSERT INTO action_events (action, at_ms, event, detail) VALUES (?, ?, ?, ?)",
            (action.action_id, NOW_MS, event, encode_canonical(DETAILS.get(event, {}))),
        )
    old.close()
    with started(data_dir) as connection:
        assert read_doubt(connection) == ""
        kept = find_action(connection, action.action_id)
        assert kept is not None
        assert (kept.state, kept.ends_ms) == (becomes, None)
        assert connection.execute("SELECT state FROM actions").fetchone() == (becomes.value,)
        assert read_arms(connection)[HOOK].armed
