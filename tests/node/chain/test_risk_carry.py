"""Rounds of carrying, against a real contract: a liar costs the others nothing, and what goes wrong is told once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tocsin_node.risk_carry as risk_carry
import trio
from carry_kit import PAYER, SIGNERS, SUBJECT, Oracle, open_oracle
from structlog.testing import capture_logs
from tocsin_node.chain.client import open_chain
from tocsin_node.demo.anvil import Anvil
from tocsin_node.risk_carry import Carrier, Rows, run_rounds
from tocsin_node.risk_chain import read_excluded
from tocsin_node.risk_push import PushError
from tocsin_node.store.database import StoreError
from tocsin_protocol.ids import account_of
from tocsin_protocol.risk.report import SignedReport
from tocsin_protocol.risk.states import RiskState

SECONDS = 120


@pytest.fixture
async def oracle(anvil: Anvil, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Oracle:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    made = await open_oracle(anvil)
    # The carrier goes by the machine's clock, which the latest block may be ahead of.
    return replace(made, now_ms=made.now_ms - 10_000)


def carrier(oracle: Oracle, path: Path, own: Sequence[SignedReport] = ()) -> Carrier:
    rows = [(oracle.account, "eip155:1:0x" + "5a" * 20, one.encoded) for one in own]
    return Carrier(oracle.account, oracle.config, PAYER, lambda: rows, (), (path,))


async def test_who_was_excluded_once_is_in_nobodys_way_ever_after(oracle: Oracle, tmp_path: Path) -> None:
    path = tmp_path / "reports"
    one, other = oracle.say(0), oracle.say(0, RiskState.CONFIRMED)
    oracle.show(path, [one, other, oracle.say(1), oracle.say(2)])
    done = await carrier(oracle, path).carry()
    assert [len(sent.reports) for sent in done.carried[0].pushed] == [2]
    assert "signed two different reports of one epoch" in done.faults[0]
    # from here on he shows one report only, as if nothing had been
    later = oracle.now_ms + 1_000
    oracle.show(path, [oracle.say(place, epoch=later) for place in range(3)])
    done = await carrier(oracle, path).carry()
    assert done.faults == ()
    assert [(one.whole.state, len(one.whole.counted), one.fault) for one in done.carried] == [(RiskState.NONE, 2, None)]
    assert [await oracle.held(place) for place in range(3)] == [0, later, later]


async def test_who_tells_one_story_now_and_another_later_is_excluded(oracle: Oracle, tmp_path: Path) -> None:
    path = oracle.show(tmp_path / "reports", [oracle.say(place) for place in range(3)])
    first = await carrier(oracle, path).carry()
    assert first.faults == ()
    oracle.show(path, [oracle.say(0, RiskState.CONFIRMED)])
    second = await carrier(oracle, path).carry(first.kept)
    assert "signed two different reports of one epoch" in second.faults[0]
    async with open_chain(oracle.config) as client:
        everyone = [address for address, _ in SIGNERS]
        assert await read_excluded(client, oracle.account, everyone) == {SIGNERS[0][0]}
    # those who were seen before count still
    assert len(second.carried[0].whole.counted) == 2


async def test_subjects_that_one_makes_up_cost_nobody_anything(oracle: Oracle, tmp_path: Path) -> None:
    made_up = [oracle.say(0, subject=bytes([n]) * 32) for n in range(20)]
    path = oracle.show(tmp_path / "reports", [*made_up, *(oracle.say(place) for place in range(3))])
    done = await carrier(oracle, path).carry()
    assert {one.subject for one in done.carried} == {"0x" + SUBJECT.hex()}
    # and nothing of them is remembered
    assert {one.report.subject for one in done.kept} == {SUBJECT}


async def test_what_this_node_says_is_carried_though_nobody_else_is_heard(oracle: Oracle, tmp_path: Path) -> None:
    path = oracle.show(tmp_path / "reports", [])
    own = oracle.say(0)
    done = await carrier(oracle, path, [own]).carry()
    assert [sent.reports for sent in done.carried[0].pushed] == [(own,)]
    assert done.carried[0].whole.state is RiskState.UNKNOWN


async def test_many_reports_of_one_signer_are_no_trouble(oracle: Oracle, tmp_path: Path) -> None:
    many = [oracle.say(0, epoch=n) for n in range(1, 300)]
    latest = oracle.say(0, epoch=300)
    path = oracle.show(tmp_path / "reports", [*many, latest, oracle.say(1)])
    done = await carrier(oracle, path).carry()
    assert done.faults == ()
    assert latest in done.carried[0].pushed[0].reports
    assert len(done.kept) == 2


async def test_where_no_oracle_is_a_round_fails_by_name(oracle: Oracle, tmp_path: Path) -> None:
    nowhere = replace(
        carrier(oracle, oracle.show(tmp_path / "none", [])), oracle=account_of(oracle.anvil.chain, "0x" + "77" * 20)
    )
    with pytest.raises(PushError, match="do not agree that a RiskOracle is there"):
        await nowhere.carry()


async def test_rounds_go_on_whatever_fails_and_tell_it_once(
    oracle: Oracle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(risk_carry, "MAX_PAUSE_SECONDS", 0.05)
    path = oracle.show(tmp_path / "reports", [oracle.say(place) for place in range(2)])
    looks = 0

    def own() -> Rows:
        nonlocal looks
        looks += 1
        if looks < 4:
            raise StoreError("the database is away")
        return ()

    lines: list[dict[str, Any]] = []
    with capture_logs() as captured:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_rounds, replace(carrier(oracle, path), own=own), 0.01)
            with trio.fail_after(SECONDS):
                while looks < 8:  # noqa: ASYNC110 - it is told by nobody
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        lines = [dict(line) for line in captured]
    assert [line["event"] for line in lines] == ["not as it should be", "reports pushed", "over"]
    assert lines[0]["why"] == lines[2]["was"] == "the database is away"
    assert (lines[1]["state"], lines[1]["reports"]) == ("none", 2)


async def test_what_is_stale_is_never_pushed_however_often_it_is_looked_at(oracle: Oracle, tmp_path: Path) -> None:
    long_ago = {"epoch": 5, "observed": oracle.now_ms - 120_000, "expires": oracle.now_ms - 60_000}
    path = oracle.show(tmp_path / "reports", [oracle.say(place, **long_ago) for place in range(3)])
    work = carrier(oracle, path, [oracle.say(0, **long_ago)])
    for _ in range(3):
        done = await work.carry()
        assert [(one.chosen, one.whole.state) for one in done.carried] == [((), RiskState.UNKNOWN)]
        assert done.kept == ()
    assert await oracle.held(0) == 0
