"""A feed that is stopped and started in the middle of a test, and signing in to it."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import trio
from api_kit import Desk, wait_served
from browser_kit import SECONDS, Page
from tocsin_node.api.access import Scope
from tocsin_node.api.server import make_server

ENTER, TAB = ("Enter", 13), ("Tab", 9)
PHONE = (360, 740)
# What reaches past the edge of the screen.
WIDER = (
    "[...document.querySelectorAll('main *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1)"
    ".map((e) => e.outerHTML.slice(0, 120))"
)


class Served:
    """The feed of a record, always at the same address."""

    def __init__(self, desk: Desk) -> None:
        self._feed = replace(desk.feed, config=desk.config)
        # bound as long as this lasts: while nobody serves there, nobody else takes the port
        self._held = socket.socket()
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._held.bind(("127.0.0.1", 0))
        self._address = self._held.getsockname()
        self.origin = f"http://127.0.0.1:{self._address[1]}"
        self.url = f"{self.origin}/dashboard/"
        self._headers = desk.key(Scope.OPERATOR)
        self.start()

    def start(self) -> None:
        """Serve, in a process' life of its own: whoever was signed in is not any more."""
        self._server = make_server(self._feed)
        self._listening = socket.create_server(self._address)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listening]})
        self._thread.start()
        wait_served(self._server, self._thread)

    def get(self, path: str, **query: str) -> Any:
        """What its operator is answered."""
        found = httpx.get(self.origin + path, params=query, headers=self._headers, timeout=SECONDS, trust_env=False)
        assert found.status_code == 200, found.text
        return found.json()

    async def wait_read(self, sequence: int) -> None:
        """Until a stream that begins now begins behind this entry: it brings none up to it."""
        with trio.fail_after(SECONDS):
            while self._place() < sequence:  # noqa: ASYNC110 - a server reads
                await trio.sleep(0.05)

    def _place(self) -> int:
        how: dict[str, Any] = {"headers": self._headers, "timeout": SECONDS, "trust_env": False}
        with httpx.stream("GET", f"{self.origin}/v1/live", **how) as stream:
            return next(int(line.removeprefix("id: ")) for line in stream.iter_lines() if line.startswith("id: "))

    def stop(self) -> None:
        """Serve no more."""
        self._server.should_exit = True
        self._thread.join()
        self._listening.close()

    def close(self) -> None:
        """Stop, and give the address back."""
        self.stop()
        self._held.close()


async def check_fits(page: Page) -> None:
    """Nothing reaches past the edge, once what is shown has come to rest."""
    with trio.move_on_after(SECONDS):
        while await page.evaluate(WIDER):  # noqa: ASYNC110 - a browser draws
            await trio.sleep(0.05)
    assert await page.evaluate(WIDER) == []


async def sign_in(page: Page, desk: Desk, served: Served, scope: Scope) -> None:
    await page.open(served.url)
    await page.wait_text("Sign in")
    await page.evaluate("document.getElementById('key').focus()")
    await page.type(desk.key(scope)["authorization"].removeprefix("Bearer "))
    await page.press(*ENTER)
    await page.wait_text("Is money leaving?")


async def save(page: Page, folder: Path, link: str) -> bytes:
    """Click what saves a file; what is in it, once it is whole."""
    await page.send("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    before = whole_files(folder)
    await page.click(link)
    with trio.fail_after(SECONDS):
        while not (new := whole_files(folder) - before):  # noqa: ASYNC110 - a browser writes it
            await trio.sleep(0.05)
    return await trio.Path(new.pop()).read_bytes()


def whole_files(folder: Path) -> set[Path]:
    """While one is being written it has another ending."""
    return {file for file in folder.iterdir() if file.suffix != ".crdownload"} if folder.is_dir() else set()
