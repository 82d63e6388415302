"""From manifests to what an incident would cost us: graph, shock, spread, routes, loss."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from exposure_kit import (
    CHAIN,
    E_TOKEN,
    FAMILY,
    FEED,
    KEY,
    LENDER,
    LENDER_MARKET,
    OUR_VAULT,
    OURS,
    POOL,
    POOL_TOKEN,
    POOL_VAULT,
    READ_MS,
    USD,
    VYPER,
    account,
    compiler,
    hangs_on,
    holding,
    lineage,
    manifest,
    token,
    usd,
)
from hypothesis import given
from hypothesis import strategies as st
from protocol_kit import NOW_MS, make_signal
from strategies_kit import FIXED, signals
from tocsin_protocol.errors import ExposureError
from tocsin_protocol.exposure.graph import (
    Edge,
    ExposureGraph,
    Node,
    NodeKind,
    holding_node,
    make_graph,
    protocol_node,
    subject_node,
)
from tocsin_protocol.exposure.graph_building import MAX_PROTOCOLS, build_graph
from tocsin_protocol.exposure.local_loss import (
    MAX_AMOUNT_AGE_MS,
    MAX_SCORE,
    LocalLoss,
    assess_local_loss,
    score_against_mal,
)
from tocsin_protocol.exposure.manifest import Link, Manifest, SubjectId, Token, TokenKind
from tocsin_protocol.exposure.routes import MAX_ROUTE_NODES, MAX_ROUTE_STEPS, find_routes
from tocsin_protocol.exposure.shock import (
    SIMILAR_HIT,
    STAGE_SHOCK,
    Odds,
    find_shock,
    merge_shocks,
    similar_hits,
    touching_subjects,
)
from tocsin_protocol.exposure.spread import prepare_spread, spread_distress
from tocsin_protocol.model import Loss, Signal, Subject
from tocsin_protocol.taxonomy import Category, Role, Stage, SubjectKind

GRAPH = build_graph(OURS, (LENDER, POOL))
STABLE, ETH = holding_node("ours", "stable-market"), holding_node("ours", "eth-market")
NOTHING_STATED = Loss(0, 0, 0)
MAL = 1_000_000 * USD


def about(*subjects: SubjectId, role: Role = Role.VICTIM, **changes: Any) -> Signal:
    """A signal about these subjects that states no loss."""
    named = tuple(sorted(Subject(role, subject.kind, subject.value) for subject in subjects))
    return make_signal(**{"subjects": named, "loss": NOTHING_STATED, **changes})


def distress_of(graph: ExposureGraph, signal: Signal) -> dict[Node, float]:
    return spread_distress(prepare_spread(graph), find_shock(graph, signal))


def loss_of(graph: ExposureGraph, signal: Signal, belief: float = 1.0, now_ms: int = NOW_MS) -> LocalLoss:
    return assess_local_loss(prepare_spread(graph), find_shock(graph, signal), belief, MAL, now_ms)


# The graph


def test_harm_comes_through_two_protocols_to_us() -> None:
    distress = distress_of(GRAPH, about(LENDER_MARKET))
    boosted = distress[holding_node("pool", "boosted")]
    assert boosted == pytest.approx(0.513507)
    assert distress[protocol_node("pool")] == pytest.approx(0.513507)
    # Three quarters are hit; the rest runs the same code.
    assert distress[protocol_node("lender")] == pytest.approx(0.75 + 0.25 * SIMILAR_HIT[SubjectKind.LINEAGE])
    # Four of our ten million hang on the pool.
    assert distress[STABLE] == pytest.approx(0.513507 * 0.4)


def test_harm_passes_only_where_both_declare_it() -> None:
    liar = manifest("lender", holding("usdc", LENDER_MARKET, amount=usd(1)))  # issues no token
    graph = build_graph(OURS, (liar, POOL))
    assert STABLE not in distress_of(graph, about(LENDER_MARKET))
    assert distress_of(graph, about(E_TOKEN))[STABLE] == pytest.approx(0.513507 * 0.4)  # by its own name it still does
    claims_all = manifest(
        "liar",
        holding("all", account(0x666), amount=usd(1)),
        Token(E_TOKEN.value, TokenKind.LP, ""),
        Token(POOL_TOKEN.value, TokenKind.LP, ""),
    )
    assert set(distress_of(build_graph(OURS, (LENDER, POOL, claims_all)), about(account(0x666)))) == {
        subject_node(account(0x666)),
        holding_node("liar", "all"),
        protocol_node("liar"),
    }


def test_a_token_by_its_name_and_its_backing_do_not_count_twice() -> None:
    once = distress_of(GRAPH, about(E_TOKEN, role=Role.AT_RISK))
    both = distress_of(GRAPH, about(E_TOKEN, LENDER_MARKET, role=Role.AT_RISK))
    assert both[STABLE] == pytest.approx(once[STABLE])


def test_a_claim_on_a_whole_protocol_takes_the_part_that_is_hit() -> None:
    split = replace(
        POOL,
        holdings=(
            holding("boosted", POOL_VAULT, amount=usd(23_000_000)),
            holding("other", account(0xB9), amount=usd(23_000_000)),
        ),
    )
    distress = distress_of(build_graph(OURS, (LENDER, split)), about(POOL_VAULT))
    assert distress[protocol_node("pool")] == pytest.approx(0.5)
    assert distress[STABLE] == pytest.approx(0.5 * 0.4)


def test_without_an_amount_all_of_it_hangs() -> None:
    unpriced = replace(POOL, holdings=(holding("boosted", POOL_VAULT),))
    assert distress_of(build_graph(OURS, (unpriced,)), about(POOL_VAULT))[STABLE] == pytest.approx(0.4)
    ours = replace(OURS, holdings=(OURS.holdings[0], replace(OURS.holdings[1], amount=None)))
    assert distress_of(build_graph(ours, (POOL,)), about(POOL_VAULT))[STABLE] == 1


def test_an_amount_above_the_holding_is_all_of_it() -> None:
    small = replace(OURS, holdings=(OURS.holdings[0], replace(OURS.holdings[1], amount=usd(1))))
    assert distress_of(build_graph(small, (POOL,)), about(POOL_VAULT))[STABLE] == 1


def test_cycles_pass_distress_on() -> None:
    one = manifest(
        "one",
        holding("a", account(1), amount=usd(10)),
        Token(token(11).value, TokenKind.RECEIPT, "a"),
        hangs_on(token(12), Link.DEPOSIT, 0.5, on="a", provider="two"),
    )
    two = manifest(
        "two",
        holding("b", account(2), amount=usd(10)),
        Token(token(12).value, TokenKind.RECEIPT, "b"),
        hangs_on(token(11), Link.DEPOSIT, 0.24, on="b", provider="one"),
    )
    graph = build_graph(one, (two,))
    distress = spread_distress(prepare_spread(graph), {holding_node("one", "a"): 0.4})
    assert distress[holding_node("one", "a")] == pytest.approx(0.4 / (1 - 0.12))
    assert distress[holding_node("two", "b")] == pytest.approx(0.24 * 0.4 / (1 - 0.12))


def test_a_holding_may_hang_on_its_own_token() -> None:
    own = manifest(
        "loop",
        holding("a", account(1), amount=usd(10)),
        Token(token(11).value, TokenKind.RECEIPT, "a"),
        hangs_on(token(11), Link.COLLATERAL, 1.0, on="a", provider="loop"),
    )
    assert distress_of(build_graph(own), about(account(1), stage=Stage.PREPARATION))[holding_node("loop", "a")] == 1


def test_an_empty_graph_answers_nothing() -> None:
    graph = make_graph("ours", (), {})
    assert find_shock(graph, about(LENDER_MARKET)) == {}
    assert find_routes(graph, [FAMILY, CHAIN]) == ()
    assert loss_of(graph, about(LENDER_MARKET)) == LocalLoss((), 0, 0, 0.0, (), ())


A, B = holding_node("p", "a"), holding_node("p", "b")


@pytest.mark.parametrize("weight", [-0.1, 1.1, math.nan, math.inf])
def test_a_weight_that_is_none_is_refused(weight: float) -> None:
    with pytest.raises(ExposureError, match=r"weight .* of p/a on p/b"):
        Edge(A, B, Link.DEPOSIT, weight)


def test_a_graph_that_does_not_hold_together_is_refused() -> None:
    edge = Edge(A, B, Link.DEPOSIT, 0.5)
    with pytest.raises(ExposureError, match="p/b, which is no known holding"):
        make_graph("p", (edge,), {A: None})
    with pytest.raises(ExposureError, match="amount of p/a is -1000000"):
        make_graph("p", (edge,), {A: usd(-1), B: None})
    with pytest.raises(ExposureError, match="amount of p, which is a protocol"):
        make_graph("p", (), {protocol_node("p"): usd(1)})
    with pytest.raises(ExposureError, match="two manifests of one protocol"):
        build_graph(OURS, (LENDER, LENDER))
    many = [replace(LENDER, protocol=f"p{n}") for n in range(MAX_PROTOCOLS)]
    with pytest.raises(ExposureError, match="1025 manifests"):
        build_graph(OURS, many)


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf])
def test_a_shock_that_is_none_or_to_nobody_is_refused(value: float) -> None:
    spread = prepare_spread(GRAPH)
    with pytest.raises(ExposureError, match="shock to ours/stable-market"):
        spread_distress(spread, {STABLE: value})
    with pytest.raises(ExposureError, match="not in the graph"):
        spread_distress(spread, {holding_node("ours", "garden"): 0.5})


def test_parallel_links_add_up_to_the_whole_at_most() -> None:
    nodes: dict[Node, Any] = {A: None, B: None}
    two = [Edge(A, B, link, 0.4) for link in (Link.DEPOSIT, Link.LP)]
    assert spread_distress(prepare_spread(make_graph("p", two, nodes)), {A: 0.5})[B] == pytest.approx(0.4)
    three = [*two, Edge(A, B, Link.WRAPPED, 0.9)]
    assert spread_distress(prepare_spread(make_graph("p", three, nodes)), {A: 0.5})[B] == pytest.approx(0.5)


# The shock


def test_the_stage_says_how_much_is_still_to_come() -> None:
    for stage in Stage:
        assert find_shock(GRAPH, about(OUR_VAULT, stage=stage))[STABLE] == STAGE_SHOCK[stage]


def test_a_stated_loss_scales_others_and_never_ours() -> None:
    a_third = Loss(30_000_000 * USD, 0, 20_000_000 * USD)
    assert find_shock(GRAPH, about(LENDER_MARKET, loss=a_third))[holding_node("lender", "usdc")] == pytest.approx(1 / 3)
    assert find_shock(GRAPH, about(OUR_VAULT, loss=a_third))[STABLE] == 1
    unpriced = replace(LENDER, holdings=(holding("usdc", LENDER_MARKET),))
    assert find_shock(build_graph(OURS, (unpriced,)), about(LENDER_MARKET, loss=a_third))[
        holding_node("lender", "usdc")
    ] == pytest.approx(1)
    all_and_more = Loss(2**53 - 1, 0, 2**53 - 1)
    assert find_shock(GRAPH, about(LENDER_MARKET, loss=all_and_more))[holding_node("lender", "usdc")] == 1


@pytest.mark.parametrize("role", [role for role in Role if role not in (Role.VICTIM, Role.AT_RISK)])
def test_who_is_named_otherwise_is_not_touched(role: Role) -> None:
    assert find_shock(GRAPH, about(OUR_VAULT, FEED, role=role)) == {}


def test_what_was_taken_touches_nobody_who_holds_the_same() -> None:
    taken = about(account(0x999), E_TOKEN)
    assert touching_subjects(taken) == (account(0x999),)
    assert E_TOKEN in touching_subjects(about(E_TOKEN))
    assert E_TOKEN in touching_subjects(about(account(0x999), E_TOKEN, category=Category.PRICE_DEPEG))
    assert E_TOKEN in touching_subjects(about(account(0x999), E_TOKEN, role=Role.AT_RISK))


def test_a_chain_counts_only_when_nothing_narrower_is_named() -> None:
    assert touching_subjects(about(CHAIN)) == (CHAIN,)
    assert touching_subjects(about(CHAIN, OUR_VAULT)) == (OUR_VAULT,)


@pytest.mark.parametrize("category", [category for category in Category if category.family == "meta"])
def test_signals_about_signals_touch_nothing(category: Category) -> None:
    assert touching_subjects(about(OUR_VAULT, category=category)) == ()


def test_who_runs_the_code_of_one_that_is_hit_may_be_next() -> None:
    shock = find_shock(GRAPH, about(LENDER_MARKET))
    assert shock[ETH] == pytest.approx(SIMILAR_HIT[SubjectKind.LINEAGE] * 0.8)
    assert shock[holding_node("lender", "weth")] == pytest.approx(SIMILAR_HIT[SubjectKind.LINEAGE])
    assert STABLE not in shock


def test_a_shared_compiler_counts_only_where_it_is_named() -> None:
    twin = manifest("twin", holding("a", account(1)), hangs_on(VYPER, Link.COMPILER))
    graph = build_graph(OURS, (POOL, twin))
    assert holding_node("twin", "a") not in find_shock(graph, about(POOL_VAULT))
    assert holding_node("twin", "a") in find_shock(graph, about(VYPER))


def test_code_that_is_named_reaches_whoever_runs_it() -> None:
    assert find_shock(GRAPH, about(VYPER))[holding_node("pool", "boosted")] == SIMILAR_HIT[SubjectKind.DEPENDENCY]
    assert distress_of(GRAPH, about(VYPER))[STABLE] == pytest.approx(SIMILAR_HIT[SubjectKind.DEPENDENCY] * 0.4)
    assert find_shock(GRAPH, about(compiler("vyper 0.2.16"))) == {}


def test_similar_code_goes_one_hop() -> None:
    first = manifest("first", holding("a", account(1)), hangs_on(lineage("x"), Link.SIMILAR_CODE))
    both = manifest(
        "both",
        holding("b", account(2)),
        hangs_on(lineage("x"), Link.SIMILAR_CODE),
        hangs_on(lineage("y"), Link.SIMILAR_CODE),
    )
    last = manifest("last", holding("c", account(3)), hangs_on(lineage("y"), Link.SIMILAR_CODE))
    graph = build_graph(last, (first, both))
    shock = find_shock(graph, about(account(1)))
    assert holding_node("both", "b") in shock
    assert holding_node("last", "c") not in shock
    assert find_routes(graph, [account(1)]) == ()
    assert [hit.node for hit in similar_hits(graph, subject_node(lineage("y")))] == [
        holding_node("last", "c"),
        holding_node("both", "b"),
    ]


def test_odds_are_the_operators_and_checked() -> None:
    sure = Odds(similar=dict.fromkeys(SIMILAR_HIT, 1.0))
    assert find_shock(GRAPH, about(FAMILY), sure)[ETH] == pytest.approx(0.8)
    with pytest.raises(ExposureError, match="lack a stage"):
        Odds(stage={Stage.FUNDING: 0.5})
    with pytest.raises(ExposureError, match="odds of lineage is nan"):
        Odds(similar={**SIMILAR_HIT, SubjectKind.LINEAGE: math.nan})


@FIXED
@given(st.lists(signals(), max_size=4), st.permutations(range(4)))
def test_shocks_merge_in_any_order_and_any_number_of_times(known: list[Signal], order: list[int]) -> None:
    shocks = [find_shock(GRAPH, signal) for signal in (*known, about(OUR_VAULT), about(LENDER_MARKET))]
    forward: dict[Node, float] = {}
    for shock in shocks:
        forward = merge_shocks(forward, shock)
    backward: dict[Node, float] = {}
    for at in order:
        backward = merge_shocks(backward, shocks[at % len(shocks)])
    for shock in reversed(shocks + shocks):
        backward = merge_shocks(backward, shock)
    assert forward == backward
    assert all(0 < value <= 1 for value in forward.values())


# Routes


def told(graph: ExposureGraph, *subjects: SubjectId) -> dict[str, str]:
    return {route.holding: route.sentence for route in find_routes(graph, subjects)}


def test_a_route_names_its_path_and_weight() -> None:
    (route,) = [route for route in find_routes(GRAPH, [LENDER_MARKET]) if route.holding == "stable-market"]
    assert route.weight == pytest.approx(0.513507 * 0.4)
    assert [(str(step.link), str(step.node)) for step in route.steps] == [
        ("part", "lender/usdc"),
        ("part", f"lender/{E_TOKEN.key}"),
        ("deposit", "pool/boosted"),
        ("part", f"pool/{POOL_TOKEN.key}"),
        ("collateral", "ours/stable-market"),
    ]


def test_a_signal_about_a_dependency_routes_by_itself() -> None:
    assert told(GRAPH, VYPER).keys() == {"stable-market"}
    assert told(build_graph(OURS), FAMILY) == {"eth-market": "lineage compound-v2 → similar-code → ours/eth-market"}
    assert told(GRAPH, FAMILY).keys() == {"eth-market", "stable-market"}  # by the lender, a fork, too
    assert told(GRAPH, KEY).keys() == {"eth-market", "stable-market"}
    assert told(GRAPH, FEED).keys() == {"eth-market"}
    assert told(GRAPH, compiler("vyper 0.3.0")) == {}


def test_a_fork_of_what_is_hit_is_told_over_the_code_they_share() -> None:
    routes = {route.holding: route for route in find_routes(GRAPH, [LENDER_MARKET])}
    route = routes["eth-market"]
    assert [str(step.node) for step in route.steps] == ["lender/usdc", "lineage compound-v2", "ours/eth-market"]
    assert route.weight == pytest.approx(SIMILAR_HIT[SubjectKind.LINEAGE] * 0.8)


def test_a_chain_reaches_what_lies_on_it_without_weight_unless_the_manifest_gives_one() -> None:
    assert {route.holding: route.weight for route in find_routes(GRAPH, [CHAIN])} == {
        "stable-market": 0,
        "eth-market": 0,
    }
    assert loss_of(GRAPH, about(CHAIN)).at_stake_micro_usd == 0
    said = replace(OURS, dependencies=(*OURS.dependencies, hangs_on(CHAIN, Link.CHAIN, 0.1, on="eth-market")))
    assert {route.holding: route.weight for route in find_routes(build_graph(said), [CHAIN])} == {
        "eth-market": pytest.approx(0.1),
        "stable-market": 0,
    }


def test_the_strongest_path_is_told_and_cycles_end() -> None:
    ring = [holding_node("ours", f"h{n}") for n in range(4)]
    start = subject_node(FEED)
    edges = [Edge(one, two, Link.DEPOSIT, 0.9) for one, two in zip(ring, ring[1:] + ring[:1], strict=True)]
    edges += [Edge(start, ring[0], Link.ORACLE, 1.0), Edge(start, ring[3], Link.ORACLE, 0.1)]
    routes = {r.holding: r for r in find_routes(make_graph("ours", edges, dict.fromkeys(ring)), [FEED])}
    assert routes["h3"].weight == pytest.approx(0.9**3)
    assert len(routes) == 4


def test_a_path_that_is_too_long_is_not_told() -> None:
    chain = [holding_node("far", f"h{n}") for n in range(MAX_ROUTE_STEPS - 1)]
    nodes = [*chain, holding_node("ours", "x"), holding_node("ours", "y")]
    edges = [Edge(one, two, Link.LP, 1.0) for one, two in pairwise(nodes)]
    graph = make_graph("ours", [Edge(subject_node(FEED), nodes[0], Link.ORACLE, 1.0), *edges], dict.fromkeys(nodes))
    assert told(graph, FEED).keys() == {"x"}


# What it costs


def test_expected_local_loss_by_holding_and_in_all() -> None:
    loss = loss_of(GRAPH, about(LENDER_MARKET), belief=0.5)
    assert [part.holding for part in loss.holdings] == ["eth-market", "stable-market"]
    stable = loss.holdings[1]
    assert stable.amount_micro_usd == 10_000_000 * USD
    assert stable.at_stake_micro_usd == pytest.approx(0.2054028 * 10_000_000 * USD, rel=1e-9)
    assert loss.holdings[0].at_stake_micro_usd == pytest.approx(0.08 * 30_000_000 * USD, rel=1e-9)
    assert loss.at_stake_micro_usd == sum(part.at_stake_micro_usd for part in loss.holdings)
    assert loss.expected_micro_usd == pytest.approx(loss.at_stake_micro_usd / 2, abs=2)
    assert loss.score == pytest.approx(loss.expected_micro_usd / MAL)
    assert (loss.unpriced, loss.stale) == ((), ())


def test_missing_and_old_amounts_are_named() -> None:
    unpriced = replace(OURS, holdings=(replace(OURS.holdings[0], amount=None), OURS.holdings[1]))
    graph = build_graph(unpriced, (LENDER, POOL))
    loss = loss_of(graph, about(LENDER_MARKET), now_ms=READ_MS + MAX_AMOUNT_AGE_MS + 1)
    assert loss.unpriced == ("eth-market",)
    assert loss.stale == ("stable-market",)
    assert loss.holdings[-1].amount_micro_usd is None
    assert loss.holdings[-1].expected_micro_usd == 0
    assert loss_of(graph, about(LENDER_MARKET), now_ms=READ_MS + MAX_AMOUNT_AGE_MS).stale == ()
    assert loss_of(graph, about(LENDER_MARKET), now_ms=0).stale == ()


def test_a_search_for_routes_is_bounded() -> None:
    far = [holding_node("far", f"h{n}") for n in range(MAX_ROUTE_NODES)]
    ours = holding_node("ours", "x")
    edges = [Edge(subject_node(FEED), node, Link.ORACLE, 1.0) for node in far]
    edges += [Edge(node, ours, Link.LP, 0.5) for node in far]
    assert told(make_graph("ours", edges, dict.fromkeys([*far, ours])), FEED) == {}
    assert told(make_graph("ours", edges[2:], dict.fromkeys([*far, ours])), FEED).keys() == {"x"}


def test_a_score_is_finite_whatever_is_allowed() -> None:
    assert score_against_mal(0, 0) == 0
    assert score_against_mal(1, 0) == MAX_SCORE
    assert score_against_mal(3, 2) == 1.5
    for expected, mal in ((-1, 1), (1, -1), (1.5, 1)):
        with pytest.raises(ExposureError):
            score_against_mal(expected, mal)  # type: ignore[arg-type]


@pytest.mark.parametrize("belief", [-0.1, 1.1, math.nan, math.inf])
def test_a_belief_that_is_none_is_refused(belief: float) -> None:
    with pytest.raises(ExposureError, match="belief"):
        loss_of(GRAPH, about(LENDER_MARKET), belief)


# Whatever the manifests say

shares = st.one_of(st.sampled_from([1.0, 0.5]), st.floats(1e-6, 1))
money = st.one_of(st.none(), st.integers(0, 10**9).map(usd))


@st.composite
def meshes(draw: st.DrawFn) -> list[Manifest]:
    """Protocols that issue tokens to each other, in circles too."""
    size = draw(st.integers(1, 5))
    made = []
    for n in range(size):
        links = []
        for other in draw(st.sets(st.integers(0, size - 1))):
            kind = draw(st.sampled_from([Link.DEPOSIT, Link.LP, Link.COLLATERAL]))
            links.append(
                hangs_on(
                    token(100 + other),
                    kind,
                    draw(shares),
                    on=draw(st.sampled_from(["", "a"])),
                    provider=draw(st.sampled_from([f"p{other}", "", "p0"])),
                )
            )
        links += [
            hangs_on(lineage(name), Link.SIMILAR_CODE, draw(shares)) for name in draw(st.sets(st.sampled_from("xy")))
        ]
        made.append(
            manifest(
                f"p{n}",
                holding("a", account(10 + n), amount=draw(money)),
                holding("b", account(50 + n), amount=draw(money)),
                Token(token(100 + n).value, TokenKind.RECEIPT, draw(st.sampled_from(["", "a", "b"]))),
                *links,
            )
        )
    return made


subject_ids = st.one_of(
    st.integers(0, 4).map(lambda n: account(10 + n)),
    st.integers(0, 4).map(lambda n: token(100 + n)),
    st.sampled_from([lineage("x"), lineage("y"), CHAIN]),
)


@FIXED
@given(meshes(), st.lists(subject_ids, min_size=1, max_size=3, unique=True), st.floats(0, 1), st.sampled_from(Stage))
def test_losses_are_bounded_and_grow_with_belief(
    mesh: list[Manifest], subjects: list[SubjectId], belief: float, stage: Stage
) -> None:
    graph = build_graph(mesh[0], mesh[1:])
    signal = about(*subjects, stage=stage)
    shock = find_shock(graph, signal)
    spread = prepare_spread(graph)
    distress = spread_distress(spread, shock)
    assert all(0 < value <= 1 for value in distress.values())
    assert all(distress[node] >= value - 1e-12 for node, value in shock.items())
    loss = assess_local_loss(spread, shock, belief, MAL, NOW_MS)
    total = sum(amount.micro_usd for node, amount in graph.amounts.items() if amount and node.name == graph.own)
    assert 0 <= loss.expected_micro_usd <= loss.at_stake_micro_usd <= total
    assert math.isfinite(loss.score)
    surely = assess_local_loss(spread, shock, 1, MAL, NOW_MS)
    assert surely.expected_micro_usd == surely.at_stake_micro_usd == loss.at_stake_micro_usd
    # What a signal puts at stake, a route leads to.
    reached = {route.holding for route in find_routes(graph, touching_subjects(signal))}
    assert {part.holding for part in loss.holdings} <= reached


@FIXED
@given(meshes(), st.lists(subject_ids, min_size=1, max_size=3, unique=True), st.data())
def test_distress_is_monotone_in_the_shock(
    mesh: list[Manifest], subjects: list[SubjectId], data: st.DataObject
) -> None:
    graph = build_graph(mesh[0], mesh[1:])
    spread = prepare_spread(graph)
    shock = find_shock(graph, about(*subjects))
    less = {node: value * data.draw(st.floats(0, 1)) for node, value in shock.items()}
    more = spread_distress(spread, shock)
    for node, value in spread_distress(spread, less).items():
        assert value <= more[node] + 1e-9


@FIXED
@given(meshes(), st.lists(subject_ids, min_size=1, max_size=3, unique=True))
def test_distress_solves_its_own_equation(mesh: list[Manifest], subjects: list[SubjectId]) -> None:
    graph = build_graph(mesh[0], mesh[1:])
    shock = find_shock(graph, about(*subjects))
    distress = spread_distress(prepare_spread(graph), shock)
    weights: dict[tuple[Node, Node], float] = {}
    for edge in graph.edges:
        if edge.link not in (Link.SIMILAR_CODE, Link.COMPILER) and not (
            edge.link is Link.PART and edge.source.kind is NodeKind.SUBJECT
        ):
            key = edge.source, edge.target
            weights[key] = min(1.0, weights.get(key, 0.0) + edge.weight)
    for node in graph.nodes:
        inflow = sum(
            weight * distress.get(source, 0.0) for (source, target), weight in weights.items() if target == node
        )
        assert distress.get(node, 0.0) == pytest.approx(min(1.0, shock.get(node, 0.0) + inflow), abs=1e-9)
