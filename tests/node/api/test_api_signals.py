"""Signals by every filter: what is found, in which order, how it is looked for, and what is refused."""

from __future__ import annotations

import itertools
import sqlite3
from contextlib import closing

import pytest
from api_kit import Desk, about, account
from hypothesis import given
from hypothesis import strategies as st
from protocol_kit import NOW_MS, Feed
from tocsin_node.api.access import Access, Scope
from tocsin_node.api.index import open_index_reader
from tocsin_node.api.index_schema import TABLES
from tocsin_node.api.queries import (
    IncidentFilter,
    SignalFilter,
    find_signals,
    incidents_sql,
    signals_sql,
)
from tocsin_node.store.reader import Reader
from tocsin_protocol.model import Evidence, Signal, Subject
from tocsin_protocol.taxonomy import Category, EvidenceKind, Role, Severity, Stage, SubjectKind, Tlp


def varied(number: int) -> Signal:
    """Signals of which no two neighbours are alike."""
    categories, stages, severities = tuple(Category)[:6], tuple(Stage), tuple(Severity)
    chain = f"eip155:{number % 3}"
    subjects = (
        Subject(Role.VICTIM, SubjectKind.ACCOUNT, f"{chain}:0x{number % 7:040x}"),
        Subject(Role.RELATED, SubjectKind.LINEAGE, f"fork-{number % 5}"),
    )
    return about(
        number,
        subjects=tuple(sorted(subjects)),
        category=categories[number % 6],
        stage=stages[number % 4],
        severity=severities[(number // 2) % 4],
        tlp=tuple(Tlp)[(number // 3) % 5],
        incident=f"n{number % 11}",
        evidence=(Evidence(EvidenceKind.BALANCE, "eip155:77", 5, f"eip155:77:0x{1:040x}", ""),)
        if number % 4 == 0
        else (),
    )


def texts(rows: list[dict[str, object]]) -> list[str]:
    return [row["digest"] for row in rows]  # type: ignore[misc]


FILTERS: dict[str, list[tuple[str, object]]] = {
    "subject": [("subject", "eip155:1:0x" + f"{1:040x}"), ("subject", "fork-2"), ("subject", "fork-9")],
    "chain": [("chain", "eip155:1"), ("chain", "eip155:77")],
    "category": [("category", "asset.drain"), ("category", "oracle"), ("category", "oracle.")],
    "severity": [("severity", "low"), ("severity", "high"), ("severity", "critical")],
    "stage": [("stage", "funding")],
    "tlp": [("tlp", "green"), ("tlp", "red")],
    "since_ms": [("since_ms", NOW_MS + 30)],
    "until_ms": [("until_ms", NOW_MS + 70)],
    "publisher": [
        ("publisher", "0x" + Feed("brook").publisher.hex()),
        ("publisher", "0x" + Feed("cedar").publisher.hex()),
    ],
}


def matches(signal: Signal, publisher: bytes, at_ms: int, query: dict[str, object]) -> bool:
    """The same by the plainest means."""
    values = [s.value for s in signal.subjects]
    chains = {v.rsplit(":", 1)[0] for v in values if v.startswith("eip155")} | {e.chain for e in signal.evidence}
    checks = {
        "subject": lambda v: v in values,
        "chain": lambda v: v in chains,
        "category": lambda v: signal.category == v or signal.category.family == v.rstrip("."),
        "severity": lambda v: signal.severity.rank >= Severity(v).rank,
        "stage": lambda v: signal.stage == v,
        "tlp": lambda v: signal.tlp == v,
        "since_ms": lambda v: at_ms >= v,
        "until_ms": lambda v: at_ms <= v,
        "publisher": lambda v: "0x" + publisher.hex() == v,
    }
    return all(checks[name](value) for name, value in query.items())


def test_every_pair_of_filters_finds_what_matches_both_newest_first(desk: Desk) -> None:
    cedar = Feed("cedar")
    said = []
    for number in range(100):
        feed = cedar if number % 5 == 0 else desk.publisher
        envelope = feed.seal(varied(number))
        desk.file([envelope], at_ms=NOW_MS + number)
        said.append((envelope, varied(number), NOW_MS + number))
    desk.index()
    for first, second in itertools.combinations_with_replacement(FILTERS, 2):
        for a, b in itertools.product(FILTERS[first], FILTERS[second]):
            query = dict((a, b))
            found = texts(desk.pages("/v1/signals", "signals", limit=7, **query))
            wanted = [(e.digest.hex(), s.tlp) for e, s, at in reversed(said) if matches(s, e.publisher, at, query)]
            assert found == [digest for digest, _ in wanted], query
            seen = texts(desk.pages("/v1/signals", "signals", Scope.INSURER, limit=50, **query))
            assert seen == [digest for digest, tlp in wanted if tlp in (Tlp.CLEAR, Tlp.GREEN)], query


def test_signals_of_one_millisecond_are_paged_once_each(desk: Desk) -> None:
    sealed = [desk.publisher.seal(about(n)) for n in range(20)]
    desk.file(sealed)
    desk.index()
    assert texts(desk.pages("/v1/signals", "signals", limit=3)) == [e.digest.hex() for e in reversed(sealed)]


def test_signals_of_an_incident_are_those_tied_to_it(desk: Desk) -> None:
    sealed = desk.say(*(about(n % 3, incident=f"n{n % 3}") for n in range(9)))
    with Reader(desk.config.node.data_dir) as reader:
        incident = reader.signal(sealed[0].digest).incident.hex()  # type: ignore[union-attr]
    found = texts(desk.pages("/v1/signals", "signals", incident=incident, limit=2))
    assert found == [e.digest.hex() for e in (sealed[6], sealed[3], sealed[0])]
    assert texts(desk.pages("/v1/signals", "signals", incident="00" * 32)) == []


def test_a_cursor_belongs_to_its_filters_whatever_the_limit(desk: Desk) -> None:
    desk.say(*(about(n) for n in range(5)))
    cursor = desk.get("/v1/signals", limit=2).json()["next"]
    assert len(desk.get("/v1/signals", before=cursor, limit=50).json()["signals"]) == 3
    for query in ({"severity": "low"}, {"category": "asset"}, {"since_ms": 1}):
        answer = desk.get("/v1/signals", before=cursor, **query)
        assert answer.status_code == 400
        assert "before" in answer.json()["detail"]
    assert desk.get("/v1/incidents", before=cursor).status_code == 400


@pytest.mark.parametrize("cursor", ["1", "1.2", "1.2.3", "x", "..", "-1.2." + "0" * 16, "1" * 40, "９.1." + "0" * 16])
def test_what_is_no_cursor_is_refused(desk: Desk, cursor: str) -> None:
    assert desk.get("/v1/signals", before=cursor).status_code == 400


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"category": "asset.drained"}, 400),
        ({"category": "asset' OR 1=1 --"}, 400),
        ({"limit": 0}, 422),
        ({"limit": 201}, 422),
        ({"severity": "worst"}, 422),
        ({"tlp": "white"}, 422),
        ({"since_ms": -1}, 422),
        ({"since_ms": 2**53}, 422),
        ({"publisher": "0X" + "0" * 40}, 422),
        ({"incident": "0" * 63}, 422),
        ({"subject": ""}, 422),
        ({"subject": "x" * 257}, 422),
        ({"severty": "high"}, 422),
    ],
)
def test_a_filter_that_cannot_be_is_refused_with_a_reason(desk: Desk, query: dict[str, object], status: int) -> None:
    answer = desk.get("/v1/signals", **query)
    assert answer.status_code == status
    assert next(iter(query)) in answer.json()["detail"]


