"""What operators are asked to allow, and the typed data that their wallets show and sign (specs/approval.md)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from ..errors import DecodeError
from ..fields import bytes_of, text_of, uint_of
from ..ids import DIGEST_BYTES, PUBLISHER_BYTES
from ..signing import DOMAIN_NAME, DOMAIN_VERSION, Domain, keccak256

APPROVAL_TYPE = (
    "Approval(string purpose,string effect,string scope,string lever,string target,uint8 tier,string window,"
    "bytes32 payload,bytes32 incident,uint64 epoch,uint64 notBefore,uint64 expires,address node)"
)
HIGHEST_TIER = 4
# A day and a night shift: longer, and what was approved is no longer what is there.
MAX_WINDOW_MS = 24 * 60 * 60 * 1000
# The end of the year 9999, the last that a date can name.
MAX_TIME_MS = 253_402_300_799_000
MAX_EFFECT_BYTES = 200
MAX_NAME_BYTES = 160

_SECOND_MS = 1000
_START = datetime(1970, 1, 1, tzinfo=UTC)
_TYPE_HASH = keccak256(APPROVAL_TYPE.encode())
_FIELDS = [
    {"name": name, "type": kind}
    for kind, name in (
        field.split(" ") for field in APPROVAL_TYPE.removeprefix("Approval(").removesuffix(")").split(",")
    )
]
_DOMAIN_FIELDS = [
    {"name": "name", "type": "string"},
    {"name": "version", "type": "string"},
    {"name": "salt", "type": "bytes32"},
]


class Purpose(StrEnum):
    """What an approval is for."""

    ACT = "act"
    REOPEN = "reopen"


@dataclass(frozen=True, slots=True)
class Request:
    """One thing to allow, once: `effect` says in words what `payload` (the digest of the exact bytes) will do.

    `scope` is a holding or "*", `lever` the hook's name, `target` what it acts on, `epoch` the arm epoch of the
    lever or the number of the reopening step, `node` the publisher that asks. Times in UTC ms. Raises DecodeError.
    """

    purpose: Purpose
    effect: str
    scope: str
    lever: str
    target: str
    tier: int
    payload: bytes
    incident: bytes
    epoch: int
    not_before_ms: int
    expires_ms: int
    node: bytes

    def __post_init__(self) -> None:
        # [APPROVE] Texts are printable ASCII, so that every wallet can show them.
        for name in ("effect", "scope", "lever", "target"):
            value = text_of(name, getattr(self, name), MAX_EFFECT_BYTES if name == "effect" else MAX_NAME_BYTES)
            if not value.isascii():
                raise DecodeError(f"{name} is not printable ASCII: {value[:80]!r}")
        uint_of("tier", self.tier, 0, HIGHEST_TIER)
        bytes_of("payload", self.payload, DIGEST_BYTES)
        bytes_of("incident", self.incident, DIGEST_BYTES)
        uint_of("epoch", self.epoch)
        bytes_of("node", self.node, PUBLISHER_BYTES)
        for name in ("not_before_ms", "expires_ms"):
            # [APPROVE] Its times are whole seconds, so that the window in words is the window.
            if uint_of(name, getattr(self, name), 0, MAX_TIME_MS) % _SECOND_MS:
                raise DecodeError(f"{name} is {getattr(self, name)}, not a whole second")
        # [APPROVE] It ends after it begins, and at most MAX_WINDOW_MS later.
        if not 0 < self.expires_ms - self.not_before_ms <= MAX_WINDOW_MS:
            raise DecodeError(
                f"expires_ms is {self.expires_ms} where {self.not_before_ms + 1}…"
                f"{self.not_before_ms + MAX_WINDOW_MS} is wanted"
            )

    @property
    def window(self) -> str:
        """From when to when it may be used, in words."""
        begins, ends = (_START + timedelta(milliseconds=at) for at in (self.not_before_ms, self.expires_ms))
        return f"{begins:%Y-%m-%d %H:%M:%S} to {ends:%Y-%m-%d %H:%M:%S} UTC"

    @property
    def use_key(self) -> bytes:
        """The 32 bytes that name what it may be used for once."""
        # [APPROVE] It allows one use for its purpose, scope, lever, target and epoch, in whatever incident.
        texts = (self.purpose.value, self.scope, self.lever, self.target)
        return keccak256(b"".join(map(_hash_of, texts)) + self.epoch.to_bytes(32, "big"))


def request_digest(domain: Domain, request: Request) -> bytes:
    """What every approver of a request signs (EIP-712 `Approval`); 32 bytes."""
    return domain.digest_of(
        b"".join(
            (
                _TYPE_HASH,
                *map(_hash_of, (request.purpose.value, request.effect, request.scope, request.lever, request.target)),
                request.tier.to_bytes(32, "big"),
                _hash_of(request.window),
                request.payload,
                request.incident,
                *(at.to_bytes(32, "big") for at in (request.epoch, request.not_before_ms, request.expires_ms)),
                request.node.rjust(32, b"\0"),
            )
        )
    )


def typed_data(network_id: bytes, request: Request) -> dict[str, Any]:
    """The input of `eth_signTypedData_v4`, complete; as JSON it is what a wallet shows and signs.

    The domain has no chainId: an approval is for a node, and wallets would refuse it on any other chain.
    """
    return {
        "types": {
            "EIP712Domain": [dict(field) for field in _DOMAIN_FIELDS],
            "Approval": [dict(field) for field in _FIELDS],
        },
        "primaryType": "Approval",
        "domain": {"name": DOMAIN_NAME, "version": DOMAIN_VERSION, "salt": _hex(network_id)},
        "message": {
            "purpose": request.purpose.value,
            "effect": request.effect,
            "scope": request.scope,
            "lever": request.lever,
            "target": request.target,
            "tier": request.tier,
            "window": request.window,
            "payload": _hex(request.payload),
            "incident": _hex(request.incident),
            "epoch": request.epoch,
            "notBefore": request.not_before_ms,
            "expires": request.expires_ms,
            "node": _hex(request.node),
        },
    }


def _hash_of(text: str) -> bytes:
    return keccak256(text.encode())


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
