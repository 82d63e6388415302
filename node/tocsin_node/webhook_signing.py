"""Signatures of webhooks: ours to the operator's own services, and the feed's to those who subscribe.

Standard Webhooks, symmetric v1 signatures: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from pathlib import Path

from .errors import ConfigError
from .private_files import read_private_file

SECRET_PREFIX = "whsec_"  # noqa: S105 - the spelling of the standard, not a secret
MIN_SECRET_BYTES = 24
MAX_SECRET_BYTES = 64


def read_secret(path: Path) -> bytes:
    """Return the shared secret of a 0600 file that holds `whsec_` and base64; raises ConfigError."""
    text = read_private_file(path).decode("ascii", errors="replace").strip()
    try:
        secret = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise ConfigError(path, "", "whsec_ and base64 is wanted") from exc
    if not MIN_SECRET_BYTES <= len(secret) <= MAX_SECRET_BYTES:
        wanted = f"a secret of {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes is wanted, not {len(secret)}"
        raise ConfigError(path, "", wanted)
    return secret


def sign_webhook(secret: bytes, webhook_id: str, timestamp_s: int, body: bytes) -> str:
    """Return the value of the `webhook-signature` header."""
    signed = f"{webhook_id}.{timestamp_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
