"""The tree against its definition, proofs against every size and index, tiles against the tree."""

from __future__ import annotations

import random
from functools import cache
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from log_kit import entries, leaves_of, reader_of
from strategies_kit import FIXED
from tocsin_protocol.errors import DecodeError, OversizedError, ProofError
from tocsin_protocol.log.proofs import (
    prove_consistency,
    prove_inclusion,
    prove_prefix,
    roots_of_path,
    verify_consistency,
    verify_inclusion,
)
from tocsin_protocol.log.tiles import (
    MAX_ENTRY_BYTES,
    TILE_WIDTH,
    RightEdge,
    Tile,
    decode_path,
    encode_bundle,
    grow_edge,
    node_reader,
    read_edge,
    tile_at,
    tiles_of,
)
from tocsin_protocol.log.tree import EMPTY_ROOT, HASH_BYTES, root_of_leaves
from vectors_log import CLASSIC

# The roots over the first n of the classic leaves, as implementations of Certificate Transparency have published them.
CLASSIC_ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
MOST = 70
LEAVES = leaves_of(entries(2 * TILE_WIDTH * TILE_WIDTH // 100))


def defined_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return sha256(b"\x01" + defined_root(leaves[:k]) + defined_root(leaves[k:])).digest()


@cache
def root(size: int) -> bytes:
    return defined_root(LEAVES[:size])


@pytest.mark.parametrize("size", range(9))
def test_roots_are_the_published_ones(size: int) -> None:
    assert root_of_leaves(leaves_of(CLASSIC[:size])).hex() == CLASSIC_ROOTS[size]


def test_root_is_the_defined_one() -> None:
    for size in range(MOST):
        assert root_of_leaves(LEAVES[:size]) == root(size)
    assert root_of_leaves([]) == EMPTY_ROOT


def test_every_entry_of_every_size_is_proven_and_no_other() -> None:
    for size in range(1, MOST):
        reader = reader_of(LEAVES[:size])
        for index in range(size):
            path = prove_inclusion(index, size, reader)
            verify_inclusion(index, size, LEAVES[index], path, root(size))
            for other in (index ^ 1, index - 1, index + 1, size - 1 - index):
                if other != index:
                    with pytest.raises(ProofError):
                        verify_inclusion(other, size, LEAVES[index], path, root(size))


def test_every_beginning_of_every_size_is_proven() -> None:
    for size in range(1, MOST):
        reader = reader_of(LEAVES[:size])
        for old in range(1, size):
            path = prove_consistency(old, size, reader)
            verify_consistency(old, size, path, root(old), root(size))
            assert roots_of_path(old, size, prove_prefix(old, size, reader)) == (root(old), root(size))
            with pytest.raises(ProofError):
                verify_consistency(old, size, path, root(old + 1), root(size))
            with pytest.raises(ProofError):
                verify_consistency(old, size, path, root(old), root(size - 1))


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (6, 5), (-1, 5)])
def test_what_is_not_in_the_tree_has_no_proof(index: int, size: int) -> None:
    with pytest.raises(ProofError, match=f"entry {index} is not in a tree of {size}"):
        prove_inclusion(index, size, reader_of(LEAVES))
    with pytest.raises(ProofError, match=f"entry {index} is not in a tree of {size}"):
        verify_inclusion(index, size, LEAVES[0], [], LEAVES[0])


@pytest.mark.parametrize(("old", "size"), [(0, 5), (5, 5), (6, 5)])
def test_no_proof_but_from_a_proper_beginning(old: int, size: int) -> None:
    with pytest.raises(ProofError, match=f"a tree of {size} has no proper beginning of {old}"):
        prove_consistency(old, size, reader_of(LEAVES))


@FIXED
@given(st.integers(2, 300), st.data())
def test_flipping_any_bit_of_a_proof_breaks_it(size: int, data: st.DataObject) -> None:
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size - 1))
    reader = reader_of(LEAVES[:size])
    for path, check in (
        (prove_inclusion(index, size, reader), lambda p: verify_inclusion(index, size, LEAVES[index], p, root(size))),
        (prove_consistency(old, size, reader), lambda p: verify_consistency(old, size, p, root(old), root(size))),
    ):
        check(path)
        if path:
            number, bit = data.draw(st.integers(0, len(path) - 1)), data.draw(st.integers(0, 255))
            changed = list(path)
            changed[number] = (int.from_bytes(path[number], "big") ^ (1 << bit)).to_bytes(HASH_BYTES, "big")
            with pytest.raises(ProofError):
                check(changed)


