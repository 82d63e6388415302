"""What came of handing one signed transaction to several endpoints."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from .errors import RpcRefused, RpcUnavailable

Refusal = RpcRefused | RpcUnavailable
"""Why an endpoint has not taken it."""

_KNOWN = ("already known", "known transaction", "already imported", "already in mempool", "alreadyknown")
_UNDERPRICED = ("underpriced", "less than block base fee", "fee too low", "max fee per gas", "feetoolow")
# What sending the same bytes again cannot mend. Anything else, a busy or broken endpoint's included, may pass.
_FIRM = (
    "insufficient funds",
    "insufficientfunds",
    "upfront cost exceeds account balance",
    "intrinsic gas",
    "exceeds block gas limit",
    "gas limit is too high",
    "invalid sender",
    "invalid signature",
    "invalid chain id",
    "chain id mismatch",
    "wrong chain",
    "only replay-protected",
    "transaction type not supported",
    "exceeds the configured cap",
)


@dataclass(frozen=True, slots=True)
class Broadcast:
    """What came of sending one signed transaction to every endpoint; acceptance is not inclusion.

    `is_refused_by_all`: by every endpoint, and firmly.
    """

    is_accepted: bool
    is_underpriced: bool
    is_refused_by_all: bool
    reason: str


class Sending:
    """A broadcast on its way."""

    def __init__(self, reports: trio.MemoryReceiveChannel[Refusal | None], started: int, endpoints: int) -> None:
        self._reports = reports
        self._started = started
        self._endpoints = endpoints

    async def wait(self) -> Broadcast:
        """Return with the first endpoint that accepts, or when all have failed."""
        errors: list[Refusal] = []
        for _ in range(self._started):
            error = await self._reports.receive()
            if error is None:
                return Broadcast(True, False, False, "")
            errors.append(error)
        return _judge(errors, self._endpoints)


def is_known(refusal: RpcRefused) -> bool:
    """Whether an endpoint refuses a transaction because it has it."""
    return _says(refusal, _KNOWN)


def _judge(errors: list[Refusal], endpoints: int) -> Broadcast:
    refusals = [error for error in errors if isinstance(error, RpcRefused)]
    # [SEND] That the transaction is known is success; that its nonce is used no refusal: the receipts will tell.
    # [SEND] A refusal is firm when sending the same bytes again cannot mend it; a busy endpoint's is not.
    firm = [error for error in refusals if _says(error, _FIRM) and not _says(error, _UNDERPRICED)]
    shown = (firm or refusals or errors)[:1]
    return Broadcast(
        is_accepted=False,
        is_underpriced=any(_says(error, _UNDERPRICED) for error in refusals),
        is_refused_by_all=len(firm) == endpoints,
        reason=str(shown[0]) if shown else "every endpoint is busy",
    )


def _says(error: RpcRefused, texts: tuple[str, ...]) -> bool:
    message = error.message.lower()
    return any(text in message for text in texts)
