"""Fixtures of the store's tests: a database on disk and one in memory."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "protocol"))

from protocol_kit import NETWORK_ID, Feed
from store_kit import LOG_SECRET, memory_database
from tocsin_node.store.writer import Store


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    with memory_database() as connection:
        yield connection


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store with its writer running."""
    opened = Store(tmp_path / "data", Feed("alba").publisher, NETWORK_ID, LOG_SECRET)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(opened.writer.run_writer)
            yield opened
            nursery.cancel_scope.cancel()
    finally:
        opened.close()
