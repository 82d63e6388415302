"""Who can pay whom when some cannot pay in full: the clearing payments of a network of debts (specs/exposure.md).

L. Eisenberg, T. Noe, "Systemic Risk in Financial Systems", Management Science 47(2) (2001): p = min(p̄, e + Πᵀp), the
greatest such p, by their fictitious default algorithm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import ExposureError
from ..quantities import money
from .contagion import MAX_MATRIX_NODES

# Half a micro-USD, or this part of a debt, is rounding and no default.
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Clearing:
    """What each pays in all, and what is left to it, in micro-USD."""

    payments_micro_usd: tuple[int, ...]
    equity_micro_usd: tuple[int, ...]


def clear_debts(liabilities_micro_usd: Sequence[Sequence[int]], external_micro_usd: Sequence[int]) -> Clearing:
    """Clear a network in which i owes `liabilities[i][j]` to j and has `external[i]` besides; raises ExposureError.

    Debts are of one rank, paid in proportion. What a node owes itself is left out. Exact to a few micro-USD in 10^15.
    """
    owed, external = _checked(liabilities_micro_usd, external_micro_usd)
    due = owed.sum(axis=1)
    shares = np.divide(owed, due[:, None], out=np.zeros_like(owed), where=due[:, None] > 0)
    payments = _payments(shares, due, external)
    equity = np.maximum(external + payments @ shares - payments, 0)
    return Clearing(tuple(map(round, payments.tolist())), tuple(map(round, equity.tolist())))


def _payments(
    shares: npt.NDArray[np.float64], due: npt.NDArray[np.float64], external: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Let all pay in full, see who cannot, let those pay what they get, and again while more cannot.

    The defaulters' system always has a solution: were they to pay each other only, their sum could not fall short.
    """
    payments, failed = due.copy(), np.zeros(len(due), dtype=bool)
    for _ in range(len(due)):
        now_failed = failed | (external + payments @ shares < due - _ROUNDING * due - 0.5)
        if (now_failed == failed).all():
            break
        failed, at = now_failed, np.flatnonzero(now_failed)
        others = np.where(failed, 0.0, due)
        system = np.eye(len(at)) - shares[np.ix_(at, at)].T
        payments[at] = np.clip(np.linalg.solve(system, external[at] + (others @ shares)[at]), 0, due[at])
    return payments


def _checked(
    liabilities: Sequence[Sequence[int]], external: Sequence[int]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    size = len(external)
    if size > MAX_MATRIX_NODES or len(liabilities) != size or any(len(row) != size for row in liabilities):
        raise ExposureError(f"liabilities are not {size} rows of {size}, or more than {MAX_MATRIX_NODES}")
    rows = [
        [money(f"liability of {i} to {j}", owed) for j, owed in enumerate(row)] for i, row in enumerate(liabilities)
    ]
    owed = np.array(rows, dtype=np.float64).reshape(size, size)
    np.fill_diagonal(owed, 0)
    return owed, np.array([money(f"external of {i}", held) for i, held in enumerate(external)], dtype=np.float64)
