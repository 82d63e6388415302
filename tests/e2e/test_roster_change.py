"""A roster change handed to one node reaches the others, and who is removed is heard no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from e2e_kit import SETTLE_SECONDS, held_by, make_network, make_notes, publish, wait_held, wait_open
from tocsin_node.control_verbs import Verb
from tocsin_node.demo.processes import NodeProcess, open_nodes
from tocsin_node.errors import ControlError
from tocsin_node.keystore import open_root_keystore, read_passphrase
from tocsin_node.roster_files import read_roster, remove_member
from tocsin_node.setup_node import NodeHome
from tocsin_protocol.roster import sign_roster
from tocsin_protocol.roster_encoding import decode_roster, encode_signed_roster
from tocsin_protocol.roster_model import SignedRoster


def signed_by(signed: SignedRoster, home: NodeHome) -> SignedRoster:
    """One more root's signature, as `tocsin roster sign` makes it."""
    secret = open_root_keystore(home.root_path, read_passphrase(home.root_passphrase_path))
    return sign_roster(signed, secret, home.entry.root)


async def apply(node: NodeProcess, signed: SignedRoster) -> dict[str, Any]:
    return await node.ask(Verb.APPLY_ROSTER, roster=encode_signed_roster(signed).hex())


async def test_a_removed_member_is_heard_no_more_by_anybody(tmp_path: Path) -> None:
    homes = make_network(tmp_path)
    async with open_nodes(homes) as nodes:
        alba, brook, cedar = nodes
        await wait_open(nodes, 2)
        await wait_held(nodes, await publish(cedar, make_notes(3, "before")))
        genesis = decode_roster(read_roster(homes[0].directory / "genesis.roster").body)
        change = signed_by(remove_member(genesis, "cedar"), homes[0])
        # the one who goes has no say; one of two is too few
        for too_few in (change, signed_by(change, homes[2])):
            with pytest.raises(ControlError, match="root"):
                await apply(alba, too_few)
        assert (await apply(alba, signed_by(change, homes[1])))["epoch"] == 1
        with trio.fail_after(SETTLE_SECONDS):
            # brook was told by nobody but alba's node
            await brook.wait_status(lambda s: s["epoch"] == 1 and s["members"] == 2)
            for node in (alba, brook):
                await node.wait_status(lambda s: s["mesh"]["peers"] == 1)
        late = await publish(cedar, make_notes(3, "after"))
        await wait_held([alba, brook], await publish(alba, make_notes(2, "from alba")))
        await wait_held([alba, brook], await publish(brook, make_notes(2, "from brook")))
        for node in (alba, brook):
            assert not set(late) & set(held_by(node).values())
            # what was said before stays
            assert sum(publisher == cedar.home.entry.publisher.id for publisher, _, _ in held_by(node)) == 3
