"""policy.toml: rules into the core's Policy, faults in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from tocsin_node.errors import ConfigError
from tocsin_node.policy_file import LoadedPolicy, load_policy
from tocsin_node.setup_node import SAMPLE_POLICY
from tocsin_protocol.taxonomy import Category, Severity

REPOSITORY = Path(__file__).parents[2]
ACCOUNT = "eip155:1:0x" + "11" * 20
RULE = f"""
[[rule]]
name = "drain"
categories = ["asset.drain"]
min_severity = "critical"
min_confidence = 80
subjects = ["{ACCOUNT}"]
organisations = 2
hook = "pause"
"""


def load(directory: Path, text: str) -> LoadedPolicy:
    path = directory / "policy.toml"
    path.write_text(text)
    return load_policy(path, {"pause"})


def test_rule_is_read(tmp_path: Path) -> None:
    loaded = load(tmp_path, RULE)
    (rule,) = loaded.policy.rules
    assert rule.name == "drain"
    assert rule.categories == {Category.ASSET_DRAIN}
    assert rule.min_severity is Severity.CRITICAL
    assert (rule.min_confidence, rule.organisations, rule.hook) == (80, 2, "pause")
    assert rule.subjects == {ACCOUNT}
    assert loaded.warnings == ()


def test_family_stands_for_its_categories(tmp_path: Path) -> None:
    loaded = load(tmp_path, RULE.replace('"asset.drain"', '"governance.*", "key.compromise"'))
    assert loaded.policy.rules[0].categories == {
        Category.GOVERNANCE_MALICIOUS_PROPOSAL,
        Category.GOVERNANCE_TAKEOVER,
        Category.KEY_COMPROMISE,
    }


@pytest.mark.parametrize("text", ["", SAMPLE_POLICY])
def test_policy_without_rules_never_acts_and_says_so(tmp_path: Path, text: str) -> None:
    loaded = load(tmp_path, text)
    assert loaded.policy.rules == ()
    assert "never acts" in loaded.warnings[0]


def test_sample_holds_without_its_comment_signs(tmp_path: Path) -> None:
    rules = SAMPLE_POLICY[SAMPLE_POLICY.index("# [[rule]]") :].replace("# ", "", 1).replace("\n# ", "\n")
    assert len(load(tmp_path, rules.replace("pause-vault", "pause")).policy.rules) == 1


def test_example_is_taken() -> None:
    path = REPOSITORY / "deploy" / "policy.example.toml"
    assert len(load_policy(path, {"pause-vault", "page-on-call"}).policy.rules) == 2


def test_rule_on_one_voice_and_unused_hook_are_told(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(RULE.replace("organisations = 2", "organisations = 1"))
    warnings = load_policy(path, {"pause", "page"}).warnings
    assert any("no rule fires hook 'page'" in warning for warning in warnings)
    assert any("on the word of one organisation" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ('"asset.drain"', '"asset.drains"', "rule[0].categories[0] = 'asset.drains': a category such as"),
        ('"asset.drain"', '"assets.*"', "rule[0].categories[0] = 'assets.*': a category"),
        ('"asset.drain"', '"meta.drill"', "rule[0].categories[0] = 'meta.drill': a category"),
        ('"asset.drain"', '"meta.*"', "rule[0].categories[0] = 'meta.*': a category"),
        ('["asset.drain"]', "[]", "rule[0].categories = []"),
        ('"critical"', '"severe"', "rule[0].min_severity = 'severe': 'low', 'medium', 'high' or 'critical' is wanted"),
        ("= 80", "= 101", "rule[0].min_confidence = 101: "),
        ("= 80", "= 0.8", "rule[0].min_confidence = 0.8: a valid integer is wanted"),
        ("organisations = 2", "organisations = 0", "rule[0].organisations = 0: "),
        ("organisations = 2", "organisations = true", "rule[0].organisations = True: "),
        (f'"{ACCOUNT}"', "", "rule[0].subjects = []"),
        (ACCOUNT, ACCOUNT.replace("0x11", "0xAA"), "rule[0].subjects[0]: "),
        (ACCOUNT, "0x12", "rule[0].subjects[0]: '0x12' is not 0x and 64"),
        (ACCOUNT, "eip155:1/erc20:0x1", "rule[0].subjects[0]: '0x1' is not 0x and 40"),
        (ACCOUNT, "My Vault", "rule[0].subjects[0]: "),
        ('hook = "pause"', 'hook = "pauze"', "rule[0].hook = 'pauze': the name of a configured hook is wanted (pause)"),
        ('hook = "pause"', "", "rule[0].hook: is missing"),
        ('hook = "pause"', 'hooks = "pause"', "rule[0].hooks: is no known key: did you mean 'hook'?"),
        ('name = "drain"', 'name = "drain"\nlabel = "x"', "rule[0].label: is no known key"),
        ("[[rule]]", "[[rules]]", "rules: is no known key: did you mean 'rule'?"),
    ],
)  # fmt: skip
def test_each_fault_is_named(tmp_path: Path, old: str, new: str, wanted: str) -> None:
    assert old in RULE
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, RULE.replace(old, new))
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'policy.toml'}: {wanted}")
    assert "\n" not in message


def test_second_rule_of_a_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two rules have the same name"):
        load(tmp_path, RULE + RULE)


@pytest.mark.parametrize(
    "subject", ["eip155:1", "vyper 0.2.15", "aave-v2", "0x" + "ab" * 32, "eip155:1/erc20:0x" + "22" * 20]
)
def test_subjects_of_every_kind_are_taken(tmp_path: Path, subject: str) -> None:
    assert load(tmp_path, RULE.replace(ACCOUNT, subject)).policy.rules[0].subjects == {subject}
