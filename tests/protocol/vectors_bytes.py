"""Vectors of bytes and keys: encoding, signing, envelope, frame. Each failure is one fault."""

from __future__ import annotations

from typing import Any

import msgpack
from coincurve import PrivateKey
from protocol_kit import DOMAIN, NETWORK_ID, OTHER_NETWORK_ID, Feed, bytes_of_label, make_signal, make_standard
from tocsin_protocol.encoding import decode_canonical, encode_canonical
from tocsin_protocol.envelope import MAX_BODY_BYTES, MAX_ENVELOPE_BYTES
from tocsin_protocol.frame import MAX_FRAME_ENVELOPES
from tocsin_protocol.signing import Domain, address_of_key, public_key_of, sign_digest
from vector_kit import case, tagged

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def encoding() -> dict[str, Any]:
    """specs/vectors/encoding.json"""
    values: list[tuple[str, Any]] = [
        ("zero", 0),
        ("one-byte-int", 127),
        ("uint8", 128),
        ("uint8-most", 255),
        ("uint16", 256),
        ("uint32", 65_536),
        ("uint64", 2**32),
        ("largest-int", 2**53 - 1),
        ("true", True),
        ("false", False),
        ("empty-text", ""),
        ("text", "tocsin"),
        ("text-of-32-bytes", "x" * 32),
        ("text-beyond-ascii", "Glocke ü 鐘 🔔"),
        ("empty-bytes", b""),
        ("bytes-of-256", bytes(256)),
        ("empty-list", []),
        ("list-of-16", [0] * 16),
        ("empty-map", {}),
        ("map-in-key-order", {"a": 1, "aa": 2, "b": [True, b"\x00"], "ü": {}}),
        ("map-of-16", {f"{n:02}": n for n in range(16)}),
        ("nested-8-deep", [[[[[[[[1]]]]]]]]),
    ]
    invalid = [
        ("empty", "no value", "", "truncated"),
        ("list-cut-short", "a list of two that holds one", "9201", "truncated"),
        ("text-cut-short", "text of three bytes that has one", "a361", "truncated"),
        ("bytes-cut-short", "bytes of two that has one", "c40200", "truncated"),
        ("int-cut-short", "a uint16 of one byte", "cd01", "truncated"),
        ("map-cut-short", "a map whose key has no value", "81a161", "truncated"),
        ("trailing-byte", "a byte after the value", "0100", "non-canonical"),
        ("uint8-for-1", "an integer in more bytes than it needs", "cc01", "non-canonical"),
        ("uint16-for-255", "an integer in more bytes than it needs", "cd00ff", "non-canonical"),
        ("uint32-for-65535", "an integer in more bytes than it needs", "ce0000ffff", "non-canonical"),
        ("uint64-for-1", "an integer in more bytes than it needs", "cf0000000000000001", "non-canonical"),
        ("int8-for-5", "a signed form for an unsigned integer", "d005", "non-canonical"),
        ("int64-for-5", "a signed form for an unsigned integer", "d30000000000000005", "non-canonical"),
        ("text-in-str8", "text with a longer head than it needs", "d90161", "non-canonical"),
        ("bytes-in-bin16", "bytes with a longer head than they need", "c5000161", "non-canonical"),
        ("list-in-array16", "a list with a longer head than it needs", "dc000101", "non-canonical"),
        ("list-in-array32", "a list with a longer head than it needs", "dd0000000101", "non-canonical"),
        ("map-in-map16", "a map with a longer head than it needs", "de0001a16101", "non-canonical"),
        ("keys-unsorted", "keys that do not rise", "82a16201a16102", "non-canonical"),
        ("keys-by-length", "keys ordered by length before content", "82a16201a2616102", "non-canonical"),
        ("key-twice", "one key twice", "82a16101a16102", "non-canonical"),
        ("key-twice-inside", "one key twice, in an inner map", "9182a16101a16101", "non-canonical"),
        ("negative", "an integer below zero", "ff", "malformed"),
        ("beyond-2-53", "an integer above 2^53-1", "cf0020000000000000", "malformed"),
        ("uint64-most", "an integer above 2^53-1", "cfffffffffffffffff", "malformed"),
        ("float32", "a float", "ca3f800000", "malformed"),
        ("float64", "a float", "cb3ff0000000000000", "malformed"),
        ("nan", "a float that is no number", "cb7ff8000000000000", "malformed"),
        ("nil", "nil", "c0", "malformed"),
        ("reserved", "the byte msgpack never uses", "c1", "malformed"),
        ("extension", "an extension type", "d40000", "malformed"),
        ("timestamp", "msgpack's timestamp extension", "d6ff00000000", "malformed"),
        ("text-not-utf8", "text that is not UTF-8", "a1ff", "malformed"),
        ("text-surrogate", "a lone surrogate in UTF-8", "a3eda080", "malformed"),
        ("text-overlong", "an overlong form in UTF-8", "a2c080", "malformed"),
        ("key-int", "a map key that is an integer", "810101", "malformed"),
        ("key-bytes", "a map key that is bytes", "81c4016101", "malformed"),
        ("key-list", "a map key that is a list", "819001", "malformed"),
        ("key-map", "a map key that is a map", "818001", "malformed"),
        ("nested-9-deep", "a list nested deeper than MAX_DEPTH", "91" * 9 + "01", "malformed"),
        ("nested-maps-9-deep", "maps nested deeper than MAX_DEPTH", "81a161" * 9 + "01", "malformed"),
        ("too-long", "4097 bytes", "c50ffe" + "00" * 4094, "oversized"),
        ("nested-1000-deep", "a nest far deeper than any stack should follow", "91" * 1000 + "01", "malformed"),
    ]
    return {
        "valid": [case(name, "", value=tagged(value), encoded=encode_canonical(value)) for name, value in values],
        "invalid": [case(name, why, encoded=encoded, reason=reason) for name, why, encoded, reason in invalid],
    }


