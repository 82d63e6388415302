"""Who is owed what after a loss: pro-rata payouts, and a Merkle root from which each can claim (specs/recovery.md).

The tree is the StandardMerkleTree of OpenZeppelin over (address account, address asset, uint256 amount), whose proofs
OpenZeppelin's MerkleProof checks on chain. Amounts are integers in the asset's own smallest unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..errors import RecoveryError
from ..ids import PUBLISHER_BYTES
from ..signing import keccak256

# A snapshot of the largest lender; the tree takes some 200 bytes a claim.
MAX_CLAIMS = 1_000_000
MAX_AMOUNT = 2**256 - 1


@dataclass(frozen=True, slots=True, order=True)
class Claim:
    """What an account (20 bytes) is owed of an asset (20 bytes). Raises RecoveryError."""

    account: bytes
    asset: bytes
    amount: int

    def __post_init__(self) -> None:
        for name in ("account", "asset"):
            value = getattr(self, name)
            if type(value) is not bytes or len(value) != PUBLISHER_BYTES:
                raise RecoveryError(f"claim: {name} is {value!r}, not an address of {PUBLISHER_BYTES} bytes")
        if type(self.amount) is not int or not 1 <= self.amount <= MAX_AMOUNT:
            raise RecoveryError(f"claim of 0x{self.account.hex()}: amount is {self.amount!r}, not 1…2^256-1")


@dataclass(frozen=True, slots=True)
class ClaimsTree:
    """A Merkle tree over claims: `nodes[0]` is the root, children of n stand at 2n+1 and 2n+2."""

    nodes: tuple[bytes, ...]
    places: Mapping[Claim, int]

    @property
    def root(self) -> bytes:
        """What governance puts on chain; 32 bytes."""
        return self.nodes[0]

    def proof(self, claim: Claim) -> tuple[bytes, ...]:
        """The siblings from a claim's leaf up to the root; raises RecoveryError for a claim that is not in the tree."""
        place = self.places.get(claim)
        if place is None:
            raise RecoveryError(f"claim of 0x{claim.account.hex()} over {claim.amount} is not in the tree")
        siblings = []
        while place:
            siblings.append(self.nodes[place + 1 if place % 2 else place - 1])
            place = (place - 1) // 2
        return tuple(siblings)


def pro_rata(claims: Iterable[Claim], funds: Mapping[bytes, int]) -> tuple[Claim, ...]:
    """What each claim is paid out of its asset's fund, in the order of accounts; who gets nothing is left out.

    Largest remainder (Hamilton's method): each gets the floor of his share, and what is left goes by single units to
    the largest remainders, of equal ones to the lowest account.
    """
    by_asset: dict[bytes, list[Claim]] = {}
    for claim in _checked(claims):
        by_asset.setdefault(claim.asset, []).append(claim)
    for asset, fund in funds.items():
        if type(fund) is not int or not 0 <= fund <= MAX_AMOUNT:
            raise RecoveryError(f"fund of 0x{asset.hex()}: amount is {fund!r}, not 0…2^256-1")
    return tuple(sorted(paid for asset, owed in by_asset.items() for paid in _paid(owed, funds.get(asset, 0))))


def build_tree(claims: Iterable[Claim]) -> ClaimsTree:
    """The tree over a snapshot, the same in whatever order it is given; raises RecoveryError for none or one twice."""
    leaves = sorted((claim_leaf(claim), claim) for claim in _checked(claims))
    if not leaves:
        raise RecoveryError("claims: none, where a tree needs one at least")
    size = 2 * len(leaves) - 1
    nodes = [b""] * size
    # [CLAIM] Leaves stand in the order of their hashes, from the last place down; a parent hashes its children sorted.
    for place, (leaf, _) in enumerate(leaves):
        nodes[size - 1 - place] = leaf
    for place in range(len(leaves) - 2, -1, -1):
        nodes[place] = _pair(nodes[2 * place + 1], nodes[2 * place + 2])
    return ClaimsTree(tuple(nodes), {claim: size - 1 - place for place, (_, claim) in enumerate(leaves)})


def claim_leaf(claim: Claim) -> bytes:
    """The leaf of a claim; 32 bytes."""
    words = claim.account.rjust(32, b"\0") + claim.asset.rjust(32, b"\0") + claim.amount.to_bytes(32, "big")
    # [CLAIM] A leaf is hashed twice, so that no inner node can be shown as a leaf.
    return keccak256(keccak256(words))


def is_proven(root: bytes, claim: Claim, proof: Sequence[bytes]) -> bool:
    """Whether a proof leads from a claim to the root, as MerkleProof.verify says."""
    node = claim_leaf(claim)
    for sibling in proof:
        node = _pair(node, sibling)
    return node == root


def _paid(owed: list[Claim], fund: int) -> list[Claim]:
    total = sum(claim.amount for claim in owed)
    # [CLAIM] Nobody is paid more than he is owed, and all together the fund or what is owed, whichever is less.
    paying = min(fund, total)
    shares = [divmod(claim.amount * paying, total) for claim in owed]
    left = paying - sum(share for share, _ in shares)
    # [CLAIM] What floors leave goes by single units to the largest remainders, of equal ones to the lowest account.
    first = sorted(range(len(owed)), key=lambda at: (-shares[at][1], owed[at].account))[:left]
    extra = set(first)
    amounts = [share + (at in extra) for at, (share, _) in enumerate(shares)]
    return [Claim(c.account, c.asset, amount) for c, amount in zip(owed, amounts, strict=True) if amount]


def _checked(claims: Iterable[Claim]) -> list[Claim]:
    found = list(claims)
    if len(found) > MAX_CLAIMS:
        raise RecoveryError(f"{len(found)} claims where at most {MAX_CLAIMS} are allowed")
    # [CLAIM] An account has one claim to an asset.
    if len({(claim.account, claim.asset) for claim in found}) != len(found):
        raise RecoveryError("claims: one account stands twice with one asset")
    return found


def _pair(one: bytes, other: bytes) -> bytes:
    return keccak256(min(one, other) + max(one, other))
