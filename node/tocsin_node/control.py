"""The node's control socket: JSON lines over a Unix socket that only the node's user may open.

→ {"verb": "status", "arguments": {}}
← {"result": {…}}   or   {"error": {"code": "unknown-verb", "message": "…"}}
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import structlog
import trio
from tocsin_protocol.errors import ProtocolError

from .errors import ControlError, NodeError, NodeUnreachable

SOCKET_NAME = "control.sock"
MAX_REQUEST_BYTES = 1024 * 1024
MAX_RESPONSE_BYTES = 16 * 1024 * 1024
MAX_CONNECTIONS = 64
BACKLOG = 64
IDLE_TIMEOUT_SECONDS = 60.0
HANDLER_TIMEOUT_SECONDS = 60.0
CONNECT_TIMEOUT_SECONDS = 5.0
CALL_TIMEOUT_SECONDS = 75.0
# What sun_path holds on Linux, its end mark aside (unix(7)).
MAX_SOCKET_PATH_BYTES = 107

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


def request_control(path: Path, verb: str, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Ask a running node, blocking; raises NodeUnreachable, or ControlError when it refuses."""
    line = json.dumps({"verb": verb, "arguments": dict(arguments or {})}).encode() + b"\n"
    if len(line) > MAX_REQUEST_BYTES:
        raise ControlError("too-large", f"request of {len(line)} bytes where at most {MAX_REQUEST_BYTES} are allowed")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(CONNECT_TIMEOUT_SECONDS)
        try:
            with _short_path(path) as name:
                connection.connect(name)
            connection.settimeout(CALL_TIMEOUT_SECONDS)
            connection.sendall(line)
            answer = _receive_line(connection)
        except OSError as exc:
            reason = "no answer in time" if isinstance(exc, TimeoutError) else exc.strerror
            raise NodeUnreachable(f"no node answers at {path} ({reason}): start it with `tocsin run`") from exc
    return _result(path, answer)


async def call_control(path: Path, verb: str, /, **arguments: Any) -> dict[str, Any]:
    """Ask a running node from a trio task; raises as `request_control` does."""
    return await trio.to_thread.run_sync(request_control, path, verb, arguments, abandon_on_cancel=True)


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
        with _short_path(temporary) as name:
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
            with _short_path(path) as name:
                probe.connect(name)
        except OSError as exc:
            # EAGAIN: its backlog is full, so somebody has it
            return isinstance(exc, TimeoutError) or exc.errno == errno.EAGAIN
    return True


@contextlib.contextmanager
def _short_path(path: Path) -> Iterator[str]:
    """A name for a socket that fits into sun_path, by way of its directory's descriptor where it must."""
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def _receive_line(connection: socket.socket) -> bytes:
    buffer = bytearray()
    while not buffer.endswith(b"\n"):
        chunk = connection.recv(256 * 1024)
        if not chunk or len(buffer) > MAX_RESPONSE_BYTES:
            break
        buffer += chunk
    return bytes(buffer)


def _result(path: Path, answer: bytes) -> dict[str, Any]:
    try:
        document = json.loads(answer)
    except ValueError as exc:
        raise NodeUnreachable(f"the node at {path} closed the connection before it answered") from exc
    if "error" in document:
        raise ControlError(document["error"]["code"], document["error"]["message"])
    result: dict[str, Any] = document["result"]
    return result


def _error(code: str, message: str) -> bytes:
    return json.dumps({"error": {"code": code, "message": message}}).encode() + b"\n"
