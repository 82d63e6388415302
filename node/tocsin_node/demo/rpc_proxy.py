"""Another door to a local chain: an RPC provider that passes on what it is asked, honest or with a fault."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import h11
import httpx
import trio

from tocsin_node.outbound import open_client, post_json

from .faults import SLOW_SECONDS, Fault, distort, is_kept, keep

MAX_BYTES = 8 * 1024 * 1024
READ_BYTES = 65_536
_SILENT = (Fault.DOWN, Fault.HANG)
_HEADERS = [("content-type", "application/json")]


@dataclass
class RpcProxy:
    """`forged`: by (call data, block hash), the answer that it gives to an `eth_call` in place of the true one.

    `target` is where it passes requests on to, and `fault` what it does wrong; both may change at any time.
    """

    target: str
    url: str = ""
    forged: dict[tuple[str, str], str] = field(default_factory=dict)
    fault: Fault | None = None

    def keep(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """What it answers to a request that it does not pass on; None for the others."""
        return keep() if is_kept(self.fault, request["method"]) else None

    def answer(self, request: dict[str, Any], reply: dict[str, Any]) -> dict[str, Any]:
        """What it says to one request, given the truth."""
        said = {key: value for key, value in reply.items() if key in ("result", "error")}
        if self.fault is not None:
            said = distort(self.fault, request["method"], request["params"], said)
        if request["method"] == "eth_call":
            call, block = request["params"]
            key = (call.get("data", call.get("input")), block.get("blockHash") if isinstance(block, dict) else block)
            said = {"result": self.forged[key]} if key in self.forged else said
        number = request["id"] + 1_000_000 if self.fault is Fault.WRONG_ID else request["id"]
        return {"jsonrpc": "2.0", "id": number, **said}


@asynccontextmanager
async def open_rpc_proxy(target: str) -> AsyncIterator[RpcProxy]:
    """Serve on a free loopback port for as long as the context lasts."""
    proxy = RpcProxy(target)
    async with serve_proxy(proxy):
        yield proxy


@asynccontextmanager
async def serve_proxy(proxy: RpcProxy) -> AsyncIterator[None]:
    """Serve a proxy, on a port that its `url` then names, for as long as the context lasts."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    proxy.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
    async with open_client() as client, trio.open_nursery() as nursery:

        async def serve(stream: trio.SocketStream) -> None:
            async with stream:
                # Whoever asks may leave at any time.
                with suppress(trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
                    await _serve(stream, proxy, client)

        nursery.start_soon(trio.serve_listeners, serve, listeners)
        try:
            yield
        finally:
            nursery.cancel_scope.cancel()


async def _serve(stream: trio.SocketStream, proxy: RpcProxy, client: httpx.AsyncClient) -> None:
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
            if not await _reply(stream, http, proxy, client, body):
                return
            body = b""
            http.start_next_cycle()
        elif not isinstance(event, h11.Request):
            return


async def _reply(
    stream: trio.SocketStream, http: h11.Connection, proxy: RpcProxy, client: httpx.AsyncClient, body: bytes
) -> bool:
    """Answer one request as the fault wants it; False when the connection is at its end."""
    if proxy.fault is Fault.HANG:
        await trio.sleep_forever()
    if proxy.fault is Fault.DOWN:
        return False
    if proxy.fault is Fault.SLOW:
        await trio.sleep(SLOW_SECONDS)
    status, said = 200, b"\x00\xff not JSON {"
    if proxy.fault is Fault.STATUS_500:
        status, said = 500, b"<html>Internal Server Error</html>"
    elif proxy.fault is not Fault.GARBAGE:
        said = await _pass_on(proxy, client, json.loads(body))
    if proxy.fault in _SILENT:  # the fault began while the chain was asked
        return False
    head = h11.Response(status_code=status, headers=[*_HEADERS, ("content-length", str(len(said)))])
    if proxy.fault is Fault.TRUNCATED:
        await stream.send_all((http.send(head) or b"") + said[: len(said) // 2])
        return False
    for part in (head, h11.Data(said), h11.EndOfMessage()):
        await stream.send_all(http.send(part) or b"")
    return True


async def _pass_on(proxy: RpcProxy, client: httpx.AsyncClient, asked: Any) -> bytes:
    """Ask the chain, and return what the proxy makes of its answers."""
    requests = asked if isinstance(asked, list) else [asked]
    replies = {request["id"]: kept for request in requests if (kept := proxy.keep(request)) is not None}
    passed = [request for request in requests if request["id"] not in replies]
    if passed:
        _, raw = await post_json(client, proxy.target, json.dumps(passed).encode(), max_bytes=MAX_BYTES)
        replies |= {reply["id"]: reply for reply in json.loads(raw or b"[]")}
    said = [proxy.answer(request, replies[request["id"]]) for request in requests]
    return json.dumps(said if isinstance(asked, list) else said[0]).encode()
