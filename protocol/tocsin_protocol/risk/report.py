"""A risk report: one signer's word on how one subject stands, for one oracle contract (specs/risk.md)."""

from __future__ import annotations

import re
from dataclasses import astuple, dataclass, fields

from ..encoding import MAX_UINT
from ..errors import DecodeError, RiskError
from ..ids import DIGEST_BYTES, address_of, chain_of, check_account_id
from ..quantities import MAX_MICRO_USD
from ..signing import SIGNATURE_BYTES, address_of_key, keccak256, recover_key, sign_digest
from ..taxonomy import Category, Severity
from .states import PPM, RiskState, Standing

ORACLE_NAME = "Tocsin RiskOracle"
ORACLE_VERSION = "1"
REPORT_TYPE = (
    "RiskReport(bytes32 subject,bytes32 incident,uint8 state,bytes32 category,uint8 severity,uint32 posteriorPpm,"
    "uint64 tvlAtRisk,uint64 lossObserved,uint64 lossP50,uint64 lossP90,uint64 lossP99,uint64 drainRate,"
    "uint64 hazardRate,uint32 multiplierBps,uint16 capacityBps,uint64 epoch,uint64 observed,uint64 expires,"
    "bytes32 previous,bytes32 evidenceRoot,bytes32 modelHash)"
)
MAX_LIFETIME_MS = 60_000
# A clock that runs ahead, and a block whose time lags.
MAX_AHEAD_MS = 30_000
BPS = 10_000
# 100,000 times: above it cover is not for sale at any price. Far below what its 32 bits hold.
MAX_MULTIPLIER_BPS = 1_000_000_000
# Once a day, in millionths a year.
MAX_HAZARD_PPM = 365 * PPM
MAX_SEVERITY = 4
REPORT_BYTES = 672
SIGNED_BYTES = 736

_DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
_TYPE_HASH = keccak256(REPORT_TYPE.encode())
_EIP155 = re.compile(r"eip155:(\d{1,32})")


@dataclass(frozen=True, slots=True)
class RiskReport:
    """What is signed. Money in micro-USD, the drain per hour, the hazard in millionths per year, times in UTC ms.

    `subject` is the hash of its CAIP-10 id or protocol name, `category` its text filled up with zeros, `severity` is
    1 (low) to 4 (critical), 0 without an incident. Raises RiskError.
    """

    subject: bytes
    incident: bytes
    state: RiskState
    category: bytes
    severity: int
    posterior_ppm: int
    tvl_at_risk: int
    loss_observed: int
    loss_p50: int
    loss_p90: int
    loss_p99: int
    drain_rate: int
    hazard_rate: int
    multiplier_bps: int
    capacity_bps: int
    epoch: int
    observed: int
    expires: int
    previous: bytes
    evidence_root: bytes
    model_hash: bytes

    def __post_init__(self) -> None:
        for name in _HASHES:
            value = getattr(self, name)
            if type(value) is not bytes or len(value) != DIGEST_BYTES:
                raise RiskError(f"{name} is not {DIGEST_BYTES} bytes")
        for name, (least, most) in _BOUNDS.items():
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise RiskError(f"{name} is {value!r}, not an integer in {least}…{most}")
        _check_rules(self)

    @property
    def standing(self) -> Standing:
        """Its state with the incident."""
        return Standing(self.state, self.incident)

    @property
    def category_text(self) -> str:
        """The category's name; empty without an incident."""
        return self.category.rstrip(b"\0").decode()


_HASHES = ("subject", "incident", "category", "previous", "evidence_root", "model_hash")
_BOUNDS = {
    "severity": (0, MAX_SEVERITY),
    "posterior_ppm": (0, PPM),
    **dict.fromkeys(("tvl_at_risk", "loss_observed", "loss_p50", "loss_p90", "loss_p99", "drain_rate"),
                    (0, MAX_MICRO_USD)),
    "hazard_rate": (0, MAX_HAZARD_PPM),
    # [RISK] No multiplier is below 1.
    "multiplier_bps": (BPS, MAX_MULTIPLIER_BPS),
    "capacity_bps": (0, BPS),
    **dict.fromkeys(("epoch", "observed", "expires"), (1, MAX_UINT)),
}  # fmt: skip
_STATES = frozenset(int(state) for state in RiskState)
_CATEGORIES = frozenset(category.value.encode().ljust(DIGEST_BYTES, b"\0") for category in Category)


def _check_rules(report: RiskReport) -> None:
    standing = report.standing
    # [RISK] A report with an incident names its category and a severity, one without names neither.
    has_incident = standing.state is not RiskState.NONE
    if has_incident != (report.category in _CATEGORIES) or (not has_incident and any(report.category)):
        raise RiskError(f"category is 0x{report.category.hex()} in the state {standing.state.word}")
    if has_incident != (report.severity > 0):
        raise RiskError(f"severity is {report.severity} in the state {standing.state.word}")
    # [RISK] The median loss is at most the 90th percentile, that the 99th, and that the value at risk.
    if not report.loss_p50 <= report.loss_p90 <= report.loss_p99 <= report.tvl_at_risk:
        raise RiskError("loss_p50, loss_p90, loss_p99 and tvl_at_risk do not rise in this order")
    # [RISK] No more was lost than the value at risk.
    if report.loss_observed > report.tvl_at_risk:
        raise RiskError(f"loss_observed is {report.loss_observed} of a tvl_at_risk of {report.tvl_at_risk}")
    # [RISK] Confirmed, contained or recovering, a subject has no capacity.
    if report.state >= RiskState.RECOVERING and report.capacity_bps:
        raise RiskError(f"capacity_bps is {report.capacity_bps} in the state {standing.state.word}")
    # [RISK] A report counts for at most MAX_LIFETIME_MS after it was observed.
    if not report.observed < report.expires <= report.observed + MAX_LIFETIME_MS:
        raise RiskError(f"observed {report.observed} and expires {report.expires} are not 1…{MAX_LIFETIME_MS} ms apart")


