"""Keys at rest: scrypt and ChaCha20-Poly1305 (RFC 7914, RFC 8439) over a canonical map of secrets.

Four kinds of keystore: a node's four keys; the key that anchors its log; the member's root key, which belongs offline;
an operator's own key, which belongs on his machine.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from tocsin_protocol.encoding import decode_canonical, encode_canonical
from tocsin_protocol.errors import DecodeError
from tocsin_protocol.fields import bytes_of, map_of
from tocsin_protocol.log.note import Algorithm, verifier_key
from tocsin_protocol.signing import address_of_key, public_key_of

from .errors import ConfigError
from .private_files import read_private_file, write_new_file

KEYSTORE_VERSION = 1
SECRET_BYTES = 32
SALT_BYTES = 32
NONCE_BYTES = 12
MAX_CIPHERTEXT_BYTES = 1024
MIN_SCRYPT_N = 2**14
MAX_SCRYPT_N = 2**20
SCRYPT_R = 8
MAX_SCRYPT_P = 4
MIN_PASSPHRASE_BYTES = 8
MAX_PASSPHRASE_BYTES = 1024

_NODE_KIND = "node"
_ROOT_KIND = "root"
_OPERATOR_KIND = "operator"
_ANCHOR_KIND = "anchor"
_NODE_NAMES = ("guardian", "log", "publisher", "transport")
_ROOT_NAMES = ("root",)
_OPERATOR_NAMES = ("operator",)
_ANCHOR_NAMES = ("anchor",)
_SECP256K1_NAMES = frozenset(("anchor", "guardian", "operator", "publisher", "root"))


class KeystoreError(ConfigError):
    """A keystore or passphrase that cannot be used."""


@dataclass(frozen=True, slots=True)
class ScryptCost:
    """Work of one guess: 128·n·r bytes of memory, p times. The default takes a third of a second and 128 MiB."""

    n: int = 2**17
    p: int = 1


DEFAULT_COST = ScryptCost()
# For tests and the demo, whose keys live for minutes.
LEAST_COST = ScryptCost(n=MIN_SCRYPT_N)


@dataclass(frozen=True, slots=True, repr=False)
class NodeSecrets:
    """The keys a node needs while it runs, 32 bytes each; never shown."""

    publisher: bytes
    transport: bytes
    guardian: bytes
    log: bytes

    def __repr__(self) -> str:
        return "NodeSecrets(…)"

    @property
    def publisher_key(self) -> bytes:
        """The 33-byte key that rosters list."""
        return public_key_of(self.publisher)

    @property
    def publisher_id(self) -> bytes:
        """The 20-byte address that stands in envelopes."""
        return address_of_key(self.publisher_key)

    @property
    def log_key(self) -> bytes:
        """The 32-byte key that rosters list, with which others check the heads of the log."""
        return verifier_key(self.log, "log", Algorithm.ED25519).key

    @property
    def guardian_address(self) -> str:
        """The account that contracts must let pause, as 0x and lower-case hex."""
        return "0x" + address_of_key(public_key_of(self.guardian)).hex()


def generate_secrets() -> NodeSecrets:
    """Fresh random keys for a node."""
    return NodeSecrets(*(secrets.token_bytes(SECRET_BYTES) for _ in _NODE_NAMES))


def create_keystore(path: Path, keys: NodeSecrets, passphrase: bytes, cost: ScryptCost = DEFAULT_COST) -> None:
    """Write a new node keystore (0600, atomic); raises ConfigError, also where a file already is."""
    _create(path, _NODE_KIND, {name: getattr(keys, name) for name in _NODE_NAMES}, passphrase, cost)


def open_keystore(path: Path, passphrase: bytes) -> NodeSecrets:
    """Read a node keystore; raises ConfigError saying whether file, mode or passphrase is wrong."""
    return NodeSecrets(**_open(path, _NODE_KIND, _NODE_NAMES, passphrase))


def create_root_keystore(path: Path, root: bytes, passphrase: bytes, cost: ScryptCost = DEFAULT_COST) -> None:
    """Write a new keystore for a member's root key; raises ConfigError."""
    _create(path, _ROOT_KIND, {"root": root}, passphrase, cost)


def open_root_keystore(path: Path, passphrase: bytes) -> bytes:
    """Read a member's 32-byte root key; raises ConfigError."""
    return _open(path, _ROOT_KIND, _ROOT_NAMES, passphrase)["root"]


def create_operator_keystore(path: Path, key: bytes, passphrase: bytes, cost: ScryptCost = DEFAULT_COST) -> None:
    """Write a new keystore for the key with which an operator approves; raises ConfigError."""
    _create(path, _OPERATOR_KIND, {"operator": key}, passphrase, cost)


def open_operator_keystore(path: Path, passphrase: bytes) -> bytes:
    """Read an operator's 32-byte key; raises ConfigError."""
    return _open(path, _OPERATOR_KIND, _OPERATOR_NAMES, passphrase)["operator"]


def create_anchor_keystore(path: Path, key: bytes, passphrase: bytes, cost: ScryptCost = DEFAULT_COST) -> None:
    """Write a new keystore for the key that anchors a node's log; raises ConfigError."""
    _create(path, _ANCHOR_KIND, {"anchor": key}, passphrase, cost)


def open_anchor_keystore(path: Path, passphrase: bytes) -> bytes:
    """Read the 32-byte key that anchors a node's log; raises ConfigError."""
    return _open(path, _ANCHOR_KIND, _ANCHOR_NAMES, passphrase)["anchor"]


def read_passphrase(path: Path) -> bytes:
    """The passphrase in a 0600 file, without its last line end; raises ConfigError."""
    return _checked_passphrase(path, read_private_file(path))


