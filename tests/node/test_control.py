"""The control socket: what it answers, what it refuses, and that it holds out."""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio
from tocsin_node import control, control_client
from tocsin_node.control import Handler, call_control, request_control, serve_control
from tocsin_node.errors import ConfigError, ControlError, NodeUnreachable
from tocsin_protocol.errors import DecodeError


async def echo(arguments: dict[str, Any]) -> dict[str, Any]:
    return {"given": arguments}


async def refuse(arguments: dict[str, Any]) -> dict[str, Any]:
    raise ControlError("disarmed", "the hook is disarmed")


async def find_bad_file(arguments: dict[str, Any]) -> dict[str, Any]:
    raise ConfigError("policy.toml", "rule", "is wrong")


async def misread(arguments: dict[str, Any]) -> dict[str, Any]:
    raise DecodeError("severity is missing")


async def crash(arguments: dict[str, Any]) -> dict[str, Any]:
    raise RuntimeError("boom")


async def hang(arguments: dict[str, Any]) -> dict[str, Any]:
    await trio.sleep_forever()
    return {}


HANDLERS: Mapping[str, Handler] = {
    "echo": echo,
    "refuse": refuse,
    "bad-file": find_bad_file,
    "misread": misread,
    "crash": crash,
    "hang": hang,
}


@pytest.fixture(autouse=True)
def _quiet() -> None:
    structlog.reset_defaults()


@asynccontextmanager
async def served(path: Path) -> AsyncIterator[Path]:
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(serve_control, path, HANDLERS)
            yield path
            nursery.cancel_scope.cancel()


async def raw_request(path: Path, data: bytes) -> dict[str, Any]:
    async with await trio.open_unix_socket(path) as stream:
        await stream.send_all(data)
        answer = bytearray()
        while not answer.endswith(b"\n"):
            chunk = await stream.receive_some(65536)
            if not chunk:
                break
            answer += chunk
    document: dict[str, Any] = json.loads(answer)
    return document


async def test_request_is_answered(tmp_path: Path) -> None:
    async with served(tmp_path / "c.sock") as path:
        assert await call_control(path, "echo", a=1, b=["x", None]) == {"given": {"a": 1, "b": ["x", None]}}
        assert await call_control(path, "echo", path="a", verb="b") == {"given": {"path": "a", "verb": "b"}}


async def test_socket_is_for_its_owner_only(tmp_path: Path) -> None:
    async with served(tmp_path / "c.sock") as path:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_refusals_have_a_code_and_a_sentence(tmp_path: Path) -> None:
    async with served(tmp_path / "c.sock") as path:
        with pytest.raises(ControlError, match="the hook is disarmed") as refused:
            await call_control(path, "refuse")
        assert refused.value.code == "disarmed"
        with pytest.raises(ControlError, match=r"policy\.toml: rule: is wrong") as refused:
            await call_control(path, "bad-file")
        assert refused.value.code == "refused"
        with pytest.raises(ControlError, match="severity is missing") as refused:
            await call_control(path, "misread")
        assert refused.value.code == "refused"
        with pytest.raises(ControlError, match="'dance' is none of bad-file, crash, echo") as refused:
            await call_control(path, "dance")
        assert refused.value.code == "unknown-verb"


async def test_crashing_handler_does_not_end_the_server(tmp_path: Path) -> None:
    async with served(tmp_path / "c.sock") as path:
        with pytest.raises(ControlError, match="its log says why") as refused:
            await call_control(path, "crash")
        assert refused.value.code == "internal"
        assert "boom" not in str(refused.value)
        assert await call_control(path, "echo") == {"given": {}}


@pytest.mark.parametrize(
    "line",
    [b"\n", b"x\n", b"[]\n", b"1\n", b"{}\n", b'{"verb": 1}\n', b'{"verb": "echo", "arguments": []}\n', b"\xff\n",
     b"[" * 100_000 + b"\n"],
    ids=["empty", "word", "list", "number", "no verb", "verb", "arguments", "bytes", "deep"],
)  # fmt: skip
async def test_malformed_request_is_refused(tmp_path: Path, line: bytes) -> None:
    async with served(tmp_path / "c.sock") as path:
        assert (await raw_request(path, line))["error"]["code"] == "malformed"
        assert await call_control(path, "echo") == {"given": {}}


