"""Go's checksum database code judges our logs as we do: tiles, proofs, heads, cosignatures, whole and tampered with."""

from __future__ import annotations

import base64
import json
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from log_folder_kit import export_to, make_log
from log_kit import TIME_S, cosign_note, secret_of, witness_key
from tocsin_node.private_files import replace_file
from tocsin_node.record.checking import check_log
from tocsin_node.record.files import LogFolder
from tocsin_node.record.proving import Prover
from tocsin_node.store.log_files import StoreLog
from tocsin_protocol.errors import ProtocolError
from tocsin_protocol.log.bundle import decode_proof_bundle, encode_proof_bundle, verify_proof_bundle
from tocsin_protocol.log.note import Note, VerifierKey, decode_note, encode_note
from tocsin_protocol.log.trust import Group, TrustPolicy, decode_trust, judge_head

GO_DIR = Path(__file__).parent / "go"
VECTORS = Path(__file__).parents[2] / "specs" / "vectors"
WITNESSES = ("brook", "cedar")
SIZE = 2 * 256 + 44
FLIPS = 60
# Ours is stricter: Go's code asks neither for a bound on the size nor for the root of an empty log, and takes names
# past ASCII, and of any length.
STRICTER = {"too-large", "root-of-nothing", "name-with-delete", "name-past-ascii", "name-with-joiner"}
STRICTER |= {"name-with-new-letter", "name-too-long"}

Case = dict[str, Any]
Ask = Callable[..., Case]


@pytest.fixture(scope="session")
def go() -> Iterator[Ask]:
    """The Go program, asked one thing at a time: `go("inclusion", index=…)`."""
    if shutil.which("go") is None:
        pytest.fail("go is not on the PATH: Debian's golang-go will do", pytrace=False)
    # Debian's Go reads the module as it is, and fetches its one dependency by go.sum's hash.
    subprocess.run(["go", "build", "-buildvcs=false", "-o", "build/verifier", "."], cwd=GO_DIR, check=True)
    process = subprocess.Popen(
        [GO_DIR / "build" / "verifier"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def ask(op: str, **fields: object) -> Case:
        process.stdin.write(json.dumps({"op": op, **fields}) + "\n")
        process.stdin.flush()
        answer: Case = json.loads(process.stdout.readline())
        return answer

    with process:
        yield ask
        process.stdin.close()
        assert process.wait() == 0


def cases(file: str, *keys: str) -> list[Any]:
    node = json.loads((VECTORS / f"{file}.json").read_bytes())
    for key in keys:
        node = node[key]
    return [pytest.param(case, id=case["name"]) for case in node]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("valid", [True, False])
@pytest.mark.parametrize("op", ["inclusion", "consistency"])
def test_proofs_of_the_vectors_are_judged_alike(go: Ask, op: str, valid: bool) -> None:
    judged = 0
    for parameter in cases("log-tree", op, "valid" if valid else "invalid"):
        (case,) = parameter.values
        # Go's code has no proof from a tree of no entries: there is nothing to prove.
        if case.get("old") != 0:
            answer = go(op, **case)
            assert answer["ok"] is valid, (case["name"], answer)
            judged += 1
    assert judged >= 10


NOTES = json.loads((VECTORS / "log-notes.json").read_bytes())


@pytest.mark.parametrize("valid", [True, False])
def test_checkpoints_of_the_vectors_are_judged_alike(go: Ask, valid: bool) -> None:
    for case in NOTES["checkpoints"]["valid" if valid else "invalid"]:
        if case["name"] not in STRICTER:
            answer = go("checkpoint", text=b64(case["checkpoint"].encode()), log=NOTES["checkpoints"]["log"])
            assert answer["ok"] is valid, (case["name"], answer)
            if valid:
                assert (answer["size"], answer["root"]) == (case["size"], case["root"])


@pytest.mark.parametrize("valid", [True, False])
def test_cosignatures_of_the_vectors_are_judged_alike(go: Ask, valid: bool) -> None:
    asked = {"log": NOTES["checkpoints"]["log"], "witnesses": [NOTES["cosignatures"]["witness"]], "need": 1}
    for case in NOTES["cosignatures"]["valid" if valid else "invalid"]:
        answer = go("checkpoint", text=b64(case["checkpoint"].encode()), **asked)
        assert answer["ok"] is valid, (case["name"], answer)


@pytest.mark.parametrize("valid", [True, False])
def test_proof_files_of_the_vectors_are_judged_alike(go: Ask, valid: bool) -> None:
    trust = decode_trust(NOTES["proofs"]["policy"].encode())
    asked = {"log": str(trust.logs[0]), "witnesses": [str(key) for key in trust.witnesses.values()], "need": 2}
    for case in NOTES["proofs"]["valid" if valid else "invalid"]:
        answer = go("proof", text=b64(case["proof"].encode()), **asked)
        assert answer["ok"] is valid, (case["name"], answer)


class Log:
    """A log of our own in a folder, cosigned by two witnesses."""

    def __init__(self, directory: Path, size: int) -> None:
        make_log(directory / "data", size)
        self.folder = directory / "folder"
        export_to(directory / "data", self.folder)
        with closing(StoreLog(directory / "data")) as own:
            self.key: VerifierKey = own.key
        witnesses = {name: witness_key(name) for name in WITNESSES}
        self.trust = TrustPolicy((self.key,), witnesses, {"both": Group(len(WITNESSES), WITNESSES)}, "both")
        path = self.folder / "checkpoint"
        note = decode_note(path.read_bytes())
        lines = [cosign_note(note.text, secret_of(name), witness_key(name).name, TIME_S) for name in WITNESSES]
        replace_file(path, encode_note(Note(note.text, (*note.signatures, *lines))))
        self.asked = {
            "log": str(self.key),
            "witnesses": [str(witness_key(name)) for name in WITNESSES],
            "need": len(WITNESSES),
        }

    def is_whole(self) -> bool:
        files = LogFolder(self.folder)
        try:
            head = judge_head(files.checkpoint(), self.trust)
        except ProtocolError:
            return False
        return not check_log(files, head.checkpoint)

    def prover(self) -> Prover:
        files = LogFolder(self.folder)
        note = files.checkpoint()
        return Prover(files, judge_head(note, self.trust).checkpoint, note)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    return Log(tmp_path_factory.mktemp("log"), SIZE)


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, SIZE])
def test_go_finds_our_log_whole(go: Ask, tmp_path: Path, size: int) -> None:
    log = Log(tmp_path, size)
    answer = go("log", dir=str(log.folder), **log.asked)
    assert (answer["ok"], answer["size"], answer["cosigned"]) == (True, size, 2), answer
    assert log.is_whole()


