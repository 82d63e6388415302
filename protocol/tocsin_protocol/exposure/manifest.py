"""What a protocol holds and what it hangs on, as values (specs/exposure.md)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from ..ids import address_of, chain_of
from ..taxonomy import SubjectKind

MAX_HOLDINGS = 64
MAX_HOLDING_SUBJECTS = 8
MAX_TOKENS = 64
MAX_DEPENDENCIES = 256
# A dependency that bears on every holding is as many links as there are holdings.
MAX_LINKS = 1_024
SHARE_WHOLE_PPM = 1_000_000
# The signals of a busy incident name the same few subjects over and over.
_MAX_KEPT = 4_096


class Link(StrEnum):
    """How one thing hangs on another. `part` is never written: subjects of holdings, and those of protocols."""

    COLLATERAL = "collateral"
    DEPOSIT = "deposit"
    LP = "lp"
    ORACLE = "oracle"
    BRIDGE = "bridge"
    WRAPPED = "wrapped"
    ADMIN_KEY = "admin-key"
    SIMILAR_CODE = "similar-code"
    COMPILER = "compiler"
    CHAIN = "chain"
    PART = "part"


# Shared code passes on no loss: it says where the same flaw may be. It is reckoned apart, and one hop far.
CODE_LINKS = frozenset((Link.SIMILAR_CODE, Link.COMPILER))

_VALUE_KINDS = frozenset((SubjectKind.ASSET, SubjectKind.ACCOUNT))
LINK_SUBJECTS = {
    Link.COLLATERAL: _VALUE_KINDS,
    Link.DEPOSIT: _VALUE_KINDS,
    Link.LP: _VALUE_KINDS,
    Link.ORACLE: frozenset((SubjectKind.ACCOUNT,)),
    Link.BRIDGE: _VALUE_KINDS,
    Link.WRAPPED: _VALUE_KINDS,
    Link.ADMIN_KEY: frozenset((SubjectKind.ACCOUNT,)),
    Link.SIMILAR_CODE: frozenset((SubjectKind.CODE_HASH, SubjectKind.LINEAGE)),
    Link.COMPILER: frozenset((SubjectKind.DEPENDENCY,)),
    Link.CHAIN: frozenset((SubjectKind.CHAIN,)),
}


class HoldingKind(StrEnum):
    """What a part of a protocol is."""

    ASSET = "asset"
    MARKET = "market"
    POOL = "pool"
    BRIDGE = "bridge"


class TokenKind(StrEnum):
    """What a token that a protocol issues is a claim on: a share of a pool, or a deposit."""

    LP = "lp"
    RECEIPT = "receipt"


class AmountSource(StrEnum):
    """Where an amount was read."""

    CHAIN = "chain"
    FEED = "feed"
    DECLARED = "declared"


@lru_cache(_MAX_KEPT)
def subject_key(kind: SubjectKind, value: str) -> str:
    """The key of a subject: a token is its contract, whichever id names it."""
    if kind is SubjectKind.ASSET:
        chain, asset, *token = value.split("/")
        if asset.startswith("erc") and not token:
            return f"{SubjectKind.ACCOUNT} {chain}:{address_of(value)}"
    return f"{kind} {value}"


@dataclass(frozen=True, slots=True, order=True)
class SubjectId:
    """A subject without the part it plays in any signal."""

    kind: SubjectKind
    value: str

    @property
    def key(self) -> str:
        """The one name under which signals and manifests meet."""
        return subject_key(self.kind, self.value)

    @property
    def chain(self) -> str | None:
        """The CAIP-2 chain it lies on; None for what lies on none."""
        return chain_of(self.value) if self.kind in _VALUE_KINDS else None


@dataclass(frozen=True, slots=True, order=True)
class Amount:
    """Micro-USD, when it was read (UTC ms), and where."""

    micro_usd: int
    read_ms: int
    source: AmountSource


@dataclass(frozen=True, slots=True, order=True)
class PriceBounds:
    """The answers of an oracle that a holding accepts: from, to (micro-USD), and how old they may be (ms)."""

    low_micro_usd: int
    high_micro_usd: int
    max_age_ms: int


@dataclass(frozen=True, slots=True)
class Holding:
    """A part of a protocol with value in it: its own contracts, and what lies there; no amount: not known."""

    name: str
    kind: HoldingKind
    subjects: tuple[SubjectId, ...]
    amount: Amount | None


@dataclass(frozen=True, slots=True)
class Token:
    """A token the protocol issues, a claim on one holding; an empty name: on the whole protocol."""

    asset: str
    kind: TokenKind
    holding: str


@dataclass(frozen=True, slots=True)
class Dependency:
    """A subject that a holding hangs on; an empty holding: all of them do.

    `provider` names the protocol whose subject it is, or is empty. `amount` is the value that hangs on it (none: all
    of the holding), `share_ppm` the part of that which is lost when the subject fails altogether.
    """

    holding: str
    link: Link
    subject: SubjectId
    provider: str
    share_ppm: int
    amount: Amount | None = None
    bounds: PriceBounds | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one protocol holds, issues and hangs on."""

    protocol: str
    holdings: tuple[Holding, ...]
    tokens: tuple[Token, ...]
    dependencies: tuple[Dependency, ...]


@dataclass(frozen=True, slots=True)
class SignedManifest:
    """A manifest's body with who signed it and when; nothing of it has been checked."""

    publisher: bytes
    issued_ms: int
    body: bytes
    signature: bytes
