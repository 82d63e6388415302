"""What a decision had to hear, was charged with and stood on follows from the log before it; what does not is named."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from protocol_kit import ASSET, DAY_MS, NOW_MS, VAULT, Feed, make_signal, make_standard
from replay_kit import BROOK, VICTIM, export, happen, open_database, replay, rule, rules_of, say
from store_kit import OWN, arm, file, make_exposure_of
from tocsin_node.replay.policies import MAX_IN_HAND_MS
from tocsin_node.replay.taking import Result, Taken, replay_log
from tocsin_node.store.arrivals import Path as Way
from tocsin_node.store.audit import append_audit
from tocsin_node.store.drafts import file_draft
from tocsin_node.store.sightings import MAX_SIGHTINGS_PER_FEED, load_all_sightings, load_sightings
from tocsin_protocol.adjudication import Finding
from tocsin_protocol.audit import EntryKind
from tocsin_protocol.body import decode_body
from tocsin_protocol.correlation import CORRELATION_WINDOW_MS
from tocsin_protocol.decision.judge import Sighting
from tocsin_protocol.model import Reference, Signal, Subject
from tocsin_protocol.taxonomy import Category, Relation, Role, SubjectKind

ELSEWHERE = Subject(Role.VICTIM, SubjectKind.ACCOUNT, "eip155:1:0x" + "77" * 20)
ELSE = Subject(Role.VICTIM, SubjectKind.ACCOUNT, "eip155:1:0x" + "78" * 20)
TAKEN = Subject(Role.VICTIM, SubjectKind.ASSET, ASSET)
HISTORY_STEPS = 60


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with open_database(tmp_path) as connection:
        yield connection


def wrong(taken: list[Taken]) -> list[Taken]:
    return [one for one in taken if one.result is not Result.EQUAL]


def without(monkeypatch: pytest.MonkeyPatch, digest: bytes, name: str = "decisions.load_sightings") -> None:
    """A node that keeps a signal from what it decides on, though it has admitted and logged it."""
    load: Any = load_sightings if name.endswith("load_sightings") else load_all_sightings

    def hide(*arguments: Any) -> list[Sighting]:
        return [sighting for sighting in load(*arguments) if sighting.digest != digest]

    monkeypatch.setattr(f"tocsin_node.store.{name}", hide)


def test_a_signal_that_was_admitted_and_left_out_is_named(
    database: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Feed("brook").seal(make_signal(subjects=(VICTIM,)))
    file(database, [first], rules=rules_of())
    without(monkeypatch, first.digest)
    assert say(database, Feed("cedar"), rules_of(), NOW_MS + 1, subjects=(VICTIM,))
    assert [(one.result, one.why) for one in wrong(replay(database, tmp_path))] == [
        (Result.DIFFERS, (f"signal {first.digest.hex()[:12]} of {BROOK.hex()}, logged before it, was left out",))
    ]


def test_a_signal_of_another_incident_about_the_same_that_was_left_out_is_named(
    database: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another family, so another incident; but of our vault, so it is heard with this one."""
    first = Feed("brook").seal(make_signal(subjects=(VICTIM,), category=Category.ORACLE_MANIPULATION))
    file(database, [first], rules=rules_of())
    without(monkeypatch, first.digest)
    (incident,) = say(database, Feed("cedar"), rules_of(), NOW_MS + 1, subjects=(VICTIM,))
    assert incident != first.digest
    (one,) = wrong(replay(database, tmp_path))
    assert one.about == incident
    assert one.why == (f"signal {first.digest.hex()[:12]} of {BROOK.hex()}, logged before it, was left out",)


