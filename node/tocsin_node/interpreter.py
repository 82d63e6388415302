"""How the Python interpreter is set for a process that runs for months and answers in milliseconds."""

from __future__ import annotations

import gc
import sys

# A node keeps some 100,000 long-lived objects: the default threshold spends a tenth of the time collecting.
GC_THRESHOLDS = (20_000, 20, 50)
# The default of 5 ms is how long a CRITICAL signal would wait while another thread verifies a batch.
SWITCH_SECONDS = 0.0005


def tune_interpreter() -> None:
    """Set collector and thread switching; call it once, after the imports."""
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    sys.setswitchinterval(SWITCH_SECONDS)
