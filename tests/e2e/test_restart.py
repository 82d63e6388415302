"""A node that is killed and started again is heard by all, and never tells two histories."""

from __future__ import annotations

from pathlib import Path

import trio
from e2e_kit import (
    START_SECONDS,
    check_feeds,
    copy_data,
    held_by,
    make_network,
    make_notes,
    make_signal,
    publish,
    restart,
    restore_data,
    rounds,
    wait_held,
    wait_open,
)
from tocsin_node.demo.processes import open_nodes


@rounds(3)
async def test_a_node_killed_and_restarted_is_heard_by_all_every_time(tmp_path: Path, rounds: int) -> None:
    async with open_nodes(make_network(tmp_path)) as nodes:
        await wait_open(nodes, 2)
        for number in range(rounds):
            node = nodes[number % 3]
            node.kill()
            await restart(node)
            await wait_open([node], 1)
            digests = await publish(node, [make_signal(text=f"round {number}"), *make_notes(1, "note")])
            assert len(digests) == 2
            await wait_held(nodes, digests)
        await check_feeds(nodes)


async def test_a_mesh_ends_with_its_killed_relay_and_the_next_one_listens(tmp_path: Path) -> None:
    async with open_nodes(make_network(tmp_path)) as nodes:
        await wait_open(nodes, 2)
        node = nodes[0]
        with trio.fail_after(START_SECONDS):
            # one that was taken for frozen is replaced
            while (mesh := node.mesh_pid()) is None:  # noqa: ASYNC110 - not our child
                await trio.sleep(0.05)
            node.kill_relay()
            while Path(f"/proc/{mesh}").exists():  # noqa: ASYNC110, ASYNC240 - not our child
                await trio.sleep(0.05)
        await restart(node)
        await wait_open(nodes, 2)
        await wait_held(nodes, await publish(node, make_notes(3, "after")))


@rounds(1, share=10)
async def test_a_node_restored_from_an_old_copy_does_not_fork_its_feed(tmp_path: Path, rounds: int) -> None:
    copy = tmp_path / "copy"
    async with open_nodes(make_network(tmp_path / "nodes")) as nodes:
        node, *peers = nodes
        await wait_open(nodes, 2)
        for number in range(rounds):
            await wait_held(nodes, await publish(node, make_notes(3, f"before {number}")))
            node.kill()
            copy_data(node, copy)
            await restart(node)
            await wait_open([node], 1)
            await wait_held(nodes, await publish(node, make_notes(5, "lost with the disk")))
            heads = max(sequence for publisher, _, sequence in held_by(peers[0]) if publisher == own(node))
            node.kill()
            restore_data(node, copy)
            await restart(node)
            await wait_open([node], 1)
            digests = await publish(node, make_notes(1, "after"))
            await wait_held(nodes, digests)
            places = {digest: place for place, digest in held_by(peers[0]).items()}
            assert [places[digest][2] for digest in digests] == [heads + 1]
        await check_feeds(nodes)


async def test_a_restored_node_without_peers_publishes_nothing(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    async with open_nodes(make_network(tmp_path / "nodes")) as nodes:
        node, *peers = nodes
        await wait_open(nodes, 2)
        node.kill()
        copy_data(node, copy)
        await restart(node)
        await wait_open([node], 1)
        await wait_held(nodes, await publish(node, make_notes(2, "lost with the disk")))
        for process in nodes:
            process.kill()
        restore_data(node, copy)
        await restart(node)
        assert await publish(node, make_notes(1, "alone")) == []
        with trio.fail_after(START_SECONDS):
            status = await node.wait_status(lambda s: s["mesh"]["up"])
        assert status["publishing"].startswith("resuming")
        for process in peers:
            await restart(process)
        await wait_open(nodes, 2)
        # what was kept is published above what the peers know
        with trio.fail_after(START_SECONDS):
            while len([p for p in held_by(peers[0]) if p[0] == own(node)]) != 3:  # noqa: ASYNC110 - no event for it
                await trio.sleep(0.1)
        await wait_held(nodes, list(held_by(node).values()))
        await check_feeds(nodes)


def own(node: object) -> bytes:
    with node.open_reader() as reader:  # type: ignore[attr-defined]
        return bytes(reader.publisher)
