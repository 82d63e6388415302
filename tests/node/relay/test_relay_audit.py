"""Every arrow leaves its entry, and an entry holds what specs/audit-log.md says it holds."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path as FilePath

import pytest
import trio
from protocol_kit import NAMES, NOW_MS, VAULT, Feed, follow, make_roster, make_signal, make_standard, signed_by
from relay_kit import Bench, open_bench
from store_kit import OWN, arm, make_rules
from tocsin_node.hooks.pursuit import sign_detail
from tocsin_node.relay import verdicts
from tocsin_node.relay.log_desk import LogDesk
from tocsin_node.relay.publishing import Speech
from tocsin_node.relay.verdicts import run_verdicts
from tocsin_node.store.actions import end_due
from tocsin_node.store.adjudications import adjudicate
from tocsin_node.store.anchors import append_anchor_event, begin_anchor, read_unanchored
from tocsin_node.store.arrivals import Path
from tocsin_node.store.audit import read_audit
from tocsin_node.store.evidence_checks import insert_checks
from tocsin_node.store.writer import Connection
from tocsin_protocol.adjudication import Adjudication, Finding
from tocsin_protocol.audit import AuditEntry, EntryKind
from tocsin_protocol.containment.action import SignedTransaction
from tocsin_protocol.containment.life_cycle import Event
from tocsin_protocol.encoding import decode_canonical
from tocsin_protocol.evidence.answers import Answer, Checked
from tocsin_protocol.evidence.predicates import TxIncluded
from tocsin_protocol.ids import NO_DIGEST
from tocsin_protocol.log.note import VerifierKey
from tocsin_protocol.taxonomy import Category

PAGE = FilePath(__file__).parents[3] / "specs" / "audit-log.md"
MAX_DETAIL_BYTES = 256 * 1024
LEVER_MS = 15 * 60_000
CHAIN = "eip155:1"
MAX_ENTRIES = 1000


def words_of(kind: EntryKind) -> set[str]:
    """What the page names in the row of a kind."""
    (row,) = re.findall(rf"^\| `{kind}` \|.*$", PAGE.read_text(), re.MULTILINE)
    return set(re.findall(r"`([\w-]+)`", row))


async def entries_of(bench: Bench) -> list[AuditEntry]:
    return await bench.store.writer.submit(partial(read_audit, after=0, limit=MAX_ENTRIES))


def anchor_log(key: VerifierKey, connection: Connection) -> None:
    """As if the log's head had gone to a chain and were in a block."""
    head = read_unanchored(connection, key, CHAIN)
    assert head is not None
    hash_ = b"\x07" * 32
    signed = SignedTransaction(b"raw", hash_, 0, 10, 1)
    account = "0x" + "11" * 20
    anchor = begin_anchor(connection, head, account, CHAIN, signed, sign_detail(signed), NOW_MS)
    included = {"block_number": 9, "block_hash": b"\x03" * 32, "hash": hash_}
    for event, detail in (
        (Event.INCLUDE, included),
        (Event.CONFIRM, {"reason": ""}),
        (Event.REORG, {"reason": "gone"}),
    ):
        append_anchor_event(connection, anchor.action_id, event, detail, NOW_MS)


async def live_through_everything(bench: Bench) -> None:
    """A draft, an alarm that fires, a second history, rubbish, an effect that ends, a new roster."""
    await bench.store.writer.submit(arm)
    await bench.publishing.publish([make_signal()])
    await bench.lever.done.wait()
    for peer in NAMES[1:]:
        bench.publishing.settle(peer)
    await bench.wait_speech(Speech.OPEN)
    feed = Feed("brook")
    await bench.intake.admit([feed.seal().encoded], Path.GOSSIP)
    twin = feed.seal_at(1, NO_DIGEST, make_standard(text="another history"))
    await bench.intake.admit([twin.encoded, b"\xc1"], Path.SYNC)
    claim = Checked(TxIncluded("eip155:1", 7, "0x" + "c3" * 32, "", VAULT), Answer.CONFIRMED, None, False, ())
    await bench.store.writer.submit(partial(insert_checks, checks=[claim], now_ms=NOW_MS))
    await bench.store.writer.submit(partial(end_due, over=(), now_ms=NOW_MS + LEVER_MS))
    rules, secret = make_rules(roster=bench.network.index), Feed(OWN).secret
    ruling = Adjudication(feed.seal().digest, Category.ASSET_DRAIN, Finding.CONFIRMED, NOW_MS)
    await bench.store.writer.submit(lambda connection: adjudicate(connection, rules, secret, ruling, ()))
    (incident,) = await bench.store.writer.submit(lambda c: c.execute("SELECT id FROM incidents").fetchone())
    told = {"incident": incident.hex(), "root": "ab" * 32, "leaves": 3}
    await LogDesk(bench.store, secret, lambda: NOW_MS, lambda: True).log_report(told)
    await bench.store.writer.submit(partial(anchor_log, bench.store.record.key))
    genesis = make_roster()
    await bench.network.apply(signed_by(follow(genesis, genesis.members), *NAMES))


async def test_every_kind_is_written_and_holds_what_the_page_says(
    tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdicts, "VERDICT_SECONDS", 0.01)
    with trio.fail_after(60):
        async with open_bench(tmp_path, organisations=1) as bench, trio.open_nursery() as nursery:
            await nursery.start(partial(run_verdicts, bench.store, bench.metrics, lambda: NOW_MS))
            await live_through_everything(bench)
            entries = await entries_of(bench)
            while {entry.kind for entry in entries} != set(EntryKind):
                entries = await entries_of(bench)
            nursery.cancel_scope.cancel()
    assert [entry.sequence for entry in entries] == sorted({entry.sequence for entry in entries})
    for entry in entries:
        detail = decode_canonical(entry.detail, max_bytes=MAX_DETAIL_BYTES)
        assert set(detail) <= words_of(entry.kind), (entry.kind, detail)
