"""What an oracle contract says of itself: who counts, and what it holds of each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tocsin_protocol.errors import RiskError
from tocsin_protocol.ids import address_of
from tocsin_protocol.risk.aggregate import Quorum
from tocsin_protocol.risk.states import RiskState, Standing

from .chain.abi import parse_function
from .chain.client import ChainClient
from .hooks.reading import ask_agreed, call_of, values_of

_SIGNERS = parse_function("signers()(address[])")
_THRESHOLD = parse_function("threshold()(uint256)")
_EXCLUDED = parse_function("isEquivocator(address)(bool)")
_HELD = parse_function("heldOf(bytes32,address)(uint64,uint8,bytes32,uint64)")


@dataclass(frozen=True, slots=True)
class HeldReport:
    """The latest report of a signer that the contract took: its epoch (0: none yet), and how the subject stood."""

    epoch: int
    standing: Standing


async def read_quorum(client: ChainClient, oracle: str) -> Quorum | None:
    """Who counts by the contract's own word, and how many have to agree; None where the endpoints do not agree."""
    asked = await ask_agreed(client, [call_of(address_of(oracle), one) for one in (_SIGNERS, _THRESHOLD)])
    signers, threshold = values_of(_SIGNERS, asked[0]), values_of(_THRESHOLD, asked[1])
    if signers is None or threshold is None:
        return None
    return Quorum(frozenset(bytes.fromhex(one[2:]) for one in signers[0]), threshold[0])


async def read_excluded(client: ChainClient, oracle: str, signers: Sequence[bytes]) -> frozenset[bytes]:
    """Who of these told two stories as the contract knows already, as far as the endpoints agree."""
    asked = await ask_agreed(
        client, [call_of(address_of(oracle), _EXCLUDED, ["0x" + signer.hex()]) for signer in signers]
    )
    said = [values_of(_EXCLUDED, answer) for answer in asked]
    return frozenset(signer for signer, values in zip(signers, said, strict=True) if values and values[0])


async def read_held(
    client: ChainClient, oracle: str, subject: bytes, signers: Sequence[bytes]
) -> list[HeldReport | None]:
    """What the contract holds of each signer about a subject; None where the endpoints do not agree."""
    asked = await ask_agreed(
        client, [call_of(address_of(oracle), _HELD, [subject, "0x" + signer.hex()]) for signer in signers]
    )
    return [_read(values_of(_HELD, answer)) for answer in asked]


def _read(values: tuple[Any, ...] | None) -> HeldReport | None:
    if values is None:
        return None
    epoch, state, incident = values[:3]
    try:
        return HeldReport(epoch, Standing(RiskState(state), incident))
    except (RiskError, ValueError):
        return None
