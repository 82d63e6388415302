"""What others put into the record, or into the operator's browser, does nothing but be shown."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from api_kit import Desk, about
from browser_kit import Page, wait_until
from dashboard_kit import PHONE, Served, check_fits, sign_in
from protocol_kit import Feed, make_signal
from store_kit import Lever, arm, make_rules
from tocsin_node.api.access import Scope
from tocsin_node.clock import now_ms
from tocsin_protocol.model import Evidence, Signal
from tocsin_protocol.taxonomy import EvidenceKind, Severity, Tlp

SCRIPTS = (
    "<img src=x onerror=\"violations.push('ran')\"><script>violations.push('ran')</script>",
    "\"><svg onload=violations.push('ran')>",
    "javascript:violations.push('ran')//",
    "</code></td></main><style>*{display:none}</style>",
)
NOISE = 1_000
MAX_ELEMENTS = 4_000
# What cannot be seen, or moves its neighbours, in what the protocol lets through.
UNSEEN = "pay\u200fload\u200b of\u2060 no\u00adbody\U000e0041"
HEAP = "Z" + "\u0335\u0301\u030b\u0489" * 40


@pytest.fixture
def served(desk: Desk) -> Iterator[Served]:
    """A record with one signal of each marking."""
    now = now_ms()
    desk.say(about(1, text="clear words"), about(3, tlp=Tlp.RED, text="red words"), at_ms=now)
    with closing(Served(desk)) as feed:
        yield feed


def hostile(number: int, words: str) -> Signal:
    """A signal that says it wherever words are free."""
    reference = Evidence(EvidenceKind.TRANSACTION, "eip155:1", 7, words[:60], words[:60])
    return about(number, text=words, incident=words.encode()[:60].decode(errors="ignore"), evidence=(reference,))


async def test_hostile_words_are_words_on_every_page(desk: Desk, served: Served, page: Page) -> None:
    told = [*SCRIPTS, "W" * 4096, UNSEEN, HEAP, "שלום " * 200 + "\n" * 50, "𒈙" * 1000]
    sealed = desk.say(*(hostile(10 + place, words) for place, words in enumerate(told)), at_ms=now_ms(), index=False)
    await sign_in(page, desk, served, Scope.OPERATOR)
    await page.look(*PHONE, phone=True)
    await page.wait(f"document.querySelectorAll('.incidents li').length === {len(told) + 2}")
    words = ""
    for envelope in sealed:
        for place in ("incident", "signal"):
            await page.go(f"#/{place}/{envelope.digest.hex()}")
            await page.wait("!!document.querySelector('.tlp')")
            await check_fits(page)
            words += await page.text("main")
    assert await page.evaluate("document.querySelectorAll('img, script:not([src]), style, iframe').length") == 0
    for script in SCRIPTS:
        assert words.count(script) >= 2
    assert "pay⟨U+200F⟩load⟨U+200B⟩ of⟨U+2060⟩ no⟨U+00AD⟩body⟨U+E0041⟩" in words
    assert "more marks⟩" in words
    await page.check_clean()


async def test_words_of_the_relay_are_words_too(desk: Desk, served: Served, page: Page) -> None:
    """An endpoint's error, a lever's name, a peer, a warning: whatever the relay repeats, others may have said."""
    await sign_in(page, desk, served, Scope.OPERATOR)
    said = SCRIPTS[0]
    status = {
        "member": said, "hooks": [{"hook": said, "armed": False, "epoch": 1, "target": said}], "standstills": [said],
        "ledger": f"in doubt: {said}", "warnings": [said], "watchers": [
            {"watcher": said, "head": 1, "head_age_ms": 1, "findings": 0, "errors": 1, "last_error": f"{said}\u202egpj"}
        ], "peers": [{"member": said, "publisher": said, "connected": True, "heard_ms": 1, "epoch": 1}],
        "publishing": said, "doctor": said, "mesh": {"up": True, "peers": 1}, "epoch": 1, "members": 1,
        "tolerated_faults": 0, "last_decision_ms": None, "started_ms": 1, "version": said, "counters": {said: 1},
    }  # fmt: skip
    answer = json.dumps(json.dumps(status))
    await page.evaluate(
        "{ const ask = fetch; window.fetch = (path, how) =>"
        f" path === '/v1/status' ? Promise.resolve(new Response({answer})) : ask(path, how); }} 0"
    )
    await page.go("#/node")
    await page.wait_text("⟨U+202E⟩gpj", "main")
    assert (await page.text("main")).count(said) >= 8
    assert said in await page.text("#banners")
    await page.go("#/")
    await page.wait_text("Is money leaving?")
    assert await page.evaluate("document.querySelectorAll('img, script:not([src]), style, iframe').length") == 0
    await page.check_clean()


@contextmanager
def another_service(markup: str) -> Iterator[str]:
    """A page at another port of this machine: to a browser it is of the same site, and gets its cookies."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(markup.encode())

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_a_page_of_another_service_does_nothing_with_the_session(desk: Desk, served: Served, page: Page) -> None:
    await sign_in(page, desk, served, Scope.OPERATOR)
    await page.send("Network.enable")
    at = served.origin
    markup = f"""<iframe src="{served.url}"></iframe><form method="post" enctype="text/plain" action="{at}/v1/steps">
      <input name='{{"scope":"funds","x":"' value='"}}'></form><script>
      const how = {{ mode: "no-cors", credentials: "include" }};
      window.done = Promise.allSettled([
        fetch("{at}/v1/approvals", {{ ...how, method: "POST", body: '{{"approval": "x"}}' }}),
        fetch("{at}/dashboard/session", {{ ...how, method: "POST" }}),
        fetch("{at}/v1/status", how),
        fetch("{at}/v1/decisions", how),
      ]).then(() => true);
    </script>"""
    with another_service(markup) as url:
        await page.open("about:blank")
        sent = len(page.answers)
        await page.open(url)
        assert await page.evaluate("done")
        # the frame's own page is sent, and not shown; whatever a key is wanted for is refused
        expected = {
            "/dashboard/": 200, "/v1/approvals": 401, "/dashboard/session": 403, "/v1/status": 401, "/v1/decisions": 401
        }  # fmt: skip

        def asked() -> dict[str, int]:
            return {path.removeprefix(at): status for path, status in page.answers[sent:] if path != url}

        await wait_until(lambda: asked().keys() >= expected.keys())
        assert asked() == expected
        await wait_until(lambda: any("frame-ancestors" in fault for fault in page.faults))
        await page.evaluate("document.forms[0].submit()")
        await page.wait(f"location.href === {json.dumps(at + '/v1/steps')}")
        await page.wait_text('"status":401')
    # and the session is still its own page's
    await page.open(served.url)
    await page.wait_text("Is money leaving?")


