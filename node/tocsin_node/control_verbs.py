"""What a running node can be asked over its control socket, and what it answers."""

from __future__ import annotations

from enum import StrEnum


class Verb(StrEnum):
    """A request by name. Bytes travel as hex without 0x, times as UTC ms; every result is a JSON object.

    STATUS: {} → whatever the node knows about itself: member, publisher, peer_id, network, epoch, members,
        publishing, mesh, peers, feeds, hooks, counters.
    PUBLISH: {"signal": a signal as `signal_json.draft_signal` reads it} → {"digest", "lane", "sequence"}.
    ARM, DISARM: {"hook": name} → {"hook", "armed", "epoch"}.
    RESUME: {} → {"publishing"}: the operator says that publishing may go on with no peer in reach.
    ROSTER: {} → {"roster": the signed roster in force}.
    APPLY_ROSTER: {"roster": a signed roster} → {"epoch", "hash"}.
    """

    STATUS = "status"
    PUBLISH = "publish"
    ARM = "arm"
    DISARM = "disarm"
    RESUME = "resume"
    ROSTER = "roster"
    APPLY_ROSTER = "apply-roster"
