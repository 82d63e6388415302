"""A hook of the operator's own: one file with an entry point, found where Python looks for packages."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import trio
from chain_kit import DEADLINE_S, OCCASION, MemoryJournal
from tocsin_node.clock import now_ms
from tocsin_node.errors import ConfigError
from tocsin_node.hooks.build import open_hooks
from tocsin_node.hooks.hook import Hook
from tocsin_node.hooks.message_config import PluginHookConfig
from tocsin_protocol.containment.action import Action, new_action
from tocsin_protocol.containment.life_cycle import Event, State

SPEC = Path(__file__).parents[3] / "specs" / "hooks.md"


def example() -> str:
    """The hook that the documentation shows, so that what is shown works."""
    found = re.search(r"```python\n(.*?)```", SPEC.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def install(folder: Path, source: str, module: str) -> None:
    """Lay a distribution out as an installer does."""
    (folder / f"{module}.py").write_text(source)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[tocsin.hooks]\nsiren = {module}:open_hook\n")


def config(**settings: object) -> PluginHookConfig:
    base: dict[str, object] = {"kind": "plugin", "name": "siren", "target": "siren", "entry_point": "siren"}
    return PluginHookConfig.model_validate(base | settings)


def intend(hook: Hook, journal: MemoryJournal) -> Action:
    now = now_ms()
    return journal.add(
        new_action(
            ledger=bytes(16),
            hook=hook.name,
            target=hook.target,
            arm_epoch=1,
            incident_id=OCCASION.incident_id,
            decision_id=OCCASION.decision_id,
            payload=hook.payload(OCCASION),
            created_ms=now,
            deadline_ms=now + 60_000,
        )
    )


async def open_siren(folder: Path, **settings: object) -> None:
    async with open_hooks([config(**settings)], [], b"\1" * 32, folder / "node.toml"):
        pass


async def test_the_documented_example_is_installed_and_fired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, example(), "tocsin_siren_example")
    monkeypatch.syspath_prepend(str(tmp_path))
    log, journal = tmp_path / "siren.log", MemoryJournal()
    hooks = [config(settings={"file": str(log)})]
    with trio.fail_after(DEADLINE_S):
        async with open_hooks(hooks, [], b"\1" * 32, tmp_path / "node.toml") as levers:
            hook = levers.hooks["siren"]
            assert [check.answer.value for check in await hook.probe()] == ["ok"]
            action = intend(hook, journal)
            hook.claim(action)
            done = await hook.run(action, journal)
            assert done.state is State.EFFECTIVE
            assert (await hook.run(done, journal)).state is State.EFFECTIVE
            assert hook.undo(done) is not None
    assert log.read_text().count("\n") == 1
    assert OCCASION.summary in log.read_text()
    sys.modules.pop("tocsin_siren_example")


async def test_the_documented_example_that_a_restart_cut_off_is_unknown_and_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, example(), "tocsin_siren_cut_off")
    monkeypatch.syspath_prepend(str(tmp_path))
    log, journal = tmp_path / "siren.log", MemoryJournal()
    hooks = [config(settings={"file": str(log)})]
    async with open_hooks(hooks, [], b"\1" * 32, tmp_path / "node.toml") as levers:
        hook = levers.hooks["siren"]
        action = intend(hook, journal)
        left = await journal.record(action.action_id, Event.SEND, {})
        done = await hook.run(left, journal)
        assert done.state is State.UNKNOWN
        assert await hook.run(done, journal) == done
    assert not log.exists()
    sys.modules.pop("tocsin_siren_cut_off")


async def test_an_entry_point_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"hooks\.siren\.entry_point.*0 are there"):
        await open_siren(tmp_path)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("raise RuntimeError('no siren here')", "RuntimeError: no siren here"),
        (
            "def open_hook(name, target, settings):\n    return object()",
            "a hook with name, target, ends_after_minutes, payload",
        ),
        ("def open_hook():\n    pass", "TypeError"),
        (
            "class Hook:\n    name = target = 'other'\n    ends_after_minutes = None\n"
            "    payload = undo = read_effect = probe = claim = run = print\n"
            "def open_hook(name, target, settings):\n    return Hook()",
            "its name and target are to be the config's",
        ),
    ],
)
async def test_a_plugin_that_is_no_hook_stops_the_start_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, why: str
) -> None:
    module = f"tocsin_bad_plugin_{abs(hash(source))}"
    install(tmp_path, source, module)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match=re.escape(why)):
        await open_siren(tmp_path)
    sys.modules.pop(module, None)
