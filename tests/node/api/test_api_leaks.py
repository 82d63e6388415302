"""Nothing above a reader's marking reaches him: marked words in every field, and every route asked by every scope."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from api_kit import READERS, Desk, about
from protocol_kit import NOW_MS, Feed, make_signal
from store_kit import Lever, arm, make_rules
from tocsin_node.api.access import MAX_TLP, Access, Scope
from tocsin_node.api.live.events import event_of
from tocsin_node.api.queries import facets_of
from tocsin_node.api.rates import RateLimits
from tocsin_node.store.actions import append_event
from tocsin_protocol.body import encode_body
from tocsin_protocol.containment.life_cycle import Event
from tocsin_protocol.envelope import seal_envelope
from tocsin_protocol.ids import NO_DIGEST
from tocsin_protocol.model import Detector, Evidence, Loss, Reference, Signal, Subject
from tocsin_protocol.taxonomy import STANDARD, EvidenceKind, Relation, Role, Severity, SubjectKind, Tlp

SHARED = "eip155:1:0x" + "5e" * 20

# No relay runs here, and these are the operator's alone.
ASKS_THE_RELAY = ("/healthz", "/metrics", "/v1/status", "/v1/requests", "/v1/incidents/{incident}/recovery")


class Marked:
    """A signal with words of its own in every field that holds any, and what to look for."""

    def __init__(self, tlp: Tlp) -> None:
        byte = 0xA0 + list(Tlp).index(tlp)
        self.tlp = tlp
        word = f"canary-{'abcde'[list(Tlp).index(tlp)]}{tlp.value.replace('+', '-')}"
        address, number = "0x" + f"{byte:02x}" * 20, 7_000_000 + byte
        self.words = [word, address, f"{byte:02x}" * 32, str(number), f"eip155:9{byte}"]
        subjects = (
            Subject(Role.VICTIM, SubjectKind.ACCOUNT, SHARED),
            Subject(Role.ATTACKER, SubjectKind.ACCOUNT, f"eip155:9{byte}:{address}"),
            Subject(Role.RELATED, SubjectKind.LINEAGE, f"{word}-fork"),
            Subject(Role.RELATED, SubjectKind.DEPENDENCY, f"{word}-lib 1.0"),
            Subject(Role.TOOL, SubjectKind.CODE_HASH, "0x" + f"{byte:02x}" * 32),
        )
        self.signal: Signal = about(
            byte,
            tlp=tlp,
            severity=Severity.HIGH,
            incident=f"{word}-hint",
            subjects=tuple(sorted(subjects)),
            text=f"{word} text",
            detector=Detector(f"{word}-detector", f"{word}-vendor", bytes([byte]) * 32, f"{word}-rpc"),
            evidence=(Evidence(EvidenceKind.TRANSACTION, f"eip155:9{byte}", number, "0x" + f"{byte:02x}" * 32, word),),
            loss=Loss(number, number, number),
            references=(Reference(Relation.CORROBORATES, bytes([byte]) * 32),),
        )


MARKED = [Marked(tlp) for tlp in Tlp]


@pytest.fixture
def told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """An incident of which every marking tells something, with a decision, an action in effect, and a broken body."""
    monkeypatch.setattr(RateLimits, "_take", lambda *_: None)
    desk.write(arm)
    desk.file(
        [Feed("brook").seal(make_signal(tlp=Tlp.RED, incident="canary-x-hint", text="canary-x"))],
        rules=make_rules(organisations=1, levers=[Lever()]),
    )
    ((action,),) = desk.connection.execute("SELECT id FROM actions")
    for event in (Event.SEND, Event.CONFIRM):
        desk.write(lambda c, event=event: append_event(c, action, event, {"reason": "canary-x reason"}, NOW_MS))
    desk.publisher = Feed("cedar")
    # the strictest first: what an incident is called and begins with is its
    desk.say(*(marked.signal for marked in reversed(MARKED)))
    feed = Feed("delta")
    garbled = encode_body(about(1, text="canary-x")) + b"\x00"
    desk.file([seal_envelope(feed.domain, feed.secret, feed.publisher, STANDARD, 1, NO_DIGEST, garbled)])
    desk.show_log()
    desk.index()
    return desk


def paths(desk: Desk) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every GET of the description, with every id that there is."""
    with desk.feed.source() as source:
        rows = source.reader.signals(limit=100)
    names = {
        "digest": [row.envelope.digest.hex() for row in rows],
        "incident": sorted({row.incident.hex() for row in rows if row.incident}),
        "publisher": ["0x" + row.envelope.publisher.hex() for row in rows],
        "action": [bytes(i).hex() for (i,) in desk.connection.execute("SELECT id FROM actions")],
        "path": ["checkpoint", *log_paths(desk)],
        "epoch": ["0", "1"],
    }
    described = desk.client.request("GET", "/openapi.json").json()["paths"]
    for path, verbs in described.items():
        if "get" not in verbs or path in ASKS_THE_RELAY or path == "/v1/live":
            continue
        parameters = [p["name"] for p in verbs["get"].get("parameters", []) if p["in"] == "path"]
        for values in itertools.product(*(names[name] for name in parameters)):
            yield path.format(**dict(zip(parameters, values, strict=True))), {}
    for marked in MARKED:
        for subject in marked.signal.subjects:
            for topic in ("signals", "incidents"):
                yield f"/v1/{topic}", {"subject": subject.value}
                yield f"/v1/{topic}", {"chain": f"eip155:9{0xA0 + MARKED.index(marked)}"}
        yield "/v1/signals", {"tlp": marked.tlp.value}


