"""Manifests of other members: signed files in a folder beside the data, each checked against the roster."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tocsin_protocol.errors import DecodeError, ProtocolError
from tocsin_protocol.exposure.manifest import Manifest, SignedManifest
from tocsin_protocol.exposure.manifest_signing import (
    MAX_SIGNED_MANIFEST_BYTES,
    decode_signed_manifest,
    encode_signed_manifest,
    verify_manifest,
)
from tocsin_protocol.freshness import MAX_CLOCK_SKEW_MS
from tocsin_protocol.roster import RosterIndex

from .errors import ConfigError
from .private_files import make_private_directory, replace_file
from .roster_files import PUBLIC_FILE_MODE
from .toml_files import read_bytes

SUFFIX = ".bin"
# Sixteen for each member that a roster may have.
MAX_MANIFEST_FILES = 4096


@dataclass(frozen=True, slots=True)
class HeldManifest:
    """A manifest that its member signed, and the file it came from."""

    path: Path
    member: str
    signed: SignedManifest
    manifest: Manifest


def read_signed_manifest(path: Path) -> SignedManifest:
    """Read a signed manifest, checking neither body nor signature; raises ConfigError."""
    if path.exists() and not path.is_file():
        raise ConfigError(path, "", "cannot be read: it is not a regular file")
    try:
        return decode_signed_manifest(read_bytes(path, MAX_SIGNED_MANIFEST_BYTES))
    except DecodeError as exc:
        raise ConfigError(path, "", f"is not a signed manifest: {exc}") from exc


def open_signed_manifest(path: Path, roster: RosterIndex, now_ms: int) -> HeldManifest:
    """Read a manifest whose signer may speak for its protocol; raises ConfigError saying why not."""
    signed = read_signed_manifest(path)
    entry, member = roster.publisher(signed.publisher), roster.member(signed.publisher)
    if entry is None or member is None:
        raise ConfigError(path, "", f"is signed by 0x{signed.publisher.hex()}, which is not in the roster")
    if entry.revoked:
        raise ConfigError(path, "", f"is signed by a key of {member.name} that was revoked")
    if not entry.valid_from_ms <= signed.issued_ms <= entry.valid_until_ms:
        raise ConfigError(path, "", f"was issued while its key of {member.name} was not valid")
    # What comes from the future would be the newest until then.
    if signed.issued_ms > now_ms + MAX_CLOCK_SKEW_MS:
        raise ConfigError(path, "", "was issued in the future")
    try:
        manifest = verify_manifest(roster.domain, entry.key, signed)
    except ProtocolError as exc:
        raise ConfigError(path, "", f"is not what {member.name} signed: {exc}") from exc
    # Else any member could put its own words in place of another's.
    if manifest.protocol != member.name:
        raise ConfigError(path, "", f"speaks for {manifest.protocol!r}, and is signed by {member.name!r}")
    return HeldManifest(path, member.name, signed, manifest)


def find_manifests(
    directory: Path, roster: RosterIndex, now_ms: int
) -> tuple[tuple[HeldManifest, ...], tuple[str, ...]]:
    """The newest manifest of each protocol in a folder, by name; and what is wrong with the others."""
    held: dict[str, HeldManifest] = {}
    warnings = []
    paths = sorted(directory.glob(f"*{SUFFIX}"))
    if len(paths) > MAX_MANIFEST_FILES:
        warnings.append(f"{directory}: of {len(paths)} files only the first {MAX_MANIFEST_FILES} are read")
    for path in paths[:MAX_MANIFEST_FILES]:
        try:
            found = open_signed_manifest(path, roster, now_ms)
        except ConfigError as exc:
            warnings.append(f"a manifest is not used: {exc}")
            continue
        known = held.get(found.manifest.protocol)
        if known is None or found.signed.issued_ms > known.signed.issued_ms:
            held[found.manifest.protocol] = found
    return tuple(held[name] for name in sorted(held)), tuple(warnings)


def import_manifest(path: Path, directory: Path, roster: RosterIndex, now_ms: int) -> HeldManifest:
    """Check a manifest and keep it in the folder; raises ConfigError, also where as new a one is there."""
    found = open_signed_manifest(path, roster, now_ms)
    held, _ = find_manifests(directory, roster, now_ms)
    known = next((item for item in held if item.manifest.protocol == found.manifest.protocol), None)
    if known is not None and known.signed.issued_ms >= found.signed.issued_ms:
        raise ConfigError(path, "", f"is not newer than {known.path}")
    make_private_directory(directory)
    kept = directory / f"{found.manifest.protocol}{SUFFIX}"
    write_signed_manifest(kept, found.signed)
    return HeldManifest(kept, found.member, found.signed, found.manifest)


def write_signed_manifest(path: Path, signed: SignedManifest) -> None:
    """Write a signed manifest in one step, over an older one but over nothing else; raises ConfigError."""
    if path.exists():
        read_signed_manifest(path)
    replace_file(path, encode_signed_manifest(signed), mode=PUBLIC_FILE_MODE)
