"""A process that loads a feed: listeners that count what they hear, or clients that ask. Its answer is one JSON line.

python -m tocsin_node.bench.feed_load listen PORT KEY_FILE COUNT EVENTS AFTER
python -m tocsin_node.bench.feed_load ask PORT KEY_FILE CLIENTS SECONDS
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from tocsin_node.clock import now_ms

from .feed_record import SUBJECTS, subject_of
from .figures import percentile

# Below the feed and the relay: what is measured is how they do, not how we do.
NICENESS = 10
LISTEN_SECONDS = 300.0
OPEN_AT_ONCE = 20
# A feed that is behind is asked again, for a minute.
LOOK_SECONDS = 0.1
MAX_LOOKS = 600
_AT = re.compile(rb'"at_ms":(\d+)')
_HEAD_END = b"\r\n\r\n"


async def listen(port: int, key: str, count: int, events: int, after: int) -> dict[str, Any]:
    """Open so many streams, say so on a line, and read from each until it has heard so many signals.

    All begin behind an entry of the record, and wait for a feed that has not come so far.
    """
    opening = asyncio.Semaphore(OPEN_AT_ONCE)
    opened, lags, heard = asyncio.Barrier(count + 1), list[float](), list[int]()

    async def one() -> None:
        async with opening:
            for _ in range(MAX_LOOKS):
                reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
                writer.write(_request(f"/v1/live?kind=signal&after={after}", key))
                head = await reader.readuntil(_HEAD_END)
                if head.startswith(b"HTTP/1.1 200"):
                    break
                if not head.startswith(b"HTTP/1.1 400"):
                    raise RuntimeError(head.decode(errors="replace"))
                writer.close()
                await asyncio.sleep(LOOK_SECONDS)
            else:
                raise RuntimeError(f"the feed has not come to entry {after}")
        await opened.wait()
        found, tail = 0, b""
        while found < events and (data := await reader.read(2**20)):
            at = now_ms()
            text = tail + data
            cut = text.rfind(b"\n") + 1
            whole, tail = text[:cut], text[cut:]
            found += whole.count(b"event: signal\n")
            first = _AT.search(whole)
            if first is not None:
                lags.append(at - int(first[1]))
        heard.append(found)
        writer.close()

    async with asyncio.timeout(LISTEN_SECONDS), asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(one())
        await opened.wait()
        print("open", flush=True)
    return {"heard": sum(heard), "least": min(heard), "p50_ms": percentile(lags, 50), "p99_ms": percentile(lags, 99)}


async def ask(port: int, key: str, clients: int, seconds: int) -> dict[str, Any]:
    """Ask for signals about an account again and again, over so many connections."""
    ends, times = time.monotonic() + seconds, list[float]()

    async def one(rng: random.Random) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        # Once at least, however slow the machine.
        is_answered = False
        while not is_answered or time.monotonic() < ends:
            began = time.perf_counter()
            writer.write(_request(f"/v1/signals?limit=20&subject={subject_of(rng.randrange(SUBJECTS))}", key))
            head = await reader.readuntil(_HEAD_END)
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            if head.startswith(b"HTTP/1.1 429"):
                await asyncio.sleep(0.1)
                continue
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode(errors="replace"))
            times.append((time.perf_counter() - began) * 1_000)
            is_answered = True
        writer.close()

    print("open", flush=True)
    async with asyncio.TaskGroup() as group:
        for number in range(clients):
            group.create_task(one(random.Random(number)))  # noqa: S311 - no secret
    return {"requests": len(times), "p50_ms": percentile(times, 50), "p99_ms": percentile(times, 99)}


def _request(path: str, key: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: feed\r\nauthorization: Bearer {key}\r\n\r\n".encode()


def main() -> None:
    """Run as a process."""
    os.nice(NICENESS)
    what, port, key_file, *numbers = sys.argv[1:]
    runs: dict[str, Callable[..., Coroutine[Any, Any, dict[str, Any]]]] = {"listen": listen, "ask": ask}
    key = Path(key_file).read_text().strip()
    print(json.dumps(asyncio.run(runs[what](int(port), key, *map(int, numbers)))), flush=True)


if __name__ == "__main__":
    main()
