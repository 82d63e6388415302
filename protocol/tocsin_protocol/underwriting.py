"""What cover should cost, before and during an incident, and one number out of many reports (specs/exposure.md)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import ExposureError
from .quantities import count, number_in, probability

DAYS_PER_YEAR = 365
# Ten years. A cover's price is known to the day, not to the leap day.
MAX_TERM_DAYS = 3_650
# A hit every day.
MAX_HAZARD_PER_YEAR = 365.0
# Where cover costs nothing in quiet times, any price is this many times as much.
MAX_MULTIPLIER = 1e6
MAX_REPORTS = 4_096


@dataclass(frozen=True, slots=True)
class Premium:
    """Parts of the sum insured: in quiet times, now, and how many times as much that is."""

    base: float
    now: float
    multiplier: float


def price_premium(hazard_per_year: float, term_days: int, lgd: float, belief: float, lgd_now: float) -> Premium:
    """The fair premium of a cover, without loading, given the belief 0…1 that an incident is on.

    Base is (1 − e^(−hazard·term))·LGD with a constant hazard; now is p·LGD_now + (1−p)·base. LGD: the part of the sum
    insured that is lost in a hit. Raises ExposureError for numbers out of their range.
    """
    hazard = number_in("hazard per year", hazard_per_year, 0, MAX_HAZARD_PER_YEAR)
    term_years = count("term in days", term_days, 1, MAX_TERM_DAYS) / DAYS_PER_YEAR
    base = -math.expm1(-hazard * term_years) * probability("LGD", lgd)
    belief = probability("belief", belief)
    now = belief * probability("LGD now", lgd_now) + (1 - belief) * base
    return Premium(base, now, _multiplier(base, now))


def median_of_reports(values: Sequence[float]) -> float:
    """The middle report, the lower of two: fewer than half of the reporters cannot move it beyond what the others say.

    Raises ExposureError for none, too many, or one that is not finite: leave out who reports such.
    """
    if not 1 <= len(values) <= MAX_REPORTS:
        raise ExposureError(f"{len(values)} reports where 1…{MAX_REPORTS} are wanted")
    most = 1.7e308
    ordered = sorted(number_in("report", value, -most, most) for value in values)
    return ordered[(len(ordered) - 1) // 2]


def _multiplier(base: float, now: float) -> float:
    if not now:
        return 1.0
    return min(MAX_MULTIPLIER, now / base) if base else MAX_MULTIPLIER