def signing() -> dict[str, Any]:
    """specs/vectors/signing.json"""
    secret, other = bytes_of_label("signer"), bytes_of_label("another signer")
    key, publisher = public_key_of(secret), address_of_key(public_key_of(secret))
    body = b"not a body; the digest takes any bytes"
    first = DOMAIN.signal_digest(publisher, 0, 1, bytes(32), body)
    last = DOMAIN.signal_digest(publisher, 1, 2**53 - 1, bytes_of_label("previous"), body)
    change = DOMAIN.roster_change_digest(7, bytes_of_label("roster"))
    good = sign_digest(secret, first)
    r, packed = good[:32], int.from_bytes(good[32:], "big")
    parity, s = packed >> 255, packed & (2**255 - 1)
    digests = [
        case(
            "signal-first",
            "the first signal of a CRITICAL feed",
            network=NETWORK_ID,
            message={"publisher": publisher, "lane": 0, "sequence": 1, "previous": bytes(32), "body": body},
            digest=first,
        ),
        case(
            "signal-last",
            "the largest sequence, standard lane",
            network=NETWORK_ID,
            message={
                "publisher": publisher,
                "lane": 1,
                "sequence": 2**53 - 1,
                "previous": bytes_of_label("previous"),
                "body": body,
            },
            digest=last,
        ),
        case(
            "signal-other-network",
            "the same signal in another network has another digest",
            network=OTHER_NETWORK_ID,
            message={"publisher": publisher, "lane": 0, "sequence": 1, "previous": bytes(32), "body": body},
            digest=Domain(OTHER_NETWORK_ID).signal_digest(publisher, 0, 1, bytes(32), body),
        ),
        case(
            "roster-change",
            "what a member root signs",
            network=NETWORK_ID,
            change={"epoch": 7, "roster": bytes_of_label("roster")},
            digest=change,
        ),
    ]
    valid = [
        case("signal", "", key=key, digest=first, signature=good),
        case("roster-change", "", key=key, digest=change, signature=sign_digest(secret, change)),
    ]
    # The next ones of either parity, so that both are seen.
    for wanted in (0, 1):
        digest = next(
            d for d in (bytes_of_label("parity", n) for n in range(64)) if sign_digest(secret, d)[32] >> 7 == wanted
        )
        valid.append(case(f"parity-{wanted}", "", key=key, digest=digest, signature=sign_digest(secret, digest)))

    def pack(value: int, bit: int) -> bytes:
        return r + (value | bit << 255).to_bytes(32, "big")

    invalid = [
        case(
            "flipped-parity",
            "the parity bit says the other point",
            key=key,
            digest=first,
            signature=pack(s, 1 - parity),
        ),
        _high_s(),
        case(
            "other-s",
            "the other s of the same r, its top bit read as parity",
            key=key,
            digest=first,
            signature=r + (ORDER - s).to_bytes(32, "big"),
        ),
        case("other-digest", "made for another digest", key=key, digest=last, signature=good),
        case("other-key", "made by another key", key=public_key_of(other), digest=first, signature=good),
        case("r-zero", "r is zero", key=key, digest=first, signature=bytes(32) + good[32:]),
        case("s-zero", "s is zero", key=key, digest=first, signature=r + bytes(32)),
        case("r-order", "r is the group order", key=key, digest=first, signature=ORDER.to_bytes(32, "big") + good[32:]),
        case("all-ones", "every bit set", key=key, digest=first, signature=b"\xff" * 64),
        case("63-bytes", "a byte short", key=key, digest=first, signature=good[:-1]),
        case("65-bytes", "the long form with a recovery byte", key=key, digest=first, signature=good + b"\x00"),
    ]
    return {
        "domain": {"name": "Tocsin", "version": "1"},
        "keys": [case("signer", "", secret=secret, public=key, address=publisher)],
        "digests": digests,
        "valid": valid,
        "invalid": invalid,
    }


