"""Decisions come out of an export alone as they were logged; and what publishers earned is counted again by anyone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from protocol_kit import DAY_MS, NOW_MS, Feed, make_signal
from replay_kit import BROOK, CEDAR, earned, export, happen, open_database, replay, rule, rules_of, say
from store_kit import LOG_SECRET, OWN
from tocsin_node.errors import NodeError
from tocsin_node.record.exported import ExportedLog
from tocsin_node.replay.taking import Result, replay_log
from tocsin_node.store.audit import append_audit
from tocsin_node.store.drafts import file_draft
from tocsin_node.store.pruning import prune_log
from tocsin_node.store.rules import Rules
from tocsin_protocol.adjudication import Adjudication, Earned, Finding, outcomes_of, verify_adjudication
from tocsin_protocol.admission import Reason
from tocsin_protocol.audit import MAX_DETAIL_BYTES, EntryKind, decode_entry
from tocsin_protocol.body import decode_body
from tocsin_protocol.decision.basis import decode_finding_basis, decode_rules_basis
from tocsin_protocol.decision.judge import Sighting
from tocsin_protocol.encoding import decode_canonical
from tocsin_protocol.envelope import decode_envelope
from tocsin_protocol.log.checkpoint import verify_checkpoint
from tocsin_protocol.log.note import Signer
from tocsin_protocol.log.tiles import TILE_WIDTH, decode_bundle, encode_bundle, tile_at
from tocsin_protocol.log.tree import leaf_hash, root_of_leaves
from tocsin_protocol.model import Subject
from tocsin_protocol.roster import RosterIndex
from tocsin_protocol.roster_encoding import decode_roster
from tocsin_protocol.taxonomy import Category, Role, SubjectKind

OTHER = Subject(Role.VICTIM, SubjectKind.ACCOUNT, "eip155:1:0x" + "77" * 20)


def watched(category: Category) -> list[tuple[bytes, int]]:
    return [(BROOK, NOW_MS), (Feed("delta").publisher, NOW_MS)]


def watching(rules: Rules) -> Rules:
    return replace(rules, watching=watched, _speakers={})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An export of a node that acted, found what had happened, and decided again with what was earned."""
    with open_database(tmp_path / "data") as connection:
        incident = happen(connection, watching(rules_of()))
        rule(connection, rules_of(), incident, NOW_MS + 10, Finding.CONFIRMED)
        rules = watching(earned(connection, NOW_MS + 20))
        assert say(connection, Feed("delta"), rules, NOW_MS + 20, subjects=(OTHER,), incident="another")
        assert file_draft(connection, rules_of(), make_signal(), NOW_MS + 30) is not None
        export(connection, tmp_path / "data", tmp_path / "out")
    for path in sorted((tmp_path / "data").iterdir()):
        path.unlink()
    return tmp_path / "out"


def results(folder: Path) -> list[tuple[str, Result, tuple[str, ...]]]:
    note = (folder / "checkpoint").read_bytes()
    key = Signer(LOG_SECRET, note.split(b"\n")[0].decode()).key
    head = verify_checkpoint(note, [key]).checkpoint
    return [(one.what, one.result, one.why) for one in replay_log(ExportedLog(folder, head))]


def test_everything_comes_out_of_the_folder_alone(folder: Path) -> None:
    assert results(folder) == [
        (what, Result.EQUAL, ()) for what in ("decision", "decision", "adjudication", "decision", "decision")
    ]


def test_an_export_that_is_added_to_is_one(tmp_path: Path) -> None:
    with open_database(tmp_path / "data") as connection:
        happen(connection, rules_of())
        export(connection, tmp_path / "data", tmp_path / "out")
        say(connection, Feed("delta"), rules_of(), NOW_MS + 20)
        export(connection, tmp_path / "data", tmp_path / "out")
    assert {result for _, result, _ in results(tmp_path / "out")} == {Result.EQUAL}


def change_signals(folder: Path, change: dict[int, bytes]) -> None:
    """Put other records in place of those of the first, second, … signal of the folder."""
    (path,) = folder.glob("signals/000.p/*")
    records = decode_bundle(path.read_bytes(), int(path.name))
    places = [place for place, record in enumerate(records) if record]
    for number, record in change.items():
        records[places[number]] = record
    path.write_bytes(encode_bundle(records))


def test_a_signal_that_is_gone_or_another_or_not_its_publishers_is_named(folder: Path) -> None:
    (path,) = folder.glob("signals/000.p/*")
    kept = path.read_bytes()
    signals = [record for record in decode_bundle(kept, int(path.name)) if record]
    forged = signals[0][:-64] + signals[1][-64:]
    for record, why in (
        (b"", "is not kept"),
        (signals[1], "is another"),
        (forged, "is not signed by its publisher"),
        (b"rubbish", ""),
    ):
        change_signals(folder, {0: record})
        first = results(folder)[0]
        assert first[:2] == ("decision", Result.NOT_REPLAYABLE)
        assert why in first[2][0]
        path.write_bytes(kept)
    change_signals(folder, {-1: decode_envelope_body(signals[0])})
    assert "is another" in results(folder)[-1][2][0]
    path.unlink()
    assert {result for _, result, _ in results(folder)} == {Result.NOT_REPLAYABLE}


