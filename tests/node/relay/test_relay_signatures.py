"""Signatures of many signals: the process beside the relay answers as the relay does where there is none."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path as FilePath

import pytest
import trio
from protocol_kit import Feed
from relay_kit import open_bench, wait_until
from tocsin_node.relay import signatures
from tocsin_node.relay.intake import THREAD_BATCH
from tocsin_node.relay.signature_process import READY, Claim, check_claims, encode_claims
from tocsin_node.relay.signatures import SignatureChecker
from tocsin_node.store.arrivals import Path
from tocsin_protocol.admission import Reason
from tocsin_protocol.signing import keccak256, public_key_of, sign_digest

DEADLINE_SECONDS = 120
SECRET = bytes(31) + b"\7"
KEY = public_key_of(SECRET)
OTHER_KEY = public_key_of(bytes(31) + b"\x08")


def claim(number: int, key: bytes = KEY) -> Claim:
    digest = keccak256(number.to_bytes(4, "big"))
    return digest, sign_digest(SECRET, digest), key


def with_parity_flipped(made: Claim) -> Claim:
    digest, signature, key = made
    return digest, signature[:32] + bytes((signature[32] ^ 0x80,)) + signature[33:], key


GOOD = [claim(number) for number in range(40)]
BAD = [
    claim(100, OTHER_KEY),
    with_parity_flipped(claim(101)),
    (claim(102)[0], claim(103)[1], KEY),
    (claim(104)[0], bytes(64), KEY),
    (claim(105)[0], b"\x7f" + b"\xff" * 63, KEY),
    (claim(106)[0], claim(106)[1], bytes(33)),
]
MIXED = [*GOOD[:3], *BAD, *GOOD[3:]]
WANTED = [made in GOOD for made in MIXED]
FORGED = (BAD * len(GOOD))[: len(GOOD)]

# Where our own process is looked for, this one says yes to everything.
CREDULOUS = """
import socket
with socket.socket(fileno=0) as ours, ours.makefile("rb") as requests:
    ours.sendall(b"+")
    while head := requests.read(4):
        requests.read(129 * int.from_bytes(head, "big"))
        ours.sendall(b"\\1" * int.from_bytes(head, "big"))
"""


def pid_of(checker: SignatureChecker) -> int | None:
    """The process that checks, once there is one."""
    helper = checker._helper
    return helper.process.pid if helper is not None and helper.is_ready else None


async def started(checker: SignatureChecker) -> int:
    """Ask until the process answers; its id."""
    with trio.fail_after(DEADLINE_SECONDS):
        while (pid := pid_of(checker)) is None:
            assert await trio.to_thread.run_sync(checker.check, GOOD) == [True] * len(GOOD)
            await trio.sleep(0.01)
    return pid


def is_running(pid: int) -> bool:
    try:
        return FilePath(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def environment_of(pid: int) -> bytes:
    return FilePath(f"/proc/{pid}/environ").read_bytes()


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that has much to do a process is slow, and none of these tests is about that."""
    monkeypatch.setattr(signatures, "ANSWER_SECONDS", float(DEADLINE_SECONDS))


@pytest.fixture
def checker() -> Iterator[SignatureChecker]:
    made = SignatureChecker()
    with made:
        yield made


def test_we_tell_good_from_bad() -> None:
    assert check_claims(MIXED) == WANTED


async def test_the_process_tells_good_from_bad(checker: SignatureChecker) -> None:
    assert checker.check(MIXED) == WANTED
    pid = await started(checker)
    assert checker.check(MIXED) == WANTED
    assert checker.check([]) == []
    assert checker.check(MIXED * 50) == WANTED * 50
    assert pid_of(checker) == pid


async def test_the_process_ends_with_the_checker() -> None:
    checker = SignatureChecker()
    with checker:
        pid = await started(checker)
        assert is_running(pid)
    assert not is_running(pid)
    assert pid_of(checker) is None
    assert checker.check(MIXED) == WANTED
    assert pid_of(checker) is None


def test_the_process_ends_when_the_other_end_is_gone_and_not_by_ctrl_c() -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(DEADLINE_SECONDS)
    with theirs:
        process = subprocess.Popen(signatures._COMMAND, stdin=theirs.fileno())
    try:
        assert ours.recv(1) == READY
        process.send_signal(signal.SIGINT)
        ours.sendall(encode_claims(BAD[:1]))
        assert ours.recv(1) == b"\0"
        ours.close()
        assert process.wait(DEADLINE_SECONDS) == 0
    finally:
        process.kill()
        process.wait()