def _high_s() -> dict[str, Any]:
    """A signature whose s is too large by one, by a key that was made to fit it: d = (s·k - z) / r."""
    nonce, digest = bytes_of_label("nonce"), bytes_of_label("high s")
    point = PrivateKey(nonce).public_key.format(compressed=False)
    r, odd = int.from_bytes(point[1:33], "big") % ORDER, point[64] & 1
    s = ORDER // 2 + 1
    secret = (s * int.from_bytes(nonce, "big") - int.from_bytes(digest, "big")) * pow(r, -1, ORDER) % ORDER
    key = public_key_of(secret.to_bytes(32, "big"))
    signature = r.to_bytes(32, "big") + (s | odd << 255).to_bytes(32, "big")
    return case("high-s", "s is above half the order; all else is right", key=key, digest=digest, signature=signature)


def envelope() -> dict[str, Any]:
    """specs/vectors/envelope.json"""
    feed = Feed("alba")
    made = [feed.seal(make_signal()), feed.seal(make_signal(incident="again")), feed.seal(make_standard())]
    good = decode_canonical(made[0].encoded, max_bytes=MAX_ENVELOPE_BYTES)
    names = ("version", "publisher", "lane", "sequence", "previous", "body", "signature")

    def changed(**fields: Any) -> bytes:
        return _loose([fields.get(name, value) for name, value in zip(names, good, strict=True)])

    wrong: list[tuple[str, str, bytes, str]] = [
        ("six-fields", "the signature is missing", _loose(good[:6]), "malformed"),
        ("eight-fields", "a field too many", _loose([*good, 0]), "malformed"),
        ("a-map", "a map of the same fields", _loose(dict(zip(sorted(names), good, strict=True))), "malformed"),
        ("version-0", "a version before the first", changed(version=0), "malformed"),
        ("version-2", "a version yet to come", changed(version=2), "malformed"),
        ("version-true", "true for 1", changed(version=True), "malformed"),
        ("publisher-19", "a publisher of 19 bytes", changed(publisher=good[1][:19]), "malformed"),
        ("publisher-text", "a publisher in hex", changed(publisher=good[1].hex()), "malformed"),
        ("lane-2", "a lane that does not exist", changed(lane=2), "malformed"),
        ("lane-false", "false for lane 0", changed(lane=False), "malformed"),
        ("sequence-0", "sequences start at 1", changed(sequence=0), "malformed"),
        ("sequence-too-large", "a sequence above 2^53-1", changed(sequence=2**53), "malformed"),
        ("first-with-previous", "the first signal has no predecessor", changed(previous=b"\x01" * 32), "malformed"),
        ("second-without-previous", "every other signal has one", changed(sequence=2), "malformed"),
        ("previous-31", "a previous of 31 bytes", changed(sequence=2, previous=b"\x01" * 31), "malformed"),
        ("body-empty", "a body of no bytes", changed(body=b""), "malformed"),
        ("body-too-long", "a body of MAX_BODY_BYTES + 1", changed(body=bytes(MAX_BODY_BYTES + 1)), "malformed"),
        ("too-long", "more than MAX_ENVELOPE_BYTES", changed(body=bytes(MAX_ENVELOPE_BYTES)), "oversized"),
        ("body-text", "a body that is text", changed(body="body"), "malformed"),
        ("signature-63", "a signature of 63 bytes", changed(signature=good[6][:63]), "malformed"),
        ("truncated", "the last byte is missing", made[0].encoded[:-1], "truncated"),
        ("trailing-byte", "a byte after the envelope", made[0].encoded + b"\x00", "non-canonical"),
        ("lane-in-uint8", "lane 0 in two bytes", _respelled(good), "non-canonical"),
    ]
    return {
        "network": NETWORK_ID.hex(),
        "key": feed.key.hex(),
        "valid": [
            case(
                name,
                "",
                encoded=e.encoded,
                publisher=e.publisher,
                lane=e.lane,
                sequence=e.sequence,
                previous=e.previous,
                body=e.body,
                signature=e.signature,
                digest=e.digest,
            )
            for name, e in zip(("critical-first", "critical-second", "standard-first"), made, strict=True)
        ],
        "invalid": [case(name, why, encoded=encoded, reason=reason) for name, why, encoded, reason in wrong],
    }


