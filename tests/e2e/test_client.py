"""The client and `tocsin subscribe` at a running node: what is true is read, and a feed that lies is told by name."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import aclosing, closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
from e2e_kit import (
    START_SECONDS,
    VAULT,
    feed_key,
    make_network,
    make_notes,
    make_signal,
    publish,
    wait_held,
    wait_indexed,
    wait_open,
    wait_reported,
)
from lying_feed import between
from tocsin_client import (
    AsyncFeedClient,
    FeedClient,
    FeedKey,
    LogRolledBack,
    LogSplit,
    NotLoggedYet,
    NotVerified,
    Pin,
    Problem,
    Unreachable,
)
from tocsin_node.api.keys import Scope
from tocsin_node.demo.processes import NodeProcess, open_nodes
from tocsin_node.keystore import open_keystore, read_passphrase
from tocsin_node.roster_files import genesis_hash, read_roster
from tocsin_protocol.log.checkpoint import decode_checkpoint, sign_checkpoint
from tocsin_protocol.log.note import Signer, decode_note, encode_note

ORACLE = "eip155:31337:0x" + "0a" * 20
# A head is shown to others with a heartbeat, each 15 s.
SHOWN_SECONDS = 240


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody with a member's key to a node's feed, and the hash of the genesis by another channel."""

    node: NodeProcess
    pin: Pin
    key: FeedKey
    state: Path

    @property
    def url(self) -> str:
        return f"http://{self.node.config.feed.listen}"

    def open(self, url: str | None = None) -> FeedClient:
        return FeedClient(url or self.url, self.pin, key=self.key, state=self.state)

    async def wait_head(self, size: int) -> bytes:
        """Wait until the feed shows a head of so many entries; returns the note."""

        def look() -> bytes:
            with self.open() as client:
                try:
                    found = client.head().checkpoint.size
                except (Problem, Unreachable):
                    return b""
                return client._file.state.head.encode() if found >= size and client._file.state.head else b""

        with trio.fail_after(SHOWN_SECONDS):
            while not (note := await trio.to_thread.run_sync(look)):  # noqa: ASYNC110 - another process has no event
                await trio.sleep(0.5)
        return note

    async def wait_well(self) -> None:
        """Wait until the node says that it is well."""
        with self.open() as client, trio.fail_after(START_SECONDS):
            while not await trio.to_thread.run_sync(client.is_healthy):  # noqa: ASYNC110 - another process has no event
                await trio.sleep(0.5)

    def move_state(self, url: str) -> None:
        """What was seen at the feed was seen at this address: a liar in between has the feed's name."""
        kept = json.loads(self.state.read_bytes())
        self.state.write_text(json.dumps(kept | {"feed": url}))


def make_reader(node: NodeProcess, folder: Path) -> Reader:
    key = FeedKey(feed_key(node, Scope.MEMBER)["Authorization"].removeprefix("Bearer "))
    pin = Pin(genesis_hash(read_roster(node.home.directory / "genesis.roster")))
    return Reader(node, pin, key, folder / "feed.state")


async def test_what_a_running_node_shows_is_read_checked_and_proven(tmp_path: Path) -> None:
    homes = make_network(tmp_path / "nodes", "alba", "brook")
    with homes[0].config_path.open("a") as config:
        config.write(f'\n[risk]\noracle = "{ORACLE}"\n[[risk.subject]]\nid = "{VAULT}"\ntvl_usd = 5_000_000\n')
    async with open_nodes(homes, "up") as (node, peer):
        await wait_open([node, peer], 1)
        digests = await publish(peer, make_notes(230, "note"))
        await wait_held([node], digests)
        reader = make_reader(node, tmp_path)
        await reader.wait_head(230)
        await wait_indexed(node)
        await wait_reported(node, ORACLE)
        await trio.to_thread.run_sync(_read_all, reader, digests)
        await reader.wait_well()
        await _follow(reader, peer)


def _read_all(reader: Reader, digests: list[bytes]) -> None:
    with reader.open() as client:
        found = list(client.signals())
        assert {(one.member, one.is_pinned) for one in found} == {("brook", True)}
        assert sorted(one.digest for one in found) == sorted(digest.hex() for digest in digests)
        (word,) = client.risk_reports(subject=VAULT)
        assert (word.member, word.counts) == ("alba", True)
        assert word.signed.report.tvl_at_risk == 5_000_000 * 10**6
        with closing(client.live(after=0, kind=["signal"])) as events:
            first = next(events)
        assert client.check_logged(first).checkpoint.size >= 230


