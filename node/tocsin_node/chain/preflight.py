"""The look before signing: what the call would do, by `eth_simulateV1` where an endpoint has it, else `eth_call`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .abi import decode_revert
from .errors import RpcRefused, RpcUnavailable
from .rpc import Request, read_data, read_quantity

_EXECUTION_REVERTED = 3
"""JSON-RPC error code of a reverted eth_call, where a node uses it."""
_PROBE = {"blockStateCalls": [{"calls": [{"from": "0x" + "00" * 20, "to": "0x" + "00" * 20}]}]}
PROBE: Request = ("eth_simulateV1", (_PROBE, "latest"))
"""Refused by an endpoint that has no `eth_simulateV1`."""


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a call must not be signed, as a sentence; `revert` is the decoded reason where the call reverts."""

    sentence: str
    revert: str | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """What one endpoint's simulation says; neither of both when it cannot tell."""

    went_through: bool
    objection: Objection | None


def trial_requests(call: dict[str, str], *, by_simulation: bool) -> tuple[Request, ...]:
    """What to ask an endpoint about a call."""
    code: Request = ("eth_getCode", (call["to"], "latest"))
    if by_simulation:
        return code, ("eth_simulateV1", ({"blockStateCalls": [{"calls": [call]}]}, "latest"))
    return code, ("eth_call", (call, "latest"))


def read_trial(results: Sequence[Any], to: str) -> Trial:
    """Return what the answers to `trial_requests` say."""
    code, outcome = results
    if code == "0x":
        # A call to an account without code goes through and does nothing: it would look like a success.
        return Trial(False, Objection(f"there is no contract at {to}"))
    if isinstance(outcome, list):
        outcome = _read_simulation(outcome)
    if isinstance(outcome, RpcRefused):
        revert = read_revert(outcome)
        return Trial(False, None if revert is None else Objection(f"the simulation reverts with {revert}", revert))
    return Trial(isinstance(outcome, str), None)


def judge_trials(trials: Sequence[Trial], witnesses: int) -> Objection | None:
    """Return why the call must not be signed, or None to go ahead. A call that reverts in a block costs its gas."""
    # [SEND] A decoded revert, or an account without code, forbids when as many endpoints as confirm a receipt say so.
    objections = [trial.objection for trial in trials if trial.objection is not None]
    # [SEND] One simulation that goes through outweighs them all; with nobody able to simulate, the node acts.
    if len(objections) < witnesses or any(trial.went_through for trial in trials):
        return None
    return objections[0]


def read_revert(error: RpcRefused) -> str | None:
    """Return the decoded reason of a reverted simulation; None when the error is no revert or says nothing."""
    if error.data is not None:
        try:
            return decode_revert(read_data(error.data))
        except RpcUnavailable:
            return None
    # Some nodes decode it themselves and leave the data out.
    prefix = "execution reverted: "
    if error.code == _EXECUTION_REVERTED and error.message.startswith(prefix):
        return error.message[len(prefix) :][:200]
    return None


def _read_simulation(blocks: list[Any]) -> Any:
    """Return the one simulated call as `eth_call` would have answered it, or None when it makes no sense."""
    try:
        (call,) = blocks[0]["calls"]
        data = str(call["returnData"])
        if read_quantity(call["status"]) == 1:
            return data
        error = call.get("error") or {}
        return RpcRefused(_EXECUTION_REVERTED, str(error.get("message", ""))[:200], data if data != "0x" else None)
    except (LookupError, TypeError, ValueError, AttributeError, RpcUnavailable):
        return None