@pytest.mark.parametrize("text", ["' OR '1'='1", "x\x00y", "%", "_", "'; DROP TABLE signals; --", "\ufffd", "𝔘" * 50])
def test_a_filter_is_a_value_and_never_a_part_of_the_question(desk: Desk, text: str) -> None:
    desk.say(about(1))
    for name in ("subject", "chain"):
        assert desk.get("/v1/signals", **{name: text}).json()["signals"] == []
        assert desk.get("/v1/incidents", **{name: text}).json()["incidents"] == []


def test_one_signal_is_found_by_its_digest_with_what_its_publisher_signed(desk: Desk) -> None:
    (envelope,) = desk.say(about(1))
    view = desk.get(f"/v1/signals/{envelope.digest.hex()}").json()
    assert bytes.fromhex(view["encoded"]) == envelope.encoded
    assert view["member"] == "brook"
    assert desk.get("/v1/signals/" + "00" * 32).status_code == 404
    assert desk.get("/v1/signals/x").status_code == 422


def test_an_answer_that_the_asker_has_is_not_sent_again(desk: Desk) -> None:
    desk.say(about(1))
    first = desk.get("/v1/signals")
    etag = first.headers["etag"]
    for header in (etag, f'"x", W/{etag}', "*"):
        again = desk.get("/v1/signals", headers={"if-none-match": header})
        assert (again.status_code, again.content) == (304, b"")
    desk.say(about(2))
    assert desk.get("/v1/signals", headers={"if-none-match": etag}).status_code == 200
    assert "private" in first.headers["cache-control"]
    assert first.headers["vary"] == "authorization"


