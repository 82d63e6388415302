"""The demo's contracts as the wheel carries them: ABI and bytecode built from `deploy/contracts`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

NAMES = ("Attacker", "Dex", "Lender", "Token", "Vault")


@dataclass(frozen=True, slots=True)
class Artifact:
    """One compiled contract."""

    name: str
    compiler: str
    bytecode: bytes
    abi_json: str


@cache
def load_artifact(name: str) -> Artifact:
    """Return one of NAMES; raises KeyError for another."""
    if name not in NAMES:
        raise KeyError(name)
    data = json.loads((files(__package__) / "contracts" / f"{name}.json").read_text(encoding="utf-8"))
    return Artifact(
        name=name,
        compiler=data["compiler"],
        bytecode=bytes.fromhex(data["bytecode"].removeprefix("0x")),
        abi_json=json.dumps(data["abi"]),
    )
