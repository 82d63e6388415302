"""Every kind of hook is opened from its configuration, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from chain_kit import OCCASION
from hook_kit import HOOKS
from tocsin_node.chain.config import ChainConfig
from tocsin_node.errors import ConfigError
from tocsin_node.hooks.build import open_hooks
from tocsin_node.hooks.hook import Proposal
from tocsin_protocol.containment.action import new_action

POOL = "eip155:1:0x" + "11" * 20
SAFE, MODULE = "0x" + "aa" * 20, "0x" + "bb" * 20
CHAIN = ChainConfig(chain="eip155:1", endpoints=["http://127.0.0.1:1"])
PAUSE = {"target": POOL, "preset": "pausable"}
KINDS: list[dict[str, Any]] = [
    {"kind": "evm", "name": "direct"} | PAUSE,
    {"kind": "safe-module", "name": "module", "safe": SAFE, "module": MODULE, "scope": 1} | PAUSE,
    {"kind": "safe-owners", "name": "owners", "safe": SAFE, "folder": "desk"} | PAUSE,
    {"kind": "safe-proposal", "name": "proposal", "safe": SAFE, "folder": "desk"} | PAUSE,
    {"kind": "command", "name": "program", "target": "desk", "argv": ["/bin/true"], "undo": "open the desk"},
]


async def test_every_kind_is_opened_and_says_what_would_take_it_back(tmp_path: Path) -> None:
    configs = [HOOKS.validate_python(item) for item in KINDS]
    async with open_hooks(configs, [CHAIN], b"\1" * 32, tmp_path / "node.toml") as levers:
        assert list(levers.hooks) == [item["name"] for item in KINDS]
        for item in KINDS:
            hook = levers.hooks[item["name"]]
            assert hook.target == item["target"]
            assert hook.ends_after_minutes is None
            action = new_action(
                ledger=bytes(16),
                hook=hook.name,
                target=hook.target,
                arm_epoch=1,
                incident_id=OCCASION.incident_id,
                decision_id=OCCASION.decision_id,
                payload=hook.payload(OCCASION),
                created_ms=0,
                deadline_ms=1,
            )
            hook.claim(action)
            if item["kind"] == "command":
                assert hook.undo(action) == Proposal("open the desk")
            else:
                unpause = bytes.fromhex("3f4ba83a")
                assert hook.undo(action) == Proposal(f"call unpause() of {POOL}", POOL, unpause)


async def test_a_call_through_a_safe_is_on_a_chain_that_is_configured(tmp_path: Path) -> None:
    for item in KINDS[:4]:
        with pytest.raises(ConfigError, match=rf"hooks\.{item['name']}\.target"):
            async with open_hooks([HOOKS.validate_python(item)], [], b"\1" * 32, tmp_path / "node.toml"):
                pass
