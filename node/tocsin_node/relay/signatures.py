"""Signatures of many signals at once, checked by a process beside the relay where one is at hand.

Threads do not help: while one writes to the database, another gets the interpreter's lock too seldom to keep a core
busy with checks of 40 µs.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from threading import Lock

import structlog

from .signature_process import READY, Claim, check_claims, encode_claims
from .supervisor import KEPT_ENVIRONMENT

# A full batch takes 50 ms. A process that takes longer than this is ended, and we check ourselves.
ANSWER_SECONDS = 1.0
# After a fault no other process is started for this long.
REST_SECONDS = 60.0

# -P: whose module it runs, it believes; nothing comes from the folder that the relay was started in.
_COMMAND = (sys.executable, "-P", "-m", "tocsin_node.relay.signature_process")

_log = structlog.get_logger("tocsin.signatures")


class SignatureChecker:
    """Starts its process with the first batch, while it is entered; what that cannot check, the caller's thread does.

    For worker threads: calls block, one after another.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._is_open = False
        self._helper: _Helper | None = None
        self._rest_until = 0.0

    def __enter__(self) -> None:
        self._is_open = True

    def __exit__(self, *_: object) -> None:
        # A thread of sync may be asking still.
        with self._lock:
            self._is_open = False
            self._part()

    def check(self, claims: Sequence[Claim]) -> list[bool]:
        """Whether each signature is by its key, in the same order."""
        with self._lock:
            answers = self._ask(claims)
        return check_claims(claims) if answers is None else answers

    def _ask(self, claims: Sequence[Claim]) -> list[bool] | None:
        if not self._is_open or time.monotonic() < self._rest_until:
            return None
        try:
            if self._helper is None:
                self._helper = _Helper()
            return self._helper.ask(claims)
        except Exception as exc:  # noqa: BLE001 - whatever it was, we can do without the process
            # First of all: an answer that is still to come would be taken for one about the next batch.
            self._part()
            self._rest_until = time.monotonic() + REST_SECONDS
            _log.warning("the process that checks signatures is of no use; we do it", why=repr(exc))
            return None

    def _part(self) -> None:
        helper, self._helper = self._helper, None
        if helper is not None:
            helper.end()


class _Helper:
    """One process and our end of its socket. After any fault it has to be ended."""

    def __init__(self) -> None:
        environment = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
        self._socket, theirs = socket.socketpair()
        self.is_ready = False
        with theirs:
            try:
                self.process = subprocess.Popen(
                    _COMMAND, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, env=environment
                )
            except OSError:
                self._socket.close()
                raise

    def ask(self, claims: Sequence[Claim]) -> list[bool] | None:
        """What it answers; None while it starts."""
        self.is_ready = self.is_ready or self._has_started()
        if not self.is_ready:
            return None
        self._socket.settimeout(ANSWER_SECONDS)
        self._socket.sendall(encode_claims(claims))
        answers = bytearray()
        while len(answers) < len(claims):
            answers += self._receive(len(claims) - len(answers))
        return [answer == 1 for answer in answers]

    def end(self) -> None:
        """End it at once: it holds nothing."""
        self._socket.close()
        self.process.kill()
        self.process.wait()

    def _has_started(self) -> bool:
        self._socket.setblocking(False)
        with suppress(BlockingIOError):
            if self._receive(len(READY)) != READY:
                raise OSError("it does not say that it is ready")
            return True
        return False

    def _receive(self, most: int) -> bytes:
        data = self._socket.recv(most)
        if not data:
            raise OSError("it has ended")
        return data
