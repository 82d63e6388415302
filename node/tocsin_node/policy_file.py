"""The operator's policy: a TOML file of rules, read into the core's Policy.

[[rule]]
name = "pause on a drain of ours"
categories = ["asset.*", "key.compromise"]
min_severity = "critical"
min_confidence = 70
subjects = ["eip155:1:0x…"]
organisations = 2
hook = "pause-vault"
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field
from tocsin_protocol.errors import DecodeError, PolicyError
from tocsin_protocol.ids import (
    check_account_id,
    check_asset_id,
    check_chain_id,
    check_dependency,
    check_hash,
    check_slug,
)
from tocsin_protocol.policy import MAX_RULES, Policy, Rule
from tocsin_protocol.taxonomy import Category, Severity

from .errors import ConfigError
from .toml_files import Section, load_toml

MAX_SUBJECTS_PER_RULE = 4096
MAX_ORGANISATIONS = 256

# Updates, retractions and drills speak about other signals: a rule on them alone would act on nothing.
_META_FAMILY = "meta"


class _RuleSection(Section):
    name: str = Field(min_length=1, max_length=100)
    categories: list[str] = Field(min_length=1, max_length=2 * len(Category))
    min_severity: Severity
    min_confidence: int = Field(ge=0, le=100)
    subjects: list[str] = Field(min_length=1, max_length=MAX_SUBJECTS_PER_RULE)
    organisations: int = Field(ge=1, le=MAX_ORGANISATIONS)
    hook: str


class _PolicyFile(Section):
    rule: list[_RuleSection] = Field(default=[], max_length=MAX_RULES)


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A policy with what the operator should be told about it."""

    policy: Policy
    warnings: tuple[str, ...]


def load_policy(path: Path, hooks: Collection[str]) -> LoadedPolicy:
    """Read a policy whose rules may name these hooks; raises ConfigError naming rule and key."""
    sections = load_toml(path, _PolicyFile).rule
    rules = tuple(_rule(path, f"rule[{place}]", section, hooks) for place, section in enumerate(sections))
    try:
        policy = Policy(rules)
    except PolicyError as exc:
        raise ConfigError(path, "rule", str(exc)) from exc
    return LoadedPolicy(policy, tuple(_warnings(path, policy, hooks)))


def subject_of(text: str) -> str:
    """Return a subject id of any kind; raises DecodeError in the words of the kind it looks like."""
    check: Callable[[str], str]
    if " " in text:
        check = check_dependency
    elif "/" in text:
        check = check_asset_id
    elif text.startswith("0x"):
        check = check_hash
    elif text.count(":") >= 2:
        check = check_account_id
    elif ":" in text:
        check = check_chain_id
    else:
        check = check_slug
    return check(text)


def _rule(path: Path, where: str, section: _RuleSection, hooks: Collection[str]) -> Rule:
    categories: set[Category] = set()
    for place, text in enumerate(section.categories):
        matched = _categories(text)
        if not matched:
            raise ConfigError(
                path,
                f"{where}.categories[{place}]",
                "a category such as 'asset.drain', or a family such as 'asset.*', is wanted",
                found=text,
            )
        categories |= matched
    for place, text in enumerate(section.subjects):
        try:
            subject_of(text)
        except DecodeError as exc:
            raise ConfigError(path, f"{where}.subjects[{place}]", str(exc)) from exc
    if section.hook not in hooks:
        known = ", ".join(sorted(hooks)) or "none"
        raise ConfigError(
            path, f"{where}.hook", f"the name of a configured hook is wanted ({known})", found=section.hook
        )
    return Rule(
        name=section.name,
        categories=frozenset(categories),
        min_severity=section.min_severity,
        min_confidence=section.min_confidence,
        subjects=frozenset(section.subjects),
        organisations=section.organisations,
        hook=section.hook,
    )


def _categories(text: str) -> set[Category]:
    family, _, kind = text.partition(".")
    if kind == "*":
        return {category for category in Category if category.family == family != _META_FAMILY}
    return {category for category in Category if category == text and category.family != _META_FAMILY}


def _warnings(path: Path, policy: Policy, hooks: Collection[str]) -> list[str]:
    if not policy.rules:
        return [f"{path} has no rules: this node never acts, it only listens, publishes and records"]
    used = {rule.hook for rule in policy.rules}
    warnings = [f"{path}: no rule fires hook {hook!r}" for hook in sorted(set(hooks) - used)]
    warnings += [
        f"{path}: rule {rule.name!r} fires hook {rule.hook!r} on the word of one organisation"
        for rule in policy.rules
        if rule.organisations == 1
    ]
    return warnings
