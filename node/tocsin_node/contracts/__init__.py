"""The contracts that an operator deploys, as the wheel carries them: ABI and bytecode built from `deploy/contracts`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

NAMES = ("CoverPool", "RiskFeed", "RiskOracle", "TocsinBreaker", "TocsinGuardianModule", "TocsinSignalGate")


@dataclass(frozen=True, slots=True)
class Artifact:
    """One compiled contract."""

    name: str
    compiler: str
    bytecode: bytes
    abi_json: str


def read_artifact(folder: Traversable, name: str) -> Artifact:
    """Return an artifact that `deploy/contracts/build.mjs` wrote into a folder."""
    data = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return Artifact(
        name=name,
        compiler=data["compiler"],
        bytecode=bytes.fromhex(data["bytecode"].removeprefix("0x")),
        abi_json=json.dumps(data["abi"]),
    )


@cache
def load_artifact(name: str) -> Artifact:
    """Return one of NAMES; raises KeyError for another."""
    if name not in NAMES:
        raise KeyError(name)
    return read_artifact(files(__package__), name)
