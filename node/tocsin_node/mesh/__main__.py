"""`python -m tocsin_node.mesh SOCKET`: one mesh process, started and watched by the relay."""

from __future__ import annotations

import gc
import logging
import sys

import trio
from tocsin_protocol.errors import ProtocolError

from tocsin_node.meshlink import LinkError

from .process import run_mesh

# The host keeps some 100,000 long-lived objects: the default threshold spends a tenth of the time collecting.
GC_THRESHOLDS = (20_000, 20, 50)
EXPECTED = (OSError, LinkError, ProtocolError, trio.TooSlowError, KeyboardInterrupt)


def main(arguments: list[str]) -> int:
    """Run until the relay closes the socket; the exit code is 0 then, 1 on a fault, 2 on wrong usage."""
    if len(arguments) != 1:
        print("usage: python -m tocsin_node.mesh SOCKET", file=sys.stderr)
        return 2
    # The library logs a line, or a traceback, for what any stranger sends; we count instead.
    logging.disable(logging.CRITICAL)
    gc.set_threshold(*GC_THRESHOLDS)
    gc.freeze()
    try:
        trio.run(run_mesh, arguments[0])
    except BaseException as exc:
        faults = _leaves(exc)
        if not all(isinstance(fault, EXPECTED) for fault in faults):
            raise
        for fault in faults:
            print(f"mesh: {fault}", file=sys.stderr)
        return 1
    return 0


def _leaves(exc: BaseException) -> list[BaseException]:
    if not isinstance(exc, BaseExceptionGroup):
        return [exc]
    return [leaf for inner in exc.exceptions for leaf in _leaves(inner)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
