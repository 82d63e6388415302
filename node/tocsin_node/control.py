"""The node's control socket: JSON lines over a Unix socket that only the node's user may open.

→ {"verb": "status", "arguments": {}}
← {"result": {…}}   or   {"error": {"code": "unknown-verb", "message": "…"}}
"""

from __future__ import annotations

import contextlib
import errno
import json
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import structlog
import trio
from tocsin_protocol.errors import ProtocolError

from .control_client import (
    CONNECT_TIMEOUT_SECONDS,
    MAX_REQUEST_BYTES,
    MAX_RESPONSE_BYTES,
    call_control,
    request_control,
    short_path,
)
from .errors import ControlError, NodeError

__all__ = ["Handler", "call_control", "request_control", "serve_control"]

MAX_CONNECTIONS = 64
BACKLOG = 64
IDLE_TIMEOUT_SECONDS = 60.0
HANDLER_TIMEOUT_SECONDS = 60.0

Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]

_log = structlog.get_logger("tocsin.control")


async def serve_control(
    path: Path, handlers: Mapping[str, Handler], *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Answer requests until cancelled; raises ControlError `in-use` when another node serves this socket.

    A handler refuses by raising a NodeError or ProtocolError; ControlError says the code.
    """
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(_listen(path)))
    inode = _inode(path)
    server = _Server(handlers)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_listeners, server.serve_connection, [listener])
            task_status.started()
    finally:
        # by now the name may belong to the next node
        if _inode(path) == inode:
            _remove(path)


class _Server:
    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers
        self._connections = 0

    async def serve_connection(self, stream: trio.SocketStream) -> None:
        self._connections += 1
        try:
            with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                if self._connections > MAX_CONNECTIONS:
                    await stream.send_all(_error("busy", f"{MAX_CONNECTIONS} connections are open already"))
                else:
                    await self._answer_requests(stream)
        finally:
            self._connections -= 1
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                await stream.aclose()

    async def _answer_requests(self, stream: trio.SocketStream) -> None:
        buffer = bytearray()
        while True:
            end = buffer.find(b"\n")
            if end < 0:
                if len(buffer) >= MAX_REQUEST_BYTES:
                    await stream.send_all(_error("too-large", f"more than {MAX_REQUEST_BYTES} bytes in one line"))
                    return
                with trio.move_on_after(IDLE_TIMEOUT_SECONDS) as scope:
                    chunk = await stream.receive_some(64 * 1024)
                if scope.cancelled_caught or not chunk:
                    return
                buffer += chunk
                continue
            line = bytes(buffer[:end])
            del buffer[: end + 1]
            answer = await self._answer(line)
            with trio.move_on_after(IDLE_TIMEOUT_SECONDS):
                await stream.send_all(answer)

    async def _answer(self, line: bytes) -> bytes:
        try:
            request = json.loads(line)
            verb, arguments = request["verb"], request.get("arguments", {})
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return _error("malformed", "a request is a JSON object with 'verb' and 'arguments'")
        if not isinstance(verb, str) or not isinstance(arguments, dict):
            return _error("malformed", "'verb' is a text and 'arguments' an object")
        handler = self._handlers.get(verb)
        if handler is None:
            return _error("unknown-verb", f"{verb[:80]!r} is none of {', '.join(sorted(self._handlers))}")
        try:
            with trio.fail_after(HANDLER_TIMEOUT_SECONDS):
                answer = json.dumps({"result": await handler(arguments)}).encode() + b"\n"
        except ControlError as exc:
            return _error(exc.code, str(exc))
        except (NodeError, ProtocolError) as exc:
            return _error("refused", str(exc))
        except trio.TooSlowError:
            return _error("timeout", f"{verb} took longer than {HANDLER_TIMEOUT_SECONDS:.0f} s")
        except Exception:  # noqa: BLE001 - one bad request must not end the node; the log has the traceback
            _log.exception("control request failed", verb=verb)
            return _error("internal", f"{verb} failed inside the node: its log says why")
        if len(answer) > MAX_RESPONSE_BYTES:
            return _error("too-large", f"the answer has {len(answer)} bytes where {MAX_RESPONSE_BYTES} are allowed")
        return answer


def _listen(path: Path) -> socket.socket:
    """A listening socket of mode 0600 at `path`, in place of one that nobody serves."""
    if _is_served(path):
        raise ControlError("in-use", f"{path}: another node answers here; one node per data directory")
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    temporary = path.with_name(f".{secrets.token_hex(4)}.sock")
    try:
        with short_path(temporary) as name:
            listening.bind(name)
        temporary.chmod(0o600)
        listening.listen(BACKLOG)
        temporary.replace(path)
    except OSError as exc:
        listening.close()
        temporary.unlink(missing_ok=True)
        raise ControlError("unusable", f"{path}: cannot listen here ({exc.strerror or exc})") from exc
    listening.setblocking(False)
    return listening


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _is_served(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(CONNECT_TIMEOUT_SECONDS)
        try:
            with short_path(path) as name:
                probe.connect(name)
        except OSError as exc:
            # EAGAIN: its backlog is full, so somebody has it
            return isinstance(exc, TimeoutError) or exc.errno == errno.EAGAIN
    return True


def _error(code: str, message: str) -> bytes:
    return json.dumps({"error": {"code": code, "message": message}}).encode() + b"\n"
