"""A case file of alba's log: two signals, a decision and an action."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Any

from log_kit import LOG_SECRET, bundle_of, cosignature, head_of, sign_head, witness_key
from protocol_kit import DOMAIN, NETWORK_ID, NOW_MS, Feed, make_signal, make_standard
from tocsin_protocol.audit import EntryKind, encode_entry
from tocsin_protocol.encoding import encode_canonical
from tocsin_protocol.envelope import Envelope, seal_envelope
from tocsin_protocol.ids import NO_DIGEST
from tocsin_protocol.log.case import Case, CaseEntry
from tocsin_protocol.log.checkpoint import origin_of
from tocsin_protocol.log.note import Algorithm, Note, VerifierKey, encode_note, verifier_key
from tocsin_protocol.log.trust import TrustPolicy, decode_trust

OWNER = Feed("alba").publisher
ORIGIN = origin_of(NETWORK_ID, OWNER)
KEY: VerifierKey = verifier_key(LOG_SECRET, ORIGIN, Algorithm.ED25519)
# A log that the policy takes as well, and that is no node's.
OTHER_SECRET = sha256(b"log of a notary").digest()
OTHER_KEY: VerifierKey = verifier_key(OTHER_SECRET, "notary.example/log", Algorithm.ED25519)
WITNESSES = ("brook", "cedar")


def policy_text(quorum: str = "all") -> str:
    lines = [f"log {KEY}", f"log {OTHER_KEY}", *(f"witness {name} {witness_key(name)}" for name in WITNESSES)]
    return "\n".join([*lines, f"group peers {quorum} {' '.join(WITNESSES)}", "quorum peers", ""])


def policy() -> TrustPolicy:
    return decode_trust(policy_text().encode())


def signals_of() -> list[Envelope]:
    feed = Feed("brook", DOMAIN)
    return [feed.seal(make_signal(text="it drains")), feed.seal(make_standard())]


def entry(kind: EntryKind, about: bytes, at_ms: int = NOW_MS, **detail: Any) -> bytes:
    return encode_entry(at_ms, kind.value, about, encode_canonical(detail))


def log_of(signals: list[Envelope]) -> list[bytes]:
    items = [entry(EntryKind.NODE, b"", NOW_MS + n, number=n) for n in range(300)]
    items[7] = entry(EntryKind.SIGNAL, signals[0].digest, path="gossip", verdict="admitted")
    items[9] = entry(EntryKind.SIGNAL, signals[1].digest, path="sync", verdict="stale")
    items[10] = entry(EntryKind.DECISION, b"\x07" * 32, sentence="Freeze the vault.", decision=bytes(8))
    items[290] = entry(EntryKind.OUTCOME, b"\x08" * 32, event="confirm", state="effective")
    return items


def make_case(
    *witnesses: str, origin: str = ORIGIN, secret: bytes = LOG_SECRET, outcome: bytes = b"", body: bytes = b""
) -> Case:
    """`witnesses` cosign, or both; `outcome` is the last entry, and `body` what the second signal says, if given."""
    signals = signals_of()
    if body:
        feed = Feed("brook", DOMAIN)
        signals[1] = seal_envelope(DOMAIN, feed.secret, feed.publisher, 1, 1, NO_DIGEST, body)
    items = log_of(signals)
    items[290] = outcome or items[290]
    head = head_of(items, origin)
    note = sign_head(head, secret)
    lines = [cosignature(head, name) for name in (witnesses or WITNESSES)]
    bundles = [bundle_of(items, index) for index in (7, 9, 10, 290)]
    return Case(
        encode_note(Note(note.text, (*note.signatures, *lines))),
        tuple(CaseEntry(bundle.index, bundle.entry, bundle.path) for bundle in bundles),
        tuple(signal.encoded for signal in signals),
    )


def bad_cases() -> dict[str, tuple[Case, str]]:
    """Cases with one fault each, and a word of what is said of it."""
    good = make_case()
    first, second, *rest = good.entries
    forged = Feed("brook", DOMAIN).seal(make_signal(text="forged"))
    other = bytes(64)
    envelope = forged.encoded[: -len(other)] + other
    unsigned = good.signals[0][:-64] + good.signals[1][-64:]
    return {
        "one-cosigner": (make_case("brook"), "quorum"),
        "not-a-node": (make_case(origin=OTHER_KEY.name, secret=OTHER_SECRET), "is not the log of a node"),
        "order": (replace(good, entries=(second, first, *rest)), "order"),
        "twice": (replace(good, entries=(first, first, *rest)), "order"),
        "other-index": (replace(good, entries=(replace(first, index=8), second, *rest)), "entry 8 is not"),
        "other-entry": (replace(good, entries=(replace(first, entry=second.entry), second, *rest)), "entry 7 is not"),
        "no-path": (replace(good, entries=(replace(first, path=()), second, *rest)), "short|few"),
        "long-path": (replace(good, entries=(replace(first, path=(*first.path, bytes(32))), *rest)), "long|many"),
        "other-signature": (replace(good, signals=(unsigned,)), "not by its publisher|verif"),
        "no-signature": (replace(good, signals=(envelope,)), "range|verif"),
        "unknown-kind": (make_case(outcome=encode_entry(NOW_MS, "rumour", b"", b"\x80")), "kind"),
        "long-reference": (make_case(outcome=entry(EntryKind.NODE, bytes(33))), "reference|about is too long"),
        "long-list": (make_case(outcome=entry(EntryKind.NODE, b"", list=[0] * 257)), "not msgpack|more than 256"),
        "long-map": (
            make_case(outcome=entry(EntryKind.NODE, b"", map={f"{n:03}": 0 for n in range(257)})),
            "not msgpack|more than 256",
        ),
        "unlogged-signal": (replace(good, signals=(forged.encoded,)), "in no entry of the case"),
    }
