"""The feed process: read-only HTTP over the node's record, and live streams of it."""

from __future__ import annotations

import os
import resource
import socket

import uvicorn
from fastapi import FastAPI

from tocsin_node.config import NodeConfig
from tocsin_node.private_files import read_private_file
from tocsin_node.store.reader import Reader

from .app import create_app
from .context import Feed, open_feed
from .live.listeners import Listeners
from .protocol import BoundedProtocol, BoundedSocket

GRACEFUL_SECONDS = 3
NICENESS = 10
MAX_FILES = 4_096
MAX_CONCURRENT_REQUESTS = 1024
MAX_SOCKET_MESSAGE_BYTES = 1024


def run_feed(config: NodeConfig) -> None:
    """Serve until interrupted; raises StoreError when the node has no database yet, or another feed runs."""
    Reader(config.node.data_dir).close()
    if config.feed.tls_key is not None:
        # [API] A key of TLS that others can read is refused.
        read_private_file(config.feed.tls_key)
    feed = open_feed(config)
    try:
        # [API] Containment before service: the feed gets the processor after the relay, and its exporter after both.
        os.nice(NICENESS)
        _allow_files()
        make_server(feed).run()
    finally:
        feed.close()


def _allow_files() -> None:
    """As many open files as all who may connect take, and the databases, as far as the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MAX_FILES if hard == resource.RLIM_INFINITY else min(MAX_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class FeedServer(uvicorn.Server):
    """Tells all who listen where to resume before it waits for them to leave."""

    def __init__(self, app: FastAPI, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop."""
        listeners: Listeners | None = getattr(self.app.state, "listeners", None)
        if listeners is not None:
            listeners.end()
        await super().shutdown(sockets)


def make_server(feed: Feed) -> FeedServer:
    """A server of a feed, ready to run."""
    listen, app = feed.config.feed, create_app(feed)
    return FeedServer(
        app,
        uvicorn.Config(
            app,
            host=listen.host,
            port=listen.port,
            http=BoundedProtocol,
            ws=BoundedSocket,
            ws_max_size=MAX_SOCKET_MESSAGE_BYTES,
            # each message would be compressed once more for each who listens
            ws_per_message_deflate=False,
            log_config=None,
            access_log=False,
            ssl_certfile=listen.tls_cert,
            ssl_keyfile=listen.tls_key,
            server_header=False,
            # what a proxy says of its client counts for nothing: one would choose his own address by it
            proxy_headers=False,
            limit_concurrency=MAX_CONCURRENT_REQUESTS,
            timeout_graceful_shutdown=GRACEFUL_SECONDS,
        ),
    )
