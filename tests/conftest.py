"""What holds for all tests: nothing is judged by the clock, and the folder of the user's own nodes is not touched."""

from __future__ import annotations

import os
import signal
import sys
from collections import deque
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from tocsin_node.demo import network

# py_ecc, which eth_account brings, raises the recursion limit far beyond the stack. The node's guardian.py undoes that;
# so must whoever imports it first here, or nested garbage in any test ends the run (SIGSEGV).
_LIMIT = sys.getrecursionlimit()
import eth_account  # noqa: E402, F401

sys.setrecursionlimit(_LIMIT)

# What a shell starts in the background ignores Ctrl-C, and so does whatever that starts: tests interrupt programs.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples on every machine; what a test's own settings do not name is taken from here.
settings.register_profile(
    "tocsin", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], database=None
)
settings.load_profile("tocsin")


@pytest.fixture(scope="session", autouse=True)
def state_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have every node of the tests, and whatever it starts, keep its locks in a folder of this run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session", autouse=True)
def own_ports() -> Iterator[None]:
    """Of the ports that nodes of the tests listen on, each worker of a run has some that no other has."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "_turns", deque(port for port in network._turns if port % workers == number))
        yield
