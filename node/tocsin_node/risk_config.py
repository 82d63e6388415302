"""Which subjects this node reports about, for which oracle contract: the section [risk] of node.toml."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, field_validator
from tocsin_protocol.errors import DecodeError
from tocsin_protocol.ids import check_account_id
from tocsin_protocol.risk.report import OracleDomain
from tocsin_protocol.taxonomy import Tlp

from .toml_files import FilePath, Section

MAX_RISK_SUBJECTS = 32
MAX_RISK_FEEDS = 32
# A million million USD is all there is; whole dollars, as in policies.
MAX_TVL_USD = 10**12
# How much of what others said may count in a report that is public: of marks above these, nothing ever.
MARKS = (Tlp.CLEAR, Tlp.GREEN, Tlp.AMBER)


def _check_oracle(text: str) -> str:
    try:
        return OracleDomain(text).account
    except DecodeError as exc:
        raise ValueError(str(exc)) from exc


def _check_account(text: str) -> str:
    try:
        return check_account_id(text)
    except DecodeError as exc:
        raise ValueError(str(exc)) from exc


def _check_mark(text: str) -> str:
    if text not in MARKS:
        raise ValueError(f"one of {', '.join(MARKS)} is wanted")
    return text


OracleId = Annotated[str, AfterValidator(_check_oracle)]
AccountId = Annotated[str, AfterValidator(_check_account)]


class RiskSubject(Section):
    """A subject to report about, and what lies there: wanted where our own manifest does not say it."""

    id: AccountId
    tvl_usd: int | None = Field(default=None, ge=0, le=MAX_TVL_USD)


class RiskFeed(Section):
    """Another signer's feed, and the file with our key to it."""

    url: str = Field(pattern=r"^https?://[^\s/]+/?$", max_length=256)
    key_file: FilePath | None = None


class RiskSection(Section):
    """What this node signs risk reports about; without an oracle none."""

    oracle: OracleId | None = None
    counts: Annotated[str, AfterValidator(_check_mark)] = Tlp.GREEN.value
    model: FilePath | None = None
    subjects: tuple[RiskSubject, ...] = Field(default=(), alias="subject", max_length=MAX_RISK_SUBJECTS)
    feeds: tuple[RiskFeed, ...] = Field(default=(), alias="feed", max_length=MAX_RISK_FEEDS)

    @field_validator("subjects")
    @classmethod
    def _check_once(cls, subjects: tuple[RiskSubject, ...]) -> tuple[RiskSubject, ...]:
        if len({subject.id for subject in subjects}) != len(subjects):
            raise ValueError("a subject is named twice")
        return subjects

    def may_count(self, tlp: Tlp) -> bool:
        """Whether what somebody else marked so may count in a public report."""
        return tlp in MARKS and MARKS.index(tlp) <= MARKS.index(Tlp(self.counts))
