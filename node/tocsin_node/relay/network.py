"""The roster in force, and how the next one comes into force."""

from __future__ import annotations

from collections.abc import Callable

import structlog
import trio
from tocsin_protocol.errors import ProtocolError
from tocsin_protocol.roster import RosterIndex, verify_genesis, verify_successor
from tocsin_protocol.roster_encoding import decode_roster
from tocsin_protocol.roster_model import Roster, SignedRoster

from tocsin_node.store.database import StoreError
from tocsin_node.store.rosters import insert_roster, load_rosters
from tocsin_node.store.writer import Store

_log = structlog.get_logger("tocsin.network")


class Network:
    """Who is in the network now. `listeners` are called with each new roster."""

    def __init__(self, store: Store, genesis: SignedRoster, genesis_hash: bytes, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._now_ms = now_ms
        self._genesis = genesis
        self.index = RosterIndex(verify_genesis(genesis, genesis_hash))
        # One at a time: two rosters of one epoch must not be verified against the same predecessor.
        self._applying = trio.Lock()
        self.listeners: list[Callable[[RosterIndex], None]] = []

    async def load(self) -> None:
        """Follow the rosters on disk from the genesis; raises StoreError when they do not follow it."""
        now_ms, genesis = self._now_ms(), self._genesis
        first, *successors = await self._store.writer.submit(
            lambda connection: load_rosters(connection, genesis, now_ms)
        )
        if first.body != genesis.body:
            raise StoreError("the database was begun with another genesis roster than the config names")
        try:
            for signed in successors:
                self.index = RosterIndex(verify_successor(self.index.roster, signed))
        except ProtocolError as exc:
            raise StoreError(f"the rosters in the database do not follow one another: {exc}") from exc

    async def apply(self, signed: SignedRoster) -> Roster:
        """Verify the next roster, make it durable and use it; raises RosterError or DecodeError."""
        async with self._applying:
            if decode_roster(signed.body) == self.index.roster:
                return self.index.roster
            roster = verify_successor(self.index.roster, signed)
            now_ms = self._now_ms()
            await self._store.writer.submit(lambda connection: insert_roster(connection, roster.epoch, signed, now_ms))
            self.index = RosterIndex(roster)
        _log.info("roster in force", epoch=roster.epoch, members=len(roster.members))
        for listener in self.listeners:
            listener(self.index)
        return roster
