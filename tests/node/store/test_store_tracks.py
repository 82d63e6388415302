"""Where the recovery of each scope is, on disk."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
from protocol_kit import NOW_MS
from tocsin_node.store.schema import MIGRATIONS
from tocsin_node.store.tracks import TrackRow, read_tracks, save_track
from tocsin_protocol.decision.tiers import Tier
from tocsin_protocol.recovery.stages import Stage
from tocsin_protocol.recovery.track import Level, Note, start_track

BEFORE_WHOLE_APPROVALS = next(n for n, text in enumerate(MIGRATIONS) if "DROP COLUMN is_approved" in text)
TRACK = start_track("vault", b"\1" * 32, Tier.FREEZE, 3, 7, NOW_MS)


@pytest.mark.parametrize(
    "track",
    [
        TRACK,
        replace(TRACK, tier=Tier.PAUSE, approved=b"\5" * 32, approved_until_ms=NOW_MS + 1),
        replace(TRACK, stage=Stage.CANARY_5, level=Level.CALM, calm_ms=1, watched_ms=2, exit_ms=3, backs=4),
    ],
)
def test_a_track_is_read_as_it_was_saved(database: sqlite3.Connection, track: object) -> None:
    for note in (None, Note.EXPIRED):
        row = TrackRow(track, NOW_MS, note)  # type: ignore[arg-type]
        save_track(database, row)
        assert read_tracks(database) == {"vault": row}


@pytest.mark.parametrize(("was_approved", "step"), [(0, 3), (1, 4)])
def test_what_an_older_database_held_as_approved_is_asked_anew(was_approved: int, step: int) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for migration in MIGRATIONS[:BEFORE_WHOLE_APPROVALS]:
            connection.executescript(migration)
        connection.execute(
            "INSERT INTO tracks VALUES ('vault', ?, 'exit-only', 3, 7, ?, 1, 2, 3, 0, 0, ?, ?, 3, '')",
            (b"\1" * 32, NOW_MS, was_approved, NOW_MS),
        )
        for migration in MIGRATIONS[BEFORE_WHOLE_APPROVALS:]:
            connection.executescript(migration)
        track = read_tracks(connection)["vault"].track
    assert (track.stage, track.tier, track.step, track.approved) == (Stage.EXIT_ONLY, Tier.PAUSE, step, None)
    assert not track.is_approved(NOW_MS)
