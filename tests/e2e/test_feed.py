"""The feed of a running node: a subscriber sees signal and decision as they happen, and resumes without loss."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h11
import trio
from e2e_kit import (
    SETTLE_SECONDS,
    START_SECONDS,
    VAULT,
    add_webhook,
    feed_key,
    get,
    make_network,
    make_notes,
    make_signal,
    open_receiver,
    publish,
    restart,
    url_of,
    wait_indexed,
    wait_open,
    wait_served,
)
from tocsin_node.control_verbs import Verb
from tocsin_node.demo.processes import NodeProcess, open_nodes
from tocsin_node.record.checking import check_log
from tocsin_node.record.files import LogFileError, LogServer
from tocsin_node.store.log_files import StoreLog
from tocsin_protocol.log.checkpoint import verify_checkpoint

# The head that is served is one that others were shown: with a heartbeat, each 15 s.
SHOWN_SECONDS = 120


@dataclass(frozen=True)
class Event:
    """One server-sent event."""

    id: int
    kind: str
    data: dict[str, Any]


async def collect(
    node: NodeProcess, until: str, count: int, *, after: int | None = None, opened: trio.Event | None = None
) -> list[Event]:
    """Events of the live stream up to the `count`-th of a kind, from Last-Event-ID `after` on."""
    events: list[Event] = []
    headers = [("Host", "feed"), *feed_key(node).items()] + ([] if after is None else [("Last-Event-ID", str(after))])
    connection, buffer = h11.Connection(h11.CLIENT), b""
    stream = await trio.open_tcp_stream("127.0.0.1", node.config.feed.port)
    with trio.fail_after(START_SECONDS):
        async with stream:
            request = h11.Request(method="GET", target="/v1/live", headers=headers)
            await stream.send_all((connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
            while True:
                part = connection.next_event()
                if part is h11.NEED_DATA:
                    connection.receive_data(await stream.receive_some())
                elif isinstance(part, h11.Response):
                    assert part.status_code == 200
                    assert dict(part.headers)[b"content-type"].startswith(b"text/event-stream")
                else:
                    assert isinstance(part, h11.Data), part
                    *blocks, buffer = (buffer + bytes(part.data)).split(b"\n\n")
                    events += [parse(block) for block in blocks if not block.startswith(b":")]
                    if opened is not None:
                        opened.set()
                    wanted = [place for place, event in enumerate(events) if event.kind == until]
                    if len(wanted) >= count:
                        # as if the connection had been lost right there
                        return events[: wanted[count - 1] + 1]


def parse(block: bytes) -> Event:
    fields = dict(line.split(": ", 1) for line in block.decode().splitlines())
    return Event(int(fields["id"]), fields["event"], json.loads(fields["data"]))


async def wait_health(node: NodeProcess, status: int, word: str = "") -> dict[str, Any]:
    """Wait until the feed says this of the node, which may be a second old each time; returns all that it says."""
    with trio.fail_after(SETTLE_SECONDS):
        while True:
            health = await get(node, "/healthz")
            if health.status_code == status and word in health.text:
                return dict(health.json())
            await trio.sleep(0.1)


async def test_a_subscriber_sees_signal_decision_and_action_as_they_happen(tmp_path: Path) -> None:
    async with open_receiver() as receiver:
        homes = make_network(tmp_path)
        add_webhook(homes[0], receiver.url)
        async with open_nodes(homes[1:]) as peers, open_nodes(homes[:1], "up") as (node,):
            await wait_open([node, *peers], 2)
            await wait_served(node)
            await node.ask(Verb.ARM, hook="page")
            opened, events = trio.Event(), []

            async def subscribe() -> None:
                events.extend(await collect(node, "outcome", 1, opened=opened))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(subscribe)
                await opened.wait()
                (digest,) = await publish(peers[0], [make_signal(VAULT, text="drained")])
            kinds = [event.kind for event in events]
            assert kinds.index("incident") < kinds.index("signal")
            assert kinds.index("signal") < kinds.index("decision") < kinds.index("outcome")
            signal = next(event for event in events if event.kind == "signal").data["signal"]
            assert (signal["digest"], signal["member"]) == (digest.hex(), "brook")
            assert signal["signal"]["text"] == "drained"
            decision = next(event for event in events if event.kind == "decision").data["decision"]
            assert [(lever["hook"], lever["verdict"]) for lever in decision["levers"]] == [("page", "fires")]
            assert [voice["member"] for voice in decision["voices"]] == ["brook"]
            assert events[-1].data["action"]["state"] == "effective"
            await check_reads(node, digest, events, signal["path"])


async def check_reads(node: NodeProcess, digest: bytes, events: list[Event], path: str) -> None:
    signals = (await get(node, "/v1/signals")).json()["signals"]
    assert [row["digest"] for row in signals] == [digest.hex()]
    incident = (await get(node, f"/v1/incidents/{signals[0]['incident']}")).json()
    assert incident["acted"]
    assert incident["actions"][0]["state"] == "effective"
    assert (await get(node, "/v1/incidents/" + "f" * 64)).status_code == 404
    assert (await get(node, "/v1/signals", limit=0)).status_code == 422
    assert (await get(node, "/v1/actions")).json()["actions"][0]["id"] == incident["actions"][0]["id"]
    assert len((await get(node, "/v1/roster")).json()["members"]) == 3
    assert await wait_health(node, 200) == {"healthy": True, "reasons": []}
    metrics = await get(node, "/metrics")
    # it comes by gossip, unless an exchange of heads was faster
    assert path in ("gossip", "sync")
    assert f'tocsin_signals_stored_total{{path="{path}"}} 1.0' in metrics.text
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    with trio.fail_after(SHOWN_SECONDS):
        while not await trio.to_thread.run_sync(check_log_served, node):  # noqa: ASYNC110 - another process has no event
            await trio.sleep(0.5)
    wider = await get(node, "/log/tile/0/000")
    assert (wider.status_code, "wider than the log is long" in wider.text) == (404, True)
    assert (await get(node, "/log/tile/0/0")).status_code == 404
    ids = [event.id for event in events]
    assert ids == sorted(set(ids))


def check_log_served(node: NodeProcess) -> bool:
    """Anybody can check the whole record with the log's key and what the feed serves; False while that is short."""
    with closing(StoreLog(node.config.node.data_dir)) as own:
        key = own.key
    with closing(LogServer(url_of(node, "/log"), feed_key(node)["Authorization"].split()[1])) as files:
        try:
            head = verify_checkpoint(files.checkpoint(), [key]).checkpoint
        except LogFileError:
            return False
        assert check_log(files, head) == []
        return head.size > 5


