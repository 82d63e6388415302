"""Vectors of the log: trees, proofs, tiles, notes, checkpoints, policies, proof files and split views."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from case_kit import bad_cases, make_case, policy_text
from log_kit import (
    LOG_KEY,
    LOG_SECRET,
    ORIGIN,
    TIME_S,
    bundle_of,
    cosignature,
    entries,
    growth_of,
    head_of,
    leaves_of,
    reader_of,
    sign_head,
    sign_note,
    signed,
    split_of,
    trust_text,
    witness_key,
)
from tocsin_protocol.audit import EntryKind, encode_entry, stand_in
from tocsin_protocol.encoding import encode_canonical
from tocsin_protocol.log.anchor import ANCHOR_MAGIC, encode_anchor
from tocsin_protocol.log.bundle import encode_proof_bundle
from tocsin_protocol.log.case import encode_case
from tocsin_protocol.log.checkpoint import Checkpoint, encode_checkpoint, origin_of
from tocsin_protocol.log.note import (
    MAX_NAME_BYTES,
    Algorithm,
    Note,
    NoteSignature,
    VerifierKey,
    encode_note,
    verifier_key,
)
from tocsin_protocol.log.proofs import prove_consistency, prove_inclusion
from tocsin_protocol.log.split_view import SplitView, encode_split_view
from tocsin_protocol.log.tiles import encode_bundle, tiles_of
from tocsin_protocol.log.tree import EMPTY_ROOT, root_of_leaves
from tocsin_protocol.log.witness import Growth, encode_growth
from vector_kit import case

Case = dict[str, Any]
# The leaves with which implementations of Certificate Transparency have always been tried.
CLASSIC = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
STRANGER = b"\x5a" * 32
NODE = origin_of(b"\x01" * 32, b"\x02" * 20)


def tree() -> dict[str, Any]:
    """specs/vectors/log-tree.json"""
    return {
        "entries": [
            _entry("decision", "", 1, EntryKind.DECISION, b"\x11" * 32, encode_canonical({"sentence": "No action."})),
            _entry("about-nothing", "", 2**53 - 1, EntryKind.VERDICT, b"", encode_canonical({"refused": {"rate": 3}})),
            _entry("by-hash", "the detail was too large", 7, EntryKind.NODE, b"", stand_in(bytes(65_001))),
        ],
        "roots": [
            case("empty", "the hash of nothing", leaves=[], root=EMPTY_ROOT),
            *(
                case(f"classic-{n}", "", leaves=CLASSIC[:n], root=root_of_leaves(leaves_of(CLASSIC[:n])))
                for n in range(1, 9)
            ),
        ],
        "inclusion": {"valid": list(_inclusions()), "invalid": list(_bad_inclusions())},
        "consistency": {"valid": list(_consistencies()), "invalid": list(_bad_consistencies())},
        "tiles": [
            case(
                f"size-{size}",
                why,
                size=size,
                tiles=[tile.path for tile in tiles_of(size)],
                bundles=[tile.bundle_path for tile in tiles_of(size) if tile.level == 0],
            )
            for size, why in (
                (0, "nothing is served"),
                (1, "one partial tile"),
                (255, "the widest partial tile"),
                (256, "a full tile, and its root in the next level"),
                (257, "a full and a partial tile"),
                (1000, ""),
            )
        ],
        "bundles": {
            "valid": [
                case("none", "", width=0, bundle=b"", entries=[]),
                case("two", "", width=2, bundle=encode_bundle([b"", b"ab"]), entries=[b"", b"ab"]),
            ],
            "invalid": [
                case("short-length", "a length takes two bytes", width=1, bundle=b"\x00"),
                case("short-entry", "the entry is shorter than it says", width=1, bundle=b"\x00\x02a"),
                case("one-too-few", "", width=2, bundle=encode_bundle([b"ab"])),
                case("one-too-many", "", width=1, bundle=encode_bundle([b"", b"ab"])),
            ],
        },
    }


def _entry(name: str, why: str, at_ms: int, kind: EntryKind, reference: bytes, detail: bytes) -> Case:
    entry = encode_entry(at_ms, kind.value, reference, detail)
    return case(name, why, at_ms=at_ms, kind=kind.value, reference=reference, detail=detail, entry=entry)


def _inclusions() -> Iterator[Case]:
    for size in (1, 2, 3, 5, 7, 8):
        leaves = leaves_of(CLASSIC[:size])
        for index in range(size):
            path = prove_inclusion(index, size, reader_of(leaves))
            yield _inclusion(f"{index}-of-{size}", "", index, size, leaves[index], path, root_of_leaves(leaves))


def _inclusion(name: str, why: str, index: int, size: int, leaf: bytes, path: Sequence[bytes], root: bytes) -> Case:
    return case(name, why, index=index, size=size, leaf=leaf, path=list(path), root=root)


def _bad_inclusions() -> Iterator[Case]:
    leaves = leaves_of(CLASSIC[:7])
    index, size, leaf, root = 4, 7, leaves[4], root_of_leaves(leaves)
    path = list(prove_inclusion(index, size, reader_of(leaves)))
    faults: list[tuple[str, str, tuple[int, int, bytes, list[bytes], bytes]]] = [
        ("index-past-end", "the last index is size − 1", (7, size, leaf, path, root)),
        ("other-index", "", (5, size, leaf, path, root)),
        ("index-one-less", "", (3, size, leaf, path, root)),
        ("double-index", "", (8, 16, leaf, path, root)),
        ("other-size", "as many hashes, others beside them", (index, 5, leaf, path, root)),
        ("double-size", "", (index, 14, leaf, path, root)),
        ("half-size", "", (index, 3, leaf, path, root)),
        ("size-zero", "nothing is in an empty tree", (0, 0, leaf, [], EMPTY_ROOT)),
        ("other-leaf", "", (index, size, STRANGER, path, root)),
        ("other-root", "", (index, size, leaf, path, STRANGER)),
        ("root-is-leaf", "", (index, size, leaf, path, leaf)),
        ("no-path", "", (index, size, leaf, [], root)),
        ("first-hash-missing", "", (index, size, leaf, path[1:], root)),
        ("last-hash-missing", "", (index, size, leaf, path[:-1], root)),
        ("hash-before", "", (index, size, leaf, [STRANGER, *path], root)),
        ("hash-after", "", (index, size, leaf, [*path, STRANGER], root)),
        ("root-after", "", (index, size, leaf, [*path, root], root)),
        ("hash-twice", "", (index, size, leaf, [path[0], *path], root)),
        ("order", "", (index, size, leaf, path[::-1], root)),
        ("bit", "", (index, size, leaf, [path[0][:-1] + bytes((path[0][-1] ^ 1,)), *path[1:]], root)),
        ("single-with-path", "one entry needs no path", (0, 1, leaf, [STRANGER], leaf)),
    ]
    for name, why, values in faults:
        yield _inclusion(name, why, *values)


def _consistencies() -> Iterator[Case]:
    roots = [root_of_leaves(leaves_of(CLASSIC[:n])) for n in range(9)]
    reader = [reader_of(leaves_of(CLASSIC[:n])) for n in range(9)]
    for old, size in ((1, 2), (1, 8), (2, 5), (3, 7), (4, 7), (4, 8), (6, 8), (6, 7), (7, 8), (5, 6)):
        path = prove_consistency(old, size, reader[size])
        yield _consistency(f"{old}-to-{size}", "", old, size, path, roots[old], roots[size])
    yield _consistency("nothing-to-5", "every tree begins with the empty one", 0, 5, (), roots[0], roots[5])
    yield _consistency("nothing-to-nothing", "", 0, 0, (), roots[0], roots[0])
    yield _consistency("5-to-5", "a tree begins with itself", 5, 5, (), roots[5], roots[5])


def _consistency(name: str, why: str, old: int, size: int, path: Sequence[bytes], old_root: bytes, root: bytes) -> Case:
    return case(name, why, old=old, size=size, path=list(path), old_root=old_root, root=root)


def _bad_consistencies() -> Iterator[Case]:
    roots = [root_of_leaves(leaves_of(CLASSIC[:n])) for n in range(9)]
    path = list(prove_consistency(6, 8, reader_of(leaves_of(CLASSIC))))
    faults: list[tuple[str, str, tuple[int, int, list[bytes], bytes, bytes]]] = [
        ("two-roots", "one size, two roots", (5, 5, [], roots[5], STRANGER)),
        ("equal-with-path", "one size needs no path", (5, 5, [STRANGER], roots[5], roots[5])),
        ("empty-with-path", "the empty tree needs no path", (0, 5, [STRANGER], roots[0], roots[5])),
        ("empty-with-root", "the empty tree has one root", (0, 5, [], STRANGER, roots[5])),
        ("backwards", "", (8, 6, path, roots[8], roots[6])),
        ("no-path", "", (6, 8, [], roots[6], roots[8])),
        ("old-one-less", "", (5, 8, path, roots[5], roots[8])),
        ("old-one-more", "", (7, 8, path, roots[7], roots[8])),
        ("half-old", "", (3, 8, path, roots[6], roots[8])),
        ("double-size", "", (6, 16, path, roots[6], roots[8])),
        ("half-size", "", (2, 4, path, roots[6], roots[8])),
        ("other-old-root", "", (6, 8, path, STRANGER, roots[8])),
        ("other-root", "", (6, 8, path, roots[6], STRANGER)),
        ("roots-swapped", "", (6, 8, path, roots[8], roots[6])),
        ("first-hash-missing", "", (6, 8, path[1:], roots[6], roots[8])),
        ("last-hash-missing", "", (6, 8, path[:-1], roots[6], roots[8])),
        ("hash-before", "", (6, 8, [STRANGER, *path], roots[6], roots[8])),
        ("hash-after", "", (6, 8, [*path, STRANGER], roots[6], roots[8])),
        ("old-root-before", "", (6, 8, [roots[6], *path], roots[6], roots[8])),
        ("order", "", (6, 8, path[::-1], roots[6], roots[8])),
        ("perfect-with-root", "of 4 entries the old root is not in the path",
         (4, 8, [roots[4], *prove_consistency(4, 8, reader_of(leaves_of(CLASSIC)))], roots[4], roots[8])),
    ]  # fmt: skip
    for name, why, values in faults:
        yield _consistency(name, why, *values)


def notes() -> dict[str, Any]:
    """specs/vectors/log-notes.json"""
    head = head_of(entries(5))
    return {
        "keys": {"valid": list(_keys()), "invalid": list(_bad_keys())},
        "checkpoints": {"log": str(LOG_KEY), "valid": list(_checkpoints()), "invalid": list(_bad_checkpoints())},
        "cosignatures": {
            "witness": str(witness_key("brook")),
            "valid": [
                case("cosigned", "", checkpoint=signed(head, "brook").decode(), time_s=TIME_S),
                case("epoch", "", checkpoint=_with(head, cosignature(head, "brook", 0)).decode(), time_s=0),
            ],
            "invalid": list(_bad_cosignatures()),
        },
        "policies": {"valid": list(_policies()), "invalid": list(_bad_policies())},
        "proofs": {"policy": trust_text(), "valid": list(_proofs()), "invalid": list(_bad_proofs())},
        "split_views": {"log": str(LOG_KEY), "valid": list(_splits()), "invalid": list(_bad_splits())},
    }


def cases() -> dict[str, Any]:
    """specs/vectors/log-cases.json"""
    good = make_case()
    return {
        "policy": policy_text(),
        "valid": [
            case("incident", "two signals, a decision and an outcome", file=encode_case(good), entries=[7, 9, 10, 290]),
            case("no-signals", "", file=encode_case(replace(good, signals=())), entries=[7, 9, 10, 290]),
            case(
                "unreadable-signal",
                "what its publisher signed stands against him",
                file=encode_case(make_case(body=b"\xc1")),
                entries=[7, 9, 10, 290],
            ),
        ],
        "invalid": [
            *(case(name, "", file=encode_case(bad)) for name, (bad, _) in bad_cases().items()),
            case("no-entries", "", file=encode_case(replace(good, entries=()))),
            case("cut", "", file=encode_case(good)[:-1]),
        ],
    }


def witness() -> dict[str, Any]:
    """specs/vectors/log-witness.json"""
    ours, forked = entries(7), [b"another", *entries(11)[1:]]
    kept = signed(head_of(ours))
    honest, forged = growth_of(7, entries(11)), signed(head_of(entries(11)), secret=bytes(32))
    answers: list[tuple[str, str, bytes | None, Growth, str | None]] = [
        ("first", "the first head is taken as it is", None, growth_of(0, ours), "cosign"),
        ("from-nothing", "a log that had no entries", signed(head_of([])), growth_of(0, ours), "cosign"),
        ("grown", "", kept, honest, "cosign"),
        ("perfect", "from a power of two", signed(head_of(ours[:4])), growth_of(4, ours), "cosign"),
        ("same", "", kept, growth_of(7, ours), "cosign"),
        ("smaller", "", kept, growth_of(0, ours[:5]), "behind"),
        ("from-elsewhere", "the path has to start from what is kept", kept, growth_of(6, entries(11)), "behind"),
        ("split", "", kept, growth_of(7, forked), "split"),
        ("split-of-one-size", "", kept, growth_of(7, [*ours[:6], b"another"]), "split"),
        ("path-to-nowhere", "no proof of anything", kept, replace(honest, path=honest.path[::-1]), None),
        ("no-path", "", kept, replace(honest, path=()), None),
        ("of-another", "the log did not sign it", kept, replace(honest, checkpoint=forged), None),
    ]  # fmt: skip
    return {
        "log": str(LOG_KEY),
        "cases": [
            case(name, why, kept=None if held is None else held.decode(), growth=encode_growth(growth), answer=answer)
            for name, why, held, growth, answer in answers
        ],
    }


def anchor() -> dict[str, Any]:
    """specs/vectors/log-anchor.json"""
    head = head_of(entries(7))
    good = encode_anchor(head)
    first = encode_anchor(replace(head, origin=NODE))
    second = encode_anchor(replace(head, origin=f"{NODE}/2"))
    size_at = len(ANCHOR_MAGIC) + 32
    return {
        "valid": [
            _anchor("seven-entries", "", good, head.size, head.root),
            _anchor("one-entry", "", encode_anchor(head_of(entries(1))), 1, head_of(entries(1)).root),
            _anchor("largest", "", encode_anchor(Checkpoint(ORIGIN, 2**53 - 1, STRANGER)), 2**53 - 1, STRANGER),
            _anchor("earlier-name", "the log was begun anew since", second, head.size, head.root, f"{NODE}/3"),
            _anchor("first-name", "", first, head.size, head.root, f"{NODE}/2"),
            _anchor("own-name", "", second, head.size, head.root, f"{NODE}/2"),
        ],
        "invalid": [
            _anchor("later-name", "", second, head.size, head.root, NODE),
            _anchor("no-generation", "not the log of a node", good, head.size, head.root, f"{ORIGIN}/2"),
            _anchor("nothing", "a transaction without data", b"", head.size, head.root),
            _anchor("short", "", good[:-1], head.size, head.root),
            _anchor("long", "nothing follows the root", good + b"\0", head.size, head.root),
            _anchor("magic", "", b"\0" + good[1:], head.size, head.root),
            _anchor("version", "", ANCHOR_MAGIC[:-1] + b"\2" + good[len(ANCHOR_MAGIC) :], head.size, head.root),
            _anchor("empty-log", "", good[:size_at] + bytes(8) + EMPTY_ROOT, 0, EMPTY_ROOT),
            _anchor("size-too-large", "", good[:size_at] + (2**53).to_bytes(8, "big") + head.root, 2**53, head.root),
            _anchor("other-origin", "", encode_anchor(replace(head, origin="tocsin/other")), head.size, head.root),
            _anchor("other-size", "the log tells of another size", good, head.size - 1, head.root),
            _anchor("other-root", "the log has another root", good, head.size, STRANGER),
            _anchor("bit", "", good[:-1] + bytes((good[-1] ^ 1,)), head.size, head.root),
        ],
    }  # fmt: skip


def _anchor(name: str, why: str, data: bytes, size: int, root: bytes, origin: str = ORIGIN) -> Case:
    return case(name, why, data=data, origin=origin, size=size, root=root)


def _with(head: Checkpoint, *lines: NoteSignature, text: str = "") -> bytes:
    note = sign_head(head, LOG_SECRET)
    return encode_note(Note(text or note.text, (*note.signatures, *lines)))


def _keys() -> Iterator[Case]:
    yield case("log", "", secret=LOG_SECRET, key_name=ORIGIN, algorithm=1, id=LOG_KEY.key_id, key=str(LOG_KEY))
    key = verifier_key(LOG_SECRET, ORIGIN, Algorithm.COSIGNATURE)
    yield case("witness", "another id for another use", secret=LOG_SECRET, key_name=ORIGIN, algorithm=4, id=key.key_id,
               key=str(key))  # fmt: skip
    for name, key_name in (("first-and-last", "!~"), ("longest-name", "n" * MAX_NAME_BYTES)):
        key = verifier_key(LOG_SECRET, key_name, Algorithm.ED25519)
        yield case(name, "", secret=LOG_SECRET, key_name=key_name, algorithm=1, id=key.key_id, key=str(key))


def _bad_keys() -> Iterator[Case]:
    text = str(LOG_KEY)
    name, key_id, key = text.split("+", 2)
    yield case("no-name", "", key=f"+{key_id}+{key}")
    yield case("space", "", key=f"a b+{key_id}+{key}")
    for fault, why, other in _bad_names():
        yield case(fault, why, key=str(VerifierKey(other, Algorithm.ED25519, LOG_KEY.key)))
    yield case("other-name", "the id is of another name", key=f"x{name}+{key_id}+{key}")
    yield case("other-id", "", key=f"{name}+00000000+{key}")
    yield case("upper-case", "the id is lower-case hex", key=f"{name}+{key_id.upper()}+{key}")
    yield case("short", "", key=text[:-4])
    yield case("unknown-algorithm", "2 is ECDSA", key=f"{name}+{key_id}+{'Ag' + key[2:]}")
    yield case("not-base64", "", key=text[:-1] + "*")


def _bad_names() -> Iterator[tuple[str, str, str]]:
    """Names that no key has; the id of each would fit."""
    yield "name-with-delete", "U+007F", "a\x7fb"
    yield "name-past-ascii", "U+00E0", "località.example"
    yield "name-with-wide-space", "U+3000", "a\u3000b"
    yield "name-with-joiner", "U+200D shows nothing", "a\u200db"
    yield "name-with-new-letter", "U+1C89, a letter since Unicode 16", "a\u1c89b"
    yield "name-too-long", "", "n" * (MAX_NAME_BYTES + 1)


def _checkpoints() -> Iterator[Case]:
    for size, why in ((0, "a log without entries"), (1, ""), (5, ""), (300, "")):
        head = head_of(entries(size))
        yield case(f"size-{size}", why, checkpoint=signed(head).decode(), size=size, root=head.root)
    head = head_of(entries(5))
    yield case("stranger", "a signature of an unknown key is passed over", checkpoint=signed(head, "brook").decode(),
               size=5, root=head.root)  # fmt: skip


def _bad_checkpoints() -> Iterator[Case]:
    head = head_of(entries(5))
    good = signed(head).decode()
    text, line = encode_checkpoint(head), good.rsplit("\n\n", 1)[1]

    def resigned(changed: str) -> str:
        return encode_note(Note(changed, (sign_note(changed, LOG_SECRET, ORIGIN),))).decode()

    faults: list[tuple[str, str, str]] = [
        ("unsigned", "", text),
        ("other-size", "the signature is of another text", good.replace("\n5\n", "\n6\n")),
        ("other-signature", "", good.replace(line, str(sign_note("x\n", LOG_SECRET, ORIGIN)) + "\n")),
        ("only-cosigned", "the log itself has to sign",
         encode_note(Note(text, (cosignature(head, "brook"),))).decode()),
        ("other-key", "", signed(head, secret=bytes(32)).decode()),
        ("other-origin", "a log signs under its own name", resigned(text.replace(ORIGIN, "tocsin.example/brook"))),
        ("extension", "", resigned(text + "more\n")),
        ("two-lines", "", resigned(f"{ORIGIN}\n5\n")),
        ("leading-zero", "", resigned(text.replace("\n5\n", "\n05\n"))),
        ("negative", "", resigned(text.replace("\n5\n", "\n-5\n"))),
        ("too-large", "past 2^53 − 1", resigned(text.replace("\n5\n", f"\n{2**53}\n"))),
        ("short-root", "", resigned(f"{ORIGIN}\n5\nAAAA\n")),
        ("root-of-nothing", "size 0 has the root of the empty tree", resigned(text.replace("\n5\n", "\n0\n"))),
        ("tab", "", resigned(text.replace("\n5\n", "\n5\t\n"))),
        ("no-empty-line", "", good.replace("\n\n", "\n")),
        ("no-line-end", "", good[:-1]),
        ("hyphen", "the dash is U+2014", good.replace("\u2014", "-")),
        ("no-padding", "", good.rstrip("=\n") + "\n"),
        ("spare-bits", "a second spelling of the same bytes", _spare_bits(good)),
        ("too-many-signatures", "", good.replace(line, line * 101)),
        *((fault, why, _with(head, NoteSignature(other, bytes(4), bytes(64))).decode())
          for fault, why, other in _bad_names()),
    ]  # fmt: skip
    for name, why, data in faults:
        yield case(name, why, checkpoint=data)


def _spare_bits(note: str) -> str:
    """The last character before the padding carries two bits that no byte needs."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    body = note.rstrip("=\n")
    padding = note[len(body) :]
    assert padding == "=\n"
    return body[:-1] + alphabet[alphabet.index(body[-1]) | 1] + padding


