"""A relay's witnessing in a circle of four members, and heads that others cosign."""

from __future__ import annotations

from dataclasses import replace

from circle_kit import Tree, circle, log_secret, publisher_of
from protocol_kit import NETWORK_ID, NOW_MS, Feed
from relay_kit import Bench
from store_kit import LOG_SECRET, OWN
from tocsin_node.relay.witnessing import Witnessing
from tocsin_protocol.log.checkpoint import origin_of
from tocsin_protocol.log.members import witness_key
from tocsin_protocol.log.note import Algorithm, Cosigner, Note, Signer, decode_note, encode_note, verifier_key
from tocsin_protocol.roster import RosterIndex


def index_with_us() -> RosterIndex:
    """Four members; the log key of the first is that of the bench's store."""
    roster = circle(4).roster
    ours = verifier_key(LOG_SECRET, "any", Algorithm.ED25519).key
    members = [
        replace(m, publishers=tuple(replace(p, log=ours) for p in m.publishers)) if m.name == OWN else m
        for m in roster.members
    ]
    return RosterIndex(replace(roster, members=tuple(members)))


def peer_of(label: str) -> str:
    return next(p.peer_id for m in INDEX.roster.members if m.name == label for p in m.publishers)


INDEX = index_with_us()
US = Feed(OWN).publisher
BROOK, CEDAR = publisher_of(INDEX, "brook"), publisher_of(INDEX, "cedar")


async def open_witnessing(bench: Bench) -> Witnessing:
    opened = Witnessing(
        bench.store,
        bench.network,
        bench.mesh,  # type: ignore[arg-type]
        bench.ledger,
        LOG_SECRET,
        bench.metrics,
        lambda: bench.clock[0],
        bench.catching_up.admit_proof,
        lambda: True,
    )
    await opened.load()
    return opened


def cosigned_by(label: str, head: bytes, *, signs: str = "") -> bytes:
    """A head with the cosignature of a member, over another text than the head's where one is given."""
    note = decode_note(head)
    name = witness_key(INDEX, publisher_of(INDEX, label)).name
    line = Cosigner(log_secret(label), name).cosign(signs or note.text, NOW_MS // 1000)
    return encode_note(Note(note.text, (*note.signatures, line)))


def own_tree(*items: bytes, generation: int = 1) -> Tree:
    """Another history under the key of the bench's own log."""
    return Tree(Signer(LOG_SECRET, origin_of(NETWORK_ID, US, generation)), list(items))
