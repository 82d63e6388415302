"""The folder in which a Safe's transaction lies for its owners, and their signatures for us."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic_core import from_json
from tocsin_protocol.containment.action import Action

from tocsin_node.private_files import make_private_directory, replace_file

from .safe_transaction import SafeSignatureError, SafeTransaction

MAX_SIGNATURE_FILES = 256
"""Files that are looked at, by name; a Safe has fewer owners than that."""
MAX_SIGNATURE_BYTES = 16 * 1024
SIGNATURE_SUFFIX = ".signature.json"
_HASH_KEYS = ("contractTransactionHash", "safeTxHash")


@dataclass(frozen=True, slots=True)
class Gathered:
    """Signatures by owner, and a sentence for each file that is none."""

    signatures: dict[str, bytes] = field(default_factory=dict)
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SafeDesk:
    """One hook's folder.

    Of each action: `NAME.builder.json` for the Safe's Transaction Builder, `NAME.json` for its Transaction Service,
    `NAME.typed-data.json` for wallets. Owners put `ANYTHING.signature.json` beside it.
    """

    folder: Path

    def path_of(self, action: Action) -> Path:
        """The file of the Transaction Builder, which people look for first."""
        return self.folder / f"{_stem(action)}.builder.json"

    def put(self, action: Action, transaction: SafeTransaction, sentence: str) -> None:
        """Write the transaction down in all its forms, once; raises ConfigError and OSError."""
        stem = _stem(action)
        service = transaction.service_form()
        path = self.folder / f"{stem}.json"
        if path.exists() and _read_object(path).get("contractTransactionHash") == service["contractTransactionHash"]:
            return
        make_private_directory(self.folder)
        builder = transaction.builder_form(f"Tocsin: {action.hook}", sentence, action.created_ms)
        replace_file(self.path_of(action), _write(builder))
        replace_file(self.folder / f"{stem}.typed-data.json", _write(transaction.typed_data()))
        replace_file(path, _write(service))

    def gather(self, transaction: SafeTransaction, owners: Collection[str]) -> Gathered:
        """Read the signatures over this very transaction; those over others are left alone. Raises OSError."""
        signatures: dict[str, bytes] = {}
        faults: list[str] = []
        wanted = "0x" + transaction.hash.hex()
        for path in sorted(self.folder.glob(f"*{SIGNATURE_SUFFIX}"))[:MAX_SIGNATURE_FILES]:
            document = _read_object(path)
            if all(document.get(key) != wanted for key in _HASH_KEYS):
                continue
            try:
                signature = _read_hex(document.get("signature"))
                signer = transaction.signer_of(signature)
            except SafeSignatureError as exc:
                faults.append(f"{path.name}: {exc}")
                continue
            # [HOOK] A signature counts when one of the Safe's present owners made it, and each owner counts once.
            if signer in owners:
                signatures[signer] = signature
            else:
                faults.append(f"{path.name}: {signer} is no owner of the Safe")
        return Gathered(signatures, tuple(faults))


def _stem(action: Action) -> str:
    return f"{action.hook}-{action.action_id.hex()[:16]}"


def _write(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=1).encode() + b"\n"


def _read_object(path: Path) -> dict[str, Any]:
    """Return the object in a file that others wrote, an empty one where it is none."""
    try:
        if not path.is_file():  # to open a pipe would wait for whoever writes to it
            return {}
        with path.open("rb") as file:
            raw = file.read(MAX_SIGNATURE_BYTES + 1)
        document = from_json(raw) if len(raw) <= MAX_SIGNATURE_BYTES else None
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _read_hex(value: object) -> bytes:
    try:
        return bytes.fromhex(str(value).removeprefix("0x"))
    except ValueError as exc:
        raise SafeSignatureError("signature is not hex") from exc
