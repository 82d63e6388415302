"""`tocsin log verify --anchor`: the log's own word, its tiles and two endpoints have to agree about every anchor."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio
from anchor_kit import ANCHOR, ETHER, AnchorBench
from chain_kit import Proxy, open_proxy
from click.testing import CliRunner, Result
from tocsin_node.chain.guardian import Fees, Guardian, transaction_hash
from tocsin_node.cli import cli
from tocsin_node.demo.anvil import Anvil
from tocsin_node.record.anchors import read_anchors
from tocsin_node.record.export import export_log
from tocsin_node.relay import anchoring as anchoring_module
from tocsin_node.store.audit import append_audit
from tocsin_node.store.database import DATABASE_NAME
from tocsin_node.store.log_files import StoreLog
from tocsin_node.store.pruning import prune_log
from tocsin_node.store.writer import Store
from tocsin_protocol.audit import EntryKind
from tocsin_protocol.encoding import decode_canonical, encode_canonical
from tocsin_protocol.log.anchor import encode_anchor
from tocsin_protocol.log.checkpoint import Checkpoint, origin_of
from tocsin_protocol.log.tiles import TILE_WIDTH

Row = tuple[int, str, bytes, bytes]
FIRST = 3  # entries that the first anchor is of; it stands at this index
ORIGIN = origin_of(b"\2" * 32, b"\1" * 20)
STRANGER = Guardian(hashlib.sha256(b"stranger").digest())


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anchoring_module, "LOOK_SECONDS", 0.05)


@dataclass
class Anchored:
    """A log with two anchors, of 3 and of 5 entries, and two endpoints of its chain."""

    bench: AnchorBench
    proxy: Proxy
    key: str

    def export(self, rows: list[Row] | None = None) -> Path:
        """The log in a folder; with rows, one that has these in place of its own, in order and well signed."""
        folder = self.bench.folder
        if rows is not None:
            folder = folder.with_name("altered")
            open_store(folder).close()
            with closing(sqlite3.connect(folder / DATABASE_NAME)) as connection, connection:
                connection.executemany("INSERT INTO audit (at_ms, kind, reference, detail) VALUES (?, ?, ?, ?)", rows)
            open_store(folder).close()
        target = folder.with_name(f"{folder.name}-log")
        with closing(StoreLog(folder)) as own:
            export_log(own, own.head, own.checkpoint(), target)
        return target

    def rows(self) -> list[Row]:
        with closing(sqlite3.connect(self.bench.folder / DATABASE_NAME)) as connection:
            query = "SELECT at_ms, kind, reference, detail FROM audit ORDER BY sequence"
            return connection.execute(query).fetchall()

    def with_anchor(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> list[Row]:
        """The rows with another detail of the first anchor."""
        rows = self.rows()
        at_ms, kind, reference, detail = rows[FIRST]
        changed = change(decode_canonical(detail, max_bytes=65_535))
        return [*rows[:FIRST], (at_ms, kind, reference, encode_canonical(changed)), *rows[FIRST + 1 :]]

    async def run(self, folder: Path, *urls: str) -> Result:
        rpc = [item for url in urls or (self.bench.anvil.url, self.proxy.url) for item in ("--rpc", url)]
        arguments = ["log", "verify", str(folder), "--key", self.key, "--anchor", "--json", *rpc]
        result = await trio.to_thread.run_sync(lambda: CliRunner().invoke(cli, arguments))
        assert result.exit_code in (0, 1), result.output
        return result

    async def verify_whole(self, folder: Path) -> dict[str, Any]:
        """The report of the command, for programs."""
        report: dict[str, Any] = json.loads((await self.run(folder)).stdout)
        return report

    async def verify(self, folder: Path, *urls: str) -> tuple[int, list[str], list[str]]:
        """Run the command; returns its exit code, its faults and what it found anchored."""
        result = await self.run(folder, *urls)
        if not result.stdout:
            return result.exit_code, [result.stderr], []
        report = json.loads(result.stdout)
        told = [f"{f['where']}: {f['what']}" for f in report["faults"]]
        return result.exit_code, told, report.get("anchored", [])


def open_store(folder: Path) -> Store:
    return Store(folder, b"\1" * 20, b"\2" * 32, bytes(32))


@asynccontextmanager
async def open_anchored(anvil: Anvil, folder: Path, anchors: int = 2) -> AsyncIterator[Anchored]:
    await anvil.fund(ANCHOR.address, ETHER)
    bench = AnchorBench(anvil, folder / "data")
    async with bench.open_run() as run:
        await run.log(FIRST)
        await run.start()
        for count in range(1, anchors + 1):
            await run.wait_anchored(count)
            if count < anchors:
                await run.log()
        key = str(run.store.record.key)
    async with open_proxy(anvil) as proxy:
        yield Anchored(bench, proxy, key)


@pytest.fixture
async def anchored(anvil: Anvil, tmp_path: Path) -> AsyncIterator[Anchored]:
    async with open_anchored(anvil, tmp_path) as made:
        yield made


async def test_what_was_anchored_is_verified_back(anchored: Anchored) -> None:
    code, faults, lines = await anchored.verify(anchored.export())
    assert (code, faults) == (0, [])
    (line,) = lines
    assert line.startswith("5 entries stood at ")
    assert anchored.bench.anvil.chain in line
    assert ANCHOR.address in line


async def test_anchors_among_what_was_pruned_are_said_to_be_elsewhere(anchored: Anchored) -> None:
    folder = anchored.bench.folder
    newest = max(row[0] for row in anchored.rows())
    with closing(sqlite3.connect(folder / DATABASE_NAME)) as connection, connection:
        for number in range(TILE_WIDTH):
            append_audit(connection, newest + 1, EntryKind.NODE, b"", {"number": number})
    open_store(folder).close()
    with closing(StoreLog(folder)) as own:
        whole = read_anchors(own, own.head)
        assert [anchor.size for anchor in whole.anchors] == [3, 5]
        with closing(sqlite3.connect(folder / DATABASE_NAME)) as connection, connection:
            assert prune_log(connection, TILE_WIDTH, own.head.size, newest + 2, newest + 2) == TILE_WIDTH
    open_store(folder).close()
    with closing(StoreLog(folder)) as own:
        told = read_anchors(own, own.head, own.pruned)
    assert (told.anchors, told.faults) == ((), ())
    assert told.notes == (
        f"anchors among the first {TILE_WIDTH} entries were not looked up: check the export that holds them",
    )


async def test_an_altered_history_is_rejected_and_the_entry_named(anchored: Anchored) -> None:
    rows = anchored.rows()
    at_ms, kind, reference, _ = rows[0]
    rows[0] = (at_ms, kind, reference, encode_canonical({"refused": {"rate": 999}}))
    code, faults, lines = await anchored.verify(anchored.export(rows))
    assert (code, lines) == (1, [])
    assert [fault.partition(":")[0] for fault in faults] == [f"entry {FIRST}", f"entry {FIRST + 2}"]
    assert f"the anchored root of {FIRST} entries is" in faults[0]


async def test_an_altered_history_with_an_altered_anchor_is_rejected(anchored: Anchored) -> None:
    def change(detail: dict[str, Any]) -> dict[str, Any]:
        raw = STRANGER.sign(
            chain_id=anchored.bench.anvil.chain_id,
            nonce=0,
            to=STRANGER.address,
            calldata=encode_anchor(Checkpoint(ORIGIN, FIRST, rows[FIRST][2])),
            gas_limit=60_000,
            fees=Fees(10**9, 10**9),
        ).raw
        return detail | {"raw": raw, "hash": transaction_hash(raw)}

    rows = anchored.rows()
    code, faults, _ = await anchored.verify(anchored.export(anchored.with_anchor(change)))
    assert code == 1
    assert f"entry {FIRST}: the anchor is by {STRANGER.address}, and not by {ANCHOR.address}" in faults


async def test_anothers_anchor_of_the_log_that_the_chain_has_is_told_as_his(anchored: Anchored) -> None:
    """A stranger may anchor our head; a log that tells of it as its own account's is caught."""
    await anchored.bench.anvil.fund(STRANGER.address, ETHER)
    raw = STRANGER.sign(
        chain_id=anchored.bench.anvil.chain_id,
        nonce=0,
        to=STRANGER.address,
        calldata=encode_anchor(Checkpoint(ORIGIN, FIRST, anchored.rows()[FIRST][2])),
        gas_limit=60_000,
        fees=Fees(10**11, 10**9),
    ).raw
    await anchored.bench.anvil.call("eth_sendRawTransaction", "0x" + raw.hex())
    receipt = await anchored.bench.anvil.wait_receipt("0x" + transaction_hash(raw).hex())
    forged = {
        "raw": raw,
        "hash": transaction_hash(raw),
        "block_number": int(receipt["blockNumber"], 16),
        "block_hash": bytes.fromhex(receipt["blockHash"][2:]),
    }
    code, faults, _ = await anchored.verify(anchored.export(anchored.with_anchor(lambda detail: detail | forged)))
    assert code == 1
    assert any("the anchor is by " + STRANGER.address in fault for fault in faults)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"size": FIRST - 1}, f"the anchor is of {FIRST} entries where {FIRST - 1} are told"),
        ({"size": 10**6}, "a tree of"),
        ({"chain": "eip155:1"}, "the anchor's bytes are not those of transaction"),
        ({"hash": b"\7" * 32}, "the anchor's bytes are not those of transaction 0x0707"),
        ({"raw": b"\2\xc0"}, "raw of an anchor is not an EIP-1559 transaction"),
        ({"more": 1}, "anchor"),
        ({"block_hash": b"\7" * 32}, "shows it in block"),
        ({"block_number": 10**6}, "does not show it done in block 1000000"),
    ],
)
async def test_each_part_of_an_anchors_entry_counts(anchored: Anchored, change: dict[str, Any], fault: str) -> None:
    code, faults, _ = await anchored.verify(anchored.export(anchored.with_anchor(lambda detail: detail | change)))
    assert code == 1
    assert any(text.startswith(f"entry {FIRST}") and fault in text for text in faults), faults