async def test_a_subscriber_resumes_without_loss_even_over_a_restart(tmp_path: Path) -> None:
    async with open_nodes(make_network(tmp_path, "alba", "brook"), "up") as nodes:
        node, peer = nodes
        await wait_open(nodes, 1)
        await wait_served(node)
        await publish(peer, make_notes(5, "first"))
        first = await collect(node, "signal", 3, after=0)
        # nobody listens
        await publish(peer, make_notes(20, "second"))
        second = await collect(node, "signal", 10, after=first[-1].id)
        node.kill()
        await publish(peer, make_notes(5, "third"))
        await restart(node, "up")
        await wait_served(node)
        await wait_open(nodes, 1)
        third = await collect(node, "signal", 30 - 13, after=second[-1].id)
        everything = [*first, *second, *third]
        ids = [event.id for event in everything]
        assert ids == list(range(1, ids[-1] + 1))
        texts = [event.data["signal"]["signal"]["text"] for event in everything if event.kind == "signal"]
        assert sorted(texts) == sorted(
            [f"first {n}" for n in range(5)] + [f"second {n}" for n in range(20)] + [f"third {n}" for n in range(5)]
        )


async def test_pages_of_the_api_hold_everything_once(tmp_path: Path) -> None:
    async with open_nodes(make_network(tmp_path, "alba"), "up") as (node,):
        await wait_open([node], 0)
        await wait_served(node)
        digests = await publish(node, make_notes(25, "note"))
        await wait_indexed(node)
        seen: list[str] = []
        query: dict[str, Any] = {"limit": 7}
        while True:
            page = (await get(node, "/v1/signals", **query)).json()
            seen += [row["digest"] for row in page["signals"]]
            if page["next"] is None:
                break
            query["before"] = page["next"]
        assert seen == [digest.hex() for digest in reversed(digests)]
        incidents, query = [], {"limit": 7}
        while True:
            page = (await get(node, "/v1/incidents", **query)).json()
            incidents += [row["id"] for row in page["incidents"]]
            if page["next"] is None:
                break
            query["before"] = page["next"]
        assert len(set(incidents)) == len(incidents) == 25


async def test_a_feed_whose_relay_is_gone_says_so_and_still_reads(tmp_path: Path) -> None:
    (home,) = make_network(tmp_path, "alba")
    async with open_nodes([home]) as (relay,):
        await wait_open([relay], 0)
        await publish(relay, make_notes(3, "note"))
        feed = NodeProcess(home)
        try:
            feed.start("serve")
            await wait_served(relay)
            await wait_indexed(relay)
            # its mesh is starting
            await wait_health(relay, 200)
            relay.kill()
            (reason,) = (await wait_health(relay, 503, "no node answers"))["reasons"]
            assert "no node answers" in reason
            assert (await get(relay, "/metrics")).status_code == 503
            assert len((await get(relay, "/v1/signals")).json()["signals"]) == 3
        finally:
            feed.kill()
