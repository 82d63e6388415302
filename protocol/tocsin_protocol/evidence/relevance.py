"""Which claims count as local evidence: of the right kind, about the right subject, and not by a stranger's word."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache

from ..errors import DecodeError
from ..ids import account_of, address_of, chain_of
from ..model import Signal, Subject
from ..taxonomy import THREATENED_ROLES, Category, EvidenceKind, Role, SubjectKind
from .grammar import decode_predicate
from .predicates import (
    TRANSFER_TOPIC,
    BalanceDelta,
    CallResult,
    CodeHash,
    LogEmitted,
    Predicate,
    PriceGap,
    TxIncluded,
)

MAX_CHECKED_CLAIMS = 16

_TRANSACTION, _LOG, _CALL = EvidenceKind.TRANSACTION, EvidenceKind.LOG, EvidenceKind.CALL
_BALANCE, _CODE, _PRICE = EvidenceKind.BALANCE, EvidenceKind.CODE, EvidenceKind.PRICE

# A category that is missing is seen on no chain: nothing is local evidence for it.
LOCAL_EVIDENCE: dict[Category, frozenset[EvidenceKind]] = {
    Category.ASSET_DRAIN: frozenset((_TRANSACTION, _LOG, _BALANCE)),
    Category.ORACLE_MANIPULATION: frozenset((_PRICE,)),
    Category.ORACLE_STALE: frozenset((_CALL, _PRICE)),
    Category.PRICE_DEPEG: frozenset((_PRICE,)),
    Category.FLASHLOAN_ATTACK: frozenset((_TRANSACTION, _LOG, _BALANCE)),
    Category.GOVERNANCE_MALICIOUS_PROPOSAL: frozenset((_TRANSACTION, _LOG, _CALL)),
    Category.GOVERNANCE_TAKEOVER: frozenset((_TRANSACTION, _LOG, _CALL)),
    Category.KEY_COMPROMISE: frozenset((_TRANSACTION, _LOG, _BALANCE)),
    Category.CONTRACT_ATTACKER_DEPLOYED: frozenset((_CODE,)),
    Category.CONTRACT_MALICIOUS_UPGRADE: frozenset((_LOG, _CALL, _CODE)),
    Category.BRIDGE_MINT_MISMATCH: frozenset((_LOG, _CALL, _BALANCE)),
    Category.BRIDGE_MESSAGE_FORGERY: frozenset((_TRANSACTION, _LOG)),
    Category.APPROVAL_DRAINER: frozenset((_TRANSACTION, _CODE)),
    Category.DEPENDENCY_COMPROMISE: frozenset((_CODE,)),
    Category.LIQUIDITY_RUN: frozenset((_BALANCE,)),
    Category.FUNDING_SUSPICIOUS: frozenset((_TRANSACTION, _BALANCE)),
    Category.LAUNDERING_MOVEMENT: frozenset((_TRANSACTION, _LOG, _BALANCE)),
    Category.VULNERABILITY_DISCLOSED: frozenset((_CODE,)),
}
# The claims of a busy incident are looked at again with each new one.
_MAX_KEPT = 8_192
# Where what is shown is the attacker, his contract, or a feed that two sides use.
ANY_ROLE = frozenset(
    (
        Category.ORACLE_MANIPULATION,
        Category.ORACLE_STALE,
        Category.PRICE_DEPEG,
        Category.CONTRACT_ATTACKER_DEPLOYED,
        Category.APPROVAL_DRAINER,
        Category.FUNDING_SUSPICIOUS,
        Category.LAUNDERING_MOVEMENT,
    )
)

_KINDS: dict[type[Predicate], EvidenceKind] = {
    TxIncluded: _TRANSACTION,
    LogEmitted: _LOG,
    CallResult: _CALL,
    BalanceDelta: _BALANCE,
    CodeHash: _CODE,
    PriceGap: _PRICE,
}


@dataclass(frozen=True, slots=True)
class Vantage:
    """From where we judge, in ids of accounts, assets and code: what is our own, and whose word we take.

    `own` are our contracts and markets; `trusted` are the tokens, oracles, bridges and protocols that we depend on.
    """

    own: frozenset[str]
    trusted: frozenset[str]
    # Worked out once: hundreds of claims are held against them.
    _ours: frozenset[str] = field(init=False, repr=False, compare=False)
    _believed: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ours", _plain(self.own))
        object.__setattr__(self, "_believed", _plain(self.own | self.trusted))

    @property
    def ours(self) -> frozenset[str]:
        """Our contracts and markets, an asset that is a contract as that contract's account."""
        return self._ours

    @property
    def believed(self) -> frozenset[str]:
        """The contracts whose word evidence may rest on, likewise."""
        return self._believed