class Tiles:
    """What a log has of tiles on its disk: the widest of each place."""

    def __init__(self) -> None:
        self.edge = RightEdge()
        self.held: dict[tuple[int, int], bytes] = {}

    def add(self, leaves: list[bytes]) -> None:
        self.edge, changed = grow_edge(self.edge, leaves)
        for tile, data in changed:
            assert len(data) == tile.width * HASH_BYTES
            self.held[tile.level, tile.number] = data

    def read(self, level: int, number: int) -> bytes:
        return self.held[level, number]


@FIXED
@given(st.lists(st.integers(0, 700), max_size=8))
def test_tiles_grow_the_same_by_any_batches(batches: list[int]) -> None:
    tiles, size = Tiles(), 0
    for batch in batches:
        batch = min(batch, len(LEAVES) - size)
        tiles.add(LEAVES[size : size + batch])
        size += batch
        assert tiles.edge.size == size
        assert tiles.edge.root == root_of_leaves(LEAVES[:size])
    assert read_edge(size, tiles.read) == tiles.edge
    assert {(t.level, t.number): t.width * HASH_BYTES for t in tiles_of(size)} == {
        place: len(data) for place, data in tiles.held.items()
    }


def test_proofs_read_from_tiles_are_those_of_the_tree() -> None:
    tiles, rng = Tiles(), random.Random(1)
    tiles.add(LEAVES)
    size, node = len(LEAVES), node_reader(tiles.read)
    assert size > 4 * TILE_WIDTH
    for _ in range(200):
        index, smaller = rng.randrange(size), rng.randrange(2, size)
        verify_inclusion(index, size, LEAVES[index], prove_inclusion(index, size, node), tiles.edge.root)
        path = prove_consistency(smaller, size, node)
        verify_consistency(smaller, size, path, root_of_leaves(LEAVES[:smaller]), tiles.edge.root)


def test_a_tree_of_70_000_has_the_tiles_it_should() -> None:
    tiles = list(tiles_of(70_000))
    full = [tile for tile in tiles if tile.width == TILE_WIDTH]
    assert len([tile for tile in full if tile.level == 0]) == 273
    assert [tile for tile in tiles if tile not in full] == [Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert tile_at(0, 0, 1_234_067 * 256 + 1).path == "tile/0/000"
    assert Tile(3, 1_234_067, 256).path == "tile/3/x001/x234/067"
    assert Tile(0, 1_234_067, 7).bundle_path == "tile/entries/x001/x234/067.p/7"


@pytest.mark.parametrize(
    "path",
    [
        *("tile/0/000", "tile/3/x001/x234/067", "tile/0/001.p/7", "tile/entries/x001/000", "tile/entries/999.p/255"),
        "tile/63/000.p/1",
    ],
)
def test_a_path_names_its_tile_and_the_tile_its_path(path: str) -> None:
    tile, is_bundle = decode_path(path)
    assert (tile.bundle_path if is_bundle else tile.path) == path


@pytest.mark.parametrize(
    "path",
    [
        *("", "checkpoint", "tile/0", "tile/0/0", "tile/0/0000", "tile/00/000", "tile/x/000", "tile/0/x000/001"),
        *("tile/0/000.p/256", "tile/0/000.p/01", "tile/0/000.p/0", "tile/0/000.p/", "tile/0/000/", "/tile/0/000"),
        *("tile/0/001/000", "tile/0/x001", "tile/0/../000", "tile/entries/000\n", "tile/0/٣٣٣", "tile/data/000"),
        "tile/0/" + "x001/" * 6 + "000",
    ],
)
def test_another_spelling_of_a_path_is_refused(path: str) -> None:
    with pytest.raises(DecodeError, match="tile"):
        decode_path(path)


@pytest.mark.parametrize(("level", "number"), [(0, 2), (0, -1), (2, 0), (1, 1)])
def test_a_tree_has_no_tile_past_its_end(level: int, number: int) -> None:
    with pytest.raises(ProofError, match=f"a tree of 512 has no tile {number} of level {level}"):
        tile_at(level, number, 512)


def test_a_tile_that_is_too_short_is_refused() -> None:
    with pytest.raises(DecodeError, match="a tile of 31 bytes where 1 hashes need 32"):
        read_edge(1, lambda level, number: bytes(31))
    with pytest.raises(DecodeError, match="where 2 hashes need 64"):
        node_reader(lambda level, number: bytes(32))(1, 0)


def test_an_entry_past_the_bound_is_refused() -> None:
    assert len(encode_bundle([bytes(MAX_ENTRY_BYTES)])) == MAX_ENTRY_BYTES + 2
    with pytest.raises(OversizedError, match="an entry of 65536 bytes"):
        encode_bundle([bytes(MAX_ENTRY_BYTES + 1)])
