"""What a signal can be about: one dotted list, versioned in specs/signal.md."""

from __future__ import annotations

from enum import StrEnum

TAXONOMY_VERSION = 1


class Category(StrEnum):
    """Kinds of threat; the part before the dot is the family."""

    ASSET_DRAIN = "asset.drain"
    ORACLE_MANIPULATION = "oracle.manipulation"
    ORACLE_STALE = "oracle.stale"
    PRICE_DEPEG = "price.depeg"
    FLASHLOAN_ATTACK = "flashloan.attack"
    GOVERNANCE_MALICIOUS_PROPOSAL = "governance.malicious-proposal"
    GOVERNANCE_TAKEOVER = "governance.takeover"
    KEY_COMPROMISE = "key.compromise"
    CONTRACT_ATTACKER_DEPLOYED = "contract.attacker-deployed"
    CONTRACT_MALICIOUS_UPGRADE = "contract.malicious-upgrade"
    BRIDGE_MINT_MISMATCH = "bridge.mint-mismatch"
    BRIDGE_MESSAGE_FORGERY = "bridge.message-forgery"
    APPROVAL_DRAINER = "approval.drainer"
    FRONTEND_COMPROMISE = "frontend.compromise"
    DEPENDENCY_COMPROMISE = "dependency.compromise"
    LIQUIDITY_RUN = "liquidity.run"
    INFRA_OUTAGE = "infra.outage"
    FUNDING_SUSPICIOUS = "funding.suspicious"
    LAUNDERING_MOVEMENT = "laundering.movement"
    VULNERABILITY_DISCLOSED = "vulnerability.disclosed"
    META_UPDATE = "meta.update"
    META_RETRACTION = "meta.retraction"
    META_ALL_CLEAR = "meta.all-clear"
    META_DRILL = "meta.drill"

    @property
    def family(self) -> str:
        """`asset` of `asset.drain`."""
        return self.split(".", 1)[0]


class Stage(StrEnum):
    """How far the attack has come."""

    FUNDING = "funding"
    PREPARATION = "preparation"
    EXPLOITATION = "exploitation"
    LAUNDERING = "laundering"


class Severity(StrEnum):
    """How bad the publisher thinks it is. CRITICAL travels in its own lane."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for low … 3 for critical."""
        return _SEVERITY_ORDER.index(self)


_SEVERITY_ORDER = tuple(Severity)


# Feeds are per publisher and lane, so CRITICAL overtakes without making gaps.
CRITICAL = 0
STANDARD = 1
LANES = (CRITICAL, STANDARD)


class SubjectKind(StrEnum):
    """What a subject's value is."""

    CHAIN = "chain"
    ACCOUNT = "account"
    ASSET = "asset"
    CODE_HASH = "code-hash"
    DEPENDENCY = "dependency"
    LINEAGE = "lineage"


class Role(StrEnum):
    """The part a subject plays. A recipient is not an attacker: white-hats receive too."""

    VICTIM = "victim"
    AT_RISK = "at-risk"
    ATTACKER = "attacker"
    RECIPIENT = "recipient"
    TOOL = "tool"
    RELATED = "related"


# To be named as tool, recipient or attacker is no threat to the one who is named.
THREATENED_ROLES = frozenset((Role.VICTIM, Role.AT_RISK))


class EvidenceKind(StrEnum):
    """What a receiver can check again for himself."""

    TRANSACTION = "transaction"
    LOG = "log"
    CALL = "call"
    BALANCE = "balance"
    CODE = "code"
    PRICE = "price"


class Tlp(StrEnum):
    """Traffic Light Protocol 2.0."""

    CLEAR = "clear"
    GREEN = "green"
    AMBER = "amber"
    AMBER_STRICT = "amber+strict"
    RED = "red"


class Relation(StrEnum):
    """How a signal stands to an earlier one."""

    CORROBORATES = "corroborates"
    DISPUTES = "disputes"
    UPDATES = "updates"
    RETRACTS = "retracts"
    DERIVED_FROM = "derived-from"


class Cause(StrEnum):
    """OWASP Smart Contract Top 10:2026, by number."""

    SC01 = "SC01"
    SC02 = "SC02"
    SC03 = "SC03"
    SC04 = "SC04"
    SC05 = "SC05"
    SC06 = "SC06"
    SC07 = "SC07"
    SC08 = "SC08"
    SC09 = "SC09"
    SC10 = "SC10"
