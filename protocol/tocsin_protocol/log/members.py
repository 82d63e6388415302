"""The keys of members' logs and witnesses, as the roster has them."""

from __future__ import annotations

from ..errors import DecodeError, RosterError
from ..roster import RosterIndex
from .checkpoint import NodeLog, decode_checkpoint, origin_of, read_origin
from .note import Algorithm, VerifierKey, decode_note
from .trust import decode_trust

_QUORUM = "members"


def log_key(index: RosterIndex, publisher: bytes, generation: int) -> VerifierKey:
    """The key that signs the heads of a publisher's log; raises RosterError where the roster has none."""
    origin = origin_of(index.roster.network_id, publisher, generation)
    return VerifierKey(origin, Algorithm.ED25519, _key_of(index, publisher))


def witness_key(index: RosterIndex, publisher: bytes) -> VerifierKey:
    """The key that a publisher's node cosigns with; raises RosterError where the roster has none."""
    # [LOG] A node cosigns with the key of its log, under the name that its log has in the first generation.
    origin = origin_of(index.roster.network_id, publisher)
    return VerifierKey(origin, Algorithm.COSIGNATURE, _key_of(index, publisher))


def log_of_head(index: RosterIndex, head: bytes) -> NodeLog:
    """Whose log a head says that it is of, unverified; raises DecodeError, RosterError for one of another network."""
    origin = decode_checkpoint(decode_note(head).text).origin
    named = read_origin(origin)
    if named is None:
        raise DecodeError(f"{origin} is not the log of a node")
    if named.network_id != index.roster.network_id:
        raise RosterError(f"{origin} is a log of another network")
    return named


def trust_text(index: RosterIndex, publisher: bytes, generation: int, least: int) -> str:
    """A policy (C2SP tlog-policy) that takes this log with the cosignatures of `least` other members.

    Raises RosterError where the log has no key, fewer members than that can cosign, or a policy cannot name them all.
    """
    lines, groups = [f"log {log_key(index, publisher, generation)}"], []
    for member in index.roster.members:
        names = {f"0x{p.id.hex()}": p.id for p in member.publishers if p.log and p.id != publisher}
        # [LOG] All publishers of a member together are one witness, and a log's own member is none.
        if names and not any(p.id == publisher for p in member.publishers):
            lines += [f"witness {name} {witness_key(index, witness)}" for name, witness in names.items()]
            lines.append(f"group {member.name} any {' '.join(names)}")
            groups.append(member.name)
    if not least:
        return "\n".join([lines[0], "quorum none", ""])
    if least > len(groups):
        raise RosterError(f"{least} members are to cosign where {len(groups)} can")
    text = "\n".join([*lines, f"group {_QUORUM}: {least} {' '.join(groups)}", f"quorum {_QUORUM}:", ""])
    # A large roster has more witnesses than a policy may have bytes or lines.
    try:
        decode_trust(text.encode())
    except DecodeError as exc:
        raise RosterError(f"no policy can be written with the {len(groups)} members who can cosign: {exc}") from exc
    return text


def _key_of(index: RosterIndex, publisher: bytes) -> bytes:
    entry = index.publisher(publisher)
    if entry is None or not entry.log:
        raise RosterError(f"the roster has no log key of 0x{publisher.hex()}")
    return entry.log