async def test_an_anchor_that_another_root_is_told_of_is_named(anchored: Anchored) -> None:
    rows = anchored.rows()
    rows[FIRST] = (*rows[FIRST][:2], b"\7" * 32, rows[FIRST][3])
    _, faults, _ = await anchored.verify(anchored.export(rows))
    assert any(f"entry {FIRST}: the anchored root is" in fault for fault in faults)


async def test_a_transaction_between_anchors_that_the_log_does_not_tell_of_is_missed(
    anvil: Anvil, tmp_path: Path
) -> None:
    """As where a log was rolled back, and grows another way now."""
    await anvil.fund(ANCHOR.address, ETHER)
    bench, fees = AnchorBench(anvil, tmp_path / "data"), Fees(10**11, 10**9)
    async with bench.open_run(interval_ms=3_600_000) as run:
        await run.log()
        await run.start()
        await run.wait_anchored()
    raw = ANCHOR.sign(
        chain_id=anvil.chain_id, nonce=1, to=ANCHOR.address, calldata=b"", gas_limit=60_000, fees=fees
    ).raw
    await anvil.call("eth_sendRawTransaction", "0x" + raw.hex())
    async with bench.open_run() as run:
        await run.log()
        await run.start()
        await run.wait_anchored(2)
        key = str(run.store.record.key)
    async with open_proxy(anvil) as proxy:
        anchored = Anchored(bench, proxy, key)
        code, (fault,), _ = await anchored.verify(anchored.export())
    assert code == 1
    assert fault.startswith(f"{ANCHOR.address} on {anvil.chain}: 1 of its transactions between anchors")


