"""How the Python interpreter is set for a process that runs for months and answers in milliseconds."""

from __future__ import annotations

import gc
import sys

# A node keeps some 100,000 long-lived objects: the default thresholds spend a tenth of the time collecting. With 20,000
# young objects at once one collection in the middle of a pause takes 8 ms, with these 1 ms.
GC_THRESHOLDS = (4_000, 40, 50)
# The default of 5 ms is how long a CRITICAL signal would wait while another thread verifies a batch.
SWITCH_SECONDS = 0.0005


def tune_interpreter() -> None:
    """Set collector and thread switching; call it once, after the imports."""
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    sys.setswitchinterval(SWITCH_SECONDS)