async def test_it_sees_no_secret_of_our_environment(checker: SignatureChecker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_PASSPHRASE_FILE", "/nowhere")
    pid = await started(checker)
    assert b"TOCSIN" not in environment_of(pid)


async def test_a_process_that_was_killed_is_replaced_after_a_rest(
    checker: SignatureChecker, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await started(checker)
    os.kill(first, signal.SIGKILL)
    assert checker.check(MIXED) == WANTED
    assert checker.check(MIXED) == WANTED
    assert pid_of(checker) is None
    monkeypatch.setattr(checker, "_rest_until", 0.0)
    assert await started(checker) != first


async def test_a_frozen_process_is_ended(checker: SignatureChecker, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = await started(checker)
    monkeypatch.setattr(signatures, "ANSWER_SECONDS", 0.1)
    os.kill(pid, signal.SIGSTOP)
    assert checker.check(MIXED * 50) == WANTED * 50
    assert not is_running(pid)


async def test_no_answer_is_left_for_the_next_batch_where_the_log_takes_no_line(
    checker: SignatureChecker, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def warning(self, *_: object, **__: object) -> None:
            raise BlockingIOError

    pid = await started(checker)
    os.kill(pid, signal.SIGSTOP)
    with monkeypatch.context() as patch:
        patch.setattr(signatures, "ANSWER_SECONDS", 0.1)
        patch.setattr(signatures, "_log", Full())
        with pytest.raises(BlockingIOError):
            checker.check(GOOD)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
    assert checker.check(FORGED) == [False] * len(FORGED)


async def test_no_answer_is_left_for_the_next_batch_by_a_fault_of_ours(
    checker: SignatureChecker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def receive(*_: object) -> bytes:
        raise MemoryError

    await started(checker)
    with monkeypatch.context() as patch, suppress(MemoryError):
        patch.setattr(signatures._Helper, "_receive", receive)
        assert checker.check(GOOD) == [True] * len(GOOD)
    assert checker.check(FORGED) == [False] * len(FORGED)


async def test_nothing_is_run_from_the_folder_the_relay_stands_in(
    checker: SignatureChecker, monkeypatch: pytest.MonkeyPatch, tmp_path: FilePath
) -> None:
    package = tmp_path / "tocsin_node" / "relay"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    (package / "signature_process.py").write_text(CREDULOUS)
    monkeypatch.chdir(tmp_path)
    await started(checker)
    assert checker.check(MIXED) == WANTED


@pytest.mark.parametrize("program", ["raise SystemExit(1)", "import os, time; os.write(0, b'?'); time.sleep(600)"])
async def test_a_program_that_is_none_of_ours_is_let_go(
    checker: SignatureChecker, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setattr(signatures, "_COMMAND", (sys.executable, "-c", program))
    with trio.fail_after(DEADLINE_SECONDS):
        while not checker._rest_until:
            assert checker.check(MIXED) == WANTED
            await trio.sleep(0.01)
    assert checker._helper is None


async def test_one_that_cannot_be_started_is_done_without(
    checker: SignatureChecker, monkeypatch: pytest.MonkeyPatch, tmp_path: FilePath
) -> None:
    monkeypatch.setattr(signatures, "_COMMAND", (str(tmp_path / "nothing"),))
    assert checker.check(MIXED) == WANTED


async def test_a_flood_is_checked_by_it_and_what_is_forged_is_refused(tmp_path: FilePath) -> None:
    feed = Feed("brook")
    batches = [[e.encoded for e in feed.seal_many(THREAD_BATCH)] for _ in range(3)]
    honest = batches[1][5]
    forged = batches[1][5] = honest[:-1] + bytes((honest[-1] ^ 1,))
    async with open_bench(tmp_path) as bench:
        checker = bench.intake._signatures
        first, _ = await bench.intake.admit(batches[0], Path.GOSSIP)
        pid = await started(checker)
        second, filed = await bench.intake.admit(batches[1], Path.GOSSIP)
        third, _ = await bench.intake.admit(batches[2], Path.GOSSIP)
        assert pid_of(checker) == pid
        assert [len(v.opened) for v in (first, second, third)] == [THREAD_BATCH, THREAD_BATCH - 1, THREAD_BATCH]
        assert second.refused == {Reason.BAD_SIGNATURE: 1}
        assert [o.envelope.encoded for o in filed.stored] == [item for item in batches[1] if item != forged]
    await wait_until(lambda: not is_running(pid))


async def test_few_signals_start_no_process(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path) as bench:
        await bench.intake.admit([e.encoded for e in Feed("brook").seal_many(THREAD_BATCH - 1)], Path.GOSSIP)
        assert bench.intake._signatures._helper is None
