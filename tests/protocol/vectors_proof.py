"""Vectors of proofs against a publisher's log, as they go round."""

from __future__ import annotations

from typing import Any

from circle_kit import circle, log_secret, publisher_of
from log_kit import entries, growth_of_log, log_of
from protocol_kit import NETWORK_ID, OTHER_NETWORK_ID
from tocsin_protocol.encoding import encode_canonical
from tocsin_protocol.log.note import Note, decode_note, encode_note
from tocsin_protocol.log.split_view import SplitView, encode_split_view
from tocsin_protocol.roster_encoding import encode_roster
from vector_kit import case

OURS = entries(7)
SAME_SIZE, LONGER = [*OURS[:6], b"another"], [b"another", *entries(11)[1:]]


def proof() -> dict[str, Any]:
    """specs/vectors/log-proofs.json"""
    index = circle(4)
    alba = publisher_of(index, "alba")

    def split(
        larger: list[bytes], *, whose: str = "alba", generation: int = 1, network: bytes = NETWORK_ID
    ) -> SplitView:
        origin = log_of(network, alba, generation)
        path = growth_of_log(7, larger, log_secret(whose), origin)
        return SplitView(growth_of_log(0, OURS, log_secret(whose), origin).checkpoint, path.checkpoint, path.path)

    good = split(LONGER)
    note = decode_note(good.smaller)
    twice = encode_note(Note(note.text, (*note.signatures, *note.signatures)))
    stranger = growth_of_log(0, OURS, log_secret("alba"), log_of(NETWORK_ID, b"\x11" * 20)).checkpoint
    other = growth_of_log(0, SAME_SIZE, log_secret("alba"), log_of(NETWORK_ID, b"\x11" * 20)).checkpoint
    first, second = split(SAME_SIZE), split(SAME_SIZE, generation=2)
    valid = [
        ("same-size", "one size and two roots", first),
        ("longer", "the larger does not begin with the smaller", good),
        ("generation-2", "of a log that was begun anew", second),
    ]
    invalid = [
        ("honest", "the larger begins with the smaller", split(entries(11)), "proof"),
        ("forged", "another's log key", split(SAME_SIZE, whose="brook"), "signature"),
        ("two-generations", "two logs of one publisher", SplitView(first.smaller, second.larger, ()), "signature"),
        (
            "two-signatures",
            "a head signed twice: a second spelling",
            SplitView(twice, good.larger, good.path),
            "decode",
        ),
        ("other-network", "a log of another network", split(SAME_SIZE, network=OTHER_NETWORK_ID), "roster"),
        ("stranger", "nobody of the roster", SplitView(stranger, other, ()), "roster"),
    ]
    return {
        "network": NETWORK_ID.hex(),
        "roster": encode_roster(index.roster).hex(),
        "publisher": alba.hex(),
        "valid": [case(name, why, proof=encode_split_view(item)) for name, why, item in valid],
        "invalid": [
            *(case(name, why, proof=encode_split_view(item), error=error) for name, why, item, error in invalid),
            case("four", "a list of four", proof=encode_canonical([b"", b"", [], []]), error="decode"),
        ],
    }
