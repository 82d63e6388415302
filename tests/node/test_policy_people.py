"""[operators], [approval] and [recovery] of a policy: what they may say, and that each fault names its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from tocsin_node.errors import ConfigError
from tocsin_node.people import People, Shown
from tocsin_node.policy_file import LoadedPolicy, load_policy
from tocsin_protocol.recovery.plan import EndKind, ProposalKind
from tocsin_protocol.recovery.stages import Stage

TARGET = "eip155:1:0x" + "11" * 20
ANA, BEN, CLEO, DAN = ("0x" + digits * 20 for digits in ("a1", "b2", "c3", "d4"))
POLICY = f"""\
[pins]
alba = {{ min = 2.5, max = 3.5 }}
[[lever]]
hook = "freeze"
tier = "freeze"
scopes = ["usdc"]
effectiveness_percent = 90
cost_usd = 20_000
minutes = 45
ask = true
[operators]
ana = "{ANA}"
ben = "{BEN}"
cleo = "{CLEO}"
[approval]
window_minutes = 30
removed = ["{DAN}"]
[[approval.rule]]
m = 2
[[approval.rule]]
m = 1
operators = ["ana", "cleo"]
tier = "freeze"
scope = "usdc"
[recovery]
grace_minutes = 5
close_percent = 60
calm_percent = 10
[recovery.dwell_seconds]
canary-1 = 60
[[recovery.undo]]
hook = "freeze"
target = "{TARGET}"
function = "unfreeze(uint256)"
arguments = [7]
effect = "unfreeze it"
ended_by = "contract"
[[recovery.stage]]
scope = "usdc"
stage = "canary-1"
target = "{TARGET}"
function = "cap(uint8)"
arguments = [1]
effect = "cap at 1 %"
check = "capped()(uint8)"
value = 1
[[recovery.remedy]]
kind = "fund"
scope = "usdc"
target = "{TARGET}"
function = "cover()"
effect = "pay"
"""


def load(directory: Path, text: str = POLICY) -> LoadedPolicy:
    path = directory / "policy.toml"
    path.write_text(text)
    return load_policy(path, ("freeze", "page"), ("usdc", "weth"))


def test_everything_is_read(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    people = loaded.people
    addresses = {name: address for address, name in people.approvals.operators.items()}
    assert addresses["ana"].hex() == "a1" * 20
    assert people.approvals.removed == {bytes.fromhex("d4" * 20)}
    assert people.window_ms == 30 * 60_000
    assert [lever.asks for lever in loaded.policy.levers] == [True]
    everything, narrow = people.approvals.rules
    assert (everything.m, len(everything.operators), everything.tier, everything.scope) == (2, 3, None, "*")
    assert (narrow.m, narrow.operators, narrow.tier) == (1, {addresses["ana"], addresses["cleo"]}, 2)
    assert people.approvals.rule_for(2, "usdc") is narrow
    assert (people.recovery.close_ppm, people.recovery.calm_ppm, people.recovery.grace_ms) == (
        600_000,
        100_000,
        300_000,
    )
    assert (people.recovery.dwell_ms[Stage.CANARY_1], people.recovery.dwell_ms[Stage.EXIT_ONLY]) == (60_000, 3_600_000)
    undoing = people.undoing["freeze"]
    assert (undoing.at, undoing.end, undoing.call.target) == (Stage.EXIT_ONLY, EndKind.CONTRACT, TARGET)
    assert undoing.call.data[4:] == (7).to_bytes(32, "big")
    assert [call.effect for call in people.limits["usdc", Stage.CANARY_1]] == ["cap at 1 %"]
    assert people.shown == {("usdc", Stage.CANARY_1): Shown(TARGET, "capped()(uint8)", 1)}
    assert [(one.kind, one.by) for one in people.remedies] == [(ProposalKind.FUND, Stage.NORMAL)]


def test_without_the_sections_nobody_can_be_asked_and_nothing_is_noted(tmp_path: Path) -> None:
    bare = POLICY[: POLICY.index("[operators]")].replace("ask = true\n", "")
    loaded = load(tmp_path, bare)
    assert loaded.people == People()
    assert not any("approval" in note for note in loaded.notes)


@pytest.mark.parametrize(
    ("old", "new", "line", "wanted"),
    [
        (f'"{ANA}"', '"0xA1"', 12, "operators.ana = '0xA1': String should match pattern"),
        (f'ben = "{BEN}"', f'ben = "{ANA}"', 13, f"operators.ben = '{ANA}': is the address of 'ana' as well"),
        (f'["{DAN}"]', f'["{ANA}"]', 15, "approval: operator 'ana' is listed and removed"),
        ("window_minutes = 30", "window_minutes = 1441", 16, "approval.window_minutes = 1441: less than or equal to"),
        ("m = 2", "m = 4", 19, "approval.rule[0].m = 4: approval rule of any tier, scope '*': m is 4 where 1…3"),
        ('["ana", "cleo"]', '["ana", "cloe"]', 22, "approval.rule[1].operators = ['ana', 'cloe']: 'cloe' is no op"),
        ('scope = "usdc"\n[recovery]', 'scope = "usdt"\n[recovery]', 24, "approval.rule[1].scope = 'usdt': is no h"),
        ('tier = "freeze"\nscope =', 'tier = "fries"\nscope =', 23, "approval.rule[1].tier = 'fries': "),
        ("calm_percent = 10", "calm_percent = 60", 25, "recovery: recovery: calm_ppm is 600000 where 1…599999"),
        ("canary-1 = 60", "canary-2 = 60", 30, "recovery.dwell_seconds.canary-2 = 60: is none of those there are"),
        ("canary-1 = 60", "canary-1 = 90_000", 30, "recovery.dwell_seconds.canary-1 = 90000: less than"),
        ('hook = "freeze"\ntarget', 'hook = "page"\ntarget', 32, "recovery.undo[0].hook = 'page': is the hook of no"),
        ("unfreeze(uint256)", "unfreeze(", 34, "recovery.undo[0].function = 'unfreeze(': 'unfreeze(' is no"),
        ("arguments = [7]", "arguments = [7, 8]", 34, "recovery.undo[0].function = 'unfreeze(uint256)': unfreeze"),
        ('ended_by = "contract"', 'at = "restricted"', 37, "recovery.undo[0].at = 'restricted': a stage"),
        ('stage = "canary-1"', 'stage = "halted"', 40, "recovery.stage[0].stage = 'halted': a stage that people open"),
        ("capped()(uint8)", "capped()(string)", 45, "recovery.stage[0].check = 'capped()(string)': a view without"),
        ('kind = "fund"', 'kind = "undo"', 48, "recovery.remedy[0].kind = 'undo': "),
    ],
)  # fmt: skip
def test_each_fault_is_named_with_its_line(tmp_path: Path, old: str, new: str, line: int, wanted: str) -> None:
    assert POLICY.count(old) == 1
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, POLICY.replace(old, new))
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'policy.toml'}:{line}: {wanted}"), message
    assert "\n" not in message


def test_a_lever_that_asks_and_has_nobody_to_ask_is_refused(tmp_path: Path) -> None:
    nobody = POLICY[: POLICY.index("[[approval.rule]]")] + POLICY[POLICY.index("[recovery]") :]
    with pytest.raises(
        ConfigError, match=r"policy\.toml:10: lever\[0\]\.ask = True: no \[\[approval\.rule\]\] says who"
    ):
        load(tmp_path, nobody)


def test_what_has_no_way_back_is_noted(tmp_path: Path) -> None:
    no_undo = POLICY[: POLICY.index("[[recovery.undo]]")] + POLICY[POLICY.index("[[recovery.stage]]") :]
    assert any("does not say how lever 'freeze' is undone" in note for note in load(tmp_path, no_undo).notes)
    rules = POLICY[POLICY.index("[[approval.rule]]") : POLICY.index("[recovery]")]
    nobody = POLICY.replace(rules, "").replace("ask = true\n", "")
    assert any("nobody can approve its reopening" in note for note in load(tmp_path, nobody).notes)
