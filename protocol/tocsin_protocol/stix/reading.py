"""STIX objects of others: bounded, and checked as far as we use or pass on what they say."""

from __future__ import annotations

import re
import uuid
from typing import Any

from ..errors import DecodeError
from ..fields import list_of, text_of
from ..taxonomy import Tlp
from .marking import tlp_of
from .naming import SPEC_VERSION, canonical_json, time_of

Object = dict[str, Any]

MAX_OBJECT_BYTES = 64 * 1024
MAX_DEPTH = 16
MAX_OBJECTS = 1000
MAX_MARKINGS = 16
# What has no versions: it is what its content says.
UNVERSIONED = frozenset(
    (
        *("artifact", "autonomous-system", "directory", "domain-name", "email-addr", "email-message", "file"),
        *("ipv4-addr", "ipv6-addr", "mac-addr", "mutex", "network-traffic", "process", "software", "url"),
        *("user-account", "windows-registry-key", "x509-certificate", "cryptocurrency-wallet"),
    )
)
_TYPE = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_MAX_TYPE_CHARS = 100


def check_depth(value: Any) -> None:
    """Raise DecodeError where lists and maps stand in one another more than MAX_DEPTH times; takes no recursion."""
    # [STIX] What is nested deeper than MAX_DEPTH is refused before anything else is looked at.
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            item
            for inner in level
            if isinstance(inner, dict | list)
            for item in (inner.values() if isinstance(inner, dict) else inner)
        ]
        if not level:
            return
    raise DecodeError(f"the object is nested more than {MAX_DEPTH} deep")


def check_envelope(document: Any) -> list[Any]:
    """The objects of a TAXII envelope, or of a bundle, as some clients send that; raises DecodeError."""
    # [STIX] An envelope and a bundle are both taken, of up to MAX_OBJECTS objects.
    if type(document) is not dict:
        raise DecodeError("the envelope is not a map")
    if "type" in document and document["type"] != "bundle":
        raise DecodeError("what is sent is one object: an envelope or a bundle is wanted, with a list `objects`")
    return list_of("objects", document.get("objects"), 1, MAX_OBJECTS)


def check_object(value: Any) -> Object:
    """A STIX 2.1 object as far as it is used or passed on; raises DecodeError naming the property."""
    if type(value) is not dict:
        raise DecodeError("the object is not a map")
    check_depth(value)
    _check_size(value)
    kind = text_of("type", value.get("type"), _MAX_TYPE_CHARS)
    if not _TYPE.fullmatch(kind):
        raise DecodeError(f"type {kind!r} is not words of a-z and 0-9 with - between them")
    _check_id(kind, value.get("id"))
    # [STIX] An object says that it is STIX 2.1; an observable may leave that out.
    found = value.get("spec_version", SPEC_VERSION if kind in UNVERSIONED else None)
    if found != SPEC_VERSION:
        raise DecodeError(f"spec_version is {str(found)[:20]!r} where {SPEC_VERSION!r} is wanted")
    _check_times(kind, value)
    refs = list_of("object_marking_refs", value.get("object_marking_refs", []), 0, MAX_MARKINGS)
    for ref in refs:
        text_of("object_marking_refs", ref)
    return value


def version_of(value: Object) -> str | None:
    """By what a version of an object is known: modified, else created; None for what has no versions, or no time."""
    found = value.get("modified", value.get("created"))
    try:
        time_of("modified", found)
    except DecodeError:
        return None
    return str(found)


def object_tlp(value: Object, default: Tlp) -> Tlp:
    """What an object's markings come to; markings of parts of it count for the whole."""
    refs = [ref for ref in value.get("object_marking_refs", ()) if isinstance(ref, str)]
    # [STIX] A marking of a part of an object counts for all of it.
    granular = value.get("granular_markings", [])
    for part in granular if isinstance(granular, list) else [None]:
        ref = part.get("marking_ref") if isinstance(part, dict) else ""
        refs += [ref if isinstance(ref, str) else ""] if ref is not None else []
    return tlp_of(refs, default)


def _check_size(value: Object) -> None:
    try:
        size = len(canonical_json(value).encode())
    except (UnicodeEncodeError, ValueError, TypeError) as exc:
        raise DecodeError("the object holds text that is no Unicode, or a number that is none") from exc
    if size > MAX_OBJECT_BYTES:
        raise DecodeError(f"the object has {size} bytes where {MAX_OBJECT_BYTES} are allowed")


def _check_id(kind: str, value: Any) -> None:
    prefix, _, digits = text_of("id", value).rpartition("--")
    try:
        fits = prefix == kind and str(uuid.UUID(digits)) == digits
    except ValueError:
        fits = False
    if not fits:
        raise DecodeError(f"id {str(value)[:80]!r} is not {kind}-- and a UUID in lower case")


def _check_times(kind: str, value: Object) -> None:
    if kind in UNVERSIONED:
        return
    if "created" not in value and "modified" not in value and "extensions" in value:
        return  # an observable of a kind that an extension makes
    created = time_of("created", value.get("created"))
    # [STIX] What has versions says when it was created and modified, and the second is not before the first.
    if kind not in ("marking-definition",) and time_of("modified", value.get("modified")) < created:
        raise DecodeError("modified is before created")