def decode_envelope_body(encoded: bytes) -> bytes:
    return decode_envelope(rules_of().roster.domain, encoded).body


def test_a_decision_of_another_version_is_told_in_full_where_the_export_has_it(folder: Path) -> None:
    """The kept details are in the folder under their SHA-256: one that was changed is none."""
    details = sorted((folder / "detail").iterdir())
    assert len(details) == 4
    for path in details:
        path.write_bytes(path.read_bytes() + b"x")
    # they are needed only where something differs
    assert {result for _, result, _ in results(folder)} == {Result.EQUAL}


def test_rules_of_another_node_are_not_those_of_the_log(folder: Path) -> None:
    note = (folder / "checkpoint").read_bytes()
    origin = note.split(b"\n")[0].decode()
    head = verify_checkpoint(note, [Signer(LOG_SECRET, origin).key]).checkpoint
    other = replace(head, origin=origin[:-1] + ("0" if origin[-1] != "0" else "1"))
    taken = list(replay_log(ExportedLog(folder, other)))
    assert {one.result for one in taken} == {Result.NOT_REPLAYABLE}
    assert "its rules are those of" in taken[0].why[0]


def test_what_publishers_earned_is_counted_again_from_tiles_and_signals_with_the_core_alone(folder: Path) -> None:
    """As somebody would who has this project's protocol, the folder and the log's key, and nothing of the node."""
    note = (folder / "checkpoint").read_bytes()
    head = verify_checkpoint(note, [Signer(LOG_SECRET, note.split(b"\n")[0].decode()).key]).checkpoint
    assert head.size <= 256
    tile = tile_at(0, 0, head.size)
    data = decode_bundle((folder / tile.bundle_path).read_bytes(), tile.width)
    assert root_of_leaves([leaf_hash(entry) for entry in data]) == head.root
    entries = [decode_entry(index, entry) for index, entry in enumerate(data)]
    details = [decode_canonical(entry.detail, max_bytes=MAX_DETAIL_BYTES) for entry in entries]
    parts = {e.reference: d["body"] for e, d in zip(entries, details, strict=True) if e.kind is EntryKind.BASIS}
    (path,) = folder.glob("signals/000.p/*")
    records = decode_bundle(path.read_bytes(), tile.width)
    signals = {
        entry.reference: record
        for entry, record in zip(entries, records, strict=True)
        if entry.kind is EntryKind.SIGNAL and record
    }

    (said,) = (d for e, d in zip(entries, details, strict=True) if e.kind is EntryKind.ADJUDICATION)
    basis = decode_finding_basis(parts[said["basis"]])
    rules = decode_rules_basis(parts[basis.rules])
    roster = RosterIndex(decode_roster(parts[rules.roster]))
    publisher = roster.publisher(rules.own)
    assert publisher is not None
    finding, claimed = verify_adjudication(publisher.key, said["body"], said["signature"])
    sightings = []
    for digest, received_ms in basis.seen:
        envelope = decode_envelope(roster.domain, signals[digest])
        assert envelope.digest == digest
        sightings.append(Sighting(digest, envelope.publisher, decode_body(envelope.body), Reason.ADMITTED, received_ms))
    counted = tuple(one for one in outcomes_of(finding, sightings, basis.watching) if one.publisher != rules.own)
    assert counted == claimed
    assert {one.publisher for one in claimed} == {BROOK, CEDAR, Feed("delta").publisher}
    assert isinstance(finding, Adjudication)
    assert all(isinstance(one, Earned) for one in claimed)
    assert rules.own == Feed(OWN).publisher


def test_a_missing_bundle_is_named(folder: Path) -> None:
    (path,) = folder.glob("tile/entries/000.p/*")
    path.unlink()
    with pytest.raises(NodeError, match="cannot be read"):
        results(folder)


def test_what_was_pruned_is_missing_here_and_comes_out_of_its_export(tmp_path: Path) -> None:
    old_ms = NOW_MS - 1_000 * DAY_MS
    with open_database(tmp_path / "data") as connection:
        incident = happen(connection, rules_of())
        rule(connection, rules_of(), incident, NOW_MS + 10, Finding.CONFIRMED)
        for number in range(TILE_WIDTH):
            append_audit(connection, NOW_MS, EntryKind.NODE, b"", {"number": number})
        rules = earned(connection, NOW_MS + 20)
        assert say(connection, Feed("delta"), rules, NOW_MS + 20, subjects=(OTHER,), incident="another")
        head = export(connection, tmp_path / "data", tmp_path / "out").head
        connection.execute("UPDATE incidents SET last_ms = ?", (old_ms,))
        connection.execute("UPDATE actions SET state = 'lifted'")
        connection.execute("UPDATE audit SET at_ms = ? WHERE sequence <= ?", (old_ms, TILE_WIDTH))
        assert prune_log(connection, TILE_WIDTH, head.size, NOW_MS - DAY_MS, NOW_MS) == TILE_WIDTH
        (last,) = replay(connection, tmp_path / "data")
    assert (last.result, "the first 256 entries were pruned" in last.why[0]) == (Result.NOT_REPLAYABLE, True)
    assert [result for _, result, _ in results(tmp_path / "out")] == [Result.EQUAL] * 4
