"""Another door to the demo's chain: an RPC provider that passes on what it is asked, honest or not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import h11
import httpx
import trio

from tocsin_node.outbound import open_client, post_json

MAX_BYTES = 8 * 1024 * 1024
READ_BYTES = 65_536


@dataclass
class RpcProxy:
    """`forged`: by (call data, block hash), the answer that it gives to an `eth_call` in place of the true one."""

    url: str = ""
    forged: dict[tuple[str, str], str] = field(default_factory=dict)

    def answer(self, request: Any, reply: Any) -> Any:
        """What it says, given the truth."""
        if isinstance(request, list) and isinstance(reply, list):
            by_id = {item["id"]: item for item in request}
            return [self.answer(by_id[item["id"]], item) for item in reply]
        if request.get("method") != "eth_call":
            return reply
        call, block = request["params"]
        key = (call.get("data", call.get("input")), block.get("blockHash") if isinstance(block, dict) else block)
        return reply | {"result": self.forged[key]} if key in self.forged else reply


@asynccontextmanager
async def open_rpc_proxy(target: str) -> AsyncIterator[RpcProxy]:
    """Serve on a free loopback port for as long as the context lasts."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    proxy = RpcProxy(f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}")
    async with open_client() as client, trio.open_nursery() as nursery:

        async def serve(stream: trio.SocketStream) -> None:
            async with stream:
                await _serve(stream, proxy, client, target)

        nursery.start_soon(trio.serve_listeners, serve, listeners)
        try:
            yield proxy
        finally:
            nursery.cancel_scope.cancel()


async def _serve(stream: trio.SocketStream, proxy: RpcProxy, client: httpx.AsyncClient, target: str) -> None:
    """One connection, request after request."""
    http = h11.Connection(h11.SERVER)
    body = b""
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await stream.receive_some(READ_BYTES))
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            _, reply = await post_json(client, target, body, max_bytes=MAX_BYTES)
            said = json.dumps(proxy.answer(json.loads(body), json.loads(reply or b"null"))).encode()
            headers = [("content-type", "application/json"), ("content-length", str(len(said)))]
            for part in (h11.Response(status_code=200, headers=headers), h11.Data(said), h11.EndOfMessage()):
                await stream.send_all(http.send(part) or b"")
            body = b""
            http.start_next_cycle()
        elif not isinstance(event, h11.Request):
            return