class OracleDomain:
    """The EIP-712 domain of one oracle contract, by its CAIP-10 id; raises DecodeError."""

    __slots__ = ("_prefix", "account")

    def __init__(self, account: str) -> None:
        chain = _EIP155.fullmatch(chain_of(check_account_id(account)))
        if chain is None:
            raise DecodeError(f"{account[:80]!r} is not a contract of an EVM chain")
        self.account = account
        words = (
            keccak256(_DOMAIN_TYPE.encode()),
            keccak256(ORACLE_NAME.encode()),
            keccak256(ORACLE_VERSION.encode()),
            int(chain[1]).to_bytes(32, "big"),
            bytes.fromhex(address_of(account)[2:]).rjust(32, b"\0"),
        )
        self._prefix = b"\x19\x01" + keccak256(b"".join(words))

    def digest(self, report: RiskReport) -> bytes:
        """What a signer signs, and the identity of the report; 32 bytes."""
        # [RISK] A report is signed as EIP-712 data in the domain of one oracle contract on one chain.
        return keccak256(self._prefix + keccak256(_TYPE_HASH + encode_report(report)))


@dataclass(frozen=True, slots=True)
class SignedReport:
    """A report whose signature was checked: by whom (an address), and its digest."""

    report: RiskReport
    signer: bytes
    digest: bytes
    signature: bytes

    @property
    def encoded(self) -> bytes:
        """The report's words and the signature: what is kept, served and handed to the contract."""
        return encode_report(self.report) + self.signature


def subject_hash(subject: str) -> bytes:
    """The 32 bytes that stand for a subject: the hash of its CAIP-10 id, or of its protocol's name."""
    return keccak256(subject.encode())


def category_bytes(category: Category | None) -> bytes:
    """A category as its field has it; None is no category."""
    return (category.value.encode() if category else b"").ljust(DIGEST_BYTES, b"\0")


def severity_number(severity: Severity | None) -> int:
    """A severity as its field has it."""
    return 0 if severity is None else severity.rank + 1


def encode_report(report: RiskReport) -> bytes:
    """The fields as words of 32 bytes, in the order of REPORT_TYPE."""
    return b"".join(value if isinstance(value, bytes) else int(value).to_bytes(32, "big") for value in astuple(report))


def decode_report(data: bytes) -> RiskReport:
    """Read the words of a report; raises DecodeError or RiskError."""
    if len(data) != REPORT_BYTES:
        raise DecodeError(f"a report of {len(data)} bytes where {REPORT_BYTES} are wanted")
    names = [field.name for field in fields(RiskReport)]
    words = {name: data[32 * place : 32 * place + 32] for place, name in enumerate(names)}
    values = {name: word if name in _HASHES else int.from_bytes(word, "big") for name, word in words.items()}
    number = int.from_bytes(words["state"], "big")
    if number not in _STATES:
        raise DecodeError(f"state is {number}, not one of 0…{max(_STATES) - 1}")
    values["state"] = RiskState(number)
    return RiskReport(**values)  # type: ignore[arg-type]


def sign_report(domain: OracleDomain, secret: bytes, report: RiskReport, signer: bytes) -> SignedReport:
    """Sign as `signer`, whose secret this is."""
    digest = domain.digest(report)
    return SignedReport(report, signer, digest, sign_digest(secret, digest))


def open_report(domain: OracleDomain, data: bytes) -> SignedReport:
    """Read a signed report and find out by whom it is; raises DecodeError, RiskError or SignatureError.

    Any signature leads to some signer: whether his word counts is the caller's question.
    """
    if len(data) != SIGNED_BYTES:
        raise DecodeError(f"a signed report of {len(data)} bytes where {SIGNED_BYTES} are wanted")
    report, signature = decode_report(data[:-SIGNATURE_BYTES]), data[-SIGNATURE_BYTES:]
    digest = domain.digest(report)
    return SignedReport(report, address_of_key(recover_key(digest, signature)), digest, signature)


def contradict(one: SignedReport, other: SignedReport) -> bool:
    """Whether two reports, of one oracle, show that their signer told two stories."""
    # [RISK] Two different reports of one signer, subject and epoch prove that he equivocates.
    same = (one.signer, one.report.subject, one.report.epoch) == (
        other.signer,
        other.report.subject,
        other.report.epoch,
    )
    return same and one.digest != other.digest


assert 32 * len(fields(RiskReport)) == REPORT_BYTES  # noqa: S101 - one word for each field
assert REPORT_BYTES + SIGNATURE_BYTES == SIGNED_BYTES  # noqa: S101
