"""The demo's contracts as the wheel carries them: ABI and bytecode built from `deploy/contracts`."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from tocsin_node.contracts import Artifact, read_artifact

NAMES = ("Attacker", "Dex", "Lender", "Token", "Vault")


@cache
def load_artifact(name: str) -> Artifact:
    """Return one of NAMES; raises KeyError for another."""
    if name not in NAMES:
        raise KeyError(name)
    return read_artifact(files(__package__) / "contracts", name)
