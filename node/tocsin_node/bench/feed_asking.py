"""Questions of every kind to the feed, each beside the same SQL through sqlite3 alone."""

from __future__ import annotations

import http.client
import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tocsin_protocol.taxonomy import Category, Severity, Stage, Tlp

from tocsin_node.api.access import Access, Scope
from tocsin_node.api.context import Source
from tocsin_node.api.queries import SignalFilter, signals_sql
from tocsin_node.config import NodeConfig
from tocsin_node.errors import NodeError

from .feed_record import SUBJECTS, Made, subject_of
from .figures import percentile
from .result import LOWER, Result, measured

WARM_UP_QUESTIONS = 200
PAGE = 20
GOAL_QUESTION = (LOWER, 5.0)


def ask_beside_sql(group: str, config: NodeConfig, key_file: Path, made: Made, questions: int) -> list[Result]:
    """Questions of every kind, each asked of the feed and, as the same SQL, of SQLite, one after the other."""
    rng = random.Random(2)  # noqa: S311 - no secret
    bare, ours = [], []
    with closing(Source(config.node.data_dir)) as source, _client(config, key_file) as ask:
        for number in range(WARM_UP_QUESTIONS + questions):
            query, wanted = _question(rng, number, made)
            began = time.perf_counter()
            rows = _bare(source, wanted)
            between = time.perf_counter()
            found = ask("/v1/signals", query)
            done = time.perf_counter()
            if len(found["signals"]) != rows:
                raise NodeError(f"{query}: the feed shows {len(found['signals'])} signals where SQLite finds {rows}")
            if number >= WARM_UP_QUESTIONS:
                bare.append((between - began) * 1_000)
                ours.append((done - between) * 1_000)
    return [
        measured(group, "the same SQL bare: p50", percentile(bare, 50), "ms"),
        measured(group, "the same SQL bare: p99", percentile(bare, 99), "ms"),
        measured(group, "filtered query: p50", percentile(ours, 50), "ms"),
        measured(group, "filtered query: p99", percentile(ours, 99), "ms"),
        measured(group, "filtered query over bare: p50", percentile(ours, 50) / percentile(bare, 50), "ratio"),
        measured(
            group, "filtered query over bare: p99", percentile(ours, 99) / percentile(bare, 99), "ratio", GOAL_QUESTION
        ),
    ]


def _question(rng: random.Random, number: int, made: Made) -> tuple[dict[str, Any], SignalFilter]:
    """A question as it stands in a URL, and as the index is asked."""
    since = rng.randrange(made.first_ms, made.last_ms)
    category = rng.choice(tuple(Category)[:20])
    publisher, incident = rng.choice(made.publishers), rng.choice(made.incidents)
    subject = subject_of(rng.randrange(SUBJECTS))
    chain, stage = f"eip155:{rng.randrange(1, 13)}", rng.choice(tuple(Stage))
    match number % 8:
        case 0:
            return {"subject": subject}, SignalFilter(subject=subject)
        case 1:
            return {"category": category.value}, SignalFilter(categories=(category,))
        case 2:
            query = {"publisher": "0x" + publisher.hex(), "since_ms": since}
            return query, SignalFilter(publisher=publisher, since_ms=since)
        case 3:
            return {"incident": incident.hex()}, SignalFilter(incident=incident)
        case 4:
            return {"chain": chain, "severity": "high"}, SignalFilter(chain=chain, severity=Severity.HIGH)
        case 5:
            query = {"stage": stage.value, "tlp": "green", "until_ms": since}
            return query, SignalFilter(stage=stage, tlp=Tlp.GREEN, until_ms=since)
        case 6:
            query = {"category": category.value, "severity": "high", "chain": chain}
            return query, SignalFilter(categories=(category,), severity=Severity.HIGH, chain=chain)
        case _:
            return {"until_ms": since}, SignalFilter(until_ms=since)


def _bare(source: Source, wanted: SignalFilter) -> int:
    """The question's SQL and the rows themselves, through sqlite3 alone; how many."""
    access = Access(Scope.OPERATOR, None, Tlp.RED)
    tlps = [rank for rank, tlp in enumerate(Tlp) if access.may_see(tlp) and wanted.tlp in (None, tlp)]
    sql, values = signals_sql(wanted, tlps, None, PAGE)
    places = source.index.execute(sql, values).fetchall()
    return source.reader.count_rows([number for _, number in places])


@contextmanager
def _client(config: NodeConfig, key_file: Path) -> Iterator[Callable[[str, dict[str, Any]], Any]]:
    connection = http.client.HTTPConnection(config.feed.host, config.feed.port, timeout=60)
    headers = {"authorization": f"Bearer {key_file.read_text()}"}

    def ask(path: str, query: dict[str, Any]) -> Any:
        text = "&".join(f"{name}={value}" for name, value in (query | {"limit": PAGE}).items())
        while True:
            connection.request("GET", f"{path}?{text}", headers=headers)
            response = connection.getresponse()
            body = response.read()
            if response.status == http.client.OK:
                return json.loads(body)
            if response.status != http.client.TOO_MANY_REQUESTS:
                raise NodeError(f"{path}?{text}: answered {response.status}: {body[:200]!r}")
            time.sleep(0.1)

    try:
        yield ask
    finally:
        connection.close()