def _loose(value: Any) -> bytes:
    """msgpack without our rules."""
    packed: bytes = msgpack.packb(value)
    return packed


def _respelled(fields: list[Any]) -> bytes:
    head = b"\x97" + _loose(fields[0]) + _loose(fields[1])
    return head + b"\xcc\x00" + b"".join(map(_loose, fields[3:]))


def frame() -> dict[str, Any]:
    """specs/vectors/frame.json"""
    one, two, three = (e.encoded for e in Feed("alba").seal_many(3))
    good = [("one", [one]), ("three", [one, two, three])]
    wrong = [
        ("empty", "a frame of no envelopes", encode_canonical([]), "malformed"),
        ("too-many", "MAX_FRAME_ENVELOPES + 1", encode_canonical([b"\x01"] * (MAX_FRAME_ENVELOPES + 1)), "malformed"),
        ("bare-envelope", "an envelope that is in no list", one, "malformed"),
        ("bytes", "bytes where a list is wanted", encode_canonical(one), "malformed"),
        ("text-inside", "an item that is text", encode_canonical([one, "two"]), "malformed"),
        ("list-inside", "an envelope that is not wrapped in bytes", b"\x91" + one, "malformed"),
        ("truncated", "the last byte is missing", encode_canonical([one, two])[:-1], "truncated"),
        ("trailing-byte", "a byte after the frame", encode_canonical([one]) + b"\x00", "non-canonical"),
        ("array16", "a longer head than it needs", b"\xdc\x00\x01" + encode_canonical(one), "non-canonical"),
    ]
    return {
        "valid": [case(name, "", envelopes=items, encoded=encode_canonical(items)) for name, items in good],
        "invalid": [case(name, why, encoded=encoded, reason=reason) for name, why, encoded, reason in wrong],
    }
