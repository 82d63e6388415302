"""Coverage: which lever may answer which threat, whether in time, and what is missing. And what each lever is worth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tocsin_node.coverage import CATEGORIES, Coverage, find_coverage
from tocsin_node.policy_worth import find_worth
from tocsin_protocol.decision.levers import Lever
from tocsin_protocol.decision.policy import LossLimit, Policy
from tocsin_protocol.decision.tiers import Quorum, Tier
from tocsin_protocol.evidence.relevance import LOCAL_EVIDENCE
from tocsin_protocol.exposure.manifest import Amount, AmountSource, Holding, HoldingKind, Manifest, SubjectId
from tocsin_protocol.taxonomy import Category, SubjectKind

USD = 10**6
UNSEEN = (Category.FRONTEND_COMPROMISE, Category.INFRA_OUTAGE)


def holding(name: str, usd: int | None) -> Holding:
    amount = None if usd is None else Amount(usd * USD, 1, AmountSource.CHAIN)
    return Holding(name, HoldingKind.MARKET, (SubjectId(SubjectKind.ACCOUNT, "eip155:1:0x" + "11" * 20),), amount)


def lever(hook: str, tier: Tier, *scopes: str, effectiveness: int = 90, cost_usd: int = 1_000) -> Lever:
    if tier is Tier.NOTIFY:
        return Lever(hook, tier, frozenset(scopes), 0, 0, 0, 0, 1, 60)
    return Lever(hook, tier, frozenset(scopes), effectiveness, cost_usd * USD, 30, 0, 1, 60)


def limit(scope: str, latency_s: int = 10, **more: Any) -> LossLimit:
    """A million may be lost, at 50,000 a second: twenty seconds."""
    return LossLimit(scope, 1_000_000 * USD, 50_000 * 3600 * USD, latency_s * 1000, **more)


MANIFEST = Manifest("dex", (holding("eth", 5_000_000), holding("usdc", 80_000_000)), (), ())
LEVERS = (
    lever("page", Tier.NOTIFY, "eth", "usdc"),
    lever("caps", Tier.TIGHTEN, "eth", "usdc", effectiveness=40),
    lever("freeze", Tier.FREEZE, "usdc"),
    lever("pause", Tier.PAUSE, "eth", "usdc", effectiveness=98, cost_usd=100_000),
)
POLICY = Policy(levers=LEVERS, limits=(limit("eth"), limit("usdc")))


def hook_of(found: Coverage, category: Category, name: str) -> str | None:
    cell = next(cell for cell in found.cells if (cell.category, cell.holding) == (category, name))
    return cell.lever.hook if cell.lever else None


def test_highest_lever_that_a_threat_may_open_answers() -> None:
    found = find_coverage(POLICY, MANIFEST)
    assert len(found.cells) == len(CATEGORIES) * 2
    assert not any(category.family == "meta" for category in CATEGORIES)
    for category in CATEGORIES:
        wanted = "pause" if category in LOCAL_EVIDENCE else "caps"
        assert hook_of(found, category, "eth") == hook_of(found, category, "usdc") == wanted
    assert found.gaps == ()


def test_what_no_chain_shows_opens_no_more_than_caps() -> None:
    without = replace(POLICY, levers=tuple(lever for lever in LEVERS if lever.tier is not Tier.TIGHTEN))
    found = find_coverage(without, MANIFEST)
    assert hook_of(found, Category.INFRA_OUTAGE, "usdc") == "page"
    assert {(gap.holding, gap.categories) for gap in found.gaps} == {("eth", UNSEEN), ("usdc", UNSEEN)}
    assert all("tier 'tighten' is the most they open" in gap.what for gap in found.gaps)


def test_pause_that_the_roster_is_too_small_for_answers_nothing() -> None:
    assert hook_of(find_coverage(POLICY, MANIFEST, members=3), Category.ASSET_DRAIN, "usdc") == "freeze"
    assert hook_of(find_coverage(POLICY, MANIFEST, members=4), Category.ASSET_DRAIN, "usdc") == "pause"
    many = replace(POLICY, quorum=Quorum(pause=9))
    assert hook_of(find_coverage(many, MANIFEST, members=9), Category.ASSET_DRAIN, "eth") == "caps"


def test_condition_that_never_holds_for_a_threat_leaves_it_to_people() -> None:
    found = find_coverage(replace(POLICY, condition='category != "price.depeg"'), MANIFEST)
    assert hook_of(found, Category.PRICE_DEPEG, "usdc") == "page"
    assert hook_of(found, Category.ASSET_DRAIN, "usdc") == "pause"
    assert [gap.categories for gap in found.gaps] == [(Category.PRICE_DEPEG,)] * 2
    assert "condition never holds" in found.gaps[0].what
    assert find_coverage(replace(POLICY, condition="false"), MANIFEST).gaps[0].categories == ()


def test_holding_without_a_lever_is_a_gap() -> None:
    narrow = replace(POLICY, levers=(LEVERS[0], LEVERS[2]))
    gap, unseen = [gap for gap in find_coverage(narrow, MANIFEST).gaps if gap.holding == "eth"]
    assert set(gap.categories) == set(CATEGORIES) - set(UNSEEN)
    assert "add a [[lever]] of tier 'freeze' with scopes = [\"eth\"]" in gap.what
    assert unseen.categories == UNSEEN
    nothing = find_coverage(Policy(limits=POLICY.limits), MANIFEST)
    assert all(cell.lever is None for cell in nothing.cells)


@pytest.mark.parametrize(("latency_s", "beats"), [(19, True), (20, True), (21, False)])
def test_lever_beats_the_limit_or_comes_too_late(latency_s: int, beats: bool) -> None:
    found = find_coverage(replace(POLICY, limits=(limit("eth"), limit("usdc", latency_s))), MANIFEST)
    assert found.beats_mal("usdc") is beats
    assert [gap.what.partition(":")[0] for gap in found.gaps] == (
        [] if beats else ["it can drain past its limit in 20 s and a lever takes 21 (feasibility 0.95)"]
    )


def test_limit_that_is_acknowledged_is_no_gap_and_is_not_kept() -> None:
    found = find_coverage(replace(POLICY, limits=(limit("eth"), limit("usdc", 40, is_acknowledged=True))), MANIFEST)
    assert found.beats_mal("usdc") is False
    assert found.gaps == ()


def test_missing_limit_amount_and_arms_are_gaps() -> None:
    unpriced = replace(MANIFEST, holdings=(holding("eth", None), MANIFEST.holdings[1]))
    found = find_coverage(replace(POLICY, limits=(limit("eth"),)), unpriced, disarmed=["freeze"])
    assert found.beats_mal("usdc") is None
    amount, no_limit, arms = found.gaps
    assert (amount.holding, no_limit.holding, arms.holding) == ("eth", "usdc", "usdc")
    assert "give it an amount in manifest.toml" in amount.what
    assert 'add a [[limit]] with scope = "usdc"' in no_limit.what
    assert "tocsin arm freeze" in arms.what


def test_manifest_without_holdings_has_nothing_to_cover() -> None:
    found = find_coverage(POLICY, Manifest("dex", (), (), ()))
    assert (found.cells, found.gaps) == ((), ())


def test_each_lever_is_worth_using_above_its_threshold() -> None:
    eth, usdc = find_worth(POLICY, MANIFEST)
    assert [hook for hook, _ in usdc.steps] == ["freeze", "pause"]
    # c/(c + eL) of the first; extra cost against extra effect of the second
    assert usdc.steps[0][1] == pytest.approx(1_000 / (1_000 + 0.9 * 80e6), rel=1e-9)
    assert usdc.steps[1][1] == pytest.approx(99_000 / (99_000 + 0.08 * 80e6), rel=1e-9)
    assert usdc.never == (("caps", ("freeze",)),)
    assert [hook for hook, _ in eth.steps] == ["caps", "pause"]


def test_nothing_is_worth_using_for_what_has_no_known_value() -> None:
    (eth,) = find_worth(POLICY, Manifest("dex", (holding("eth", None),), (), ()))
    assert (eth.micro_usd, eth.steps) == (None, ())