@lru_cache(_MAX_KEPT)
def predicates_of(signal: Signal) -> tuple[Predicate, ...]:
    """What the signal claims and can be checked, in its order, each once."""
    found: dict[Predicate, None] = {}
    for evidence in signal.evidence:
        # [EVIDENCE] A claim that does not parse is not checked, and is no fault.
        try:
            found[_bind(decode_predicate(evidence), signal)] = None
        except DecodeError:
            continue
    return tuple(found)


def _bind(predicate: Predicate, signal: Signal) -> Predicate:
    # [EVIDENCE] A transaction claim of an asset alone speaks of the only victim account its signal names on that chain.
    if not isinstance(predicate, TxIncluded) or not predicate.asset or predicate.account:
        return predicate
    victims = {
        subject.value
        for subject in signal.subjects
        if (subject.role, subject.kind) == (Role.VICTIM, SubjectKind.ACCOUNT)
        and chain_of(subject.value) == predicate.chain
    }
    return replace(predicate, account=victims.pop()) if len(victims) == 1 else predicate


def qualifying_predicates(signal: Signal, subjects: Iterable[Subject], vantage: Vantage) -> tuple[Predicate, ...]:
    """Those of a signal's claims that are worth checking: local evidence if they are confirmed.

    `subjects` are those of the incident that the decision is about.
    """
    wanted = tuple(subjects)
    chosen = [item for item in predicates_of(signal) if is_qualifying(signal.category, item, wanted, vantage)]
    # [EVIDENCE] Of a signal's qualifying claims the first MAX_CHECKED_CLAIMS are checked, and no other claim.
    return tuple(chosen[:MAX_CHECKED_CLAIMS])


def is_qualifying(category: Category, predicate: Predicate, subjects: Iterable[Subject], vantage: Vantage) -> bool:
    """Whether the predicate would be local evidence for an incident of the category about these subjects."""
    # [EVIDENCE] A claim counts only if its kind is one that its signal's category asks for.
    if _KINDS[type(predicate)] not in LOCAL_EVIDENCE.get(category, frozenset()):
        return False
    # [EVIDENCE] It must show something of a subject of the incident in a role that counts, or of ours.
    shown = shown_by(predicate)
    if shown.isdisjoint(vantage.ours) and shown.isdisjoint(_named(tuple(subjects), category in ANY_ROLE)):
        return False
    # [EVIDENCE] It may rest on the word of no contract but those that are ours or that we trust.
    return sources_of(predicate) <= vantage.believed


@lru_cache(_MAX_KEPT)
def _named(subjects: tuple[Subject, ...], in_any_role: bool) -> frozenset[str]:
    """The ids of those subjects whose role counts."""
    roles = frozenset(Role) if in_any_role else THREATENED_ROLES
    return _plain(subject.value for subject in subjects if subject.role in roles)


def shown_by(predicate: Predicate) -> frozenset[str]:
    """The accounts, and the code, of which the predicate shows something; a token's account stands for the token."""
    match predicate:
        case TxIncluded():
            return frozenset((predicate.account,) if predicate.account else ())
        case LogEmitted():
            return _shown_by_log(predicate)
        case CallResult():
            return frozenset((predicate.read.account,))
        case BalanceDelta():
            return frozenset((predicate.account,))
        case CodeHash():
            return frozenset((predicate.account, predicate.code_hash))
        case PriceGap():
            return frozenset((predicate.oracle.read.account,))


def sources_of(predicate: Predicate) -> frozenset[str]:
    """The contracts, as accounts, whose word the predicate takes: an attacker's own contract says what he likes."""
    match predicate:
        case TxIncluded():
            return _plain((predicate.asset,) if predicate.asset else ())
        case LogEmitted():
            return frozenset((predicate.account,))
        case CallResult():
            return frozenset((predicate.read.account,))
        case BalanceDelta():
            return _plain((predicate.asset,)) if "/erc20:" in predicate.asset else frozenset()
        case CodeHash():
            return frozenset()
        case PriceGap():
            return frozenset((predicate.oracle.read.account, predicate.reference.read.account))


def _shown_by_log(predicate: LogEmitted) -> frozenset[str]:
    """The account a transfer is from, not the token, which everybody uses; of other logs the emitter."""
    first, *others = predicate.topics
    if first != TRANSFER_TOPIC:
        return frozenset((predicate.account,))
    sender = others[0] if others else None
    return frozenset() if sender is None else frozenset((account_of(predicate.chain, "0x" + sender[-40:]),))


def _plain(names: Iterable[str]) -> frozenset[str]:
    """Ids in which an asset that is a contract is that contract's account."""
    return frozenset(account_of(chain_of(name), address_of(name)) if "/erc" in name else name for name in names)
