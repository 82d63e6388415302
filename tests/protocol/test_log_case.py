"""Case files, judged by the core and by the standalone verifier: both take what holds and refuse the rest."""

from __future__ import annotations

import ast
import importlib.util
import json
import random
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import sha3
from case_kit import KEY, OWNER, WITNESSES, bad_cases, entry, make_case, policy, policy_text
from log_kit import witness_key
from tocsin_protocol.audit import EntryKind
from tocsin_protocol.encoding import MAX_ITEMS
from tocsin_protocol.errors import DecodeError, ProtocolError
from tocsin_protocol.log.case import (
    MAX_CASE_BYTES,
    MAX_CASE_ENTRIES,
    Case,
    CaseEntry,
    decode_case,
    encode_case,
    verify_case,
)
from tocsin_protocol.log.tiles import MAX_ENTRY_BYTES
from tocsin_protocol.log.trust import MAX_TRUST_BYTES, MAX_TRUST_LINES
from tocsin_protocol.signing import Domain, address_of_key, public_key_of, sign_digest
from vector_kit import read_vectors

SCRIPT = Path(__file__).parents[2] / "deploy" / "verifier" / "tocsin_verify.py"
FLIPS = 150
BAD = bad_cases()


@pytest.fixture(scope="module")
def standalone() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tocsin_verify", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def is_taken(standalone: ModuleType, data: bytes) -> tuple[bool, bool]:
    """What the core and the standalone verifier say; each may raise its own error only."""
    verdicts = []
    try:
        verify_case(decode_case(data), policy())
        verdicts.append(True)
    except ProtocolError:
        verdicts.append(False)
    try:
        standalone.verify(data, standalone.read_policy(policy_text().encode()))
        verdicts.append(True)
    except standalone.Fault:
        verdicts.append(False)
    return verdicts[0], verdicts[1]


def test_a_case_tells_whose_log_it_is_and_who_vouched_for_it() -> None:
    case = make_case()
    assert decode_case(encode_case(case)) == case
    judged = verify_case(case, policy())
    assert judged.publisher == OWNER
    assert set(judged.head.cosigned) == set(map(witness_key, WITNESSES))
    assert [entry.sequence for entry in judged.entries] == [8, 10, 11, 291]
    assert [signal.encoded for signal in judged.signals] == list(case.signals)


@pytest.mark.parametrize("name", BAD)
def test_a_case_with_a_fault_is_refused_by_both(standalone: ModuleType, name: str) -> None:
    case, why = BAD[name]
    with pytest.raises(ProtocolError, match=why):
        verify_case(case, policy())
    with pytest.raises(standalone.Fault, match=why):
        standalone.verify(encode_case(case), standalone.read_policy(policy_text().encode()))


@pytest.mark.parametrize("valid", [True, False])
def test_the_vectors_are_judged_alike(standalone: ModuleType, valid: bool) -> None:
    vectors = read_vectors("log-cases")
    assert vectors["policy"] == policy_text()
    for case in vectors["valid" if valid else "invalid"]:
        data = bytes.fromhex(case["file"])
        assert is_taken(standalone, data) == (valid, valid), case["name"]
        if valid:
            assert [entry.index for entry in decode_case(data).entries] == case["entries"]