def _bad_cosignatures() -> Iterator[Case]:
    head = head_of(entries(5))
    good = cosignature(head, "brook")
    name, key_id, data = good.name, good.key_id, good.signature
    faults: list[tuple[str, str, bytes]] = [
        ("other-time", "the time is signed", (TIME_S + 1).to_bytes(8, "big") + data[8:]),
        ("time-past-range", "", (2**63).to_bytes(8, "big") + data[8:]),
        ("no-time", "", data[8:]),
        ("other-head", "", cosignature(head_of(entries(6)), "brook").signature),
        ("bit", "", data[:-1] + bytes((data[-1] ^ 1,))),
    ]
    for fault, why, signature in faults:
        yield case(fault, why, checkpoint=_with(head, NoteSignature(name, key_id, signature)).decode())


def _policies() -> Iterator[Case]:
    names = ("brook", "cedar", "delta")
    nested = "\n".join(
        [
            "# who vouches",
            f"log {LOG_KEY} https://log.example/",
            "",
            *(f"\twitness {name}  {witness_key(name)} " for name in names),
            "group near any brook cedar",
            "group both all near delta",
            "quorum both",
        ]
    )
    judgements: list[tuple[str, str, str, list[tuple[str, ...]], list[tuple[str, ...]]]] = [
        ("two-of-three", "", trust_text("2"), [names, names[:2]], [(), ("brook",)]),
        ("all", "", trust_text("all"), [names], [names[:2]]),
        ("any", "", trust_text("any"), [("cedar",)], [()]),
        ("nested", "a group counts as a witness", nested,
         [("brook", "delta"), names], [("brook", "cedar"), ("delta",)]),
        ("one", "a quorum of one witness", f"log {LOG_KEY}\nwitness b {witness_key('brook')}\nquorum b\n",
         [("brook",)], [("cedar",)]),
        ("none", "said, and not forgotten", f"log {LOG_KEY}\nquorum none\n", [()], []),
    ]  # fmt: skip
    for name, why, policy, taken, refused in judgements:
        yield case(name, why, policy=policy, taken=taken, refused=refused)


