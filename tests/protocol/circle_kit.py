"""Many nodes that witness one another, on virtual rounds: the core is real, the mesh and the disk are lists."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from log_kit import entries, leaves_of, reader_of
from protocol_kit import bytes_of_label, make_member, make_publisher, make_roster
from tocsin_protocol.errors import ProtocolError
from tocsin_protocol.heartbeat import MAX_COSIGNED
from tocsin_protocol.log.checkpoint import FIRST_GENERATION, decode_checkpoint, origin_of, read_origin, sign_checkpoint
from tocsin_protocol.log.hearing import Hearing, choose_shown
from tocsin_protocol.log.members import witness_key
from tocsin_protocol.log.note import Algorithm, Cosigner, Note, Signer, decode_note, encode_note, verifier_key
from tocsin_protocol.log.proofs import prove_prefix
from tocsin_protocol.log.split_view import encode_split_view
from tocsin_protocol.log.tree import root_of_leaves
from tocsin_protocol.log.watch import LogView, next_question
from tocsin_protocol.log.witness import Growth
from tocsin_protocol.proof import accused_by, verify_proof
from tocsin_protocol.roster import RosterIndex

LABELS = ("alba", "brook", "cedar", "delta", "ember", "fjord", "grove")
TIME_S = 1_767_225_600


def log_secret(label: str) -> bytes:
    return bytes_of_label("log", label)


def circle(count: int) -> RosterIndex:
    """A roster of so many members, each with one publisher whose log has a key."""
    members = []
    for label in LABELS[:count]:
        key = verifier_key(log_secret(label), "any", Algorithm.ED25519).key
        members.append(make_member(label, make_publisher(label, log=key)))
    return RosterIndex(make_roster(members))


def publisher_of(index: RosterIndex, label: str) -> bytes:
    return next(p.id for m in index.roster.members if m.name == label for p in m.publishers)


@dataclass
class Tree:
    """A log: what it holds, and the head that it showed last."""

    signer: Signer
    items: list[bytes]
    shown: int = 0

    def head(self, size: int) -> bytes:
        leaves = leaves_of(self.items[:size])
        return encode_note(sign_checkpoint(self.signer, size, root_of_leaves(leaves)))

    def growth(self, old: int, size: int) -> Growth:
        path = prove_prefix(old, size, reader_of(leaves_of(self.items[:size]))) if 0 < old < size else ()
        return Growth(old, path, self.head(size))

    def show(self) -> Growth:
        """What the next heartbeat has."""
        old, self.shown = self.shown, len(self.items)
        return self.growth(old, self.shown)

    def answer(self, old: int) -> Growth | None:
        """How it has grown since, up to the head shown last; nothing for a size that it has not shown."""
        return self.growth(old, self.shown) if old <= self.shown else None


@dataclass
class Beat:
    sender: bytes
    growth: Growth | None
    cosigned: tuple[bytes, ...]


@dataclass
class Node:
    """An honest node. `views` is what is on disk and in memory, `exposed` whom it has a proof against, when."""

    index: RosterIndex
    label: str
    tree: Tree
    views: dict[bytes, LogView] = field(default_factory=dict)
    exposed: dict[bytes, int] = field(default_factory=dict)
    loose_since: dict[bytes, int] = field(default_factory=dict)
    begun: int = 0
    own_shown: list[bytes] = field(default_factory=list)
    clock_s: int = TIME_S
    turn: int = 0

    @property
    def publisher(self) -> bytes:
        return publisher_of(self.index, self.label)

    def has(self, head: bytes) -> bool:
        """Whether our log has this head of it, or has ended the generation that it is of."""
        told = decode_checkpoint(decode_note(head).text)
        named = read_origin(told.origin)
        assert named is not None
        if named.generation < self.tree_generation():
            return True
        items = self.tree.items
        return told.size <= len(items) and told.root == root_of_leaves(leaves_of(items[: told.size]))

    def tree_generation(self) -> int:
        named = read_origin(self.tree.signer.key.name)
        assert named is not None
        return named.generation

    def beat(self) -> Beat:
        cosigner = Cosigner(log_secret(self.label), witness_key(self.index, self.publisher).name)
        self.turn += 1
        notes = []
        for publisher in choose_shown(self.views, self.turn, MAX_COSIGNED):
            kept = self.views[publisher].kept
            if kept is not None and publisher not in self.exposed:
                note = decode_note(kept.note)
                line = cosigner.cosign(note.text, max(0, self.clock_s))
                notes.append(encode_note(Note(note.text, (*note.signatures, line))))
        return Beat(self.publisher, self.tree.show(), tuple(notes))

    def hear(self, beat: Beat) -> list[bytes]:
        """Take a heartbeat; returns the proofs that it led to."""
        heard = Hearing(self.index, self.publisher, self.views, self.exposed).hear(
            beat.sender, beat.growth, beat.cosigned
        )
        assert not heard.broken
        self.begun += len(heard.begun)
        self.own_shown += heard.own
        self.views |= heard.views
        return [encode_split_view(split) for split in heard.splits.values()]

    def take_answer(self, publisher: bytes, growth: Growth) -> list[bytes]:
        return self.hear(Beat(publisher, growth, ()))

    def take_proof(self, proof: bytes, now: int) -> bool:
        """Check a proof; returns whether it is new."""
        accused = accused_by(self.index, proof)
        try:
            assert verify_proof(self.index, proof) == accused
        except ProtocolError:
            return False
        is_new = accused not in self.exposed
        self.exposed.setdefault(accused, now)
        self.views.pop(accused, None)
        return is_new

    def questions(self) -> dict[bytes, int]:
        found = {publisher: next_question(view) for publisher, view in self.views.items()}
        return {publisher: old for publisher, old in found.items() if old is not None}

    def restart(self) -> None:
        """What is not on disk is gone: of each log the kept head alone stays."""
        self.views = {
            publisher: LogView(view.key, {view.kept.checkpoint.size: view.kept})
            for publisher, view in self.views.items()
            if view.kept is not None
        }

    def note_loose(self, now: int) -> None:
        for publisher, view in self.views.items():
            if view.loose:
                self.loose_since.setdefault(publisher, now)
            else:
                self.loose_since.pop(publisher, None)


def make_node(index: RosterIndex, label: str, first: int = 0) -> Node:
    return Node(index, label, make_tree(index, label, entries(first)))


def make_tree(
    index: RosterIndex, label: str, items: Iterable[bytes], generation: int = FIRST_GENERATION, shown: int = 0
) -> Tree:
    origin = origin_of(index.roster.network_id, publisher_of(index, label), generation)
    return Tree(Signer(log_secret(label), origin), list(items), shown)


def grow(tree: Tree, rng: random.Random, word: str = "") -> None:
    for _ in range(rng.randrange(6)):
        tree.items.append(f"{word}{len(tree.items)} {rng.random()}".encode())


def spread(nodes: list[Node], found: Iterable[bytes], now: int) -> None:
    """Gossip proofs until nobody has a new one."""
    waiting = deque(found)
    while waiting:
        proof = waiting.popleft()
        for node in nodes:
            node.take_proof(proof, now)
