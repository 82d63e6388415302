"""Who says what a protocol holds: manifests signed by their publishers (specs/exposure.md)."""

from __future__ import annotations

from ..encoding import decode_canonical, encode_canonical
from ..errors import DecodeError, SignatureError
from ..fields import bytes_of, list_of, uint_of
from ..ids import PUBLISHER_BYTES
from ..signing import SIGNATURE_BYTES, Domain, address_of_key, public_key_of, sign_digest, verify_digest
from .manifest import Manifest, SignedManifest
from .manifest_encoding import MAX_MANIFEST_BYTES, decode_manifest, encode_manifest

MANIFEST_VERSION = 1
MAX_SIGNED_MANIFEST_BYTES = MAX_MANIFEST_BYTES + 128


def sign_manifest(domain: Domain, secret: bytes, issued_ms: int, manifest: Manifest) -> SignedManifest:
    """Encode and sign a manifest with a publisher's key; raises DecodeError where it could not be opened again."""
    body, publisher = encode_manifest(manifest), address_of_key(public_key_of(secret))
    _check_times(manifest, uint_of("issued", issued_ms))
    return SignedManifest(
        publisher, issued_ms, body, sign_digest(secret, domain.manifest_digest(publisher, issued_ms, body))
    )


def verify_manifest(domain: Domain, public_key: bytes, signed: SignedManifest) -> Manifest:
    """Check a manifest by its publisher's key and open it; raises SignatureError or DecodeError."""
    # [EXPOSURE] A manifest is signed by the key of the publisher it names.
    if address_of_key(public_key) != signed.publisher:
        raise SignatureError("manifest of another publisher than the key's")
    digest = domain.manifest_digest(signed.publisher, signed.issued_ms, signed.body)
    verify_digest(public_key, digest, signed.signature)
    manifest = decode_manifest(signed.body)
    _check_times(manifest, signed.issued_ms)
    return manifest


def encode_signed_manifest(signed: SignedManifest) -> bytes:
    """The file and wire form of a signed manifest."""
    return encode_canonical([MANIFEST_VERSION, signed.publisher, signed.issued_ms, signed.body, signed.signature])


def decode_signed_manifest(data: bytes) -> SignedManifest:
    """Parse a signed manifest, checking neither body nor signature; raises DecodeError."""
    value = decode_canonical(data, max_bytes=MAX_SIGNED_MANIFEST_BYTES)
    version, publisher, issued_ms, body, signature = list_of("signed manifest", value, 5, 5)
    uint_of("manifest version", version, MANIFEST_VERSION, MANIFEST_VERSION)
    if type(body) is not bytes:
        raise DecodeError("manifest body is not bytes")
    return SignedManifest(
        bytes_of("manifest publisher", publisher, PUBLISHER_BYTES),
        uint_of("issued", issued_ms),
        body,
        bytes_of("manifest signature", signature, SIGNATURE_BYTES),
    )


def _check_times(manifest: Manifest, issued_ms: int) -> None:
    # [EXPOSURE] No amount was read after its manifest was issued.
    amounts = [h.amount for h in manifest.holdings] + [d.amount for d in manifest.dependencies]
    for amount in amounts:
        if amount is not None and amount.read_ms > issued_ms:
            raise DecodeError(f"amount read at {amount.read_ms}, after the manifest was issued at {issued_ms}")
