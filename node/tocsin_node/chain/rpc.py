"""JSON-RPC to one endpoint: every request has a deadline, every answer a size."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import trio
from pydantic_core import from_json

from tocsin_node.outbound import open_client, post_json

from .errors import RpcRefused, RpcUnavailable

MAX_RESPONSE_BYTES = 8 * 1024 * 1024
"""One answer; a batch of logs of a busy asset is a few hundred KiB."""
MAX_BATCH = 64
"""Requests in one batch; public providers allow a hundred or more."""
BATCHES_AGAIN_S = 60.0
"""How long an endpoint that refused a batch is asked one thing at a time."""
MAX_COUNT = 2**52
"""Blocks, nonces and seconds: what is larger is a lie. The nonces after it still fit where numbers are kept (2^53)."""
_MAX_ERROR_CHARS = 300
_INVALID_REQUEST, _NO_SUCH_METHOD = -32600, -32601

Request = tuple[str, Sequence[Any]]


@dataclass(slots=True)
class Tally:
    """How an endpoint has answered: exchanges, those without an answer that is JSON, and the seconds that all took."""

    exchanges: int = 0
    failures: int = 0
    seconds: float = 0.0


class RpcEndpoint:
    """One endpoint of one chain over a kept-alive connection.

    The URL may hold an API key: `name` is what may be logged. `sign_body` gives headers for the bytes of a request.
    """

    def __init__(
        self, url: str, *, timeout_ms: int, sign_body: Callable[[bytes], Mapping[str, str]] | None = None
    ) -> None:
        self._url = url
        self._sign_body = sign_body
        self.name = urlsplit(url).netloc.rpartition("@")[2]
        self._timeout_s = timeout_ms / 1_000
        self._client = open_client()
        self._last_id = 0
        self._no_batches_until = 0.0
        self.tally = Tally()

    def __repr__(self) -> str:
        return f"RpcEndpoint({self.name})"

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def call(self, method: str, *params: Any) -> Any:
        """Return the result of one call.

        Raises RpcUnavailable without a usable answer, RpcRefused for a JSON-RPC error.
        """
        request = self._request(method, params)
        answer = await self._exchange(request)
        return _result(answer, request["id"])

    async def batch(self, requests: Sequence[Request]) -> list[Any | RpcRefused]:
        """Return the results in the order of the requests, an RpcRefused where one was refused.

        Raises RpcUnavailable when the exchange as a whole failed.
        """
        if not 0 < len(requests) <= MAX_BATCH:
            raise ValueError(f"a batch of {len(requests)} requests where 1 to {MAX_BATCH} are wanted")
        if trio.current_time() < self._no_batches_until:
            return await self._call_each(requests)
        bodies = [self._request(method, params) for method, params in requests]
        answers = await self._exchange(bodies)
        if not isinstance(answers, list):
            if not _refuses_batches(answers):
                raise RpcUnavailable(f"{self.name}: no answer to a batch: {str(answers)[:_MAX_ERROR_CHARS]}")
            self._no_batches_until = trio.current_time() + BATCHES_AGAIN_S
            return await self._call_each(requests)
        by_id = {answer["id"]: answer for answer in answers if isinstance(answer, dict) and _is_id(answer.get("id"))}
        results: list[Any | RpcRefused] = []
        for body in bodies:
            try:
                results.append(_result(by_id.get(body["id"]), body["id"]))
            except RpcRefused as exc:
                results.append(exc)
        return results

    async def _call_each(self, requests: Sequence[Request]) -> list[Any | RpcRefused]:
        results: list[Any | RpcRefused] = []
        for method, params in requests:
            try:
                results.append(await self.call(method, *params))
            except RpcRefused as exc:
                results.append(exc)
        return results

    def _request(self, method: str, params: Sequence[Any]) -> dict[str, Any]:
        self._last_id += 1
        return {"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": list(params)}

    async def _exchange(self, body: Any) -> Any:
        began = trio.current_time()
        self.tally.exchanges += 1
        try:
            return await self._ask(body)
        except RpcUnavailable:
            self.tally.failures += 1
            raise
        finally:
            self.tally.seconds += trio.current_time() - began

    async def _ask(self, body: Any) -> Any:
        content = json.dumps(body, separators=(",", ":")).encode()
        try:
            with trio.fail_after(self._timeout_s):
                raw = await self._post(content)
        except trio.TooSlowError as exc:
            raise RpcUnavailable(f"{self.name}: no answer within {self._timeout_s:g} s") from exc
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise RpcUnavailable(f"{self.name}: {type(exc).__name__}") from exc
        try:
            return from_json(raw, allow_inf_nan=False)  # refuses nesting deeper than 200
        except ValueError as exc:
            raise RpcUnavailable(f"{self.name}: the answer is not JSON") from exc

    async def _post(self, content: bytes) -> bytes:
        headers = None if self._sign_body is None else self._sign_body(content)
        status, raw = await post_json(self._client, self._url, content, max_bytes=MAX_RESPONSE_BYTES, headers=headers)
        if raw is None:
            raise RpcUnavailable(f"{self.name}: an answer of more than {MAX_RESPONSE_BYTES} bytes")
        # Some nodes send JSON-RPC errors with a 4xx or 5xx: an answer is an answer when it is JSON.
        if status != 200 and not raw.lstrip().startswith((b"{", b"[")):
            raise RpcUnavailable(f"{self.name}: HTTP status {status}")
        return raw


def _result(answer: Any, request_id: int) -> Any:
    """Return the result of one answer; raises RpcRefused or RpcUnavailable."""
    if not isinstance(answer, dict) or answer.get("id") != request_id:
        # an error for the whole batch comes without our id
        if isinstance(answer, dict) and isinstance(answer.get("error"), dict) and answer.get("id") is None:
            raise _refusal(answer["error"])
        raise RpcUnavailable("an answer that belongs to no request")
    error = answer.get("error")
    if error is not None:
        raise _refusal(error)
    if "result" not in answer:
        raise RpcUnavailable("an answer with neither result nor error")
    return answer["result"]


def _refusal(error: Any) -> RpcRefused:
    if not isinstance(error, dict):
        return RpcRefused(0, str(error)[:_MAX_ERROR_CHARS])
    code = error.get("code")
    data = error.get("data")
    if isinstance(data, dict):  # some nodes wrap it
        data = data.get("data", data.get("result"))
    return RpcRefused(
        code if isinstance(code, int) else 0,
        str(error.get("message", ""))[:_MAX_ERROR_CHARS],
        data if isinstance(data, str) else None,
    )


def _refuses_batches(answer: Any) -> bool:
    """Whether one error object for the whole of a batch is about batches, and not about how busy the endpoint is."""
    error = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(error, dict):
        return False
    return error.get("code") in (_INVALID_REQUEST, _NO_SUCH_METHOD) or "batch" in str(error.get("message")).lower()


def _is_id(value: Any) -> bool:
    return type(value) is int


def read_count(value: Any) -> int:
    """Return a block number, nonce or timestamp; raises RpcUnavailable, also beyond MAX_COUNT."""
    count = read_quantity(value)
    if count > MAX_COUNT:
        raise RpcUnavailable(f"{count:#x} where a number below {MAX_COUNT:#x} is wanted")
    return count


def read_quantity(value: Any) -> int:
    """Return a JSON-RPC quantity; raises RpcUnavailable for anything else."""
    if not isinstance(value, str) or not value.startswith("0x") or len(value) > 66:
        raise RpcUnavailable(f"{str(value)[:80]!r} where a quantity is wanted")
    try:
        return int(value, 16)
    except ValueError as exc:
        raise RpcUnavailable(f"{value[:80]!r} where a quantity is wanted") from exc


def read_data(value: Any, size: int | None = None) -> bytes:
    """Return JSON-RPC data, of `size` bytes if given; raises RpcUnavailable for anything else."""
    try:
        if not isinstance(value, str) or not value.startswith("0x"):
            raise ValueError
        data = bytes.fromhex(value[2:])
    except ValueError as exc:
        raise RpcUnavailable(f"{str(value)[:80]!r} where data is wanted") from exc
    if size is not None and len(data) != size:
        raise RpcUnavailable(f"{len(data)} bytes where {size} are wanted")
    return data
