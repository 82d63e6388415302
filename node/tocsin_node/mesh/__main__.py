"""`python -m tocsin_node.mesh SOCKET [PARENT]`: one mesh process, started and watched by the relay.

With PARENT, the process id of the relay, it dies with the thread that started it, whatever state it is in.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys

import trio
from tocsin_protocol.errors import ProtocolError

from tocsin_node.interpreter import tune_interpreter
from tocsin_node.meshlink import LinkClosedError, LinkError

from .process import run_mesh

# From <linux/prctl.h>.
PR_SET_PDEATHSIG = 1
EXPECTED = (OSError, LinkError, ProtocolError, trio.TooSlowError, KeyboardInterrupt)


def main(arguments: list[str]) -> int:
    """Run until the relay closes the socket; the exit code is 0 then, 1 on a fault, 2 on wrong usage."""
    if not 1 <= len(arguments) <= 2 or not all(text.isdecimal() for text in arguments[1:]):
        print("usage: python -m tocsin_node.mesh SOCKET [PARENT]", file=sys.stderr)
        return 2
    if arguments[1:] and not _is_bound_to(int(arguments[1])):
        print("mesh: the relay is gone", file=sys.stderr)
        return 1
    # The library logs a line, or a traceback, for what any stranger sends; we count instead.
    logging.disable(logging.CRITICAL)
    tune_interpreter()
    try:
        trio.run(run_mesh, arguments[0])
    except BaseException as exc:
        faults = _leaves(exc)
        # A relay that goes while we are sending is a relay that closed the socket.
        if all(isinstance(fault, LinkClosedError) for fault in faults):
            return 0
        if not all(isinstance(fault, EXPECTED) for fault in faults):
            raise
        for fault in faults:
            print(f"mesh: {fault}", file=sys.stderr)
        return 1
    return 0


def _is_bound_to(parent: int) -> bool:
    """Ask to be killed when our parent ends; false when it has ended already. Only Linux can, elsewhere it is true."""
    if sys.platform != "linux":
        return True
    # Stopped, or stuck in a loop, we would not see that the relay's socket closed, and would keep its port.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    return os.getppid() == parent


def _leaves(exc: BaseException) -> list[BaseException]:
    if not isinstance(exc, BaseExceptionGroup):
        return [exc]
    return [leaf for inner in exc.exceptions for leaf in _leaves(inner)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