def log_paths(desk: Desk) -> list[str]:
    size = desk.get("/v1/log").json()["size"]
    return [f"tile/0/000.p/{size}", f"tile/entries/000.p/{size}"]


def unseen(scope: Scope) -> list[str]:
    """What must not reach somebody of this scope."""
    access = Access(scope, None, MAX_TLP[scope])
    words = [word for marked in MARKED if not access.may_see(marked.tlp) for word in marked.words]
    return words if scope is Scope.OPERATOR else [*words, "canary-x"]


@pytest.mark.parametrize("scope", READERS)
def test_no_route_shows_anything_of_a_signal_above_the_readers_marking(told: Desk, scope: Scope) -> None:
    seen, asked = "", 0
    for path, query in paths(told):
        answer = told.get(path, scope, **query)
        assert answer.status_code in (200, 401, 403, 404), (path, answer.text)
        # what is echoed of a question is no answer to it
        text = answer.content.decode("latin-1") + str(dict(answer.headers))
        for word in unseen(scope):
            assert word not in text, (path, query, word)
            assert word.encode().hex() not in text, (path, query, word)
        seen += text
        asked += 1
    assert asked > 60
    access = Access(scope, None, MAX_TLP[scope])
    for marked in MARKED:
        assert (f"{marked.words[0]} text" in seen) == access.may_see(marked.tlp)


@pytest.mark.parametrize("scope", READERS)
def test_no_event_tells_anything_of_a_signal_above_the_listeners_marking(told: Desk, scope: Scope) -> None:
    with told.feed.source() as source:
        entries = source.reader.audit(limit=1000)
        events = [event_of(source, entry, frozenset((scope,))) for entry in entries]
    shown = b"".join(event.shown.get(scope, b"") for event in events).decode()
    assert all(set(event.shown) <= {scope} for event in events)
    for word in unseen(scope):
        assert word not in shown
        assert word.encode().hex() not in shown
    assert MARKED[0].words[0] in shown


def test_no_cache_may_show_an_answer_to_another(told: Desk) -> None:
    taxii = ("/taxii2/", "/taxii2/tocsin/collections/", "/taxii2/tocsin/collections/none/")
    for path in (*(path for path, _ in paths(told)), *ASKS_THE_RELAY[:2], *taxii, "/nowhere"):
        for scope in (Scope.PUBLIC, Scope.OPERATOR):
            answer = told.get(path, scope)
            kept = answer.headers["cache-control"]
            is_hashes = path.startswith("/log/tile/") and "entries" not in path and answer.status_code == 200
            assert is_hashes or kept.startswith(("no-store", "private")), (path, kept)


def test_a_count_or_a_cursor_tells_nothing_of_what_is_not_shown(told: Desk) -> None:
    """The public's pages are those of a node that never heard the others."""
    for path, what in (("/v1/signals", "signals"), ("/v1/incidents", "incidents")):
        page = told.get(path, Scope.PUBLIC, limit=1).json()
        rest = told.get(path, Scope.PUBLIC, limit=1, before=page["next"]).json()
        assert (len(page[what]), rest) == (1, {what: [], "next": None})


def test_a_filter_by_what_is_not_seen_finds_nothing_and_says_the_same_as_of_nothing(told: Desk) -> None:
    red = MARKED[-1].signal
    nothing = told.get("/v1/incidents", Scope.MEMBER, subject="eip155:1:0x" + "77" * 20).json()
    for subject in red.subjects:
        if subject.value != SHARED:
            assert told.get("/v1/incidents", Scope.MEMBER, subject=subject.value).json() == nothing
            assert told.get("/v1/signals", Scope.MEMBER, subject=subject.value).json()["signals"] == []
    with told.feed.source() as source:
        access = Access(Scope.MEMBER, None, MAX_TLP[Scope.MEMBER])
        ((number,),) = source.index.execute("SELECT DISTINCT number FROM facets WHERE value = ?", (SHARED,)).fetchall()
        assert not [v for v in facets_of(source.index, access, number, "subject") if MARKED[-1].words[0] in v]