def test_go_makes_the_proofs_that_we_make(go: Ask, log: Log) -> None:
    rng, prover = random.Random(1), log.prover()
    root = judge_head(LogFolder(log.folder).checkpoint(), log.trust).checkpoint.root.hex()
    asked = {"dir": str(log.folder), "size": SIZE, "root": root}
    for _ in range(40):
        index, old = rng.randrange(SIZE), rng.randrange(1, SIZE)
        ours = [sibling.hex() for sibling in prover.prove_entry(index).path]
        assert go("prove-inclusion", index=index, **asked)["path"] == ours
        ours = [sibling.hex() for sibling in prover.prove_growth(old)]
        assert go("prove-consistency", old=old, **asked)["path"] == ours


def test_every_tamper_with_a_log_is_rejected_by_both(go: Ask, log: Log) -> None:
    rng = random.Random(2)
    paths = sorted(path for path in log.folder.rglob("*") if path.is_file())
    assert len(paths) == 8
    tampers: list[Callable[[bytes], bytes]] = [
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: b"",
        *(FLIPS // len(paths)) * [lambda data: flip(data, rng.randrange(8 * len(data)))],
    ]
    for path in paths:
        before = path.read_bytes()
        for tamper in tampers:
            path.write_bytes(tamper(before))
            assert not go("log", dir=str(log.folder), **log.asked)["ok"], path
            assert not log.is_whole(), path
        path.unlink()
        assert not go("log", dir=str(log.folder), **log.asked)["ok"], path
        path.write_bytes(before)
    assert go("log", dir=str(log.folder), **log.asked)["ok"]
    assert log.is_whole()


def test_every_tamper_with_a_proof_file_is_rejected_by_both(go: Ask, log: Log) -> None:
    rng, data = random.Random(3), encode_proof_bundle(log.prover().prove_entry(300))
    assert go("proof", text=b64(data), **log.asked)["ok"]
    verify_proof_bundle(decode_proof_bundle(data), log.trust)
    for _ in range(4 * FLIPS):
        changed = flip(data, rng.randrange(8 * len(data)))
        assert not go("proof", text=b64(changed), **log.asked)["ok"]
        with pytest.raises(ProtocolError):
            verify_proof_bundle(decode_proof_bundle(changed), log.trust)


def flip(data: bytes, bit: int) -> bytes:
    return data[: bit // 8] + bytes((data[bit // 8] ^ 1 << bit % 8,)) + data[bit // 8 + 1 :]
