"""How vectors are written: JSON that a person can read and every language can parse."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).parents[2] / "specs" / "vectors"


def json_bytes(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=1, ensure_ascii=True).encode() + b"\n"


def read_vectors(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_bytes())
    return document


def case(name: str, why: str, **fields: Any) -> dict[str, Any]:
    """One case: what it is called, what it shows, and its fields."""
    return {"name": name, "why": why, **{key: to_json(value) for key, value in fields.items()}}


def to_json(value: Any) -> Any:
    """Bytes as lower-case hex; containers item by item."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return value


def tagged(value: Any) -> Any:
    """A decoded value whose bytes are told from its text: {"bytes": hex}."""
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, dict):
        return {"map": [[key, tagged(item)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [tagged(item) for item in value]
    return value


def untagged(value: Any) -> Any:
    if isinstance(value, dict):
        if "bytes" in value:
            return bytes.fromhex(value["bytes"])
        return {key: untagged(item) for key, item in value["map"]}
    if isinstance(value, list):
        return [untagged(item) for item in value]
    return value


def check_names(cases: Iterable[dict[str, Any]]) -> None:
    names = [c["name"] for c in cases]
    assert len(set(names)) == len(names), sorted(n for n in names if names.count(n) > 1)
