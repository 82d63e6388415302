"""The feed process: read-only HTTP over the node's database, and a live stream of the record."""

from __future__ import annotations

import uvicorn

from tocsin_node.config import NodeConfig
from tocsin_node.store.reader import Reader

from .routes import create_app

GRACEFUL_SECONDS = 3
MAX_CONCURRENT_REQUESTS = 1024


def run_feed(config: NodeConfig) -> None:
    """Serve until interrupted; raises StoreError when the node has no database yet."""
    Reader(config.node.data_dir).close()
    uvicorn.run(
        create_app(config),
        host=config.feed.host,
        port=config.feed.port,
        log_config=None,
        access_log=False,
        limit_concurrency=MAX_CONCURRENT_REQUESTS,
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
    )