def _bad_policies() -> Iterator[Case]:
    log, brook, cedar = f"log {LOG_KEY}\n", f"witness brook {witness_key('brook')}\n", ""
    cedar = f"witness cedar {witness_key('cedar')}\n"
    faults = [
        ("empty", "an empty policy takes nothing", ""),
        ("no-quorum", "", log + brook),
        ("no-log", "", brook + "quorum brook\n"),
        ("two-quorums", "", log + brook + "quorum brook\nquorum brook\n"),
        ("unknown-quorum", "", log + brook + "quorum cedar\n"),
        ("quorum-before", "a name stands in an earlier line", log + "quorum brook\n" + brook),
        ("two-names", "", log + brook + cedar.replace("cedar ", "brook ", 1) + "quorum brook\n"),
        ("none-is-taken", "", log + brook.replace("brook ", "none ", 1) + "quorum none\n"),
        ("same-witness", "a key stands for one witness", log + brook + brook.replace("brook ", "other ", 1)
         + "quorum brook\n"),
        ("same-log", "", log + log + "quorum none\n"),
        ("log-as-witness", "a log's key does not cosign", log + f"witness brook {LOG_KEY}\nquorum brook\n"),
        ("witness-as-log", "", f"log {witness_key('brook')}\nquorum none\n"),
        ("zero", "", log + brook + "group g 0 brook\nquorum g\n"),
        ("too-many", "", log + brook + "group g 2 brook\nquorum g\n"),
        ("leading-zero", "", log + brook + "group g 01 brook\nquorum g\n"),
        ("no-members", "", log + brook + "group g any\nquorum g\n"),
        ("member-twice", "nobody counts twice", log + brook + cedar + "group g 2 brook brook\nquorum g\n"),
        ("member-of-two", "nobody counts twice", log + brook + cedar
         + "group g any brook\ngroup h any brook\nquorum g\n"),
        ("none-as-member", "", log + brook + "group g any none\nquorum g\n"),
        ("unknown-word", "", log + "logs x\nquorum none\n"),
        ("carriage-return", "", log + "quorum none\r\n"),
    ]  # fmt: skip
    for name, why, policy in faults:
        yield case(name, why, policy=policy)


