"""The sections of manifest.toml, and what their texts may be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, AwareDatetime, Field, model_validator
from tocsin_protocol.encoding import MAX_UINT
from tocsin_protocol.errors import DecodeError
from tocsin_protocol.exposure.manifest import (
    MAX_DEPENDENCIES,
    MAX_HOLDING_SUBJECTS,
    MAX_HOLDINGS,
    MAX_TOKENS,
    AmountSource,
    HoldingKind,
    SubjectId,
    TokenKind,
)
from tocsin_protocol.ids import (
    chain_of,
    check_account_id,
    check_asset_id,
    check_chain_id,
    check_dependency,
    check_hash,
    check_slug,
)
from tocsin_protocol.quantities import MAX_MICRO_USD
from tocsin_protocol.taxonomy import SubjectKind

from .chain.config import check_eip155_chain
from .toml_files import Section

MICRO = 1_000_000
MAX_BALANCES = 16
"""That one amount is the sum of."""
MAX_DECIMALS = 36
_CHECKS: dict[SubjectKind, Callable[[str], str]] = {
    SubjectKind.DEPENDENCY: check_dependency,
    SubjectKind.ASSET: check_asset_id,
    SubjectKind.CODE_HASH: check_hash,
    SubjectKind.ACCOUNT: check_account_id,
    SubjectKind.CHAIN: check_chain_id,
    SubjectKind.LINEAGE: check_slug,
}


def subject_of(text: str) -> SubjectId:
    """A subject of the kind that its id looks like; raises DecodeError in the words of that kind."""
    if " " in text:
        kind = SubjectKind.DEPENDENCY
    elif "/" in text:
        kind = SubjectKind.ASSET
    elif text.startswith("0x"):
        kind = SubjectKind.CODE_HASH
    elif ":" in text:
        kind = SubjectKind.ACCOUNT if text.count(":") > 1 else SubjectKind.CHAIN
    else:
        kind = SubjectKind.LINEAGE
    return SubjectId(kind, _CHECKS[kind](text))


def _checked(check: Callable[[str], str]) -> Callable[[str], str]:
    def run(text: str) -> str:
        try:
            return check(text)
        except DecodeError as exc:
            raise ValueError(f"{exc}{_lower_case(text)}") from exc

    return run


def _lower_case(text: str) -> str:
    """Addresses are copied from explorers in mixed case; here each has one spelling."""
    try:
        subject = subject_of(text.lower())
    except DecodeError:
        return ""
    return f": write {subject.value}" if "0x" in subject.value else ""


def check_countable(text: str) -> str:
    """An asset of which an account has a balance: a chain's own, or an ERC-20 token."""
    asset = _checked(check_asset_id)(text)
    if "/erc20:" not in asset and "/slip44:" not in asset:
        raise ValueError(f"{asset} has no balance that can be read: erc20 or slip44 is wanted")
    check_eip155_chain(chain_of(asset))
    return asset


_Name = Annotated[str, AfterValidator(_checked(check_slug))]
_Subject = Annotated[str, AfterValidator(_checked(lambda text: subject_of(text).value))]
_Asset = Annotated[str, AfterValidator(_checked(check_asset_id))]
_Usd = Annotated[float, Field(ge=0, le=MAX_MICRO_USD // MICRO, allow_inf_nan=False)]


class BalanceSection(Section):
    """What one account holds of one asset, at the operator's price for a whole unit of it."""

    account: Annotated[str, AfterValidator(_checked(check_account_id))]
    asset: Annotated[str, AfterValidator(check_countable)]
    decimals: int = Field(ge=0, le=MAX_DECIMALS)
    usd_each: _Usd

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if chain_of(self.account) != chain_of(self.asset):
            raise ValueError(f"account and asset are of two chains: {chain_of(self.account)}, {chain_of(self.asset)}")
        return self


class AmountSection(Section):
    """What lies there, when that was read, and where; with balances the node reads it again by itself."""

    usd: _Usd
    read: AwareDatetime
    source: AmountSource = AmountSource.DECLARED
    balances: list[BalanceSection] = Field(default=[], max_length=MAX_BALANCES)


class BoundsSection(Section):
    """The answers of an oracle that a holding accepts."""

    low_usd: _Usd
    high_usd: _Usd
    max_age_s: int = Field(ge=1, le=MAX_UINT // 1000)


class HoldingSection(Section):
    """A part of the protocol with value in it."""

    name: _Name
    kind: HoldingKind
    subjects: list[_Subject] = Field(min_length=1, max_length=MAX_HOLDING_SUBJECTS)
    amount: AmountSection | None = None


class TokenSection(Section):
    """A token that the protocol issues; without a holding, a claim on all of it."""

    asset: _Asset
    kind: TokenKind
    holding: str = ""


class DependencySection(Section):
    """A subject that a holding, or without one all of them, hangs on."""

    holding: str = ""
    link: Literal[
        "collateral", "deposit", "lp", "oracle", "bridge", "wrapped", "admin-key", "similar-code", "compiler", "chain"
    ]
    subject: _Subject
    provider: _Name | None = None
    share_percent: float = Field(default=100.0, gt=0, le=100, allow_inf_nan=False)
    amount: AmountSection | None = None
    bounds: BoundsSection | None = None


class ManifestDocument(Section):
    """All of manifest.toml."""

    version: Literal[1] = 1
    protocol: _Name
    holding: list[HoldingSection] = Field(default=[], max_length=MAX_HOLDINGS)
    token: list[TokenSection] = Field(default=[], max_length=MAX_TOKENS)
    dependency: list[DependencySection] = Field(default=[], max_length=MAX_DEPENDENCIES)
