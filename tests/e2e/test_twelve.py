"""Twelve fully connected members: everything reaches everybody, from the first second on."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from pathlib import Path

import trio

sys.path.insert(0, str(Path(__file__).parents[1] / "network"))

from mesh_kit import Running, introduce, make_nodes, make_roster, running_mesh

MEMBERS = 12
EACH = 20
DEADLINE_SECONDS = 120


async def test_twelve_fully_connected_members_hear_everything_from_the_first_second(tmp_path: Path) -> None:
    members = make_nodes(MEMBERS, "twelve")
    roster = make_roster(members)
    async with AsyncExitStack() as stack:
        meshes = [await stack.enter_async_context(running_mesh(node, roster, tmp_path)) for node in members]
        await introduce(meshes, roster)
        # the first second of each: it speaks as soon as it sees all others, whatever they see
        sent: list[bytes] = []
        async with trio.open_nursery() as nursery:
            for mesh in meshes:
                nursery.start_soon(speak, mesh, sent)
        assert len(sent) == MEMBERS * EACH
        for mesh in meshes:
            own = {item for item in sent if mesh.node.publisher in item}
            wanted = set(sent) - own
            assert len(own) == EACH
            await mesh.wait_for(lambda mesh=mesh, wanted=wanted: wanted <= set(mesh.envelopes()), DEADLINE_SECONDS)
            # and each of them once
            assert len(mesh.envelopes()) == len(wanted)


async def speak(mesh: Running, sent: list[bytes]) -> None:
    await mesh.wait_for(lambda: len(mesh.peers_up()) == MEMBERS - 1, DEADLINE_SECONDS)
    for number in range(EACH):
        message = mesh.node.message(b"x" * 300, lane=number % 2)
        sent.append(message.envelope)
        await mesh.link.send(message)