def test_any_flipped_bit_of_a_case_is_refused_by_both(standalone: ModuleType) -> None:
    rng, data = random.Random(1), encode_case(make_case())
    assert is_taken(standalone, data) == (True, True)
    for _ in range(FLIPS):
        bit = rng.randrange(8 * len(data))
        changed = data[: bit // 8] + bytes((data[bit // 8] ^ 1 << bit % 8,)) + data[bit // 8 + 1 :]
        assert is_taken(standalone, changed) == (False, False), bit
    for end in rng.sample(range(len(data)), 40):
        assert is_taken(standalone, data[:end]) == (False, False)
    for size in range(60):
        assert is_taken(standalone, rng.randbytes(size)) == (False, False)


def test_a_case_file_of_another_form_is_refused(standalone: ModuleType) -> None:
    good = make_case()
    for case in (
        Case(good.checkpoint, (), ()),
        Case(good.checkpoint, (CaseEntry(0, b"", (b"short",)),), ()),
    ):
        with pytest.raises(DecodeError):
            decode_case(encode_case(case))
    many = encode_case(Case(good.checkpoint, good.entries[:1] * (MAX_CASE_ENTRIES + 1), ()))
    with pytest.raises(DecodeError):
        decode_case(many)
    with pytest.raises(standalone.Fault, match="a list of more than 4096 items"):
        standalone.decode(many, standalone.MAX_ENTRIES)


def test_what_the_standalone_verifier_bounds_is_what_we_bound(standalone: ModuleType) -> None:
    kept = {kind.value for kind in EntryKind}
    assert kept == standalone.KINDS
    assert (standalone.MAX_ENTRIES, standalone.MAX_ENTRY_BYTES) == (MAX_CASE_ENTRIES, MAX_ENTRY_BYTES)
    assert (standalone.MAX_POLICY_BYTES, standalone.MAX_POLICY_LINES) == (MAX_TRUST_BYTES, MAX_TRUST_LINES)
    assert (standalone.MAX_ITEMS, standalone.MAX_FILE_BYTES) == (MAX_ITEMS, MAX_CASE_BYTES)
    long = make_case(outcome=entry(EntryKind.NODE, b"", said="!" * MAX_ENTRY_BYTES))
    assert is_taken(standalone, encode_case(long)) == (False, False)
    for more in ("#" * MAX_TRUST_BYTES, "\n" * MAX_TRUST_LINES):
        with pytest.raises(standalone.Fault, match="the policy is too long"):
            standalone.read_policy((policy_text() + more).encode())


def test_the_standalone_verifier_shows_what_cannot_be_read(standalone: ModuleType) -> None:
    lines = standalone.verify(encode_case(make_case(body=b"\xc1")), standalone.read_policy(policy_text().encode()))
    assert any(line.endswith('what cannot be read: "c1"') for line in lines)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """In Python's isolated mode: nothing of the project can be imported."""
    command = [sys.executable, "-I", "-W", "error", str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)


def test_the_standalone_verifier_is_a_command(tmp_path: Path) -> None:
    file, trusted = tmp_path / "a.tocsin-case", tmp_path / "policy"
    file.write_bytes(encode_case(make_case()))
    trusted.write_text(policy_text())
    done = run(file, "--policy", trusted)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("PROVEN\n")
    for words in ("cosigned by ['brook', 'cedar']", "Freeze the vault.", "it drains", "2023-11-14 22:13:20.000"):
        assert words in done.stdout
    assert run(file, "--key", KEY).returncode == 0
    file.write_bytes(encode_case(make_case("brook")))
    done = run(file, "--policy", trusted)
    assert (done.returncode, done.stdout.startswith("NOT PROVEN: the head is cosigned by ['brook']")) == (1, True)
    assert run(file, "--key", "nonsense").stdout.startswith("NOT PROVEN: a key has the parts")
    assert "NOT PROVEN" in run(tmp_path / "none", "--key", KEY).stdout
    assert run(file).returncode == 2


def test_the_standalone_verifier_imports_the_standard_library_and_cryptography_alone() -> None:
    imported = set()
    for node in ast.walk(ast.parse(SCRIPT.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert imported - set(sys.stdlib_module_names) == {"cryptography"}


def test_its_keccak_is_the_usual_one(standalone: ModuleType) -> None:
    rng = random.Random(2)
    for size in (0, 1, 135, 136, 137, 271, 272, 1000):
        data = rng.randbytes(size)
        assert standalone.keccak256(data) == sha3.keccak_256(data).digest()


def test_its_recovery_finds_the_signer(standalone: ModuleType) -> None:
    rng = random.Random(3)
    for _ in range(20):
        secret, digest = rng.randbytes(32), rng.randbytes(32)
        signature = sign_digest(secret, digest)
        assert standalone.recover_address(digest, signature) == address_of_key(public_key_of(secret))
    for signature in (bytes(64), b"\x7f" + b"\xff" * 63, b"\xff" * 64):
        with pytest.raises(standalone.Fault):
            standalone.recover_address(bytes(32), signature)


def test_its_digest_of_a_signal_is_ours(standalone: ModuleType) -> None:
    network, publisher, previous = b"\1" * 32, b"\2" * 20, b"\3" * 32
    ours = Domain(network).signal_digest(publisher, 1, 7, previous, b"body")
    assert standalone.signal_digest(network, publisher, 1, 7, previous, b"body") == ours


def test_its_decoder_agrees_with_the_vectors(standalone: ModuleType) -> None:
    vectors = read_vectors("encoding")
    for case in vectors["valid"]:
        standalone.decode(bytes.fromhex(case["encoded"]))
    for case in vectors["invalid"]:
        # sizes and lengths of lists are bounded by the file's own
        if case["reason"] != "oversized" and "items" not in case["why"]:
            with pytest.raises(standalone.Fault):
                standalone.decode(bytes.fromhex(case["encoded"]))


def test_it_agrees_with_the_vectors_of_notes_and_policies(standalone: ModuleType) -> None:
    vectors: dict[str, Any] = read_vectors("log-notes")
    trusted = ([standalone.read_key(vectors["checkpoints"]["log"])], {}, {}, "none")
    for case in vectors["keys"]["valid"]:
        assert standalone.read_key(case["key"])[:2] == (case["key_name"], bytes.fromhex(case["id"]))
    for case in vectors["checkpoints"]["valid"]:
        head = standalone.judge_head(case["checkpoint"].encode(), trusted)
        assert (head[1], head[2].hex()) == (case["size"], case["root"])
    witness = standalone.read_key(vectors["cosignatures"]["witness"])
    for case in vectors["cosignatures"]["valid"]:
        standalone.judge_head(case["checkpoint"].encode(), (trusted[0], {"w": witness}, {}, "w"))
    for case in vectors["policies"]["valid"]:
        standalone.read_policy(case["policy"].encode())
    for read, bad in (
        (standalone.read_key, [case["key"] for case in vectors["keys"]["invalid"]]),
        (standalone.read_policy, [case["policy"].encode() for case in vectors["policies"]["invalid"]]),
        (
            lambda data: standalone.judge_head(data, trusted),
            [case["checkpoint"].encode() for case in vectors["checkpoints"]["invalid"]],
        ),
        (
            lambda data: standalone.judge_head(data, (trusted[0], {"w": witness}, {}, "w")),
            [case["checkpoint"].encode() for case in vectors["cosignatures"]["invalid"]],
        ),
    ):
        for data in bad:
            with pytest.raises(standalone.Fault):
                read(data)


def test_it_agrees_with_the_vectors_of_inclusion(standalone: ModuleType) -> None:
    """Of entries of one byte and none: it hashes entries, the vectors have their hashes."""
    vectors = read_vectors("log-tree")
    entries = {json.dumps(case["leaves"]): case["root"] for case in vectors["roots"]}
    leaves = json.loads(max(entries, key=len))
    for case in vectors["inclusion"]["valid"]:
        if case["size"] == len(leaves):
            path = [bytes.fromhex(sibling) for sibling in case["path"]]
            entry, root = bytes.fromhex(leaves[case["index"]]), bytes.fromhex(case["root"])
            standalone.check_inclusion(case["index"], case["size"], entry, path, root)
            with pytest.raises(standalone.Fault):
                standalone.check_inclusion(case["index"], case["size"], entry + b"!", path, root)
