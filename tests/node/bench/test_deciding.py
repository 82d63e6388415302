"""The bench of decisions measures decisions: what it sets up is believed, at stake, and decided on."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from tocsin_node.bench import deciding
from tocsin_node.store.decision_detail import decode_detail
from tocsin_node.store.writer import Store


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deciding, "PROTOCOLS", 20)
    monkeypatch.setattr(deciding, "ROUNDS", 3)
    monkeypatch.setattr(deciding, "MANY", 40)
    monkeypatch.setattr(deciding, "MANY_REPORTERS", 12)


async def test_every_case_is_measured() -> None:
    steps: list[None] = []
    results = await deciding.bench_deciding("decide", lambda: steps.append(None))
    assert len(steps) == 3
    assert [result.goal for result in results if result.goal] == ["<= 5", "<= 2"]
    assert all(result.value > 0 for result in results)


def test_what_is_measured_is_a_decision_about_us(tmp_path: Path) -> None:
    keys = [secrets.token_bytes(32) for _ in range(4)]
    rules, feed = deciding._rules(keys), deciding._speak(keys[1:])
    store = Store(tmp_path, rules.own, deciding.NETWORK_ID, bytes(32))
    try:
        deciding._file(store, rules, [next(feed) for _ in range(9)])
        (detail,) = store.writer.connection.execute("SELECT detail FROM decisions ORDER BY id DESC").fetchone()
    finally:
        store.close()
    told = decode_detail(detail)
    assert told.groups == 3
    assert told.stakes
    assert told.belief_ppm > 500
