"""The gossip topics of a network, and whether a topic is one of them (specs/gossip.md)."""

from __future__ import annotations

from .admission import Reason

TOPIC_PREFIX = "/tocsin/1/"
TOPIC_KINDS = ("frames", "proofs", "heartbeats")
TOPIC_NETWORK_BYTES = 8

_HEX_DIGITS = frozenset("0123456789abcdef")


def topic_names(network_id: bytes) -> tuple[str, str, str]:
    """The topics of a network: frames, proofs, heartbeats."""
    network = network_id[:TOPIC_NETWORK_BYTES].hex()
    frames, proofs, heartbeats = (f"{TOPIC_PREFIX}{network}/{kind}" for kind in TOPIC_KINDS)
    return frames, proofs, heartbeats


def judge_topic(topic: str, network_id: bytes) -> Reason:
    """ADMITTED for a topic of the network `network_id` (32 bytes), else why nothing on it is looked at."""
    if topic in topic_names(network_id):
        return Reason.ADMITTED
    # [IGNORE] The topic is one of a Tocsin network.
    if not _is_some_networks(topic):
        return Reason.UNKNOWN_TOPIC
    # [IGNORE] The topic is of this network.
    return Reason.WRONG_NETWORK


def _is_some_networks(topic: str) -> bool:
    prefix, rest = topic[: len(TOPIC_PREFIX)], topic[len(TOPIC_PREFIX) :]
    network, _, kind = rest.partition("/")
    is_network = len(network) == 2 * TOPIC_NETWORK_BYTES and _HEX_DIGITS.issuperset(network)
    return prefix == TOPIC_PREFIX and is_network and kind in TOPIC_KINDS
