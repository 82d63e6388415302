"""A server between a client and a feed, which shows what a feed never would."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

SECONDS = 120.0

Change = Callable[[str, bytes], bytes]


@contextmanager
def between(url: str, change: Change, *, endless: tuple[str, ...] = ()) -> Iterator[str]:
    """A server that answers as the feed at `url` does, but for what `change` makes of a path and its answer.

    Paths that begin as one of `endless` are not asked there: `change` makes the whole of them.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = {name: value for name, value in self.headers.items() if name.lower() == "authorization"}
            if self.path.startswith(endless):
                answer = httpx.Response(200)
            else:
                answer = httpx.get(url + self.path, headers=headers, timeout=SECONDS, trust_env=False)
            body = change(self.path, answer.content)
            self.send_response(answer.status_code)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with raw_server(Handler) as address:
        yield address


@contextmanager
def raw_server(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Any server of ours on a free port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
