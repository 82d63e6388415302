"""One incident in a real database: heard of twice, decided on, contained, and judged."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from protocol_kit import NETWORK_ID, NOW_MS, Feed, make_signal, signed_by
from store_kit import LOG_SECRET, OWN, arm, file, independent_roster, make_rules
from tocsin_node.report.reading import read_entries
from tocsin_node.store.actions import append_event
from tocsin_node.store.adjudications import adjudicate
from tocsin_node.store.database import open_writer
from tocsin_node.store.evidence_checks import insert_checks
from tocsin_node.store.record import Record
from tocsin_node.store.record_reader import RecordReader
from tocsin_node.store.rosters import load_rosters
from tocsin_protocol.adjudication import Adjudication, Finding
from tocsin_protocol.containment.life_cycle import Event
from tocsin_protocol.evidence.answers import Answer, Checked, Doubt
from tocsin_protocol.evidence.grammar import decode_predicate
from tocsin_protocol.log.checkpoint import origin_of
from tocsin_protocol.log.note import VerifierKey
from tocsin_protocol.model import Evidence, Loss
from tocsin_protocol.postmortem.entries import AnyEntry
from tocsin_protocol.taxonomy import Category, EvidenceKind, Tlp

FIRST_WORDS = "</blockquote><script>alert(1)</script> $\\frac{ " + "long " * 300
SECOND_WORDS = "Only for you: the treasurer's key is out."
REASON = "no answer of http://key@endpoint"
CLAIM = Evidence(EvidenceKind.TRANSACTION, "eip155:1", 16_817_996, "0x" + "c3" * 32, "")


@dataclass
class Scene:
    """The database, and the incident that `happen` wrote to it."""

    data_dir: Path
    connection: sqlite3.Connection
    incident: bytes = b""
    feeds: dict[str, Feed] = field(default_factory=lambda: {name: Feed(name) for name in ("brook", "cedar", "delta")})

    def say(self, member: str, at_ms: int, *, evidence: tuple[Evidence, ...] = (), **changes: Any) -> list[Any]:
        """A member speaks, half a second after its detector saw it and a tenth before we hear."""
        signal = make_signal(
            detected_ms=at_ms - 500, issued_ms=at_ms - 100, expires_ms=at_ms + 600_000, evidence=evidence, **changes
        )
        filed = file(self.connection, [self.feeds[member].seal(signal)], rules=make_rules(), now_ms=at_ms)
        self.incident = self.incident or filed.decided[0].incident
        return [action for decided in filed.decided for action in decided.actions]

    def happen(self, first: Tlp = Tlp.CLEAR, second: Tlp = Tlp.AMBER, *, is_armed: bool = True) -> None:
        """Brook speaks, our endpoints disagree, cedar speaks, and our lever takes effect where it is armed."""
        if is_armed:
            arm(self.connection)
        self.say("brook", NOW_MS, tlp=first, text=FIRST_WORDS, loss=Loss(27_400_000_000_000, 0, 0), evidence=(CLAIM,))
        checked = Checked(decode_predicate(CLAIM), Answer.UNKNOWN, Doubt.DISAGREEMENT, True, ())
        insert_checks(self.connection, [checked], NOW_MS + 5)
        actions = self.say("cedar", NOW_MS + 500, tlp=second, text=SECOND_WORDS, loss=Loss(28_000_000_000_000, 0, 0))
        for action in actions:
            append_event(self.connection, action.action_id, Event.SEND, {}, NOW_MS + 520)
            append_event(self.connection, action.action_id, Event.CONFIRM, {"reason": REASON}, NOW_MS + 540)

    def judge(self) -> None:
        """The operator finds it to have been real; delta watched, and said nothing."""
        ruling = Adjudication(self.incident, Category.ASSET_DRAIN, Finding.CONFIRMED, NOW_MS + 9_000)
        adjudicate(self.connection, make_rules(), Feed(OWN).secret, ruling, [Feed("delta").publisher])

    def log(self) -> VerifierKey:
        """Bring what happened into the log; returns its key."""
        return Record(self.connection, origin_of(NETWORK_ID, Feed(OWN).publisher), LOG_SECRET).key

    def entries(self) -> list[AnyEntry]:
        """What a report of it says."""
        with RecordReader(self.data_dir) as reader:
            return read_entries(reader, self.incident.hex()[:12], NOW_MS + 60_000)


@contextmanager
def open_scene(data_dir: Path) -> Iterator[Scene]:
    connection, lock = open_writer(data_dir, Feed(OWN).publisher, NETWORK_ID)
    try:
        connection.execute("PRAGMA synchronous = OFF")
        load_rosters(connection, signed_by(independent_roster()), NOW_MS)
        yield Scene(data_dir, connection)
    finally:
        connection.close()
        lock.close()