async def test_anchors_from_before_a_log_was_begun_anew_hold(anchored: Anchored) -> None:
    """Its name is another; up to the copy that it began with its entries are the same."""
    with closing(sqlite3.connect(anchored.bench.folder / DATABASE_NAME)) as connection, connection:
        connection.execute("UPDATE log_generation SET generation = 2")
        # Its ledger came into doubt: an entry, and with it a head under the new name.
        connection.execute("INSERT INTO audit (at_ms, kind, reference, detail) VALUES (1, 'node', x'', x'80')")
        connection.execute("DELETE FROM log_head")
        connection.execute("DELETE FROM log_tiles")
    store = open_store(anchored.bench.folder)
    store.close()
    assert (store.record.fault, store.record.key.name) == ("", f"{ORIGIN}/2")
    anchored.key = str(store.record.key)
    code, faults, lines = await anchored.verify(anchored.export())
    assert (code, faults, len(lines)) == (0, [], 1)


async def test_transactions_after_the_last_anchor_are_counted(anchored: Anchored) -> None:
    raw = ANCHOR.sign(
        chain_id=anchored.bench.anvil.chain_id,
        nonce=2,
        to=ANCHOR.address,
        calldata=b"",
        gas_limit=60_000,
        fees=Fees(10**11, 10**9),
    ).raw
    folder = anchored.export()
    assert (await anchored.verify_whole(folder))["notes"] == []
    await anchored.bench.anvil.call("eth_sendRawTransaction", "0x" + raw.hex())
    report = await anchored.verify_whole(folder)
    assert report["faults"] == []
    assert len(report["notes"]) == 2
    assert all(f"counts 1 later transaction of {ANCHOR.address}" in note for note in report["notes"])


async def test_a_log_without_anchors_is_not_anchored(anvil: Anvil, tmp_path: Path) -> None:
    async with open_anchored(anvil, tmp_path, anchors=0) as anchored:
        code, faults, _ = await anchored.verify(anchored.export())
    assert (code, faults) == (1, ["anchors: the log tells of none"])


