"""policy.toml: what it may say, what its operator is told, and that each fault is one sentence with its line."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

import pytest
from tocsin_node.config import load_config
from tocsin_node.errors import ConfigError
from tocsin_node.manifest_file import load_manifest
from tocsin_node.policy_file import LEVER_USES, NOTICE_USES, LoadedPolicy, load_policy
from tocsin_node.samples import SAMPLE_POLICY
from tocsin_protocol.belief.reputation import Pin
from tocsin_protocol.decision.policy import LossLimit, Policy
from tocsin_protocol.decision.tiers import Quorum, Tier
from tocsin_protocol.taxonomy import Category

DEPLOY = Path(__file__).parents[2] / "deploy"
HOOKS = ("page", "caps", "freeze", "pause")
SCOPES = ("usdc", "weth")
VOUCHING = '[vouching]\ncap = 0.5\n[[vouching.word]]\nby = "alba"\nof = "brook"\nweight = 2.0\n'
POLICY = """\
version = 1
condition = "belief > 0.2"
[belief]
own_detector = 2.0
[belief.priors]
"asset.drain" = 0.001
[belief.half_life_minutes]
"asset.drain" = 15
[pins]
alba = { min = 2.5, max = 3.5 }
[quorum]
freeze = 3
[budget]
minutes = 90
[[limit]]
scope = "usdc"
mal_usd = 5_000_000
drain_usd_per_s = 50_000
latency_s = 48
opens_freeze = true
[[lever]]
hook = "page"
tier = "notify"
scopes = ["*"]
[[lever]]
hook = "freeze"
tier = "freeze"
scopes = ["usdc"]
effectiveness_percent = 90
cost_usd = 20_000
minutes = 45
cooldown_minutes = 10
uses = 2
refill_hours = 12
[[lever]]
hook = "pause"
tier = "pause"
scopes = ["weth", "usdc"]
effectiveness_percent = 98
cost_usd = 150_000
minutes = 30
"""
LEVER = POLICY[POLICY.index('[[lever]]\nhook = "freeze"') : POLICY.index('[[lever]]\nhook = "pause"')]


def load(
    directory: Path,
    text: str,
    hooks: Collection[str] | None = HOOKS,
    scopes: Collection[str] | None = SCOPES,
    members: Collection[str] | None = None,
) -> LoadedPolicy:
    path = directory / "policy.toml"
    path.write_text(text)
    return load_policy(path, hooks, scopes, members)


def test_everything_is_read(tmp_path: Path) -> None:
    policy = load(tmp_path, POLICY).policy
    page, freeze, pause = policy.levers
    assert (freeze.hook, freeze.tier, freeze.scopes) == ("freeze", Tier.FREEZE, {"usdc"})
    assert (freeze.effectiveness, freeze.cost_micro_usd, freeze.minutes) == (0.9, 20_000_000_000, 45)
    assert (freeze.cooldown_minutes, freeze.tokens, freeze.refill_minutes) == (10, 2, 720)
    assert (page.tier, page.scopes, page.minutes) == (Tier.NOTIFY, set(SCOPES), 0)
    assert (pause.tier, pause.scopes) == (Tier.PAUSE, set(SCOPES))
    assert policy.limits == (LossLimit("usdc", 5 * 10**12, 180 * 10**12, 48_000, opens_freeze=True),)
    assert policy.quorum == Quorum(freeze=3)
    assert policy.budget_minutes == 90
    assert policy.pins == {"alba": Pin(2.5, 3.5)}
    assert (policy.own_llr, policy.condition) == (2.0, "belief > 0.2")
    assert policy.priors == {Category.ASSET_DRAIN: 0.001}
    assert policy.half_lives_ms == {Category.ASSET_DRAIN: 900_000}


def test_people_may_be_told_more_often_than_levers_are_used(tmp_path: Path) -> None:
    page, _, pause = load(tmp_path, POLICY).policy.levers
    assert (page.tokens, page.refill_minutes // 60) == NOTICE_USES
    assert (pause.tokens, pause.refill_minutes // 60) == LEVER_USES


def test_hash_is_that_of_the_file(tmp_path: Path) -> None:
    assert load(tmp_path, POLICY).hash == hashlib.sha256(POLICY.encode()).digest()
    assert load(tmp_path, POLICY + "\n").hash != load(tmp_path, POLICY).hash


def test_without_a_file_the_built_in_policy_never_acts() -> None:
    loaded = load_policy(None, HOOKS, SCOPES)
    assert loaded.policy == Policy()
    assert loaded.hash == hashlib.sha256(b"").digest()
    assert "never acts" in loaded.warnings[0]


def test_file_that_is_named_and_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"policy\.toml: cannot be read: No such file"):
        load_policy(tmp_path / "policy.toml", HOOKS, SCOPES)


@pytest.mark.parametrize("text", ["", SAMPLE_POLICY])
def test_policy_without_levers_never_acts_and_says_so(tmp_path: Path, text: str) -> None:
    loaded = load(tmp_path, text)
    assert loaded.policy == Policy()
    assert loaded.warnings == ("the policy has no levers: this node never acts, it listens, publishes and records",)


def test_sample_holds_without_its_comment_signs(tmp_path: Path) -> None:
    text = "".join(line.removeprefix("# ") for line in SAMPLE_POLICY.splitlines(keepends=True) if is_toml(line))
    loaded = load(tmp_path, text, {"page-on-call", "freeze-market"}, {"usdc-market"}, {"us", "alba", "brook"})
    assert [lever.tier for lever in loaded.policy.levers] == [Tier.NOTIFY, Tier.FREEZE]
    assert loaded.warnings == ()


def is_toml(line: str) -> bool:
    return line.startswith(("# [", "version")) or " = " in line


def test_example_is_taken_without_a_note() -> None:
    config = load_config(DEPLOY / "node.example.toml", pinned=False)
    holdings = [holding.name for holding in load_manifest(DEPLOY / "manifest.example.toml").holdings]
    members = {config.node.member, "alba", "brook", "cedar"}
    loaded = load_policy(DEPLOY / "policy.example.toml", config.hook_names, holdings, members)
    assert len(loaded.policy.levers) == 4
    assert loaded.warnings == ()


def test_everything_stands_for_each_holding(tmp_path: Path) -> None:
    limit = '[[limit]]\nscope = "*"\nmal_usd = 1\ndrain_usd_per_s = 0\nlatency_s = 1\n'
    policy = load(tmp_path, POLICY + limit).policy
    assert [(limit.scope, limit.mal_micro_usd) for limit in policy.limits] == [("usdc", 5 * 10**12), ("weth", 10**6)]


def test_without_a_node_any_name_will_do(tmp_path: Path) -> None:
    policy = load(tmp_path, POLICY, None, None).policy
    assert policy.levers[0].scopes == {"*"}
    assert policy.levers[2].scopes == {"usdc", "weth"}


def test_manifest_without_holdings_leaves_nothing_to_cover(tmp_path: Path) -> None:
    loaded = load(tmp_path, '[[lever]]\nhook = "page"\ntier = "notify"\nscopes = ["*"]\n', HOOKS, ())
    assert loaded.policy.levers == ()
    assert "our manifest names no holding" in loaded.warnings[0]
    with pytest.raises(ConfigError, match="is no holding of our manifest, which names none"):
        load(tmp_path, POLICY, HOOKS, ())


@pytest.mark.parametrize(
    ("old", "new", "line", "wanted"),
    [
        ("version = 1", "version = 2", 1, "version = 2: 1 is wanted"),
        ('"belief > 0.2"', '"belief >"', 2, "condition = 'belief >': is no CEL expression: "),
        ('"belief > 0.2"', '"faith > 0.2"', 2, "condition = 'faith > 0.2': speaks of faith"),
        ("own_detector = 2.0", "own_detector = -1", 4, "belief.own_detector = -1: "),
        ("own_detector = 2.0", "own_detector = 7", 4, "belief.own_detector = 7: less than or equal to 6.9 is wanted"),
        ("own_detector = 2.0", "own_detector = inf", 4, "belief.own_detector = inf: "),
        ("= 0.001", "= 0.9", 6, 'belief.priors."asset.drain" = 0.9: less than or equal to 0.5 is wanted'),
        ("= 0.001", "= nan", 6, 'belief.priors."asset.drain" = nan: a finite number is wanted'),
        ('drain" = 0.', 'drains" = 0.', 6, 'belief.priors."asset.drains" = 0.001: is none of those there are: did you'),
        ("= 15", "= 0", 8, 'belief.half_life_minutes."asset.drain" = 0: '),
        ("min = 2.5", "min = 3.6", 10, "pins.alba: min 3.6 is above max 3.5"),
        ("max = 3.5", "max = 9.5", 10, "pins.alba.max = 9.5: "),
        ("[quorum]", VOUCHING.replace("brook", "alba") + "[quorum]", 14, "vouching.word[0].by = 'alba': vouches"),
        ("[quorum]", VOUCHING.replace("0.5", "0.7") + "[quorum]", 12, "vouching.cap = 0.7: "),
        ("max = 3.5", "most = 3.5", 10, "pins.alba.most: is no known key"),
        ("alba =", '"Al Ba" =', 10, "pins.\"Al Ba\": 'Al Ba' is not a short name"),
        ("[quorum]", "[quorom]", 11, "quorom: is no known key: did you mean 'quorum'?"),
        ("freeze = 3", "freeze = 0", 12, "quorum.freeze = 0: "),
        ("minutes = 90", "minutes = 9.5", 14, "budget.minutes = 9.5: a valid integer is wanted"),
        ('"usdc"\nmal', '"usd"\nmal', 16, "limit[0].scope = 'usd': is no holding of our manifest: did you mean"),
        ("mal_usd = 5_000_000", "mal_usd = -1", 17, "limit[0].mal_usd = -1: "),
        ("mal_usd = 5_000_000\n", "", 15, "limit[0].mal_usd: is missing"),
        ("drain_usd_per_s = 50_000", "drain_usd_per_s = 9_000_000_000", 18, "limit[0].drain_usd_per_s = 9000000000: "),
        ('scopes = ["*"]', 'scopes = ["*", "usdc"]', 24, "lever[0].scopes = ['*', 'usdc']: '*' stands alone"),
        ('tier = "notify"', 'tier = "notify"\ncost_usd = 1', 24, "lever[0].cost_usd = 1: 0 is wanted of a lever of"),
        ('hook = "freeze"', 'hook = "freez"', 26, "lever[1].hook = 'freez': is no hook of node.toml: did you mean"),
        ('hook = "freeze"\n', "", 25, "lever[1].hook: is missing"),
        ('tier = "freeze"', 'tier = "freez"', 27, "lever[1].tier = 'freez': 'notify', 'tighten', 'freeze' or 'pause'"),
        ('["usdc"]', '["*usdc"]', 28, "lever[1].scopes[0] = '*usdc': "),
        ('["usdc"]', "[]", 28, "lever[1].scopes = []: "),
        ("effectiveness_percent = 90", "effectiveness_percent = 0", 29, "lever[1].effectiveness_percent = 0: 1 or"),
        ("effectiveness_percent = 90\n", "", 25, "lever[1].effectiveness_percent: 1 or more is wanted of a lever of"),
        ("cost_usd = 20_000", "cost_usd = true", 30, "lever[1].cost_usd = True: a valid integer is wanted"),
        ("cost_usd = 20_000", "cost_usd = 99999999999999999999", 30, "lever[1].cost_usd = 99999999999999999999: "),
        ("minutes = 45", "minutes = 20_000", 31, "lever[1].minutes = 20000: less than or equal to 10080 is wanted"),
        ("uses = 2", "uses = 0", 33, "lever[1].uses = 0: "),
        ("uses = 2", "uses = 2\nuses = 3", 34, "is not TOML: "),
        ('["weth", "usdc"]', '["weth",\n  "usdt"]', 39, "lever[2].scopes[1] = 'usdt': is no holding of our manifest"),
        ('["weth", "usdc"]', '["weth", "weth"]', 38, "lever[2].scopes[1] = 'weth': stands twice"),
        ("[[lever]]", "[[rule]]", 21, "rule: is no known key"),
    ],
)  # fmt: skip
def test_each_fault_is_named_with_its_line(tmp_path: Path, old: str, new: str, line: int, wanted: str) -> None:
    assert old in POLICY
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, POLICY.replace(old, new, 1))
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'policy.toml'}:{line}: {wanted}")
    assert "\n" not in message
    assert caught.value.line == line


def test_second_lever_of_a_hook_and_second_limit_of_a_holding_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"policy\.toml:43: lever\[3\]\.hook = 'freeze': stands twice"):
        load(tmp_path, POLICY + LEVER)
    limit = POLICY[POLICY.index("[[limit]]") : POLICY.index("[[lever]]")]
    with pytest.raises(ConfigError, match=r"policy\.toml:43: limit\[1\]\.scope = 'usdc': stands twice"):
        load(tmp_path, POLICY + limit)


def test_faults_keep_it_from_being_armed_and_not_from_being_loaded(tmp_path: Path) -> None:
    weak = POLICY.replace("freeze = 3", "freeze = 1").replace("latency_s = 48", "latency_s = 480")
    loaded = load(tmp_path, weak.replace("minutes = 45\n", ""), members=("us", "alba", "b", "c"))
    quorum, limit, end = loaded.policy.faults()
    assert "one foreign group alone could freeze" in quorum
    assert "the limit of usdc cannot be kept" in limit
    assert "lever 'freeze' has no end" in end
    assert all(f"the policy may not be armed: {fault}" in loaded.warnings for fault in (quorum, limit, end))
    acknowledged = POLICY.replace("latency_s = 48", "latency_s = 480\nacknowledged = true")
    assert load(tmp_path, acknowledged).policy.faults() == ()


NOTES = POLICY.replace('condition = "belief > 0.2"\n', "").replace("freeze = 3", "")
MEMBERS = ("us", "alba", "brook", "cedar", "delta")


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("version = 1", 'version = 1\ncondition = "false"', "the condition was true for nothing it was tried with"),
        ("version = 1", 'version = 1\ncondition = "true"', "the condition was true for everything it was tried with"),
        ('version = 1', 'version = 1\ncondition = \'severity == "CRITICAL"\'', "true for nothing it was tried with"),
        ('scopes = ["usdc"]', 'scopes = ["*"]', "every lever above 'notify' covers every holding"),
        ('scopes = ["usdc"]', 'scopes = ["*"]', "no lever of tier 'freeze' covers usdc alone"),
        ("alba = { min = 2.5, max = 3.5 }", "", "nobody is pinned"),
        ("alba =", "alva =", "pins.alva: the roster has no such member: did you mean 'alba'?"),
        ("minutes = 90", "minutes = 40", "lever 'freeze' holds for 45 min, more than a foreign group's whole budget"),
        ("[quorum]", VOUCHING.replace("alba", "alva") + "[quorum]", "vouching: the roster has no member alva: did you"),
        ("[quorum]", VOUCHING.replace("0.5", "0") + "[quorum]", "vouching.cap is 0, so nobody's word for another"),
        ("[quorum]", "[quorum]\nfreeze = 5", "to freeze takes 5 foreign groups, and the roster has 4 other members"),
        ("[quorum]", "[quorum]\npause = 5", "to pause takes 5 foreign groups"),
    ],
)  # fmt: skip
def test_what_may_not_be_meant_is_noted(tmp_path: Path, old: str, new: str, wanted: str) -> None:
    assert old in NOTES
    hooks = ("page", "freeze", "pause")
    assert load(tmp_path, NOTES, hooks, members=MEMBERS).notes == ()
    notes = load(tmp_path, NOTES.replace(old, new, 1), hooks, members=MEMBERS).notes
    assert any(wanted in note for note in notes), notes


def test_unused_hooks_and_levers_that_only_tell_are_noted(tmp_path: Path) -> None:
    loaded = load(tmp_path, NOTES[: NOTES.index(LEVER)], ("page", "freeze"))
    assert "no lever uses hook 'freeze'" in loaded.notes
    assert any("no lever is above tier 'notify'" in note for note in loaded.notes)
