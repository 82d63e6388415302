"""Whom to take heads of logs from, and with how many witnesses: C2SP tlog-policy."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ..errors import DecodeError, ProofError
from .checkpoint import SignedHead, verify_checkpoint
from .note import Algorithm, VerifierKey, decode_verifier_key

MAX_TRUST_BYTES = 65_536
MAX_TRUST_LINES = 1024
NO_QUORUM = "none"
_UNWANTED = re.compile(rb"[^\x09\x0a\x20-\x7e\x80-\xff]")
_NUMBER = re.compile(r"[1-9][0-9]{0,3}\Z")


@dataclass(frozen=True, slots=True)
class Group:
    """Counts as one witness where so many of its members do."""

    least: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """The logs, the witnesses and groups by name (groups in the order of their lines), and whose word is enough."""

    logs: tuple[VerifierKey, ...]
    witnesses: Mapping[str, VerifierKey]
    groups: Mapping[str, Group]
    quorum: str


def decode_trust(data: bytes) -> TrustPolicy:
    """Read a policy file; raises DecodeError naming the line."""
    if len(data) > MAX_TRUST_BYTES:
        raise DecodeError(f"a policy of {len(data)} bytes where at most {MAX_TRUST_BYTES} are allowed")
    if found := _UNWANTED.search(data):
        raise DecodeError(f"a policy with the byte 0x{found[0].hex()}")
    # Bytes past ASCII are opaque: Latin-1 keeps each as it is.
    lines = data.decode("latin-1").split("\n")
    if len(lines) > MAX_TRUST_LINES:
        raise DecodeError(f"a policy of {len(lines)} lines where at most {MAX_TRUST_LINES} are allowed")
    parser = _Parser()
    for number, line in enumerate(lines, 1):
        words = re.split(r"[ \t]+", line.strip(" \t"))
        if words[0] and not words[0].startswith("#"):
            try:
                parser.take(words)
            except DecodeError as exc:
                raise DecodeError(f"line {number}: {exc}") from exc
    return parser.finish()


def judge_head(data: bytes, trust: TrustPolicy) -> SignedHead:
    """Read a signed checkpoint that this policy takes; raises DecodeError, SignatureError or ProofError."""
    # [LOG] A head is taken from a log that the policy names, cosigned by its quorum; nobody else's word counts.
    head = verify_checkpoint(data, trust.logs, tuple(trust.witnesses.values()))
    if not is_quorate(trust, head.cosigned):
        names = sorted(name for name, key in trust.witnesses.items() if key in head.cosigned)
        raise ProofError(f"cosigned by {', '.join(names) or 'nobody'}, which is not the quorum {trust.quorum!r}")
    return head


def is_quorate(trust: TrustPolicy, cosigned: Collection[VerifierKey]) -> bool:
    """Whether these keys are enough for the policy."""
    if trust.quorum == NO_QUORUM:
        return True
    met = {name for name, key in trust.witnesses.items() if key in cosigned}
    for name, group in trust.groups.items():
        if len(met.intersection(group.members)) >= group.least:
            met.add(name)
    return trust.quorum in met


class _Parser:
    """Takes the lines of a policy in order."""

    def __init__(self) -> None:
        self.logs: list[VerifierKey] = []
        self.witnesses: dict[str, VerifierKey] = {}
        self.groups: dict[str, Group] = {}
        self.quorum = ""
        self._members: set[str] = set()

    def take(self, words: list[str]) -> None:
        match words:
            # An address, where there is one, is for whoever wants to reach them; a verifier does not.
            case ["log", key] | ["log", key, _]:
                self._add_log(key)
            case ["witness", name, key] | ["witness", name, key, _]:
                self._add_witness(name, key)
            case ["group", name, least, *members] if members:
                self._add_group(name, least, members)
            case ["quorum", name]:
                self._set_quorum(name)
            case _:
                raise DecodeError(f"{words[0][:20]!r} with {len(words) - 1} words is no line of a policy")

    def finish(self) -> TrustPolicy:
        # [LOG] A policy names at least one log and exactly one quorum, which may be `none`: an empty one takes nothing.
        if not self.quorum:
            raise DecodeError("the policy has no quorum line")
        if not self.logs:
            raise DecodeError("the policy names no log")
        return TrustPolicy(tuple(self.logs), self.witnesses, self.groups, self.quorum)

    def _add_log(self, text: str) -> None:
        key = _key_of(text, Algorithm.ED25519)
        if key.key in [log.key for log in self.logs]:
            raise DecodeError(f"the key of {key.name} stands in another log's line already")
        self.logs.append(key)

    def _add_witness(self, name: str, text: str) -> None:
        self._check_new(name)
        key = _key_of(text, Algorithm.COSIGNATURE)
        # [LOG] A key stands for one witness, and a name in one group at most: nobody counts twice.
        if key.key in [witness.key for witness in self.witnesses.values()]:
            raise DecodeError(f"the key of {name} stands in another witness's line already")
        self.witnesses[name] = key

    def _add_group(self, name: str, text: str, members: list[str]) -> None:
        self._check_new(name)
        for member in members:
            if member not in self.witnesses and member not in self.groups:
                raise DecodeError(f"{member[:80]!r} is no witness or group of an earlier line")
            if member in self._members:
                raise DecodeError(f"{member[:80]!r} is in a group already")
            self._members.add(member)
        least = {"any": 1, "all": len(members)}.get(text, int(text) if _NUMBER.match(text) else 0)
        if not 1 <= least <= len(members):
            raise DecodeError(
                f"{text[:20]!r} of {len(members)}, where any, all or a number in 1…{len(members)} is wanted"
            )
        self.groups[name] = Group(least, tuple(members))

    def _set_quorum(self, name: str) -> None:
        if self.quorum:
            raise DecodeError("a second quorum line")
        if name != NO_QUORUM and name not in self.witnesses and name not in self.groups:
            raise DecodeError(f"{name[:80]!r} is no witness or group of an earlier line")
        self.quorum = name

    def _check_new(self, name: str) -> None:
        if name == NO_QUORUM or name in self.witnesses or name in self.groups:
            raise DecodeError(f"the name {name[:80]!r} is taken")


def _key_of(text: str, wanted: Algorithm) -> VerifierKey:
    try:
        key = decode_verifier_key(text.encode("latin-1").decode())
    except UnicodeDecodeError as exc:
        raise DecodeError("a verifier key is not UTF-8") from exc
    if key.algorithm is not wanted:
        raise DecodeError(f"the key of {key.name} is of algorithm {key.algorithm}, where {wanted} is wanted")
    return key
