"""Every cell of the fault matrix, and how each is run."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from fault_kit import CASES, CELLS, Outcome, Where, run_call
from hook_kit import MAKERS
from message_fault_kit import (
    PROGRAM_FAULTS,
    RECEIVER_FAULTS,
    Lasting,
    ProgramFault,
    ReceiverFault,
    run_program,
    run_receiver,
)
from tocsin_node.demo.faults import Fault

Cell = tuple[str, str, str]
"""Hook, fault, and where it is or how long it lasts."""
MESSAGES = {"webhook": RECEIVER_FAULTS, "command": PROGRAM_FAULTS}
CALL_CELLS: tuple[Cell, ...] = tuple((name, fault.value, where.value) for name, fault, where in CELLS)
MESSAGE_CELLS: tuple[Cell, ...] = tuple(
    (hook, fault, lasting.value) for hook, faults in MESSAGES.items() for fault in faults for lasting in Lasting
)
ALL_CELLS = CALL_CELLS + MESSAGE_CELLS
IN_FULL = ("pausable", "generic")
"""Hooks of which every cell is run each time."""
STRIDE = 16
"""Of the others each time every sixteenth, beginning elsewhere in each: so each hook and each fault has its turn."""


def is_run_each_time(cell: Cell) -> bool:
    """Whether a cell is in the short form of the matrix."""
    hook, fault, where = cell
    if hook in MESSAGES or hook in IN_FULL:
        return True
    return (3 * list(MAKERS).index(hook) + CASES.index((Fault(fault), Where(where)))) % STRIDE == 0


async def see(cell: Cell) -> Outcome:
    """Run one cell."""
    hook, fault, where = cell
    if hook == "webhook":
        return await run_receiver(ReceiverFault(fault), Lasting(where))
    with tempfile.TemporaryDirectory(prefix="tocsin-fault-") as name:
        if hook == "command":
            os.chmod(name, 0o755)  # noqa: S103 - for the user that the program runs as
            return await run_program(ProgramFault(fault), Lasting(where), Path(name))
        return await run_call(hook, Fault(fault), Where(where), Path(name))
