"""A headless Chromium of the test's own, driven over its DevTools protocol: one page, nothing kept, always stopped."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, open_websocket_url

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
# Deadlines are for what hangs, not for what is slow.
SECONDS = 120.0
STOP_SECONDS = 10.0
# A page that is pictured whole is many times as large as what is said otherwise.
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_BINARIES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
# What a page may not do is written down by the page itself, before anything of it runs.
_WATCH = (
    "window.violations = [];"
    "addEventListener('securitypolicyviolation', (e) => violations.push(`${e.violatedDirective} ${e.blockedURI}`))"
)


class PageError(AssertionError):
    """A script of the test threw in the page."""


class CommandError(PageError):
    """The browser refused a command, as it does while the page that it was for gives way to another."""


@dataclass
class Page:
    """The one page of a browser."""

    connection: WebSocketConnection
    session: str = ""
    faults: list[str] = field(default_factory=list)
    # Requests that were stopped on their way, by the ids that `let_go` takes.
    stopped: list[str] = field(default_factory=list)
    # Addresses and how they were answered, once `Network` is enabled.
    answers: list[tuple[str, int]] = field(default_factory=list)
    _number: int = 0
    _answers: dict[int, trio.MemorySendChannel[dict[str, Any]]] = field(default_factory=dict)

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Read what the browser says until it ends."""
        task_status.started()
        with suppress(ConnectionClosed):
            while True:
                message = json.loads(await self.connection.get_message())
                if "id" in message:
                    self._answers.pop(message["id"]).send_nowait(message)
                elif message["method"] == "Fetch.requestPaused":
                    self.stopped.append(message["params"]["requestId"])
                elif message["method"] == "Network.responseReceived":
                    response = message["params"]["response"]
                    self.answers.append((response["url"], response["status"]))
                elif message["method"] == "Runtime.exceptionThrown":
                    details = message["params"]["exceptionDetails"]
                    self.faults.append(details.get("exception", {}).get("description", details["text"]))
                elif message["method"] == "Log.entryAdded" and message["params"]["entry"]["source"] == "security":
                    self.faults.append(message["params"]["entry"]["text"])

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol, and its result."""
        self._number += 1
        sender, receiver = trio.open_memory_channel[dict[str, Any]](1)
        self._answers[self._number] = sender
        message = {"id": self._number, "method": method, "params": params}
        await self.connection.send_message(json.dumps(message | ({"sessionId": self.session} if self.session else {})))
        with trio.fail_after(SECONDS):
            answer = await receiver.receive()
        if "error" in answer:
            raise CommandError(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    async def evaluate(self, script: str) -> Any:
        """The value of an expression in the page; a promise is waited for."""
        result = await self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise PageError(f"{script[:200]}: {result['exceptionDetails']}")
        return result["result"].get("value")

    async def wait(self, condition: str) -> Any:
        """Until an expression is true in the page; its value."""
        with trio.move_on_after(SECONDS):
            while True:
                # in the middle of a reload there is no page to ask
                with suppress(CommandError):
                    if value := await self.evaluate(condition):
                        return value
                await trio.sleep(0.05)
        raise PageError(f"never true: {condition}\nthe page says: {await self.text()}\nfaults: {self.faults}")

    async def wait_text(self, text: str, within: str = "body") -> None:
        """Until a text is shown."""
        await self.wait(f"document.querySelector({within!r})?.innerText.includes({json.dumps(text)})")

    async def text(self, within: str = "body") -> str:
        """What is shown of an element."""
        return str(await self.evaluate(f"document.querySelector({within!r})?.innerText ?? ''"))

    async def open(self, url: str) -> None:
        """Go there, once somebody answers there, and wait until it is read."""
        # of the same address, what is left may answer for a moment as what comes would
        await self.evaluate("window.isLeft = true")
        with trio.fail_after(SECONDS):
            while (await self.send("Page.navigate", url=url)).get("errorText"):  # noqa: ASYNC110 - a server starts
                await trio.sleep(0.1)
        there = f"location.href.startsWith({json.dumps(url)})"
        await self.wait(f"!window.isLeft && document.readyState === 'complete' && {there}")

    async def go(self, place: str) -> None:
        """Another part of the dashboard, once it is shown: what the page does with the event, it does before us."""
        await self.evaluate(
            f"location.hash === {json.dumps(place)} || new Promise((done) => {{"
            f"addEventListener('hashchange', () => done(0), {{once: true}}); location.hash = {json.dumps(place)}}})"
        )

    async def stop_requests(self, pattern: str) -> None:
        """Let requests to such addresses wait; `stopped` grows with each."""
        await self.send("Fetch.enable", patterns=[{"urlPattern": pattern}])

    async def wait_stopped(self) -> None:
        """Until a request waits."""
        await wait_until(lambda: bool(self.stopped))

    async def let_go(self) -> None:
        """Let everything that waits go on, and stop nothing any more."""
        while self.stopped:
            await self.send("Fetch.continueRequest", requestId=self.stopped.pop())
        await self.send("Fetch.disable")

    async def click(self, selector: str) -> None:
        """Click what a selector finds, once it is there."""
        # in one: what is there may be another, or gone, a moment later
        await self.wait(f"(() => {{ const e = document.querySelector({selector!r}); e?.click(); return !!e; }})()")

    async def type(self, text: str) -> None:
        """Type into what has the focus."""
        await self.send("Input.insertText", text=text)

    async def press(self, key: str, code: int) -> None:
        """A key of the keyboard."""
        about = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        await self.send("Input.dispatchKeyEvent", type="keyDown", text="\r" if key == "Enter" else "", **about)
        await self.send("Input.dispatchKeyEvent", type="keyUp", **about)

    async def upload(self, selector: str, path: Path) -> None:
        """Choose a file, as its picker would."""
        await self.wait(f"!!document.querySelector({selector!r})")
        root = (await self.send("DOM.getDocument"))["root"]["nodeId"]
        node = (await self.send("DOM.querySelector", nodeId=root, selector=selector))["nodeId"]
        await self.send("DOM.setFileInputFiles", files=[str(path)], nodeId=node)

    async def look(self, width: int, height: int, *, dark: bool = False, phone: bool = False) -> None:
        """How large the screen is, and what the reader likes."""
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone
        )
        wanted = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.send("Emulation.setEmulatedMedia", features=wanted)

    async def picture(self, path: Path, *, whole: bool = False) -> None:
        """A PNG of what is shown."""
        shot = await self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        await trio.Path(path).write_bytes(base64.b64decode(shot["data"]))

    async def check_accessible(self) -> None:
        """axe finds nothing serious."""
        await self.evaluate(AXE.read_text() + ";0")
        found = await self.evaluate("axe.run().then((found) => JSON.stringify(found.violations))")
        faults = [fault for fault in json.loads(found) if fault["impact"] in ("serious", "critical")]
        assert not faults, [(fault["id"], [node["html"] for node in fault["nodes"]][:4]) for fault in faults]

    async def check_clean(self) -> None:
        """Nothing was thrown, and nothing that the policy of the page forbids was tried."""
        assert await self.evaluate("violations") == []
        assert self.faults == []


async def wait_until(is_so: Callable[[], bool]) -> None:
    """Until the browser has told what it tells by itself."""
    with trio.fail_after(SECONDS):
        while not is_so():  # noqa: ASYNC110 - a browser tells it
            await trio.sleep(0.05)


@asynccontextmanager
async def open_page() -> AsyncIterator[Page]:
    """A browser with an empty profile, stopped on leaving whatever happens."""
    binary = next((path for name in _BINARIES if (path := shutil.which(name))), None)
    assert binary is not None, "no Chromium: apt-get install chromium-headless-shell"
    profile = tempfile.mkdtemp(prefix="tocsin-browser-")
    try:
        process = _start(binary, profile)
        try:
            url = await _wait_url(process, Path(profile))
            async with (
                open_websocket_url(url, max_message_size=MAX_MESSAGE_BYTES) as connection,
                trio.open_nursery() as nursery,
            ):
                page = Page(connection)
                await nursery.start(page.run)
                target = (await page.send("Target.createTarget", url="about:blank"))["targetId"]
                page.session = (await page.send("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
                for domain in ("Page", "Runtime", "Log", "DOM"):
                    await page.send(f"{domain}.enable")
                await page.send("Page.addScriptToEvaluateOnNewDocument", source=_WATCH)
                await page.look(1280, 800)
                yield page
                nursery.cancel_scope.cancel()
        finally:
            _stop(process)
    finally:
        _remove(profile)


def _start(binary: str, profile: str) -> subprocess.Popen[bytes]:
    command = [
        binary,
        "--headless",
        "--remote-debugging-port=0",
        f"--user-data-dir={profile}",
        # the pages are our own, and a container's root has no other choice
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-breakpad",
        "--no-first-run",
        "--no-proxy-server",
        "--hide-scrollbars",
        "--force-color-profile=srgb",
        "about:blank",
    ]
    environment = os.environ | {"HOME": profile}
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, env=environment, start_new_session=True)


async def _wait_url(process: subprocess.Popen[bytes], profile: Path) -> str:
    port_file = profile / "DevToolsActivePort"
    with trio.fail_after(SECONDS):
        while True:
            assert process.poll() is None, f"Chromium ended with {process.returncode}"
            with suppress(OSError, ValueError):
                port, path = port_file.read_text().split("\n")[:2]
                return f"ws://127.0.0.1:{int(port)}{path}"
            await trio.sleep(0.05)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """It has children of its own: all of its group end."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, 15)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, 9)
    process.wait()


def _remove(profile: str) -> None:
    """The last of its children may still have been writing."""
    deadline = time.monotonic() + SECONDS
    while Path(profile).exists() and time.monotonic() < deadline:
        shutil.rmtree(profile, ignore_errors=True)
        time.sleep(0.01)
    assert not Path(profile).exists(), f"the browser's profile {profile} cannot be removed"
