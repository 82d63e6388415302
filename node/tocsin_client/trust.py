"""Whom a client believes: the publishers of a roster that goes back to a pinned genesis, and nobody else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tocsin_protocol.admission import may_publish
from tocsin_protocol.body import decode_body
from tocsin_protocol.envelope import MAX_ENVELOPE_BYTES, Envelope, decode_envelope
from tocsin_protocol.errors import DecodeError, ProtocolError
from tocsin_protocol.model import Signal
from tocsin_protocol.roster import RosterIndex, verify_genesis, verify_successor
from tocsin_protocol.roster_encoding import MAX_ROSTER_BYTES, decode_signed_roster, encode_roster, roster_hash
from tocsin_protocol.roster_model import Roster, SignedRoster
from tocsin_protocol.signing import Domain, address_of_key, recover_key

from .errors import BadAnswer, ClientError, NotVerified
from .results import FeedSignal, ShownMembers, ShownSignal

MAX_ROSTER_FILE_BYTES = 2 * MAX_ROSTER_BYTES
HASH_BYTES = 32
ADDRESS_BYTES = 20


@dataclass(frozen=True, slots=True)
class Pin:
    """What a client goes by.

    `genesis` is the hash of the network's first roster. `rosters` are that one and all after it, in order, where the
    feed does not show them: it does to members and the operator alone.
    """

    genesis: bytes
    rosters: tuple[SignedRoster, ...] = ()

    @classmethod
    def of(cls, genesis: str, files: Iterable[Path] = ()) -> Pin:
        """From a hash in hex and files of rosters in the order of their epochs; raises ClientError."""
        return cls(parse_hex("genesis", genesis, HASH_BYTES), tuple(_read_roster(path) for path in files))


class UnknownPublisher(NotVerified):
    """A publisher whom the roster does not have, or not yet."""


class PinnedRoster:
    """Rosters from a pinned genesis on, each checked against the one before."""

    def __init__(self, genesis: bytes) -> None:
        self._genesis = genesis
        self._index: RosterIndex | None = None

    @property
    def next_epoch(self) -> int:
        """The epoch that would follow."""
        return 0 if self._index is None else self._index.roster.epoch + 1

    @property
    def index(self) -> RosterIndex:
        """The roster in force, as far as it is known."""
        if self._index is None:
            raise NotVerified("no roster is known yet")
        return self._index

    @property
    def hash(self) -> str:
        """The hash of that roster, in hex."""
        return roster_hash(encode_roster(self.index.roster)).hex()

    def member_name(self, publisher: bytes) -> str:
        """Whose publisher this is; raises UnknownPublisher."""
        member = self.index.member(publisher)
        if member is None:
            epoch = self.index.roster.epoch
            raise UnknownPublisher(f"the roster of epoch {epoch} has no publisher 0x{publisher.hex()}")
        return member.name

    def take(self, signed: SignedRoster) -> None:
        """Go over to the roster that follows; raises NotVerified."""
        # [CLIENT] The first roster is the one whose hash was pinned, and each other follows from the one before it.
        try:
            roster: Roster
            if self._index is None:
                roster = verify_genesis(signed, self._genesis)
            else:
                roster = verify_successor(self._index.roster, signed)
        except ProtocolError as exc:
            raise NotVerified(f"the roster of epoch {self.next_epoch}: {exc}") from exc
        self._index = RosterIndex(roster)

    def open(self, shown: ShownSignal) -> FeedSignal:
        """Check a signal by the bytes that its publisher signed; raises NotVerified."""
        index = self.index
        envelope = _decode(index.domain, shown)
        # [CLIENT] A signal is believed where its publisher's key in the roster signed it, up to a revocation.
        name, entry = self.member_name(envelope.publisher), index.publisher(envelope.publisher)
        _check_signer(envelope)
        if entry is None or envelope.sequence > entry.last_accepted(envelope.lane):
            raise NotVerified(f"signal {envelope.digest.hex()}: its publisher's key was revoked before it")
        if not may_publish(entry, envelope.lane):
            raise NotVerified(f"signal {envelope.digest.hex()}: its publisher may not speak in its lane")
        return _signal(shown, envelope, name, is_pinned=True)


class ToldRoster:
    """Members as the feed tells of them: signatures are checked, whose they are is the node's word."""

    def __init__(self, shown: ShownMembers) -> None:
        self.domain = Domain(parse_hex("network", shown.network, HASH_BYTES))
        self._names = {p.id: member.name for member in shown.members for p in member.publishers}

    def open(self, shown: ShownSignal) -> FeedSignal:
        """Check that a signal is signed by the publisher it names; raises NotVerified."""
        envelope = _decode(self.domain, shown)
        name = self.member_name(envelope.publisher)
        _check_signer(envelope)
        return _signal(shown, envelope, name, is_pinned=False)

    def member_name(self, publisher: bytes) -> str:
        """Whose publisher this is, as the feed says; raises UnknownPublisher."""
        name = self._names.get("0x" + publisher.hex())
        if name is None:
            raise UnknownPublisher(f"no member has the publisher 0x{publisher.hex()}")
        return name


def parse_hex(name: str, text: str, length: int) -> bytes:
    """Bytes from hex digits, with or without 0x; raises ClientError."""
    try:
        data = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        data = b""
    if len(data) != length:
        raise ClientError(f"{name}: {2 * length} hex digits are wanted")
    return data


def _decode(domain: Domain, shown: ShownSignal) -> Envelope:
    if len(shown.encoded) > 2 * MAX_ENVELOPE_BYTES:
        raise BadAnswer(f"encoded has {len(shown.encoded)} hex digits, more than a signal has")
    try:
        envelope = decode_envelope(domain, bytes.fromhex(shown.encoded))
    except (ValueError, DecodeError) as exc:
        raise NotVerified(f"signal {shown.digest[:64]}: {exc}") from exc
    # [CLIENT] What is shown under a name has that name.
    if envelope.digest.hex() != shown.digest:
        raise NotVerified(f"signal {shown.digest[:64]}: what is shown as it is {envelope.digest.hex()}")
    return envelope


def _check_signer(envelope: Envelope) -> None:
    try:
        signer = address_of_key(recover_key(envelope.digest, envelope.signature))
    except ProtocolError as exc:
        raise NotVerified(f"signal {envelope.digest.hex()}: {exc}") from exc
    if signer != envelope.publisher:
        text = f"signed by 0x{signer.hex()}, not by its publisher 0x{envelope.publisher.hex()}"
        raise NotVerified(f"signal {envelope.digest.hex()}: {text}")


def _signal(shown: ShownSignal, envelope: Envelope, member: str, *, is_pinned: bool) -> FeedSignal:
    body: Signal | None
    try:
        body = decode_body(envelope.body)
    except DecodeError:
        # signed all the same: only an operator is shown such a one
        body = None
    return FeedSignal(envelope, body, member, is_pinned, shown.received_ms, shown.path, shown.standing, shown.incident)


def _read_roster(path: Path) -> SignedRoster:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_ROSTER_FILE_BYTES + 1)
        return decode_signed_roster(data)
    except OSError as exc:
        raise ClientError(f"{path}: cannot be read ({exc.strerror})") from exc
    except DecodeError as exc:
        raise ClientError(f"{path}: {exc}") from exc