def read_credential(name: str, environment: Mapping[str, str] = os.environ) -> bytes:
    """The passphrase in a systemd credential (systemd.exec(5), LoadCredential=); raises ConfigError."""
    directory = environment.get("CREDENTIALS_DIRECTORY")
    if not directory:
        raise KeystoreError(
            "$CREDENTIALS_DIRECTORY", "", f"is not set, so there is no credential {name!r}: start under systemd"
        )
    path = Path(directory) / name
    return _checked_passphrase(path, read_private_file(path, acl_mask=True))


def generate_passphrase() -> bytes:
    """A random passphrase of 160 bits, as text that can be typed."""
    return secrets.token_hex(20).encode()


def _checked_passphrase(path: Path, data: bytes) -> bytes:
    passphrase = data.removesuffix(b"\n").removesuffix(b"\r")
    if not MIN_PASSPHRASE_BYTES <= len(passphrase) <= MAX_PASSPHRASE_BYTES:
        raise KeystoreError(
            path,
            "",
            f"holds a passphrase of {len(passphrase)} bytes where "
            f"{MIN_PASSPHRASE_BYTES}…{MAX_PASSPHRASE_BYTES} are wanted",
        )
    return passphrase


def _create(path: Path, kind: str, values: Mapping[str, bytes], passphrase: bytes, cost: ScryptCost) -> None:
    salt, nonce = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(NONCE_BYTES)
    header = _header(kind, cost, salt, nonce)
    cipher = ChaCha20Poly1305(_derive(passphrase, salt, cost))
    ciphertext = cipher.encrypt(nonce, encode_canonical(dict(values)), encode_canonical(header))
    document = header | {"salt": salt.hex(), "nonce": nonce.hex(), "ciphertext": ciphertext.hex()}
    write_new_file(path, json.dumps(document, indent=2).encode() + b"\n")


def _open(path: Path, kind: str, names: tuple[str, ...], passphrase: bytes) -> dict[str, bytes]:
    document = _read_document(path)
    _expect(path, document, "version", KEYSTORE_VERSION)
    _expect(path, document, "kind", kind)
    _expect(path, document, "kdf", "scrypt")
    _expect(path, document, "r", SCRYPT_R)
    _expect(path, document, "cipher", "chacha20-poly1305")
    cost = ScryptCost(
        _bounded(path, document, "n", MIN_SCRYPT_N, MAX_SCRYPT_N), _bounded(path, document, "p", 1, MAX_SCRYPT_P)
    )
    if cost.n & (cost.n - 1):
        raise KeystoreError(path, "n", "a power of two is wanted", found=cost.n)
    salt = _hex(path, document, "salt", SALT_BYTES, SALT_BYTES)
    nonce = _hex(path, document, "nonce", NONCE_BYTES, NONCE_BYTES)
    ciphertext = _hex(path, document, "ciphertext", 16, MAX_CIPHERTEXT_BYTES)
    cipher = ChaCha20Poly1305(_derive(passphrase, salt, cost))
    try:
        plain = cipher.decrypt(nonce, ciphertext, encode_canonical(_header(kind, cost, salt, nonce)))
    except InvalidTag as exc:
        raise KeystoreError(path, "", "does not open: the passphrase is wrong or the file is damaged") from exc
    return _decode_secrets(path, plain, names)


def _decode_secrets(path: Path, plain: bytes, names: tuple[str, ...]) -> dict[str, bytes]:
    try:
        values = map_of("secrets", decode_canonical(plain, max_bytes=MAX_CIPHERTEXT_BYTES), names)
        for name in names:
            bytes_of(name, values[name], SECRET_BYTES)
            if name in _SECP256K1_NAMES:
                public_key_of(values[name])
    except (DecodeError, ValueError) as exc:
        raise KeystoreError(path, "", f"holds secrets that are none: {exc}") from exc
    return values


def _header(kind: str, cost: ScryptCost, salt: bytes, nonce: bytes) -> dict[str, Any]:
    """What is authenticated beside the secrets, so that no parameter can be changed unseen."""
    return {
        "version": KEYSTORE_VERSION,
        "kind": kind,
        "kdf": "scrypt",
        "n": cost.n,
        "r": SCRYPT_R,
        "p": cost.p,
        "salt": salt,
        "cipher": "chacha20-poly1305",
        "nonce": nonce,
    }


def _derive(passphrase: bytes, salt: bytes, cost: ScryptCost) -> bytes:
    return Scrypt(salt=salt, length=32, n=cost.n, r=SCRYPT_R, p=cost.p).derive(passphrase)


def _read_document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(read_private_file(path))
    except (ValueError, RecursionError) as exc:
        raise KeystoreError(path, "", "is not JSON: the file is damaged") from exc
    if type(document) is not dict:
        raise KeystoreError(path, "", "is not a JSON object: the file is damaged")
    return document


def _expect(path: Path, document: dict[str, Any], key: str, wanted: object) -> None:
    if document.get(key) != wanted:
        raise KeystoreError(path, key, f"{wanted!r} is wanted", found=document.get(key, "(missing)"))


def _bounded(path: Path, document: dict[str, Any], key: str, least: int, most: int) -> int:
    value = document.get(key)
    if type(value) is not int or not least <= value <= most:
        raise KeystoreError(path, key, f"an integer in {least}…{most} is wanted", found=value)
    return value


def _hex(path: Path, document: dict[str, Any], key: str, least: int, most: int) -> bytes:
    try:
        value = bytes.fromhex(document[key])
    except (KeyError, TypeError, ValueError) as exc:
        raise KeystoreError(path, key, "hex digits are wanted: the file is damaged") from exc
    if not least <= len(value) <= most:
        raise KeystoreError(path, key, f"{least}…{most} bytes are wanted", found=f"{len(value)} bytes")
    return value
