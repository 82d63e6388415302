"""How distress spreads when everybody passes on what he takes: differential DebtRank (specs/exposure.md).

M. Bardoscia, S. Battiston, F. Caccioli, G. Caldarelli, "DebtRank: A Microscopic Foundation for Shock Propagation",
PLoS ONE 10(6): e0130406 (2015): h_j(t+1) = min(1, h_j(t) + Σ_i W_ij (h_i(t) − h_i(t−1))). With h(0) = 0 and h(1) the
shock, the sums telescope: the limit is the least h with h = min(1, shock + Wᵀh). It is computed here, not approached:
that map is concave, so Newton's steps from above end at the limit after as many steps as there are nodes, mostly two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import ExposureError

# Two matrices of 8 MB, and a tenth of a second to prepare them.
MAX_MATRIX_NODES = 1_024
# Beyond, harm goes around almost undamped and the prepared inverse has lost ten of its sixteen digits.
MAX_AMPLIFICATION = 1e6
_ROUNDING = 1e-9

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class DebtRank:
    """Weights made ready. `transfer[j, i]` is the impact of i on j; `resolvent` is (1 − transfer)⁻¹ where it exists."""

    transfer: Matrix
    resolvent: Matrix | None


def prepare_debtrank(weights: Sequence[Sequence[float]] | Matrix) -> DebtRank:
    """Make `weights[i][j]` = impact of i on j ready; raises ExposureError where one is not 0…1 or it is not square.

    Cycles are allowed, also undamped ones.
    """
    matrix = _array("weights", weights)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ExposureError(f"weights of shape {matrix.shape} are not square")
    if len(matrix) > MAX_MATRIX_NODES:
        raise ExposureError(f"weights of {len(matrix)} nodes where at most {MAX_MATRIX_NODES} are allowed")
    transfer = np.ascontiguousarray(matrix.T)
    return DebtRank(transfer, _resolvent(transfer))


def find_distress(ready: DebtRank, shock: Sequence[float] | Matrix) -> Matrix:
    """The distress 0…1 of each node after a shock 0…1 to each; raises ExposureError for other numbers."""
    array = _array("shock", shock)
    if array.shape != (len(ready.transfer),):
        raise ExposureError(f"shock of shape {array.shape} where {len(ready.transfer)} nodes are wanted")
    if not array.any():
        return np.zeros_like(array)
    # [EXPOSURE] Distress is the least that is the shock plus what the others pass on by their weights, and at most 1.
    if ready.resolvent is None:
        return _from_above(ready.transfer, array)
    return _by_resolvent(ready.resolvent, array)


def _by_resolvent(resolvent: Matrix, shock: Matrix) -> Matrix:
    """Add up the columns of what is shocked, then hold back what would pass 1.

    Nodes held at 1 get the negative shock that holds them there (a low-rank correction of the inverse). One whose
    correction turns positive needs no holding: others no longer push it beyond. None comes back, so this ends.
    """
    hit = np.flatnonzero(shock)
    free = resolvent[:, hit] @ shock[hit]
    distress, held = free, np.flatnonzero(free > 1)
    while held.size:
        correction = np.linalg.solve(resolvent[np.ix_(held, held)], 1 - free[held])
        distress = free + resolvent[:, held] @ correction
        distress[held] = 1
        if (correction <= 0).all():
            break
        held = held[correction <= 0]
    return np.clip(distress, 0, 1)


def _from_above(transfer: Matrix, shock: Matrix) -> Matrix:
    """The same without an inverse, for circles that may pass on all they take: all that is reached starts at 1.

    Whatever stays below 1 even so is let free, and then solves a system whose sums are below 1.
    """
    distress = _reached(transfer, shock).astype(np.float64)
    freed = np.zeros(len(shock), dtype=bool)
    for _ in range(len(shock)):
        now_free = freed | ((distress > 0) & (shock + transfer @ distress < 1))
        if (now_free == freed).all():
            break
        freed, at = now_free, np.flatnonzero(now_free)
        system = np.eye(len(at)) - transfer[np.ix_(at, at)]
        held = np.where(freed, 0.0, distress)
        try:
            solved = np.linalg.solve(system, shock[at] + transfer[at] @ held)
        except np.linalg.LinAlgError:  # by rounding alone; what stands is too high, never too low
            break
        distress[at] = np.clip(solved, 0, distress[at])
    return distress


def _reached(transfer: Matrix, shock: Matrix) -> npt.NDArray[np.bool_]:
    reached = shock > 0
    edge = reached
    while edge.any():
        edge = (transfer[:, edge] > 0).any(axis=1) & ~reached
        reached = reached | edge
    return reached


def _resolvent(transfer: Matrix) -> Matrix | None:
    """The inverse, when harm dies out: for weights ≥ 0 exactly then it exists without a negative entry.

    A. Berman, R. Plemmons, "Nonnegative Matrices in the Mathematical Sciences", theorem 6.2.3 (M-matrices).
    """
    try:
        inverse = np.linalg.inv(np.eye(len(transfer)) - transfer)
    except np.linalg.LinAlgError:
        return None
    if inverse.size and not (inverse.min() >= -_ROUNDING and inverse.max() <= MAX_AMPLIFICATION):
        return None
    return np.clip(inverse, 0, None)


def _array(name: str, values: Sequence[float] | Sequence[Sequence[float]] | Matrix) -> Matrix:
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as exc:
        raise ExposureError(f"{name} are not rows of numbers of one length") from exc
    if not ((array >= 0) & (array <= 1)).all():  # NaN is not, either
        raise ExposureError(f"{name} holds a number that is not 0…1")
    return array