def plans(sql: str, values: list[object]) -> list[str]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(TABLES)
        return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]


ONE_OF_EACH = {
    "subject": account(1),
    "chain": "eip155:1",
    "categories": (Category.ORACLE_STALE, Category.ORACLE_MANIPULATION),
    "severity": Severity.HIGH,
    "stage": Stage.FUNDING,
    "publisher": b"p" * 20,
    "incident": b"i" * 32,
}


@pytest.mark.parametrize("count", [0, 1, 2, len(ONE_OF_EACH)])
def test_every_question_about_signals_follows_an_index_in_order(count: int) -> None:
    for names in itertools.combinations(ONE_OF_EACH, count):
        wanted = SignalFilter(since_ms=5, **{name: ONE_OF_EACH[name] for name in names})  # type: ignore[arg-type]
        lines = plans(*signals_sql(wanted, range(5), (9, 9), 50))
        looks = [line for line in lines if line.startswith(("SCAN", "SEARCH"))]
        # what is scanned are the pages of the branches, each of which ends with its limit
        assert not [line for line in looks if line.startswith("SCAN") and "subquery" not in line.lower()], (
            names,
            lines,
        )
        led = [line for line in looks if line.startswith("SEARCH k ")]
        assert len(led) >= 5
        assert all("at_ms" in line and "tlp=?" in line for line in led), (names, led)


def test_every_question_about_incidents_follows_an_index() -> None:
    names = [name for name in ONE_OF_EACH if name not in ("stage", "incident")]
    for count in range(len(names) + 1):
        for chosen in itertools.combinations(names, count):
            wanted = IncidentFilter(since_ms=5, **{name: ONE_OF_EACH[name] for name in chosen})  # type: ignore[arg-type]
            lines = plans(*incidents_sql(wanted, 2, 99, 50))
            scans = [line for line in lines if line.startswith("SCAN") and "subquery" not in line.lower()]
            assert not scans, (chosen, lines)


def test_a_question_that_takes_too_long_is_ended(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.say(*(about(n) for n in range(60)))
    monkeypatch.setattr("tocsin_node.api.queries.MAX_QUERY_SECONDS", -1.0)
    monkeypatch.setattr("tocsin_node.api.queries.STEPS_BETWEEN_LOOKS", 1)
    answer = desk.get("/v1/signals", severity="low")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "ask for less time" in answer.json()["detail"]


def test_nobody_is_answered_while_the_index_is_far_behind(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tocsin_node.api.context.MAX_INDEX_LAG", 2)
    desk.say(*(about(n) for n in range(5)), index=False)
    for path in ("/v1/signals", "/v1/incidents"):
        answer = desk.get(path)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    desk.index()
    assert len(desk.get("/v1/signals").json()["signals"]) == 5


def test_a_record_that_was_replaced_is_indexed_anew(desk: Desk) -> None:
    desk.say(*(about(n) for n in range(5)))
    # an older copy of the record, in which other signals came next
    desk.connection.execute("DELETE FROM signals WHERE id > 2")
    desk.connection.execute("DELETE FROM feeds")
    other = Feed("cedar")
    sealed = [other.seal(about(n)) for n in range(10, 14)]
    desk.file(sealed, at_ms=NOW_MS + 100)
    desk.index()
    found = texts(desk.pages("/v1/signals", "signals"))
    assert found[:4] == [e.digest.hex() for e in reversed(sealed)]
    assert len(found) == 6


@given(before=st.integers(0, 2**53 - 1), limit=st.integers(1, 200), tlps=st.integers(0, 4))
def test_any_place_gives_a_question_that_runs(before: int, limit: int, tlps: int) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(TABLES)
        access = Access(Scope.MEMBER, None, tuple(Tlp)[tlps])
        assert find_signals(connection, access, SignalFilter(), (before, before), limit) == []


def test_the_index_cannot_be_written_by_who_asks_it(desk: Desk) -> None:
    desk.say(about(1))
    with (
        closing(open_index_reader(desk.config.node.data_dir)) as index,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        index.execute("DELETE FROM signals")
