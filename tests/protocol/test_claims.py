"""Claims: what each is paid, and the tree he claims from; roots are those of OpenZeppelin's own library."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies_kit import FIXED
from tocsin_protocol.errors import RecoveryError
from tocsin_protocol.recovery import claims as module
from tocsin_protocol.recovery.claims import MAX_AMOUNT, Claim, build_tree, claim_leaf, is_proven, pro_rata

USDC, DAI = bytes.fromhex(f"{0xA55E7:040x}"), b"\xda" * 20


def account(number: int) -> bytes:
    return number.to_bytes(20, "big")


def snapshot(size: int) -> list[Claim]:
    """The snapshot of which OPENZEPPELIN holds the roots."""
    return [Claim(account(n), USDC, 1000**n) for n in range(1, size + 1)]


# Roots, and proofs of the last claim, by StandardMerkleTree.of(…, ["address", "address", "uint256"]) of
# @openzeppelin/merkle-tree 1.0.8.
OPENZEPPELIN: dict[int, tuple[str, list[str]]] = {
    1: ("abc707e4fe4d104343c302443a029c25bbdf2969f8a8ad34c025d2f1a2eb9220", []),
    2: (
        "3e9f3d90df7d73fa2338f2a32bad36296b679bceb9009d037411575e188dfd4e",
        ["abc707e4fe4d104343c302443a029c25bbdf2969f8a8ad34c025d2f1a2eb9220"],
    ),
    3: (
        "2c31b81e67dccfd66de847d8af47fe528db71a33161a6f4fa719a781e1a565f7",
        [
            "902c90100bc5506c80ce2898dd07d609d0abefa859cc66f0e6b93b65ba629419",
            "abc707e4fe4d104343c302443a029c25bbdf2969f8a8ad34c025d2f1a2eb9220",
        ],
    ),
    5: (
        "8d65763fc25d2ff3386b9a7548ef9333f767c4d5184c35e3a3f033158bf3dc95",
        [
            "d7372a0ffbd6c185ed39874d89496f840482e3ce91bfe38890b03878673175d6",
            "3e9f3d90df7d73fa2338f2a32bad36296b679bceb9009d037411575e188dfd4e",
        ],
    ),
    8: (
        "7333c0f56a557f6d30c83b1f59074dcc22d2437c079b1b9ebd20ffc9a29f3ce8",
        [
            "c55d5c640befe720f005fc5c6c5a73e93e3c38afb7ca7fb00777196a7697a84b",
            "3e9f3d90df7d73fa2338f2a32bad36296b679bceb9009d037411575e188dfd4e",
            "ce7d1bc11bbff6b79855550f8fcd567c0f1e5fdf52e6814269ee46e98f4fa2b0",
        ],
    ),
}


@st.composite
def snapshots(draw: st.DrawFn) -> list[Claim]:
    amounts = st.integers(1, 10**6) | st.integers(1, MAX_AMOUNT)
    keys = st.tuples(st.integers(0, 40), st.sampled_from((USDC, DAI)))
    owed = draw(st.dictionaries(keys, amounts, min_size=1, max_size=24))
    return [Claim(account(number), asset, amount) for (number, asset), amount in owed.items()]


funds = st.integers(0, 10**6) | st.integers(0, MAX_AMOUNT)


@pytest.mark.parametrize("size", OPENZEPPELIN)
def test_roots_and_proofs_are_those_of_openzeppelin(size: int) -> None:
    root, proof = OPENZEPPELIN[size]
    tree = build_tree(snapshot(size))
    assert tree.root.hex() == root
    assert [node.hex() for node in tree.proof(snapshot(size)[-1])] == proof


def test_a_tree_does_not_depend_on_the_order_of_the_snapshot() -> None:
    assert len({build_tree(order).root for order in permutations(snapshot(4))}) == 1


@FIXED
@given(snapshots())
def test_every_claim_is_proven_and_no_other(claims: list[Claim]) -> None:
    tree = build_tree(claims)
    for claim in claims:
        proof = tree.proof(claim)
        assert is_proven(tree.root, claim, proof)
        assert len(proof) <= len(claims).bit_length()
        more = Claim(claim.account, claim.asset, claim.amount % MAX_AMOUNT + 1)
        assert more in claims or not is_proven(tree.root, more, proof)
        other = Claim(claim.account, b"\x0f" * 20, claim.amount)
        assert not is_proven(tree.root, other, proof)
        with pytest.raises(RecoveryError, match="not in the tree"):
            tree.proof(other)


def test_an_inner_node_is_no_leaf() -> None:
    tree = build_tree(snapshot(4))
    assert not set(tree.nodes[:3]) & {claim_leaf(claim) for claim in snapshot(4)}
    assert len(tree.nodes) == 7


@FIXED
@given(snapshots(), funds, funds)
def test_payouts_are_the_fund_or_all_that_is_owed(claims: list[Claim], usdc: int, dai: int) -> None:
    paid = pro_rata(claims, {USDC: usdc, DAI: dai})
    for asset, fund in ((USDC, usdc), (DAI, dai)):
        owed = {claim.account: claim.amount for claim in claims if claim.asset == asset}
        got = {claim.account: claim.amount for claim in paid if claim.asset == asset}
        assert sum(got.values()) == min(fund, sum(owed.values()))
        for who, amount in owed.items():
            assert got.get(who, 0) <= amount
            exact, rest = divmod(amount * min(fund, sum(owed.values())), sum(owed.values()))
            assert got.get(who, 0) - exact in ((0, 1) if rest else (0,))
        assert all(got.get(a, 0) <= got.get(b, 0) + 1 for a in owed for b in owed if owed[a] <= owed[b])


@FIXED
@given(snapshots(), funds, st.randoms(use_true_random=False))
def test_payouts_do_not_depend_on_the_order_of_the_snapshot(claims: list[Claim], fund: int, chance: Any) -> None:
    shuffled = list(claims)
    chance.shuffle(shuffled)
    assert pro_rata(shuffled, {USDC: fund}) == pro_rata(claims, {USDC: fund})


def test_what_floors_leave_goes_to_the_largest_remainders_and_then_the_lowest_account() -> None:
    owed = [Claim(account(n), USDC, amount) for n, amount in ((1, 1), (2, 1), (3, 1), (4, 4))]
    # 5 of 7: shares are 0 5/7 three times, and 2 6/7.
    assert [claim.amount for claim in pro_rata(owed, {USDC: 5})] == [1, 1, 3]
    assert [claim.account for claim in pro_rata(owed, {USDC: 5})] == [account(1), account(2), account(4)]


def test_an_asset_without_a_fund_pays_nothing_and_a_full_fund_pays_all() -> None:
    assert pro_rata(snapshot(3), {}) == ()
    assert pro_rata(snapshot(3), {USDC: MAX_AMOUNT}) == tuple(snapshot(3))


def test_payouts_make_a_tree() -> None:
    paid = pro_rata(snapshot(8), {USDC: 10**9})
    tree = build_tree(paid)
    assert all(is_proven(tree.root, claim, tree.proof(claim)) for claim in paid)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Claim(b"", USDC, 1), "account is b''"),
        (lambda: Claim(account(1), bytes(32), 1), "asset is"),
        (lambda: Claim(account(1), USDC, 0), "amount is 0"),
        (lambda: Claim(account(1), USDC, MAX_AMOUNT + 1), "amount is"),
        (lambda: Claim(account(1), USDC, True), "amount is True"),
        (lambda: build_tree([]), "none"),
        (lambda: build_tree([Claim(account(1), USDC, 1), Claim(account(1), USDC, 2)]), "stands twice"),
        (lambda: pro_rata([Claim(account(1), USDC, 1)] * 2, {}), "stands twice"),
        (lambda: pro_rata(snapshot(1), {USDC: -1}), "fund of 0x0+a55e7: amount is -1"),
    ],
)
def test_bad_claims_are_named(make: Any, named: str) -> None:
    with pytest.raises(RecoveryError, match=named):
        make()


def test_more_claims_than_a_tree_may_hold_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CLAIMS", 3)
    assert build_tree(snapshot(3)).root
    with pytest.raises(RecoveryError, match="4 claims where at most 3"):
        build_tree(snapshot(4))
