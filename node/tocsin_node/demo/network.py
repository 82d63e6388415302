"""A network of nodes on this machine: homes with keys, one genesis, loopback ports. For the demo, bench and tests."""

from __future__ import annotations

import secrets
import socket
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tocsin_protocol.roster_model import DetectorEntry, RateClass

from tocsin_node.keystore import LEAST_COST
from tocsin_node.roster_files import create_genesis, genesis_hash
from tocsin_node.setup_node import NodeHome, NodePlan, create_node_home, pin_genesis

NETWORK_ID_BYTES = 32
PORTS = range(20_000, 30_000)
"""Below those that a system hands out by itself: else it may hand one out before the node that is to have it starts."""
# Whoever has been given a port may not listen yet, or not now: it comes again after all others.
_turns = deque(secrets.SystemRandom().sample(PORTS, len(PORTS)))


def free_ports(count: int) -> list[int]:
    """Loopback TCP ports that nobody listens on now; all different. Raises OSError when there are too few."""
    free: list[int] = []
    for _ in range(len(_turns)):
        if len(free) == count:
            return free
        _turns.rotate(-1)
        with suppress(OSError), socket.socket() as one:
            one.bind(("127.0.0.1", _turns[-1]))
            free.append(_turns[-1])
    raise OSError(f"{len(free)} of the ports {PORTS.start} to {PORTS.stop - 1} are free where {count} are wanted")


def create_local_network(
    directory: Path,
    members: Sequence[str],
    now_ms: int,
    *,
    rate_class: RateClass = RateClass.STANDARD,
    detectors: Mapping[str, tuple[DetectorEntry, ...]] | None = None,
) -> list[NodeHome]:
    """Make a home for each member under `directory`, with one genesis roster pinned in all of them."""
    ports = free_ports(2 * len(members))
    homes = [
        create_node_home(
            directory / member,
            NodePlan(
                member=member,
                organisation=member.replace("-", " ").title(),
                listen=(f"/ip4/127.0.0.1/tcp/{ports[2 * place]}",),
                addresses=(f"/ip4/127.0.0.1/tcp/{ports[2 * place]}",),
                feed_listen=f"127.0.0.1:{ports[2 * place + 1]}",
                rate_class=rate_class,
                detectors=(detectors or {}).get(member, ()),
            ),
            now_ms,
            cost=LEAST_COST,
        )
        for place, member in enumerate(members)
    ]
    genesis = create_genesis([home.entry for home in homes], secrets.token_bytes(NETWORK_ID_BYTES))
    for home in homes:
        pin_genesis(home.config_path, genesis, genesis_hash(genesis))
    return homes


def write_guard(home: NodeHome, target: str, *hooks: str, pinned: Sequence[str], tier: str = "tighten") -> None:
    """A manifest of one holding, `target`, and a policy that uses each hook on the word of one pinned member."""
    (home.directory / "manifest.toml").write_text(
        f'protocol = "{home.entry.member}"\n\n[[holding]]\nname = "funds"\nkind = "market"\nsubjects = ["{target}"]\n'
        'amount = { usd = 1_000_000, read = 2026-01-01T00:00:00Z, source = "declared" }\n'
    )
    pins = "".join(f"{member} = {{ min = 3.0, max = 3.9 }}\n" for member in pinned)
    price = "" if tier == "notify" else "effectiveness_percent = 90\ncost_usd = 1\nminutes = 1\n"
    levers = "".join(
        f'\n[[lever]]\nhook = "{hook}"\ntier = "{tier}"\nscopes = ["*"]\nuses = 100\nrefill_hours = 1\n{price}'
        for hook in hooks
    )
    home.policy_path.write_text(f"[budget]\nminutes = 10_000\n\n[pins]\n{pins}{levers}")
