"""A database in which things were decided under a policy of a text, and what comes of taking them again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from protocol_kit import NETWORK_ID, NOW_MS, VAULT, Feed, make_signal
from store_kit import LOG_SECRET, OWN, arm, file, make_rules
from tocsin_node.policy_file import read_policy
from tocsin_node.record.beside import write_beside
from tocsin_node.record.export import export_log
from tocsin_node.record.exported import ExportedLog
from tocsin_node.replay.taking import Taken, replay_log
from tocsin_node.store.adjudications import Records, adjudicate, read_records
from tocsin_node.store.database import open_writer
from tocsin_node.store.evidence_checks import insert_checks, unchecked_predicates
from tocsin_node.store.record import Record
from tocsin_node.store.replay_source import ReplaySource
from tocsin_node.store.rules import Rules, Watching, no_watching
from tocsin_node.store.sightings import load_sightings
from tocsin_protocol.adjudication import Adjudication, Finding
from tocsin_protocol.evidence.answers import Answer, Checked
from tocsin_protocol.log.checkpoint import origin_of
from tocsin_protocol.model import Evidence, Subject
from tocsin_protocol.taxonomy import Category, EvidenceKind, Role, SubjectKind

POLICY = """
version = 1
condition = "belief > 0.001"
[pins]
brook = { min = 3.0 }
cedar = { min = 3.0 }
[[lever]]
hook = "pause-vault"
tier = "tighten"
scopes = ["*"]
effectiveness_percent = 90
cost_usd = 1
minutes = 15
uses = 100
"""
NOTHING = Records({}, {}, 0, {})
BROOK, CEDAR = Feed("brook").publisher, Feed("cedar").publisher
CLAIM = Evidence(EvidenceKind.TRANSACTION, "eip155:1", 16_817_996, "0x" + "c3" * 32, VAULT)
VICTIM = Subject(Role.VICTIM, SubjectKind.ACCOUNT, VAULT)


def rules_of(text: str = POLICY, records: Records = NOTHING, watching: Watching = no_watching) -> Rules:
    """The usual rules, but of a policy that has a text, and of reputations that were earned."""
    rules = make_rules()
    policy = read_policy(text, rules.exposure.holdings)
    return replace(
        rules,
        policy=policy,
        policy_hash=sha256(text.encode()).digest(),
        policy_text=text,
        tallies=records.tallies,
        delays=records.delays,
        tallied_ms=records.at_ms,
        since=records.since,
        watching=watching,
        _speakers={},
    )


def earned(connection: sqlite3.Connection, now_ms: int) -> Rules:
    """Rules with what was adjudicated by then."""
    return rules_of(records=read_records(connection, now_ms))


@contextmanager
def open_database(data_dir: Path) -> Iterator[sqlite3.Connection]:
    connection, lock = open_writer(data_dir, Feed(OWN).publisher, NETWORK_ID)
    try:
        connection.execute("PRAGMA synchronous = OFF")
        yield connection
    finally:
        connection.close()
        lock.close()


def replay(connection: sqlite3.Connection, data_dir: Path) -> list[Taken]:
    """Bring what was written into the log, and take it again."""
    Record(connection, origin_of(NETWORK_ID, Feed(OWN).publisher), LOG_SECRET)
    with closing(ReplaySource(data_dir)) as source:
        return list(replay_log(source))


def export(connection: sqlite3.Connection, data_dir: Path, folder: Path) -> ExportedLog:
    """Bring what was written into the log, and export it with what stands beside it."""
    Record(connection, origin_of(NETWORK_ID, Feed(OWN).publisher), LOG_SECRET)
    with closing(ReplaySource(data_dir)) as source:
        write_beside(source, folder)
        export_log(source, source.head, source.checkpoint(), folder)
        return ExportedLog(folder, source.head)


def say(database: sqlite3.Connection, feed: Feed, rules: Rules, now_ms: int = NOW_MS, **changes: Any) -> list[bytes]:
    """A member speaks; the incidents that were decided."""
    times = {"detected_ms": now_ms, "issued_ms": now_ms, "expires_ms": now_ms + 600_000}
    signal = make_signal(**times, **changes)
    return [decided.incident for decided in file(database, [feed.seal(signal)], rules=rules, now_ms=now_ms).decided]


def happen(database: sqlite3.Connection, rules: Rules) -> bytes:
    """Two members speak, the second with a claim that our endpoints confirm, and our lever is used."""
    arm(database)
    incident = say(database, Feed("brook"), rules, evidence=(CLAIM,), subjects=(VICTIM,))[0]
    sightings = load_sightings(database, rules.roster, rules.exposure.watched, incident, NOW_MS)
    (predicate,) = unchecked_predicates(database, rules, sightings)
    insert_checks(database, [Checked(predicate, Answer.CONFIRMED, None, False, ())], NOW_MS + 1)
    say(database, Feed("cedar"), rules, NOW_MS + 2)
    assert database.execute("SELECT COUNT(*) FROM actions").fetchone() == (1,)
    return incident


def rule(database: sqlite3.Connection, rules: Rules, incident: bytes, at_ms: int, finding: Finding) -> None:
    adjudication = Adjudication(incident, Category.ASSET_DRAIN, finding, at_ms)
    adjudicate(database, rules, Feed(OWN).secret, adjudication, [BROOK, CEDAR, Feed("delta").publisher])
