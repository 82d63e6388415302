"""Markings in their order: the Traffic Light Protocol's labels as ranks."""

from __future__ import annotations

from tocsin_protocol.taxonomy import Tlp

_RANK: dict[object, int] = {tlp: rank for rank, tlp in enumerate(Tlp)}


def tlp_rank(tlp: Tlp | str | None) -> int:
    """0 for CLEAR … 4 for RED."""
    # [API] What has no marking, or one that is not known, is RED.
    return _RANK.get(tlp, _RANK[Tlp.RED])
