"""Peer ids without libp2p are those of libp2p."""

from __future__ import annotations

import pytest
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.id import ID
from tocsin_node.peer_ids import is_ed25519_peer_id, peer_id_of_seed


@pytest.mark.parametrize("seed", [bytes(32), b"\xff" * 32, bytes(range(32))])
def test_peer_id_is_that_of_libp2p(seed: bytes) -> None:
    theirs = str(ID.from_pubkey(create_new_key_pair(seed).public_key))
    assert peer_id_of_seed(seed) == theirs
    assert is_ed25519_peer_id(theirs)


@pytest.mark.parametrize(
    "text",
    ["", "1", "12D3Koo", "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWNC3mH", "0" * 52, "1" + peer_id_of_seed(bytes(32)),
     peer_id_of_seed(bytes(32)) + "1", peer_id_of_seed(bytes(32))[:-1], "z" * 10_000],
)  # fmt: skip
def test_other_texts_are_not_peer_ids(text: str) -> None:
    assert not is_ed25519_peer_id(text)
