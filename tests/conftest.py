"""Properties are tried with the same examples on every machine, and no test is judged by the clock."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# What a test's own settings do not name is taken from here.
settings.register_profile(
    "tocsin", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], database=None
)
settings.load_profile("tocsin")