def test_a_draft_that_was_left_out_is_named(
    database: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided = file_draft(database, rules_of(), make_signal(subjects=(VICTIM,)), NOW_MS)
    assert decided is not None
    without(monkeypatch, decided.incident)
    assert say(database, Feed("cedar"), rules_of(), NOW_MS + 1, subjects=(VICTIM,))
    (one,) = wrong(replay(database, tmp_path))
    assert [why.endswith("logged before it, was left out") for why in one.why] == [True]


def test_a_draft_that_was_filed_twice_is_taken_as_filed(database: sqlite3.Connection, tmp_path: Path) -> None:
    """The second time is not logged: what it changed of an incident nobody could take again."""
    draft, window_ms = make_signal(subjects=(VICTIM,)), CORRELATION_WINDOW_MS
    first = file_draft(database, rules_of(), draft, NOW_MS)
    assert first is not None
    assert file_draft(database, rules_of(), draft, NOW_MS + window_ms // 2) is None
    # of an incident that has ended by what was logged, and would go on by what was not
    (later,) = say(database, Feed("cedar"), rules_of(), NOW_MS + window_ms + 1, subjects=(VICTIM,))
    assert later != first.incident
    taken = replay(database, tmp_path)
    assert [(one.about, one.result) for one in taken] == [(first.incident, Result.EQUAL), (later, Result.EQUAL)]


def test_a_signal_of_another_incident_that_was_counted_is_named(
    database: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Feed("brook").seal(make_signal(subjects=(ELSEWHERE,)))
    file(database, [other], rules=rules_of())
    (stray,) = load_sightings(database, rules_of().roster, (), other.digest, NOW_MS)

    def add(*arguments: Any) -> list[Sighting]:
        return [*load_sightings(*arguments), stray]

    monkeypatch.setattr("tocsin_node.store.decisions.load_sightings", add)
    assert say(database, Feed("cedar"), rules_of(), NOW_MS + 1, subjects=(VICTIM,))
    (one,) = wrong(replay(database, tmp_path))
    assert one.why == (f"signal {other.digest.hex()[:12]} was seen, and is not of this incident",)


def test_a_signal_that_a_finding_left_out_is_named(
    database: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Feed("brook").seal(make_signal(subjects=(VICTIM,)))
    file(database, [first], rules=rules_of())
    say(database, Feed("cedar"), rules_of(), NOW_MS + 1, subjects=(VICTIM,))
    without(monkeypatch, first.digest, "adjudications.load_all_sightings")
    rule(database, rules_of(), first.digest, NOW_MS + 2, Finding.CONFIRMED)
    (one,) = wrong(replay(database, tmp_path))
    assert (one.what, one.result) == ("adjudication", Result.DIFFERS)
    assert one.why == (f"signal {first.digest.hex()[:12]} of {BROOK.hex()}, logged before it, was left out",)


def test_after_a_signal_that_is_not_kept_nothing_counts_as_equal(database: sqlite3.Connection, tmp_path: Path) -> None:
    """It was about something else, or so the node says."""
    say(database, Feed("cedar"), rules_of(), subjects=(VICTIM,))
    lost = Feed("brook").seal(make_signal(subjects=(ELSEWHERE,)))
    file(database, [lost], rules=rules_of(), now_ms=NOW_MS + 1)
    say(database, Feed("delta"), rules_of(), NOW_MS + 2, subjects=(ELSE,))
    database.execute("DELETE FROM signals WHERE digest = ?", (lost.digest,))
    first, second, third = replay(database, tmp_path)
    assert first.result is Result.EQUAL
    assert (second.result, third.result) == (Result.NOT_REPLAYABLE, Result.NOT_REPLAYABLE)
    assert third.why == (f"the signal {lost.digest.hex()[:12]} is not kept, so what it belongs to is not known",)


def test_a_log_that_tells_of_one_signal_twice_is_named_and_nothing_after_it_counts_as_equal(
    database: sqlite3.Connection, tmp_path: Path
) -> None:
    first = Feed("brook").seal(make_signal(subjects=(VICTIM,)))
    file(database, [first], rules=rules_of())
    append_audit(database, NOW_MS + 1, EntryKind.SIGNAL, first.digest, {"path": "sync", "verdict": "admitted"})
    say(database, Feed("cedar"), rules_of(), NOW_MS + 2, subjects=(VICTIM,))
    decided, twice, after = replay(database, tmp_path)
    assert (decided.result, twice.what, twice.result) == (Result.EQUAL, "signal", Result.NOT_REPLAYABLE)
    assert "cannot be filed beside those before it" in twice.why[0]
    assert after.result is Result.NOT_REPLAYABLE


def test_charges_follow_from_uses_and_findings(database: sqlite3.Connection, tmp_path: Path) -> None:
    delta = Feed("delta")
    incident = happen(database, rules_of())
    charged = database.execute("SELECT member, refunded FROM charges").fetchall()
    assert charged == [("brook", 0)]
    say(database, delta, rules_of(), NOW_MS + 10, subjects=(ELSEWHERE,))
    rule(database, rules_of(), incident, NOW_MS + 20, Finding.CONFIRMED)
    say(database, delta, rules_of(), NOW_MS + 30, subjects=(ELSE,))
    say(database, delta, rules_of(), NOW_MS + 40 * DAY_MS, subjects=(ELSE,))
    taken = replay(database, tmp_path)
    assert wrong(taken) == []
    assert len(taken) == 6


@pytest.mark.parametrize(
    ("member", "change"),
    [
        ("brook", "UPDATE charges SET minutes = 1"),
        ("brook", "UPDATE charges SET refunded = 1"),
        ("brook", "DELETE FROM charges"),
        ("delta", "INSERT INTO charges SELECT action, 'delta', incident, minutes, at_ms, 0 FROM charges"),
    ],
)
def test_a_charge_that_does_not_follow_is_named(
    database: sqlite3.Connection, tmp_path: Path, member: str, change: str
) -> None:
    happen(database, rules_of())
    database.execute(change)
    say(database, Feed("delta"), rules_of(), NOW_MS + 10, subjects=(ELSEWHERE,))
    (one,) = wrong(replay(database, tmp_path))
    assert (one.result, one.why) == (Result.DIFFERS, (f"{member} stood charged with something else by the log",))


def test_a_refund_that_was_not_given_is_named(
    database: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    incident = happen(database, rules_of())
    monkeypatch.setattr("tocsin_node.store.adjudications.refund_charges", lambda *_: 0)
    rule(database, rules_of(), incident, NOW_MS + 20, Finding.CONFIRMED)
    say(database, Feed("delta"), rules_of(), NOW_MS + 30, subjects=(ELSEWHERE,))
    (one,) = wrong(replay(database, tmp_path))
    assert one.why == ("brook stood charged with something else by the log",)


OTHER_POLICY = rules_of().policy_text + "\n# another"


def log(database: sqlite3.Connection, kind: EntryKind, now_ms: int, **detail: Any) -> None:
    append_audit(database, now_ms, kind, b"", detail)


def test_a_policy_that_nobody_loaded_is_named(database: sqlite3.Connection, tmp_path: Path) -> None:
    other = rules_of(OTHER_POLICY)
    brook = Feed("brook")
    say(database, brook, rules_of(), subjects=(VICTIM,))
    say(database, brook, other, NOW_MS + 1, subjects=(ELSEWHERE,))
    (one,) = wrong(replay(database, tmp_path))
    told = rules_of().policy_hash.hex(), other.policy_hash.hex()
    assert one.why == ("the policy loaded last has the hash {}, and it stood on {}".format(*told),)


def test_a_policy_that_was_loaded_and_not_used_is_named(database: sqlite3.Connection, tmp_path: Path) -> None:
    other = rules_of(OTHER_POLICY)
    brook = Feed("brook")
    say(database, brook, rules_of(), subjects=(VICTIM,))
    log(database, EntryKind.OPERATOR, NOW_MS + 1, verb="reload-policy", policy=other.policy_hash, by="operator")
    # What was in hand is decided on by the policy before.
    say(database, brook, rules_of(), NOW_MS + 1 + MAX_IN_HAND_MS, subjects=(ELSE,))
    say(database, brook, other, NOW_MS + 2 + MAX_IN_HAND_MS, subjects=(TAKEN,))
    assert wrong(replay(database, tmp_path)) == []
    say(database, Feed("cedar"), rules_of(), NOW_MS + 3 + MAX_IN_HAND_MS, subjects=(ELSEWHERE,))
    (one,) = wrong(replay(database, tmp_path))
    assert one.why[0].startswith(f"the policy loaded last has the hash {other.policy_hash.hex()}, ")


def test_a_node_that_begins_may_have_read_another_policy(database: sqlite3.Connection, tmp_path: Path) -> None:
    brook = Feed("brook")
    say(database, brook, rules_of(), subjects=(VICTIM,))
    log(database, EntryKind.NODE, NOW_MS + 1, publishing="resuming", why="a start")
    say(database, brook, rules_of(OTHER_POLICY), NOW_MS + 2, subjects=(ELSEWHERE,))
    assert wrong(replay(database, tmp_path)) == []


def history(database: sqlite3.Connection, chance: random.Random) -> None:
    """Members and the node itself speak of few things, in bursts and with days between; manifests change."""
    feeds = [Feed(name) for name in ("brook", "cedar", "delta")]
    own, rules, now_ms = Feed(OWN), rules_of(), NOW_MS
    said: list[bytes] = []
    arm(database)
    for _ in range(HISTORY_STEPS):
        now_ms += chance.choice((1, 1_000, 600_000, 3_600_000, 20 * 3_600_000, 2 * DAY_MS))
        roll = chance.random()
        if roll < 0.1:
            file_draft(database, rules, a_signal(chance, said, now_ms), now_ms)
        elif roll < 0.15:
            bodies = database.execute("SELECT body FROM drafts ORDER BY id").fetchall()
            database.execute("DELETE FROM drafts")
            file(database, [own.seal(decode_body(b)) for (b,) in bodies], rules=rules, now_ms=now_ms, path=Way.OWN)
        elif roll < 0.2:
            rules = replace(rules, exposure=make_exposure_of(VAULT, micro_usd=chance.randrange(1, 10**12)))
        else:
            feed = chance.choice(feeds)
            batch = [feed.seal(a_signal(chance, said, now_ms)) for _ in range(chance.choice((1, 1, 2, 12)))]
            file(database, batch, rules=rules, now_ms=now_ms)
            said += [envelope.digest for envelope in batch]
        incidents = [row[0] for row in database.execute("SELECT id FROM incidents")]
        if incidents and chance.random() < 0.1:
            rule(database, rules, chance.choice(incidents), now_ms, chance.choice(list(Finding)))


def a_signal(chance: random.Random, said: list[bytes], now_ms: int) -> Signal:
    make = chance.choice((make_signal, make_standard))
    changes: dict[str, Any] = {
        "category": chance.choice((Category.ASSET_DRAIN, Category.FLASHLOAN_ATTACK, Category.ORACLE_MANIPULATION)),
        "subjects": tuple(sorted(chance.sample((VICTIM, ELSEWHERE, ELSE, TAKEN), chance.choice((1, 1, 2))))),
        "text": f"{chance.random()}",
    }
    if said and chance.random() < 0.3:
        relation = chance.choice((Relation.RETRACTS, Relation.CORROBORATES, Relation.DERIVED_FROM))
        changes["references"] = (Reference(relation, chance.choice(said)),)
        if relation is Relation.RETRACTS and chance.random() < 0.5:
            changes["category"] = Category.META_RETRACTION
    return make(detected_ms=now_ms, issued_ms=now_ms, expires_ms=now_ms + 600_000, **changes)


@pytest.mark.parametrize("seed", range(8))
def test_what_any_history_had_to_be_decided_on_is_found_again(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    with open_database(tmp_path / "data") as connection:
        history(connection, chance)
        taken = replay(connection, tmp_path / "data")
        exported = export(connection, tmp_path / "data", tmp_path / "out")
        signals = connection.execute("SELECT COUNT(*) FROM signals").fetchone()[0]
    assert wrong(taken) == []
    assert len(taken) >= HISTORY_STEPS // 4
    assert signals > 3 * MAX_SIGHTINGS_PER_FEED
    assert list(replay_log(exported)) == taken
