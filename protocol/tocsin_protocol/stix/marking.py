"""TLP 2.0 as marking definitions, and which objects may be read by whom."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from ..taxonomy import Tlp
from .naming import SPEC_VERSION

TLP_EXTENSION = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d"
TLP_MARKINGS = {
    Tlp.CLEAR: "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
    Tlp.GREEN: "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
    Tlp.AMBER: "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
    Tlp.AMBER_STRICT: "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
    Tlp.RED: "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1",
}
# TLP 1, which STIX 2.1 itself defines: many senders know no other. What was WHITE is CLEAR.
TLP_1_MARKINGS = {
    Tlp.CLEAR: "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9",
    Tlp.GREEN: "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da",
    Tlp.AMBER: "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82",
    Tlp.RED: "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed",
}
_TLP_OF = {marking: tlp for table in (TLP_1_MARKINGS, TLP_MARKINGS) for tlp, marking in table.items()}
_ORDER = tuple(Tlp)
# When OASIS published them; readers know them by this time.
_CREATED = "2022-10-01T00:00:00.000Z"


class Circle(StrEnum):
    """Who a collection is for. Each holds what the one before it holds, and more."""

    CLEAR = "clear"
    GREEN = "green"
    AMBER = "amber"
    RED = "red"

    @property
    def most(self) -> Tlp:
        """The highest marking that is in it."""
        return Tlp(self.value)

    def holds(self, tlp: Tlp) -> bool:
        """Whether something of this marking belongs in it."""
        # [STIX] A circle holds what is marked up to its own TLP; AMBER+STRICT is in RED alone.
        return tlp_rank(tlp) <= tlp_rank(self.most)


def tlp_rank(tlp: Tlp) -> int:
    """0 for CLEAR … 4 for RED."""
    return _ORDER.index(tlp)


def marking_objects(circle: Circle) -> list[dict[str, Any]]:
    """The definitions of the markings that a circle's objects carry."""
    return [
        {
            "type": "marking-definition",
            "spec_version": SPEC_VERSION,
            "id": TLP_MARKINGS[tlp],
            "created": _CREATED,
            "name": f"TLP:{tlp.value.upper()}",
            "extensions": {TLP_EXTENSION: {"extension_type": "property-extension", "tlp_2_0": tlp.value}},
        }
        for tlp in Tlp
        if circle.holds(tlp)
    ]


def tlp_of(refs: Sequence[str], default: Tlp) -> Tlp:
    """What the markings of an object come to; `default` where it has none."""
    # [STIX] Of several markings the highest counts, and one that is not known is RED.
    return max((_TLP_OF.get(ref, Tlp.RED) for ref in refs), key=tlp_rank, default=default)