async def test_an_endpoint_that_hides_the_anchor_is_named(anchored: Anchored) -> None:
    anchored.proxy.lie = lambda method, result: None if method == "eth_getTransactionReceipt" else result
    code, faults, _ = await anchored.verify(anchored.export())
    assert code == 1
    name = anchored.proxy.url.partition("//")[2]
    assert [fault.startswith(f"entry {place} ") for fault, place in zip(faults, (FIRST, FIRST + 2), strict=True)]
    assert all(f": {name} does not know transaction 0x" in fault for fault in faults)


async def test_an_endpoint_that_shows_another_block_is_named(anchored: Anchored) -> None:
    def lie(method: str, result: Any) -> Any:
        return result | {"blockHash": "0x" + "77" * 32} if method == "eth_getTransactionReceipt" else result

    anchored.proxy.lie = lie
    _, faults, _ = await anchored.verify(anchored.export())
    name = anchored.proxy.url.partition("//")[2]
    assert len(faults) == 2
    assert all(f"{name} shows it in block" in fault for fault in faults)


async def test_endpoints_that_differ_about_the_time_are_named(anchored: Anchored) -> None:
    def lie(method: str, result: Any) -> Any:
        return result | {"timestamp": "0x1"} if method == "eth_getBlockByHash" else result

    anchored.proxy.lie = lie
    _, faults, _ = await anchored.verify(anchored.export())
    name = anchored.proxy.url.partition("//")[2]
    assert any("the endpoints disagree about the time of its block" in f and f"{name} says 1970" in f for f in faults)


async def test_an_endpoint_that_talks_nonsense_is_named(anchored: Anchored) -> None:
    anchored.proxy.lie = lambda method, result: {"transactionHash": 7} if "Receipt" in method else result
    _, faults, _ = await anchored.verify(anchored.export())
    assert any("says what makes no sense" in fault for fault in faults)


async def test_an_endpoint_of_another_chain_is_no_witness(anchored: Anchored) -> None:
    anchored.proxy.lie = lambda method, result: "0x1" if method == "eth_chainId" else result
    code, faults, _ = await anchored.verify(anchored.export())
    assert code == 1
    assert any("1 endpoint of eip155:31337 where 2 are wanted" in fault for fault in faults)


async def test_an_endpoint_that_is_down_is_named(anchored: Anchored) -> None:
    anchored.proxy.is_down = True
    code, faults, _ = await anchored.verify(anchored.export())
    assert code == 1
    assert any(f"endpoint {anchored.proxy.url.partition('//')[2]}" in fault for fault in faults)


async def test_an_entry_that_was_changed_under_its_head_is_named_before_any_anchor(anchored: Anchored) -> None:
    folder = anchored.export()
    (bundle,) = (folder / "tile" / "entries").rglob("*.p/*")
    data = bytearray(bundle.read_bytes())
    data[20] ^= 1
    bundle.write_bytes(bytes(data))
    code, faults, lines = await anchored.verify(folder)
    assert (code, lines) == (1, [])
    assert faults
    assert faults[0].startswith("entry 0: is not the one whose hash stands in ")


async def test_an_anchor_that_a_reorg_dropped_since_is_named(anvil: Anvil, tmp_path: Path) -> None:
    before = await anvil.snapshot()
    async with open_anchored(anvil, tmp_path, anchors=1) as anchored:
        folder = anchored.export()
        await anvil.restore(before)
        await anvil.mine(5)
        code, faults, _ = await anchored.verify(folder)
    assert code == 1
    assert len([fault for fault in faults if "does not know transaction" in fault]) == 2


async def test_one_endpoint_or_the_same_twice_is_refused(anchored: Anchored) -> None:
    url = anchored.bench.anvil.url
    for urls in ((url,), (url, url)):
        code, (error,), _ = await anchored.verify(anchored.export(), *urls)
        assert code == 1
        assert "2 endpoints of different providers are wanted" in error


async def test_an_anchor_that_a_reorg_drops_and_brings_back_counts_once(anvil: Anvil, tmp_path: Path) -> None:
    await anvil.fund(ANCHOR.address, ETHER)
    before = await anvil.snapshot()
    bench = AnchorBench(anvil, tmp_path / "data")
    async with bench.open_run(interval_ms=3_600_000) as run:
        await run.log()
        await run.start()
        await run.wait_anchored()
        await anvil.restore(before)
        await anvil.mine(3)
        await run.wait_for(lambda rows: run.store.record.edge.size >= 4)
        key = str(run.store.record.key)
    async with open_proxy(anvil) as proxy:
        anchored = Anchored(bench, proxy, key)
        code, faults, lines = await anchored.verify(anchored.export())
    assert (code, faults, len(lines)) == (0, [], 1)
