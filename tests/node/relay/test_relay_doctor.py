"""What the doctor finds in a real node, and what disarms it from outside."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio
from tocsin_node.app import Relay, open_relay
from tocsin_node.clock import now_ms
from tocsin_node.config import load_config
from tocsin_node.control import call_control
from tocsin_node.control_verbs import Verb
from tocsin_node.demo.network import create_local_network, write_guard
from tocsin_node.errors import ConfigError, ControlError
from tocsin_node.hooks.hook import Answer, Check
from tocsin_node.relay.doctor import NOTICE_MS, Found, _with_notice, judge_mode, report_of
from tocsin_node.relay.publishing import Speech
from tocsin_node.setup_node import NodeHome
from tocsin_node.store.database import DATABASE_NAME

pytestmark = pytest.mark.usefixtures("never_frozen")

VAULT = "eip155:1:0x" + "5a" * 20
HOOK = """
[[hook]]
kind = "webhook"
name = "tell-us"
target = "desk"
url = "http://127.0.0.1:{port}/"
secret_file = "hook.secret"
{more}
"""


def make_home(folder: Path, *, port: int = 9, more: str = "", extra: str = "") -> NodeHome:
    home = create_local_network(folder, ("alba",), now_ms())[0]
    secret = home.directory / "hook.secret"
    secret.write_text("whsec_" + "A" * 43 + "=")
    secret.chmod(0o600)
    with home.config_path.open("a") as config:
        config.write(HOOK.format(port=port, more=more) + extra)
    return home


@dataclass
class Node:
    """One node of this process, and its control socket."""

    home: NodeHome
    relay: Relay
    ask: Callable[..., Awaitable[dict[str, Any]]]

    async def check(self, area: str, name: str) -> dict[str, Any]:
        report = await self.ask(Verb.DOCTOR)
        (found,) = [c for c in report["checks"] if (c["area"], c["check"]) == (area, name)]
        assert report["healthy"] == all(c["answer"] != "not-ok" for c in report["checks"])
        return dict(found)


@asynccontextmanager
async def open_node(home: NodeHome) -> AsyncIterator[Node]:
    config = load_config(home.config_path)
    async with open_relay(config) as relay:

        async def ask(verb: str, **arguments: Any) -> dict[str, Any]:
            return await call_control(config.control_path, verb, **arguments)

        with trio.fail_after(60):
            await relay.supervisor.up.wait()
            while relay.publishing.speech is not Speech.OPEN:  # noqa: ASYNC110 - no event for it
                await trio.sleep(0.02)
        yield Node(home, relay, ask)


async def test_a_node_whose_lever_answers_is_healthy_and_the_record_says_when(tmp_path: Path) -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, trio.SocketStream.aclose, listeners)
        home = make_home(tmp_path, port=listeners[0].socket.getsockname()[1])
        write_guard(home, VAULT, "tell-us", pinned=())
        async with open_node(home) as node:
            assert (await node.ask(Verb.STATUS))["doctor"].startswith("has not looked yet")
            report = await node.ask(Verb.DOCTOR)
            wrong = [c for c in report["checks"] if c["answer"] != "ok"]
            assert wrong == []
            assert report["healthy"]
            areas = {(c["area"], c["check"]) for c in report["checks"]}
            assert areas >= {("tell-us", "receiver"), ("node", "ledger"), ("node", "roster"), ("keys", "keystore.json")}
            assert (await node.ask(Verb.STATUS))["doctor"] == "all right, 0 h ago"
            kept = sqlite3.connect(node.relay.store.data_dir / DATABASE_NAME)
            details = kept.execute("SELECT COUNT(*) FROM audit WHERE instr(detail, 'doctor') > 0").fetchone()
            kept.close()
            assert details == (1,)
        nursery.cancel_scope.cancel()


async def test_what_is_wrong_is_named_and_warned_of(tmp_path: Path) -> None:
    home = make_home(tmp_path, more="capability_valid_until = 2020-01-01T00:00:00Z")
    async with open_node(home) as node:
        assert (await node.check("tell-us", "receiver"))["answer"] == "not-ok"
        assert "ended at 2020-01-01" in (await node.check("tell-us", "capability"))["sentence"]
        assert (await node.check("node", "policy"))["answer"] == "not-known"
        home.config_path.parent.joinpath("hook.secret").chmod(0o644)
        assert "0600 is wanted" in (await node.check("keys", "hook.secret"))["sentence"]
        status = await node.ask(Verb.STATUS)
        assert status["doctor"] == "not all right, 0 h ago"
        assert any("doctor" in warning for warning in status["warnings"])


def test_what_ends_soon_is_not_right_though_it_is_today() -> None:
    far = Check("capability", Answer.OK, "it holds", 2 * NOTICE_MS + 1)
    soon = Check("capability", Answer.OK, "it holds", NOTICE_MS + 1)
    assert _with_notice(far, NOTICE_MS) == far
    assert _with_notice(soon, 2).answer is Answer.NOT_OK
    assert "it ends in 13 days" in _with_notice(soon, 2).sentence


def test_what_is_not_known_does_not_make_a_node_unhealthy() -> None:
    unknown = Found("lever", Check("call", Answer.NOT_KNOWN, "no simulation"))
    assert report_of([unknown], 7)["healthy"]
    assert not report_of([unknown, Found("disk", Check("free", Answer.NOT_OK, "full"))], 7)["healthy"]


def test_a_secret_that_others_can_read_is_not_right(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    assert judge_mode(secret).answer is Answer.NOT_OK
    secret.write_text("x")
    for mode, answer in ((0o600, Answer.OK), (0o400, Answer.OK), (0o640, Answer.NOT_OK), (0o604, Answer.NOT_OK)):
        secret.chmod(mode)
        assert judge_mode(secret).answer is answer


async def test_a_disarmed_node_says_so_first_and_is_armed_by_a_person(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    write_guard(home, VAULT, "tell-us", pinned=())
    async with open_node(home) as node:
        assert (await node.ask(Verb.ARM, hook="tell-us"))["armed"]
        assert await node.ask(Verb.DISARM_ALL) == {"disarmed": ["tell-us"]}
        assert await node.ask(Verb.DISARM_ALL) == {"disarmed": []}
        await node.ask(Verb.ARM, hook="tell-us")
        file = node.relay.store.data_dir / "disarm"
        file.touch()
        with pytest.raises(ControlError, match="remove it to arm again"):
            await node.ask(Verb.ARM, hook="tell-us")
        status = await node.ask(Verb.STATUS)
        assert "every hook was disarmed 0 minutes ago" in status["warnings"][0]
        assert not status["hooks"][0]["armed"]
        # whoever may ask the feed for its health does not learn who is disarmed
        assert await node.ask(Verb.HEALTH) == {"healthy": True, "reasons": []}
        assert [s.partition(":")[0] for s in status["standstills"]] == ["disarm-file"]
        file.unlink()
        await node.ask(Verb.ARM, hook="tell-us")
        assert not any("was disarmed" in warning for warning in (await node.ask(Verb.STATUS))["warnings"])


async def test_a_hook_on_our_own_address_stops_the_start(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    async with open_relay(load_config(home.config_path)):
        pass
    guardian = "0x" + "77" * 20
    chain = '\n[[chain]]\nchain = "eip155:1"\nendpoints = ["http://127.0.0.1:9/"]\n'
    hook = f'\n[[hook]]\nkind = "evm"\nname = "own"\ntarget = "eip155:1:{guardian}"\n'
    with home.config_path.open("a") as config:
        config.write(f'{hook}{chain}\n[safety]\ndisarm_keys = ["{guardian}"]\n')
    with pytest.raises(BaseExceptionGroup) as caught:
        async with open_relay(load_config(home.config_path)):
            pass
    (error,) = _leaves(caught.value)
    assert isinstance(error, ConfigError)
    assert "an address of our own" in str(error)


def _leaves(group: BaseException) -> list[BaseException]:
    if isinstance(group, BaseExceptionGroup):
        return [leaf for one in group.exceptions for leaf in _leaves(one)]
    return [group]


async def test_a_hook_for_drills_is_armed_by_nobody_and_looked_at_by_the_doctor(tmp_path: Path) -> None:
    async with open_node(make_home(tmp_path, more="drill = true")) as node:
        with pytest.raises(ControlError, match="none of the configured hooks"):
            await node.ask(Verb.ARM, hook="tell-us")
        assert (await node.ask(Verb.STATUS))["hooks"] == []
        assert (await node.check("tell-us", "receiver"))["answer"] == "not-ok"
