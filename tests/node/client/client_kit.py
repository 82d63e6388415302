"""A node whose roster has the key of its log, and a server that shows what a node never would."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from api_kit import Desk
from protocol_kit import NAMES, NOW_MS, follow, make_member, make_publisher, make_roster, signed_by
from store_kit import LOG_SECRET, OWN
from tocsin_client import FeedKey, Pin
from tocsin_node.api.access import Scope
from tocsin_node.store.rosters import insert_roster
from tocsin_protocol.log.note import Signer
from tocsin_protocol.roster_encoding import decode_roster, encode_roster, encode_signed_roster, roster_hash
from tocsin_protocol.roster_model import SignedRoster

GENESIS = make_roster()
GENESIS_HASH = roster_hash(encode_roster(GENESIS))
LOG_KEY = Signer(LOG_SECRET, "log").key.key


def with_log() -> SignedRoster:
    """The roster after the genesis: the first member's publisher has the key of its log."""
    members = [make_member(name, make_publisher(name, **({"log": LOG_KEY} if name == OWN else {}))) for name in NAMES]
    return signed_by(follow(GENESIS, members), *NAMES)


def revoking(name: str, lane: int, last: int) -> SignedRoster:
    """The roster after that: of a member's publisher only the first signals of a lane still count."""
    before = decode_roster(with_log().body)
    members = [
        replace(m, publishers=tuple(replace(p, revoked=((lane, last),)) for p in m.publishers)) if m.name == name else m
        for m in before.members
    ]
    return signed_by(follow(before, members), *NAMES)


class Node(Desk):
    """The record of the first member with two rosters."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self.write(lambda c: insert_roster(c, 1, with_log(), NOW_MS))

    def feed_key(self, scope: Scope) -> FeedKey | None:
        header = self.key(scope).get("authorization")
        return None if header is None else FeedKey(header.removeprefix("Bearer "))

    def roster_files(self, folder: Path) -> list[Path]:
        paths = []
        for number, signed in enumerate((signed_by(GENESIS), with_log())):
            path = folder / f"epoch-{number}.roster"
            path.write_bytes(encode_signed_roster(signed))
            paths.append(path)
        return paths


@contextmanager
def nobody() -> Iterator[str]:
    """An address where nobody listens, nor can meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


PIN = Pin(GENESIS_HASH)
# The rosters by hand, for who has no key that shows them.
PIN_WITH_ROSTERS = Pin(GENESIS_HASH, (signed_by(GENESIS), with_log()))
