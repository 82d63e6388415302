"""Members with fixed keys, and manifests that they signed."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from tocsin_node.signed_manifests import write_signed_manifest
from tocsin_protocol.exposure.manifest import Manifest
from tocsin_protocol.exposure.manifest_signing import sign_manifest
from tocsin_protocol.ids import NO_DIGEST
from tocsin_protocol.roster import RosterIndex
from tocsin_protocol.roster_model import Capability, Member, Publisher, RateClass, Roster
from tocsin_protocol.signing import Domain, public_key_of

NOW_MS = 1_700_000_000_000
NETWORK_ID = bytes(range(32))
DAY_MS = 24 * 3600 * 1000


def secret_of(member: str) -> bytes:
    """A member's publisher key."""
    return hashlib.sha256(member.encode()).digest()


def make_index(*members: str, **changes: Any) -> RosterIndex:
    """A roster of members with one publisher each."""
    return RosterIndex(Roster(NETWORK_ID, 0, NO_DIGEST, tuple(_member(name, changes) for name in members)))


def write_signed(path: Path, member: str, manifest: Manifest, issued_ms: int = NOW_MS) -> Path:
    """A file with a manifest that a member signed."""
    path.parent.mkdir(exist_ok=True)
    write_signed_manifest(path, sign_manifest(Domain(NETWORK_ID), secret_of(member), issued_ms, manifest))
    return path


def _member(name: str, changes: dict[str, Any]) -> Member:
    key = public_key_of(secret_of(name))
    valid = (NOW_MS - 365 * DAY_MS, NOW_MS + 365 * DAY_MS)
    publisher = Publisher(key, name, (), *valid, (Capability.PUBLISH,), RateClass.LOW, (), (), ())
    return Member(name, name, key, (replace(publisher, **changes),))
