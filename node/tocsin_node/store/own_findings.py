"""What our own watchers have reported before: a restart reads old blocks again and finds the same crossings."""

from __future__ import annotations

import sqlite3

from tocsin_protocol.body import decode_body
from tocsin_protocol.envelope import decode_envelope
from tocsin_protocol.signing import Domain
from tocsin_protocol.taxonomy import CRITICAL

# Of our own CRITICAL feed; more than its rate lets through while a finding is fresh.
MAX_OWN_SIGNALS_SEARCHED = 4096


def is_own_incident(connection: sqlite3.Connection, domain: Domain, hint: str) -> bool:
    """Whether one of our own CRITICAL signals or drafts carries this incident id."""
    text = hint.encode()
    # The text stands as it is in the encoded body; what only mentions it is told apart by decoding.
    signals = connection.execute(
        "SELECT encoded FROM (SELECT encoded FROM signals WHERE publisher = (SELECT publisher FROM node) AND lane = ?"
        " ORDER BY sequence DESC LIMIT ?) WHERE instr(encoded, ?) > 0",
        (CRITICAL, MAX_OWN_SIGNALS_SEARCHED, text),
    )
    bodies = [decode_envelope(domain, encoded).body for (encoded,) in signals]
    bodies += [body for (body,) in connection.execute("SELECT body FROM drafts WHERE instr(body, ?) > 0", (text,))]
    return any(decode_body(body).incident == hint for body in bodies)
