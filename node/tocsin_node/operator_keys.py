"""An operator's own key: made, and used to sign what a node asks. Needs no node."""

from __future__ import annotations

import secrets
from pathlib import Path

from tocsin_protocol.approval.files import Approval, compact_signature, encode_approval
from tocsin_protocol.approval.request import Request, request_digest
from tocsin_protocol.signing import Domain, address_of_key, public_key_of, recover_key, sign_digest

from .keystore import (
    DEFAULT_COST,
    SECRET_BYTES,
    ScryptCost,
    create_operator_keystore,
    open_operator_keystore,
    read_passphrase,
)


def create_operator_key(path: Path, passphrase_file: Path, cost: ScryptCost = DEFAULT_COST) -> str:
    """Make a key in a new keystore; returns its address, which policies list. Raises ConfigError."""
    key = secrets.token_bytes(SECRET_BYTES)
    create_operator_keystore(path, key, read_passphrase(passphrase_file), cost)
    return _address(key)


def sign_request(key_file: Path, passphrase_file: Path, network_id: bytes, request: Request) -> tuple[str, bytes]:
    """Sign what is asked; returns the signer's address and the approval's file. Raises ConfigError."""
    key = open_operator_keystore(key_file, read_passphrase(passphrase_file))
    signature = sign_digest(key, request_digest(Domain(network_id), request))
    return _address(key), encode_approval(Approval(network_id, request, signature))


def take_signature(text: str, network_id: bytes, request: Request) -> tuple[str, bytes]:
    """The same from what a wallet returned; raises DecodeError or SignatureError."""
    signature = compact_signature(text)
    signer = address_of_key(recover_key(request_digest(Domain(network_id), request), signature))
    return "0x" + signer.hex(), encode_approval(Approval(network_id, request, signature))


def _address(key: bytes) -> str:
    return "0x" + address_of_key(public_key_of(key)).hex()
