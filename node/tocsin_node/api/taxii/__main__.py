"""`python -m tocsin_node.api.taxii DATA_DIR`: exports the record to the collections until its stdin ends."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

from tocsin_node.clock import now_ms
from tocsin_node.errors import NodeError
from tocsin_node.store.reader import Reader

from ..feed_db import open_feed_db
from .keeping import drop_old
from .projecting import Projection

POLL_SECONDS = 0.5
RETRY_SECONDS = 5.0
# The relay and whoever asks the feed come first.
NICENESS = 19
# For each second that a page took: a long record is exported by and by, and most of the disk and a core stay free.
REST = 3.0


def main(arguments: list[str]) -> int:
    """Run until stdin ends; the exit code is 0 then, 2 on wrong usage."""
    if len(arguments) != 1:
        print("usage: python -m tocsin_node.api.taxii DATA_DIR", file=sys.stderr)
        return 2
    os.nice(NICENESS)
    # Ctrl-C is for the feed, which then closes our stdin.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop = threading.Event()
    threading.Thread(target=_stop_when_stdin_ends, args=(stop,), daemon=True).start()
    run_export(Path(arguments[0]), stop)
    return 0


def run_export(data_dir: Path, stop: threading.Event) -> None:
    """Keep the collections up with the record until told to stop; what cannot be read or written now is tried again."""
    while not stop.is_set():
        try:
            with closing(open_feed_db(data_dir)) as connection, Reader(data_dir) as reader:
                projection = Projection(connection, reader, now_ms)
                # another is put in its place when a backup is restored
                while not stop.is_set() and reader.is_current():
                    began = time.monotonic()
                    is_more = projection.step()
                    drop_old(connection, now_ms())
                    # [TAXII] Who exports rests REST times as long as he worked: the relay needs the same disk.
                    rest = REST * (time.monotonic() - began)
                    stop.wait(rest if is_more else max(rest, POLL_SECONDS))
        # no roster yet, a full disk, another program's lock
        except (NodeError, sqlite3.Error) as exc:
            print(f"taxii: the record was not exported: {exc}", file=sys.stderr)
            stop.wait(RETRY_SECONDS)


def _stop_when_stdin_ends(stop: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    stop.set()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
