"""The core agrees with every vector of the log."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import vectors_log
from log_kit import LOG_KEY, witness_key
from tocsin_protocol.audit import EntryKind, decode_entry, encode_entry
from tocsin_protocol.errors import DecodeError, ProofError, ProtocolError, SignatureError
from tocsin_protocol.log.bundle import decode_proof_bundle, encode_proof_bundle, verify_proof_bundle
from tocsin_protocol.log.checkpoint import verify_checkpoint
from tocsin_protocol.log.note import Algorithm, decode_note, decode_verifier_key, encode_note, verifier_key
from tocsin_protocol.log.proofs import verify_consistency, verify_inclusion
from tocsin_protocol.log.split_view import decode_split_view, encode_split_view, verify_split_view
from tocsin_protocol.log.tiles import decode_bundle, encode_bundle, tiles_of
from tocsin_protocol.log.tree import leaf_hash, root_of_leaves
from tocsin_protocol.log.trust import decode_trust, is_quorate
from vector_kit import check_names

FILES = {"tree": cache(vectors_log.tree), "notes": cache(vectors_log.notes)}
Case = dict[str, Any]


def cases_of(name: str, *keys: str) -> list[Any]:
    node: Any = FILES[name]()
    for key in keys:
        node = node[key]
    check_names(node)
    return [pytest.param(case, id=case["name"]) for case in node]


def hashes(texts: list[str]) -> list[bytes]:
    return [bytes.fromhex(text) for text in texts]


@pytest.mark.parametrize("case", cases_of("tree", "entries"))
def test_entry_has_one_spelling(case: Case) -> None:
    detail, reference = bytes.fromhex(case["detail"]), bytes.fromhex(case["reference"])
    entry = encode_entry(case["at_ms"], case["kind"], reference, detail)
    assert entry.hex() == case["entry"]
    read = decode_entry(6, entry)
    assert (read.sequence, read.at_ms, read.kind) == (7, case["at_ms"], EntryKind(case["kind"]))
    assert (read.reference, read.detail) == (reference, detail)


@pytest.mark.parametrize("case", cases_of("tree", "roots"))
def test_root(case: Case) -> None:
    assert root_of_leaves(map(leaf_hash, hashes(case["leaves"]))).hex() == case["root"]


def check_inclusion(case: Case) -> None:
    leaf, root = bytes.fromhex(case["leaf"]), bytes.fromhex(case["root"])
    verify_inclusion(case["index"], case["size"], leaf, hashes(case["path"]), root)


@pytest.mark.parametrize("case", cases_of("tree", "inclusion", "valid"))
def test_inclusion_is_proven(case: Case) -> None:
    check_inclusion(case)


@pytest.mark.parametrize("case", cases_of("tree", "inclusion", "invalid"))
def test_inclusion_is_refused(case: Case) -> None:
    with pytest.raises(ProofError):
        check_inclusion(case)


def check_consistency(case: Case) -> None:
    old_root, root = bytes.fromhex(case["old_root"]), bytes.fromhex(case["root"])
    verify_consistency(case["old"], case["size"], hashes(case["path"]), old_root, root)


@pytest.mark.parametrize("case", cases_of("tree", "consistency", "valid"))
def test_consistency_is_proven(case: Case) -> None:
    check_consistency(case)


@pytest.mark.parametrize("case", cases_of("tree", "consistency", "invalid"))
def test_consistency_is_refused(case: Case) -> None:
    with pytest.raises(ProofError):
        check_consistency(case)


@pytest.mark.parametrize("case", cases_of("tree", "tiles"))
def test_tiles_of_a_size(case: Case) -> None:
    tiles = list(tiles_of(case["size"]))
    assert [tile.path for tile in tiles] == case["tiles"]
    assert [tile.bundle_path for tile in tiles if tile.level == 0] == case["bundles"]


@pytest.mark.parametrize("case", cases_of("tree", "bundles", "valid"))
def test_bundle_round_trips(case: Case) -> None:
    entries = hashes(case["entries"])
    assert encode_bundle(entries).hex() == case["bundle"]
    assert decode_bundle(bytes.fromhex(case["bundle"]), case["width"]) == entries


@pytest.mark.parametrize("case", cases_of("tree", "bundles", "invalid"))
def test_bundle_is_refused(case: Case) -> None:
    with pytest.raises(DecodeError):
        decode_bundle(bytes.fromhex(case["bundle"]), case["width"])


@pytest.mark.parametrize("case", cases_of("notes", "keys", "valid"))
def test_key_round_trips(case: Case) -> None:
    key = verifier_key(bytes.fromhex(case["secret"]), case["key_name"], Algorithm(case["algorithm"]))
    assert (str(key), key.key_id.hex()) == (case["key"], case["id"])
    assert decode_verifier_key(case["key"]) == key


@pytest.mark.parametrize("case", cases_of("notes", "keys", "invalid"))
def test_key_is_refused(case: Case) -> None:
    with pytest.raises(DecodeError):
        decode_verifier_key(case["key"])


@pytest.mark.parametrize("case", cases_of("notes", "checkpoints", "valid"))
def test_checkpoint_is_the_logs(case: Case) -> None:
    data = case["checkpoint"].encode()
    assert encode_note(decode_note(data)) == data
    checkpoint = verify_checkpoint(data, [LOG_KEY]).checkpoint
    assert (checkpoint.origin, checkpoint.size, checkpoint.root.hex()) == (LOG_KEY.name, case["size"], case["root"])


@pytest.mark.parametrize("case", cases_of("notes", "checkpoints", "invalid"))
def test_checkpoint_is_refused(case: Case) -> None:
    with pytest.raises((DecodeError, SignatureError)):
        verify_checkpoint(case["checkpoint"].encode(), [LOG_KEY])


@pytest.mark.parametrize("case", cases_of("notes", "cosignatures", "valid"))
def test_cosignature_tells_its_time(case: Case) -> None:
    head = verify_checkpoint(case["checkpoint"].encode(), [LOG_KEY], [witness_key("brook")])
    assert head.cosigned[witness_key("brook")].timestamp_s == case["time_s"]


@pytest.mark.parametrize("case", cases_of("notes", "cosignatures", "invalid"))
def test_cosignature_is_refused(case: Case) -> None:
    with pytest.raises(SignatureError):
        verify_checkpoint(case["checkpoint"].encode(), [LOG_KEY], [witness_key("brook")])


@pytest.mark.parametrize("case", cases_of("notes", "policies", "valid"))
def test_policy_takes_its_quorum(case: Case) -> None:
    trust = decode_trust(case["policy"].encode())
    for names, taken in [*((n, True) for n in case["taken"]), *((n, False) for n in case["refused"])]:
        assert is_quorate(trust, [witness_key(name) for name in names]) is taken, names


@pytest.mark.parametrize("case", cases_of("notes", "policies", "invalid"))
def test_policy_is_refused(case: Case) -> None:
    with pytest.raises(DecodeError):
        decode_trust(case["policy"].encode())


TRUST = decode_trust(FILES["notes"]()["proofs"]["policy"].encode())


@pytest.mark.parametrize("case", cases_of("notes", "proofs", "valid"))
def test_proof_file_proves_its_entry(case: Case) -> None:
    bundle = decode_proof_bundle(case["proof"].encode())
    assert encode_proof_bundle(bundle).decode() == case["proof"]
    head = verify_proof_bundle(bundle, TRUST)
    assert (bundle.entry.hex(), bundle.index, head.checkpoint.size) == (case["entry"], case["index"], case["size"])


@pytest.mark.parametrize("case", cases_of("notes", "proofs", "invalid"))
def test_proof_file_is_refused(case: Case) -> None:
    with pytest.raises(ProtocolError):
        verify_proof_bundle(decode_proof_bundle(case["proof"].encode()), TRUST)


@pytest.mark.parametrize("case", cases_of("notes", "split_views", "valid"))
def test_split_view_is_proven(case: Case) -> None:
    proof = bytes.fromhex(case["proof"])
    split = decode_split_view(proof)
    assert encode_split_view(split) == proof
    smaller, larger = verify_split_view(split, LOG_KEY)
    assert smaller.size <= larger.size


@pytest.mark.parametrize("case", cases_of("notes", "split_views", "invalid"))
def test_split_view_is_refused(case: Case) -> None:
    with pytest.raises(ProtocolError):
        verify_split_view(decode_split_view(bytes.fromhex(case["proof"])), LOG_KEY)