async def _follow(reader: Reader, peer: NodeProcess) -> None:
    """The awaited client is there when it happens, and proves it as soon as there is a head."""
    async with (
        AsyncFeedClient(reader.url, reader.pin, key=reader.key) as client,
        aclosing(client.live(quiet=True)) as events,
    ):
        with trio.fail_after(START_SECONDS):
            await anext(events)
            (digest,) = await publish(peer, [make_signal(text="drained")])
            async for event in events:
                if event.about == digest.hex() and event.signal is not None:
                    break
        assert event.signal is not None
        assert event.signal.body is not None
        assert event.signal.body.text == "drained"
        with trio.fail_after(SHOWN_SECONDS):
            while True:
                try:
                    await client.check_logged(event)
                    return
                except NotLoggedYet:
                    await trio.sleep(0.5)


async def test_a_feed_that_lies_is_told_by_name(tmp_path: Path) -> None:
    async with open_nodes(make_network(tmp_path / "nodes", "alba", "brook"), "up") as (node, peer):
        await wait_open([node, peer], 1)
        digests = await publish(peer, make_notes(2, "note"))
        await wait_held([node], digests)
        reader = make_reader(node, tmp_path)
        old = await reader.wait_head(2)
        await wait_held([node], await publish(peer, make_notes(3, "more")))
        new = await reader.wait_head(decode_checkpoint(decode_note(old).text).size + 3)
        await wait_indexed(node)
        await trio.to_thread.run_sync(_alter_a_byte, reader, digests[1])
        await trio.to_thread.run_sync(_withhold, reader, old)
        await trio.to_thread.run_sync(_show_another_head, reader, new)


def _alter_a_byte(reader: Reader, digest: bytes) -> None:
    def alter(path: str, body: bytes) -> bytes:
        if not path.startswith("/v1/signals"):
            return body
        page = json.loads(body)
        (row,) = (row for row in page["signals"] if row["digest"] == digest.hex())
        row["encoded"] = row["encoded"][:-2] + f"{int(row['encoded'][-2:], 16) ^ 1:02x}"
        return json.dumps(page).encode()

    told: list[NotVerified] = []
    with between(reader.url, alter) as liar, FeedClient(liar, reader.pin, key=reader.key) as client:
        assert len(list(client.signals(refused=told.append))) == 4
    (error,) = told
    assert digest.hex() in str(error)


def _withhold(reader: Reader, old: bytes) -> None:
    """Who is shown less of the log than before is told so."""
    with between(reader.url, lambda path, body: old if path == "/log/checkpoint" else body) as liar:
        reader.move_state(liar)
        with reader.open(liar) as client, pytest.raises(LogRolledBack) as rolled:
            client.head()
    assert not isinstance(rolled.value, LogSplit)
    assert rolled.value.shown == old


def _show_another_head(reader: Reader, new: bytes) -> None:
    note = decode_note(new)
    head = decode_checkpoint(note.text)
    home = reader.node.home.directory
    keys = open_keystore(home / "keystore.json", read_passphrase(home / "passphrase"))
    # The log itself tells somebody else another story.
    other = encode_note(sign_checkpoint(Signer(keys.log, head.origin), head.size, bytes(32)))

    with between(reader.url, lambda path, body: other if path == "/log/checkpoint" else body) as liar:
        reader.move_state(liar)
        with reader.open(liar) as client, pytest.raises(LogSplit) as split:
            client.head()
        assert (split.value.seen, split.value.shown) == (new, other)
        code, _, said = subscribe(reader, liar, "--json")
    assert (code, json.loads(said[-1])["error"]["code"]) == (1, "log-split")
    evidence = reader.state.with_name("feed.state.evidence").read_bytes()
    assert new in evidence
    assert other in evidence
    # the feed itself is believed as before
    reader.move_state(reader.url)
    code, shown, _ = subscribe(reader, reader.url)
    assert (code, len(shown)) == (0, 3)
    assert all("brook" in line and "medium asset.drain" in line for line in shown)


def subscribe(reader: Reader, url: str, *words: str) -> tuple[int, list[str], list[str]]:
    """`tocsin subscribe` with what this reader has: exit code, and the lines of stdout and stderr."""
    key_file = reader.state.with_name("feed.key")
    if not key_file.exists():
        key_file.touch(mode=0o600)
        key_file.write_text(reader.key.header()["authorization"].removeprefix("Bearer "))
    command = [sys.executable, "-m", "tocsin_node.cli", "subscribe", url, "--genesis", reader.pin.genesis.hex()]
    command += [
        "--key-file",
        str(key_file),
        "--resume",
        str(reader.state),
        "--kind",
        "signal",
        "--after",
        "0",
        "--count",
        "3",
    ]
    done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=SHOWN_SECONDS, check=False)
    return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()