def _proofs() -> Iterator[Case]:
    items = entries(300)
    for index, why in ((0, ""), (255, "the last of a full tile"), (256, ""), (299, "the last of all")):
        bundle = bundle_of(items, index, "brook", "cedar")
        data = encode_proof_bundle(bundle).decode()
        yield case(f"entry-{index}", why, proof=data, index=index, size=300, entry=items[index])
    single = encode_proof_bundle(bundle_of(items[:1], 0, "cedar", "delta")).decode()
    yield case("only-entry", "no path at all", proof=single, index=0, size=1, entry=items[0])


def _bad_proofs() -> Iterator[Case]:
    items = entries(300)
    good = encode_proof_bundle(bundle_of(items, 17, "brook", "cedar")).decode()
    lines = good.split("\n")
    other = encode_proof_bundle(bundle_of(items, 18, "brook", "cedar")).decode().split("\n")

    def changed(at: int, *replacement: str) -> str:
        return "\n".join([*lines[:at], *replacement, *lines[at + 1 :]])

    faults = [
        ("other-heading", "", changed(0, "c2sp.org/tlog-proof@v2")),
        ("no-entry", "", changed(1)),
        ("other-entry", "", changed(1, other[1])),
        ("no-index", "", changed(2)),
        ("other-index", "", changed(2, "index 18")),
        ("leading-zero", "", changed(2, "index 017")),
        ("hash-missing", "", changed(3)),
        ("hash-twice", "", changed(3, lines[3], lines[3])),
        ("other-hash", "", changed(3, other[4])),
        ("short-hash", "", changed(3, "AAAA")),
        ("one-cosigner", "the policy wants two", encode_proof_bundle(bundle_of(items, 17, "brook")).decode()),
        ("no-checkpoint", "", good.split("\n\n")[0] + "\n\n"),
    ]
    for name, why, proof in faults:
        yield case(name, why, proof=proof)