async def test_request_that_does_not_end_is_cut_off(tmp_path: Path) -> None:
    async with served(tmp_path / "c.sock") as path:
        answer = await raw_request(path, b"x" * control.MAX_REQUEST_BYTES)
        assert answer["error"]["code"] == "too-large"


async def test_oversized_call_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    async with served(tmp_path / "c.sock") as path:
        with pytest.raises(ControlError, match="at most"):
            await call_control(path, "echo", text="x" * control.MAX_REQUEST_BYTES)


async def test_oversized_answer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "MAX_RESPONSE_BYTES", 100)
    async with served(tmp_path / "c.sock") as path:
        with pytest.raises(ControlError, match="100 are allowed"):
            await call_control(path, "echo", text="x" * 200)


async def test_slow_handler_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "HANDLER_TIMEOUT_SECONDS", 0.05)
    async with served(tmp_path / "c.sock") as path:
        with pytest.raises(ControlError, match="took longer") as refused:
            await call_control(path, "hang")
        assert refused.value.code == "timeout"


async def test_idle_connection_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "IDLE_TIMEOUT_SECONDS", 0.05)
    async with served(tmp_path / "c.sock") as path, await trio.open_unix_socket(path) as stream:
        assert await stream.receive_some(1) == b""


async def test_several_requests_share_a_connection(tmp_path: Path) -> None:
    async with served(tmp_path / "c.sock") as path:
        async with await trio.open_unix_socket(path) as stream:
            await stream.send_all(b'{"verb": "echo"}\n{"verb": "refuse"}\n')
            answers = b""
            while answers.count(b"\n") < 2:
                answers += await stream.receive_some(65536)
        first, second = (json.loads(line) for line in answers.splitlines())
        assert (first, second["error"]["code"]) == ({"result": {"given": {}}}, "disarmed")


async def test_caller_who_hangs_up_does_not_end_the_server(tmp_path: Path) -> None:
    async with served(tmp_path / "c.sock") as path:
        for _ in range(10):
            async with await trio.open_unix_socket(path) as stream:
                await stream.send_all(b'{"verb": "echo"}\n' * 100)
        assert await call_control(path, "echo") == {"given": {}}


async def test_too_many_connections_are_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "MAX_CONNECTIONS", 1)
    async with served(tmp_path / "c.sock") as path, await trio.open_unix_socket(path) as held:
        await held.send_all(b'{"verb": "echo"}\n')
        assert await held.receive_some(65536)
        with pytest.raises(ControlError, match="open already") as refused:
            await call_control(path, "echo")
        assert refused.value.code == "busy"


async def test_second_node_refuses_to_serve(tmp_path: Path) -> None:
    async with served(tmp_path / "c.sock") as path:
        with pytest.raises(ControlError, match="another node answers here") as refused:
            await serve_control(path, HANDLERS)
        assert refused.value.code == "in-use"
        assert await call_control(path, "echo") == {"given": {}}


async def test_socket_left_by_a_killed_node_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
        left.listen()
    assert path.exists()
    async with served(path):
        assert await call_control(path, "echo") == {"given": {}}
    assert not path.exists()


async def test_path_too_long_for_a_socket_is_served_all_the_same(tmp_path: Path) -> None:
    directory = tmp_path / ("x" * 120)
    directory.mkdir()
    path = directory / "control.sock"
    assert len(os.fsencode(path)) > control_client.MAX_SOCKET_PATH_BYTES
    async with served(path):
        assert await call_control(path, "echo") == {"given": {}}
    assert list(directory.iterdir()) == []


def test_no_node_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(NodeUnreachable, match=r"no node answers at .*c\.sock .*start it with `tocsin run`"):
        request_control(tmp_path / "c.sock", "status")
    with pytest.raises(NodeUnreachable):
        request_control(tmp_path / "no" / ("x" * 200) / "c.sock", "status")


async def test_directory_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="cannot listen here"):
        await serve_control(tmp_path / "no" / "c.sock", HANDLERS)


async def test_node_that_dies_in_the_middle_is_unreachable(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        async def call() -> None:
            with pytest.raises(NodeUnreachable, match="before it answered"):
                await call_control(path, "status")

        async def hang_up() -> None:
            connection, _ = await trio.to_thread.run_sync(listening.accept)
            connection.recv(1024)
            connection.close()

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(hang_up)
                nursery.start_soon(call)
