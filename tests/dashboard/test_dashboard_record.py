"""The dashboard over a record without a relay: who sees what, what it says when it cannot know, and who can use it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import trio
from api_kit import Desk, about, account
from browser_kit import Page
from dashboard_kit import ENTER, PHONE, TAB, Served, check_fits, save, sign_in
from protocol_kit import NETWORK_ID, Feed
from store_kit import OWN, make_rules
from tocsin_node.api.access import Scope
from tocsin_node.api.keys import revoke_key
from tocsin_node.clock import now_ms
from tocsin_node.store.risk import report_subject
from tocsin_node.store.risk_sight import Reporting
from tocsin_node.store.shown_heads import add_cosignature, read_best_shown
from tocsin_protocol.drill import DrillRecord, DrillStage, sign_record
from tocsin_protocol.log.checkpoint import origin_of
from tocsin_protocol.log.note import Cosigner, decode_note
from tocsin_protocol.risk.model import DEFAULT_MODEL
from tocsin_protocol.risk.report import OracleDomain
from tocsin_protocol.taxonomy import Severity, Tlp

ORACLE = "eip155:31337:0x" + "0a" * 20
DOMAIN = OracleDomain(ORACLE)
VERIFIER = Path(__file__).parents[2] / "deploy" / "verifier" / "tocsin_verify.py"

MARKUP = "<img src=x onerror=\"violations.push('ran')\"><b>bold</b>"
MAX_TABS = 10
STATE = "import('/dashboard/state.js')"


@pytest.fixture
def served(desk: Desk) -> Iterator[Served]:
    """A record with a signal of each marking that counts, one of which holds markup."""
    now = now_ms()
    desk.say(
        about(1, tlp=Tlp.CLEAR, text="clear words"),
        about(2, tlp=Tlp.AMBER, text="amber words", severity=Severity.HIGH),
        about(3, tlp=Tlp.RED, text=f"red words {MARKUP}"),
        at_ms=now,
    )
    with closing(Served(desk)) as feed:
        yield feed


async def words_of_all_signals(page: Page) -> str:
    """What is shown of every incident that is listed, and of its signals."""
    await page.wait("document.querySelectorAll('.incidents a').length")
    places = await page.evaluate("[...document.querySelectorAll('.incidents a')].map((a) => a.hash)")
    words = await page.text()
    for place in places:
        await page.go(place)
        await page.wait("!!document.querySelector('a[href^=\"#/signal/\"]')")
        words += await page.text()
    return words


async def test_without_a_key_it_asks_for_one_and_says_why_one_is_refused(
    desk: Desk, served: Served, page: Page
) -> None:
    await page.open(served.url)
    await page.wait_text("Sign in")
    assert "words" not in await page.text()
    # by keyboard alone
    for _ in range(MAX_TABS):
        if await page.evaluate("document.activeElement.id") == "key":
            break
        await page.press(*TAB)
    await page.type("tocsin_no_such_key")
    await page.press(*ENTER)
    await page.wait_text("the key is none of this node's", "#refused")
    assert await page.evaluate("document.cookie") == ""
    await page.check_accessible()
    await page.check_clean()


@pytest.mark.parametrize(
    ("scope", "seen"),
    [(Scope.PUBLIC, {"clear"}), (Scope.MEMBER, {"clear", "amber"}), (Scope.OPERATOR, {"clear", "amber", "red"})],
)
async def test_each_scope_is_shown_what_it_may_see(
    desk: Desk, served: Served, page: Page, scope: Scope, seen: set[str]
) -> None:
    if scope is Scope.PUBLIC:
        await page.open(served.url)
        await page.click("[data-do=public]")
        await page.wait_text("Is money leaving?")
    else:
        await sign_in(page, desk, served, scope)
    words = await words_of_all_signals(page)
    assert {word for word in ("clear", "amber", "red") if f"{word} words" in words} == seen
    await page.check_clean()


async def test_what_comes_is_shown_as_it_comes_and_markup_is_text(desk: Desk, served: Served, page: Page) -> None:
    await sign_in(page, desk, served, Scope.OPERATOR)
    await page.wait_text("live", "#head")
    await page.wait("document.querySelectorAll('.incidents li').length === 3")
    desk.say(about(9, text="just now"), at_ms=now_ms(), index=False)
    await page.wait("document.querySelectorAll('.incidents li').length === 4")
    assert MARKUP in await words_of_all_signals(page)
    # nothing was made of it
    assert await page.evaluate("document.querySelectorAll('main img').length") == 0
    await page.check_clean()


async def test_the_key_is_out_of_the_pages_reach_and_survives_a_reload(desk: Desk, served: Served, page: Page) -> None:
    await sign_in(page, desk, served, Scope.OPERATOR)
    key = desk.key(Scope.OPERATOR)["authorization"].removeprefix("Bearer ")
    kept = "document.documentElement.outerHTML + document.cookie + JSON.stringify(localStorage) + location.href"
    assert key not in await page.evaluate(kept)
    await page.open(served.url)
    await page.wait_text("Is money leaving?")
    await page.click("[data-do=sign-out]")
    await page.wait_text("Sign in")
    await page.open(served.url)
    await page.wait_text("Sign in")


async def test_an_address_of_an_incident_is_kept_through_signing_in(desk: Desk, served: Served, page: Page) -> None:
    incident = served.get("/v1/incidents", subject=account(1))["incidents"][0]["id"]
    await page.open(f"{served.url}#/incident/{incident}")
    await page.click("[data-do=public]")
    await page.wait_text("clear words", "main")
    await page.check_clean()


async def test_a_key_that_is_revoked_ends_what_is_shown(desk: Desk, served: Served, page: Page) -> None:
    await sign_in(page, desk, served, Scope.MEMBER)
    await page.wait("document.querySelectorAll('.incidents a').length")
    revoke_key(desk.feed.db, desk.key(Scope.MEMBER)["authorization"].split("_")[1], now_ms())
    await page.wait_text("Look without a key")
    assert "amber words" not in await page.text()


async def test_a_relay_that_does_not_answer_is_said_and_nothing_is_called_armed(
    desk: Desk, served: Served, page: Page
) -> None:
    await sign_in(page, desk, served, Scope.OPERATOR)
    await page.wait_text("THE RELAY DOES NOT ANSWER", "#banners")
    tiles = await page.text(".tiles")
    assert tiles.count("Not known") == 4
    assert "Armed" not in tiles
    await page.check_accessible()


async def test_a_stream_that_ended_is_said_everywhere(desk: Desk, served: Served, page: Page) -> None:
    await sign_in(page, desk, served, Scope.OPERATOR)
    await page.wait_text("live", "#head")
    served.stop()
    await page.wait_text("STALE: nothing here is newer than", "#banners")
    await page.wait_text("stale", "#head")
    assert (await page.text(".tiles")).count("Not known") == 4
    for place in ("#/waiting", "#/node", "#/drills"):
        await page.go(place)
        await page.wait("document.querySelector('nav [aria-current]').hash === " + repr(place))
        assert "STALE" in await page.text("#banners")
    await page.check_accessible()


async def test_a_stream_that_is_open_and_stuck_is_stale_too(desk: Desk, served: Served, page: Page) -> None:
    await sign_in(page, desk, served, Scope.OPERATOR)
    await page.wait_text("live", "#head")
    # the feed's log has more entries than the stream has brought, and that does not change
    script = """(async () => {
      const { state } = await import('/dashboard/state.js'), { staleSince } = await import('/dashboard/stream.js');
      const later = Date.now() + 25_000, found = [];
      Object.assign(state, { heardMs: later, log: { size: 9 } });
      for (const sequence of [9, 8]) {
        Object.assign(state.stream, { isOpen: true, sequence });
        found.push(staleSince(Date.now()), staleSince(later));
      }
      return found.map((since) => since !== null);
    })()"""
    assert await page.evaluate(script) == [False, False, False, True]


async def test_what_could_not_be_had_is_asked_again(desk: Desk, served: Served, page: Page) -> None:
    await sign_in(page, desk, served, Scope.OPERATOR)
    await page.wait("document.querySelectorAll('.incidents a').length")
    incident = await page.evaluate("document.querySelector('.incidents a').hash")
    away = json.dumps(json.dumps({"detail": "the record is away"}))
    await page.evaluate(
        "{ const ask = fetch; window.isAway = true; window.fetch = (path, how) => isAway && path.includes('incidents')"
        f" ? Promise.resolve(new Response({away}, {{ status: 503 }})) : ask(path, how); }} 0"
    )
    await page.evaluate(f"{STATE}.then(({{ loadAll }}) => {{ loadAll(); }})")
    await page.wait(f"{STATE}.then(({{ state }}) => state.errors.incidents)")
    await page.go(incident)
    await page.wait_text("the record is away", "main")
    # nothing comes of which an event would tell
    await page.evaluate("isAway = false")
    await page.wait_text("Proof", "main")
    await page.wait(f"{STATE}.then(({{ state }}) => !state.errors.incidents)")
    await page.check_clean()


async def test_an_older_answer_does_not_take_the_place_of_a_newer_one(desk: Desk, served: Served, page: Page) -> None:
    await sign_in(page, desk, served, Scope.OPERATOR)
    await page.wait("document.querySelectorAll('.incidents li').length === 3")
    await page.evaluate(
        "{ const ask = fetch; window.held = []; window.fetch = async (path, how) => {"
        " const answer = await ask(path, how);"
        " if (held && path.startsWith('/v1/incidents?')) await new Promise((go) => held.push(go));"
        " return answer; }; } 0"
    )
    await page.evaluate(f"{STATE}.then(({{ loadAll }}) => {{ loadAll(); }})")
    await page.wait("held.length")
    desk.say(about(9, text="just now"), at_ms=now_ms(), index=False)
    (last,) = desk.connection.execute("SELECT MAX(sequence) FROM audit").fetchone()
    await page.wait(f"{STATE}.then(({{ state }}) => state.stream.sequence >= {last})")
    # were they not asked in turn, the newer answer would be there now; and it is let go before the older one
    moment = "new Promise((done) => setTimeout(done, 1_000))"
    await page.evaluate(moment)
    await page.evaluate("{ const all = held.reverse(); held = null; for (const go of all) go(); } 0")
    await page.wait("document.querySelectorAll('.incidents li').length === 4")
    await page.evaluate(moment)
    assert await page.evaluate("document.querySelectorAll('.incidents li').length") == 4


async def test_drills_are_shown_with_how_long_containment_took(desk: Desk, served: Served, page: Page) -> None:
    begun = now_ms()
    stages = tuple((stage, begun + 250 * place) for place, stage in enumerate(DrillStage))
    for number, told in enumerate((stages, stages[:4])):
        record = DrillRecord(
            bytes([number]) * 32, desk.publisher.publisher, desk.publisher.publisher, f"drill-{number}",
            "effective" if told == stages else "failed", told,
        )  # fmt: skip
        body, signature = sign_record(desk.publisher.secret, record)
        row = (bytes([number]) * 32, record.drill, record.publisher, begun, begun + number, body, signature)
        desk.write(lambda c, row=row: c.execute("INSERT INTO drills VALUES (?, ?, ?, ?, ?, ?, ?)", row))
    await sign_in(page, desk, served, Scope.INSURER)
    await page.go("#/drills")
    await page.wait_text("drill-1", "main")
    rows = await page.evaluate("[...document.querySelectorAll('tbody tr')].map((row) => row.innerText)")
    assert ["never" in row for row in rows] == [True, False]
    assert "2 s" in rows[1]
    await page.check_accessible()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_it_is_usable_without_sight_without_a_mouse_and_on_a_phone(
    desk: Desk, served: Served, page: Page, dark: bool
) -> None:
    await sign_in(page, desk, served, Scope.OPERATOR)
    await page.wait("document.querySelectorAll('.incidents a').length === 3")
    incident = await page.evaluate("document.querySelector('.incidents a').hash")
    for width, height, phone in ((1280, 800, False), (*PHONE, True)):
        await page.look(width, height, dark=dark, phone=phone)
        for place, text in (
            ("#/", "Incident map"),
            ("#/waiting", "Waiting for approval"),
            ("#/node", "Node and peers"),
            ("#/drills", "Drills"),
            (incident, "Proof"),
        ):
            await page.go(place)
            await page.wait_text(text, "main")
            await check_fits(page)
            await page.check_accessible()
    await page.check_clean()


async def test_who_relies_on_it_sees_the_risk_report_and_who_may_not_does_not(
    desk: Desk, served: Served, page: Page
) -> None:
    now = now_ms()
    reporting = Reporting(DOMAIN, Feed(OWN).secret, Feed(OWN).publisher, DEFAULT_MODEL, lambda tlp: True)
    desk.write(lambda c: report_subject(c, make_rules(), reporting, account(1), 50_000_000, now))
    incident = "#/incident/" + served.get("/v1/incidents", subject=account(1))["incidents"][0]["id"]
    await sign_in(page, desk, served, Scope.INSURER)
    await page.wait_text("Risk reports", "main")
    await page.go(incident)
    await page.wait_text("Risk report about", "main")
    (report,) = served.get("/v1/risk")["reports"]
    shown = await page.text("main")
    for text in ("$50 M", "p50 ", "of that in quiet times", "of the usual", report["state"], ORACLE):
        assert text.lower() in shown.lower(), text
    await page.check_accessible()
    saved = json.loads(await save(page, desk.config.node.data_dir / "saved", "a[href^='/v1/risk']"))
    assert [one["signed"] for one in saved["reports"]] == [report["signed"]]
    await page.click("[data-do=sign-out]")
    await page.click("[data-do=public]")
    await page.wait_text("clear words", "main")
    assert "Risk report" not in await page.text("main")
    await page.check_clean()


async def test_a_report_that_has_lapsed_says_so(desk: Desk, served: Served, page: Page) -> None:
    reporting = Reporting(DOMAIN, Feed(OWN).secret, Feed(OWN).publisher, DEFAULT_MODEL, lambda tlp: True)
    desk.write(lambda c: report_subject(c, make_rules(), reporting, account(1), 1_000_000, now_ms() - 120_000))
    await sign_in(page, desk, served, Scope.MEMBER)
    await page.wait_text("lapsed", "main")


async def test_the_node_page_says_who_cosigned_the_head(desk: Desk, served: Served, page: Page) -> None:
    desk.show_log()
    note = read_best_shown(desk.connection)
    assert note is not None
    cosigner = Cosigner(bytes(32), origin_of(NETWORK_ID, Feed("brook").publisher))
    line = cosigner.cosign(decode_note(note).text, now_ms() // 1000)
    assert desk.write(lambda c: add_cosignature(c, decode_note(note).text, line))
    await sign_in(page, desk, served, Scope.MEMBER)
    await page.go("#/node")
    await page.wait_text("cosigned the head of", "main")
    # the head and the publishers are not had at once
    rows = await page.wait(
        "((rows) => rows.length > 1 && rows.map((row) => row.innerText))"
        "([...document.querySelectorAll('section[aria-labelledby=panel-record] tbody tr')])"
    )
    assert ["cosigned" in row for row in sorted(rows)] == ["brook" in row for row in sorted(rows)]
    await page.check_accessible()


async def test_a_proof_that_is_saved_is_taken_by_the_verifier(
    desk: Desk, served: Served, page: Page, tmp_path: Path
) -> None:
    desk.show_log()
    await sign_in(page, desk, served, Scope.OPERATOR)
    await page.click(".incidents a")
    await page.click("a[href^='#/signal/']")
    await page.wait_text("Save the proof of its entry", "main")
    for kind in ("case", "proof"):
        file = tmp_path / f"saved.{kind}"
        file.write_bytes(await save(page, tmp_path / "downloads", f"a[href^='/dashboard/{kind}/']"))
        key = served.get("/v1/log")["key"]
        done = await trio.run_process(
            [sys.executable, "-I", str(VERIFIER), str(file), "--key", key], capture_stdout=True, check=False
        )
        assert (done.returncode, done.stdout[:7]) == (0, b"PROVEN\n")
    await page.check_clean()
