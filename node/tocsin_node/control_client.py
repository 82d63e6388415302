"""Asking a running node over its control socket. Light to import: every command of the CLI needs it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .errors import ControlError, NodeUnreachable

SOCKET_NAME = "control.sock"
MAX_REQUEST_BYTES = 1024 * 1024
MAX_RESPONSE_BYTES = 16 * 1024 * 1024
CONNECT_TIMEOUT_SECONDS = 5.0
CALL_TIMEOUT_SECONDS = 75.0
# What sun_path holds on Linux, its end mark aside (unix(7)).
MAX_SOCKET_PATH_BYTES = 107


def request_control(path: Path, verb: str, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Ask a running node, blocking; raises NodeUnreachable, or ControlError when it refuses."""
    line = json.dumps({"verb": verb, "arguments": dict(arguments or {})}).encode() + b"\n"
    if len(line) > MAX_REQUEST_BYTES:
        raise ControlError("too-large", f"request of {len(line)} bytes where at most {MAX_REQUEST_BYTES} are allowed")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(CONNECT_TIMEOUT_SECONDS)
        try:
            with short_path(path) as name:
                connection.connect(name)
            connection.settimeout(CALL_TIMEOUT_SECONDS)
            # A node that refuses at once may have closed before it read us: what it said can be read all the same.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(line)
            answer = _receive_line(connection)
        except OSError as exc:
            reason = "no answer in time" if isinstance(exc, TimeoutError) else exc.strerror
            raise NodeUnreachable(f"no node answers at {path} ({reason}): start it with `tocsin run`") from exc
    return _result(path, answer)


async def call_control(path: Path, verb: str, /, **arguments: Any) -> dict[str, Any]:
    """Ask a running node from a trio task; raises as `request_control` does."""
    import trio

    return await trio.to_thread.run_sync(request_control, path, verb, arguments, abandon_on_cancel=True)


@contextlib.contextmanager
def short_path(path: Path) -> Iterator[str]:
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