def _splits() -> Iterator[Case]:
    ours = entries(7)
    pairs: list[tuple[str, str, list[bytes], list[bytes]]] = [
        ("one-size", "two roots for one size", ours, [*ours[:6], b"another"]),
        ("later", "the larger log has another entry below the smaller's size", ours, [b"another", *entries(11)[1:]]),
        ("perfect", "the smaller log has a power of two", ours[:4], [*ours[:3], b"another", *entries(9)[4:]]),
        ("one-more", "", ours, [*ours[:6], b"another", b"more"]),
    ]
    for name, why, smaller, larger in pairs:
        yield _split(name, why, split_of(smaller, larger))


def _split(name: str, why: str, split: SplitView) -> Case:
    return case(name, why, proof=encode_split_view(split))


def _bad_splits() -> Iterator[Case]:
    ours, longer, forked = entries(7), entries(11), [b"another", *entries(11)[1:]]
    good = split_of(ours, forked)
    change: Callable[..., SplitView] = lambda **fields: SplitView(  # noqa: E731
        **({"smaller": good.smaller, "larger": good.larger, "path": good.path} | fields)
    )
    yield _split("honest-growth", "the larger log begins with the smaller", split_of(ours, longer))
    yield _split("same-head", "", SplitView(good.smaller, good.smaller, ()))
    yield _split("swapped", "the smaller is first", SplitView(good.larger, good.smaller, good.path))
    yield _split("no-path", "a false claim needs no proof", change(path=()))
    yield _split("path-of-other", "it leads to no signed root", change(path=split_of(ours, longer).path))
    yield _split("hash-after", "", change(path=(*good.path, STRANGER)))
    yield _split(
        "path-with-one-size", "", SplitView(good.smaller, split_of([*ours[:6], b"x"], forked).smaller, good.path)
    )
    yield _split("forged", "the log did not sign it", change(larger=signed(head_of(forked), secret=bytes(32))))
    yield _split("from-nothing", "every log begins with nothing", change(smaller=signed(head_of([])), path=()))
    yield case("cut", "", proof=encode_split_view(good)[:-1])