async def test_a_feed_that_starts_again_asks_again_and_says_why(desk: Desk, served: Served, page: Page) -> None:
    await sign_in(page, desk, served, Scope.OPERATOR)
    await page.wait_text("live", "#head")
    served.stop()
    await page.wait_text("STALE", "#banners")
    served.start()
    await page.wait_text("You are signed out", "#refused")
    await page.check_accessible()
    # whoever goes on without a key begins with nothing of what the key has shown
    await page.click("[data-do=public]")
    await page.wait("document.querySelectorAll('.incidents a').length === 1")
    kept = await page.wait(
        "import('/dashboard/state.js').then(({ state }) => JSON.stringify([state, document.body.innerText]))"
        ".then((kept) => kept.includes('clear words') && kept)"
    )
    assert "red words" not in kept
    await page.check_clean()


async def test_whoever_cannot_sign_out_is_told(desk: Desk, served: Served, page: Page) -> None:
    await sign_in(page, desk, served, Scope.OPERATOR)
    served.stop()
    await page.click("[data-do=sign-out]")
    await page.wait_text("NOT SIGNED OUT", "#banners")
    served.start()


async def test_what_comes_while_the_stream_opens_is_shown(desk: Desk, served: Served, page: Page) -> None:
    await page.stop_requests("*/v1/live*")
    await sign_in(page, desk, served, Scope.OPERATOR)
    await page.wait_stopped()
    await page.wait("document.querySelectorAll('.incidents li').length === 2")
    desk.say(about(9, text="just now"), at_ms=now_ms(), index=False)
    (last,) = desk.connection.execute("SELECT MAX(sequence) FROM audit").fetchone()
    await served.wait_read(last)
    await page.let_go()
    await page.wait("document.querySelectorAll('.incidents li').length === 3")


async def test_noise_does_not_push_away_what_reaches_us(desk: Desk, page: Page) -> None:
    now = now_ms()
    desk.write(arm)
    ours = Feed("brook").seal(make_signal(evidence=()))
    desk.file([ours], rules=make_rules(organisations=1, levers=[Lever()]))
    # as if it had been judged just now: the roster of these tests is of another year
    desk.write(lambda c: c.execute("UPDATE decisions SET at_ms = ?", (now,)))
    noise = Feed("cedar")
    for first in range(0, NOISE, 100):
        batch = [noise.seal(about(5_000 + first + place, severity=Severity.HIGH)) for place in range(100)]
        desk.file(batch, at_ms=now + 1 + first)
    desk.index()
    with closing(Served(desk)) as served:
        await see_ours_above_the_noise(page, desk, served, ours.digest.hex())


async def see_ours_above_the_noise(page: Page, desk: Desk, served: Served, ours: str) -> None:
    await sign_in(page, desk, served, Scope.OPERATOR)
    await page.wait("document.querySelectorAll('.incidents li').length === 50")
    assert ours in await page.evaluate("document.querySelector('.incidents a').hash")
    assert "The latest 50" in await page.text("main")
    # drawn is what reaches us, its two victims, and nothing of the noise
    await page.wait("document.querySelectorAll('svg.map .box-hit').length === 2")
    assert await page.evaluate("document.querySelectorAll('*').length") < MAX_ELEMENTS
    await page.check_clean()


async def test_more_than_is_read_is_never_called_calm(desk: Desk, served: Served, page: Page) -> None:
    await sign_in(page, desk, served, Scope.OPERATOR)
    await page.wait_text("live", "#head")
    script = """(async () => {
      const { state } = await import('/dashboard/state.js'), { answers } = await import('/dashboard/answers.js');
      Object.assign(state, { errors: {}, heardMs: Date.now(), decisions: [], health: { healthy: true } });
      Object.assign(state.stream, { isOpen: true, sequence: 0 });
      return [false, true].map((isPartial) => answers(Object.assign(state, { isPartial }))[0].answer);
    })()"""
    assert await page.evaluate(script) == ["No sign of it", "Too much to tell"]


@pytest.mark.parametrize(
    "place", ["#/toString", "#/constructor", "#/__proto__", "#/incident/x", "#/signal/" + "0" * 63]
)
async def test_a_place_that_is_none_is_the_first_page(desk: Desk, served: Served, page: Page, place: str) -> None:
    await sign_in(page, desk, served, Scope.OPERATOR)
    await page.go(place)
    await page.wait_text("Is money leaving?")
    await page.check_clean()
