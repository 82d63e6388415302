"""What a running node answers at its control socket, with its real mesh beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from node_kit import make_home, open_node, signal_about
from tocsin_node.control_verbs import Verb
from tocsin_node.errors import ControlError
from tocsin_node.relay.publishing import Speech
from tocsin_node.store.audit import read_audit
from tocsin_protocol.audit import EntryKind

pytestmark = pytest.mark.usefixtures("never_frozen")


async def test_a_lone_node_says_that_it_is_well(tmp_path: Path) -> None:
    async with open_node(make_home(tmp_path)) as node:
        with trio.fail_after(60):
            await node.relay.supervisor.up.wait()
            while node.relay.publishing.speech is not Speech.OPEN:  # noqa: ASYNC110 - no event for it
                await trio.sleep(0.02)
            while await node.ask(Verb.HEALTH) != {"healthy": True, "reasons": []}:  # noqa: ASYNC110 - no event for it
                await trio.sleep(0.02)
        status = await node.ask(Verb.STATUS)
        assert (status["member"], status["members"], status["tolerated_faults"]) == ("alba", 1, 0)
        assert status["mesh"]["up"]
        assert any("nothing Byzantine is tolerated" in warning for warning in status["warnings"])
        text = (await node.ask(Verb.METRICS))["text"]
        assert "tocsin_mesh_up 1.0" in text


async def test_a_node_without_peers_says_what_is_wrong_and_keeps_what_it_is_given(tmp_path: Path) -> None:
    async with open_node(make_home(tmp_path, "alba", "brook", "cedar")) as node:
        with trio.fail_after(60):
            await node.relay.supervisor.up.wait()
        health = await node.ask(Verb.HEALTH)
        assert not health["healthy"]
        assert "no peer is connected" in health["reasons"]
        assert any("publishing is resuming" in reason for reason in health["reasons"])
        answer = await node.ask(Verb.PUBLISH, signals=[signal_about()])
        assert (answer["sealed"], answer["drafts"]) == ([], 1)
        assert "waiting for peers" in answer["why"]
        assert (await node.ask(Verb.RESUME))["publishing"] == "open: the operator said so"
        status = await node.ask(Verb.STATUS)
        assert [(feed["lane"], feed["head"]) for feed in status["feeds"]] == [(1, 1)]
        assert [peer["connected"] for peer in status["peers"]] == [False, False]


async def test_arming_is_recorded_and_counts_epochs(tmp_path: Path) -> None:
    async with open_node(make_home(tmp_path)) as node:
        armed = {"hook": "tell-us", "armed": True, "epoch": 1, "kept_from": []}
        assert await node.ask(Verb.ARM, hook="tell-us") == armed
        assert await node.ask(Verb.DISARM, hook="tell-us") == {"hook": "tell-us", "armed": False, "epoch": 1}
        assert (await node.ask(Verb.ARM, hook="tell-us"))["epoch"] == 2
        assert (await node.ask(Verb.STATUS))["hooks"][0]["armed"]
        for wrong in ("tell-them", None, 7):
            with pytest.raises(ControlError, match="is none of the configured hooks") as refused:
                await node.ask(Verb.ARM, hook=wrong)
            assert refused.value.code == "unknown-hook"
        entries = await node.relay.store.writer.submit(lambda connection: read_audit(connection, 0, 100))
        assert [entry.kind for entry in entries].count(EntryKind.OPERATOR) == 3


@pytest.mark.parametrize(
    ("signals", "message"),
    [
        ("not a list", "signals is not a list"),
        ([], "0 signals where 1 to 1024 go at once"),
        ([signal_about(severity="catastrophic")], "severity"),
        ([signal_about("not an account")], "subject"),
        ([signal_about(surprise=1)], "surprise"),
    ],
)
async def test_what_cannot_be_published_is_refused_with_the_field(tmp_path: Path, signals: Any, message: str) -> None:
    async with open_node(make_home(tmp_path)) as node:
        with pytest.raises(ControlError, match=message):
            await node.ask(Verb.PUBLISH, signals=signals)


async def test_a_node_whose_database_is_gone_hears_and_speaks_and_arms_nothing_until_confirmed(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    async with open_node(home) as node:
        await node.ask(Verb.ARM, hook="tell-us")
        data_dir = node.relay.store.data_dir
    for path in data_dir.glob("tocsin.db*"):
        path.unlink()
    async with open_node(home) as node:
        with pytest.raises(ControlError, match="no hook may be armed: the database is empty") as refused:
            await node.ask(Verb.ARM, hook="tell-us")
        assert refused.value.code == "ledger"
        status = await node.ask(Verb.STATUS)
        assert status["ledger"].startswith("in doubt: the database is empty")
        assert status["warnings"][0].startswith("no hook acts: the database is empty")
        with trio.fail_after(60):
            while node.relay.publishing.speech is not Speech.OPEN:  # noqa: ASYNC110 - no event for it
                await trio.sleep(0.02)
        assert (await node.ask(Verb.PUBLISH, signals=[signal_about()]))["sealed"]
        shown = await node.ask(Verb.LEDGER)
        assert (shown["anchor"]["sequence"], shown["database"]["sequence"]) == (1, 0)
        assert shown["hooks"] == [{"hook": "tell-us", "target": "desk", "anchor_epoch": 1, "database_epoch": 0}]
        assert (await node.ask(Verb.CONFIRM_LEDGER))["sequence"] == 2
        with pytest.raises(ControlError, match="nothing to confirm"):
            await node.ask(Verb.CONFIRM_LEDGER)
        assert (await node.ask(Verb.ARM, hook="tell-us"))["epoch"] == 2
    async with open_node(home) as node:
        assert (await node.ask(Verb.STATUS))["ledger"] == "confirmed"


async def test_only_an_action_that_holds_can_be_lifted(tmp_path: Path) -> None:
    async with open_node(make_home(tmp_path)) as node:
        for wrong, code in ((None, "malformed"), ("zz", "malformed"), ("ab" * 32, "unknown-action")):
            with pytest.raises(ControlError) as refused:
                await node.ask(Verb.LIFTED, action=wrong)
            assert refused.value.code == code


async def test_rosters_go_out_and_bad_ones_do_not_come_in(tmp_path: Path) -> None:
    async with open_node(make_home(tmp_path, "alba", "brook")) as node:
        signed = (await node.ask(Verb.ROSTER))["roster"]
        # the one in force again is no change
        assert (await node.ask(Verb.APPLY_ROSTER, roster=signed))["epoch"] == 0
        for wrong in ("zz", "", None, signed[:-2]):
            with pytest.raises(ControlError):
                await node.ask(Verb.APPLY_ROSTER, roster=wrong)
        assert (await node.ask(Verb.STATUS))["epoch"] == 0


async def test_a_second_node_on_one_home_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    async with open_node(home) as node:
        with pytest.raises(Exception, match="already in use by process") as refused:
            async with open_node(home):
                pass
        assert "one node per database" in str(refused.value)
        assert (await node.ask(Verb.STATUS))["member"] == "alba"
