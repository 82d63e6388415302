"""The operator's words about the log: a report's root that the node signs, and what may be dropped."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from protocol_kit import DAY_MS, NOW_MS, Feed
from relay_kit import open_bench
from store_kit import OWN, file
from tocsin_node.errors import ControlError
from tocsin_node.relay.log_desk import LogDesk
from tocsin_node.store.audit import append_audit, read_audit
from tocsin_node.store.writer import Connection
from tocsin_protocol.audit import EntryKind
from tocsin_protocol.encoding import decode_canonical
from tocsin_protocol.errors import DecodeError
from tocsin_protocol.log.tiles import TILE_WIDTH
from tocsin_protocol.postmortem.signing import ReportRoot, verify_root


async def test_the_root_of_a_report_is_signed_and_logged(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        desk = LogDesk(bench.store, Feed(OWN).secret, lambda: NOW_MS, lambda: True)
        filed = await bench.store.writer.submit(lambda c: file(c, [Feed("brook").seal()]))
        incident = filed.decided[0].incident
        told = {"incident": incident.hex(), "root": "ab" * 32, "leaves": 7}
        answer = await desk.log_report(told)
        (entry,) = await bench.store.writer.submit(partial(read_audit, after=answer["index"], limit=10))
        detail = decode_canonical(entry.detail, max_bytes=1000)
        assert (entry.kind, entry.reference) == (EntryKind.REPORT, incident)
        assert detail["signature"].hex() == answer["signature"]
        root = verify_root(Feed(OWN).key, detail["body"], detail["signature"])
        assert root == ReportRoot(incident, b"\xab" * 32, 7, NOW_MS)
        with pytest.raises(ControlError, match="no incident of this node"):
            await desk.log_report({**told, "incident": "cd" * 32})
        for key, value in (("root", "ab"), ("root", "x" * 64), ("leaves", 0), ("more", 1)):
            with pytest.raises((ControlError, DecodeError)):
                await desk.log_report({**told, key: value})


async def test_old_entries_are_dropped_and_that_is_logged(tmp_path: Path) -> None:
    def notes(connection: Connection) -> None:
        for number in range(2 * TILE_WIDTH):
            append_audit(connection, NOW_MS - 900 * DAY_MS, EntryKind.NODE, b"", {"number": number})
        for day in range(1, 32):
            append_audit(connection, NOW_MS - day * DAY_MS, EntryKind.NODE, b"", {"day": day})

    async with open_bench(tmp_path, tasks=False) as bench:
        # The roster's entry, too, is old; it goes with the others.
        await bench.store.writer.submit(lambda c: c.execute("UPDATE audit SET at_ms = 1"))
        await bench.store.writer.submit(notes)
        desk = LogDesk(bench.store, Feed(OWN).secret, lambda: NOW_MS, lambda: True)
        asked = {"to": 10**6, "keep_days": 30}
        assert await desk.prune_log(asked) == {"pruned": TILE_WIDTH * 2}
        entries = await bench.store.writer.submit(partial(read_audit, after=0, limit=10_000))
        assert decode_canonical(entries[-1].detail, max_bytes=1000)["verb"] == "prune-log"
        assert entries[0].sequence == TILE_WIDTH * 2 + 1
        assert await desk.prune_log(asked) == {"pruned": TILE_WIDTH * 2}
        with pytest.raises(DecodeError):
            await desk.prune_log({"to": -1, "keep_days": 30})
        with pytest.raises(DecodeError, match="keep_days"):
            await desk.prune_log({"to": 1, "keep_days": 29})
