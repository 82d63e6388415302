"""A circle of witnesses: honest logs are never blamed, and one that shows two histories is exposed to all of them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest
from circle_kit import LABELS, Beat, Node, Tree, circle, grow, make_node, make_tree, publisher_of, spread
from log_kit import entries
from protocol_kit import make_member, make_publisher, make_roster
from tocsin_protocol.errors import RosterError
from tocsin_protocol.log.members import trust_text
from tocsin_protocol.log.note import Algorithm, verifier_key
from tocsin_protocol.log.trust import decode_trust
from tocsin_protocol.log.witness import Growth
from tocsin_protocol.roster import RosterIndex

ROUNDS = 4
MAX_APART = 3


def runs(short: int, long: int = 1000) -> pytest.MarkDecorator:
    """A short form for `make test`, and a long one for `make soak`."""
    return pytest.mark.parametrize("runs", [short, pytest.param(long, marks=pytest.mark.soak, id="soak")])


def run_honest(seed: int) -> list[Node]:
    """Members that lose and delay messages, restart, step their clocks, and once begin their log anew."""
    rng = random.Random(seed)
    index = circle(rng.randrange(3, 5))
    nodes = [make_node(index, label, rng.randrange(3)) for label in LABELS[: len(index.publishers)]]
    late: list[tuple[int, Node, Beat]] = []
    loss = rng.choice((0.0, 0.1, 0.5))
    for now in range(ROUNDS + 2):
        calm = now >= ROUNDS
        for node in nodes:
            grow(node.tree, rng)
            node.clock_s += rng.choice((15, 15, 15, -3600, 7200))
            if rng.random() < 0.05:
                node.restart()
            if rng.random() < 0.02 and not calm:
                # An older copy of its database was restored; its peers told it, and it has begun its log anew.
                node.tree = make_tree(index, node.label, entries(rng.randrange(9)), node.tree_generation() + 1)
        late = [item for item in late if not _deliver_due(item, now)]
        for node in nodes:
            beat = node.beat()
            for other in nodes:
                if other is not node and (calm or rng.random() >= loss):
                    delay = 0 if calm else rng.choice((0, 0, 0, 1, 2))
                    if delay:
                        late.append((now + delay, other, beat))
                    else:
                        spread(nodes, other.hear(beat), now)
        _ask(nodes, now, lambda asker, label, old: _tree(nodes, label).answer(old))
        for node in nodes:
            node.note_loose(now)
    return nodes


def _deliver_due(item: tuple[int, Node, Beat], now: int) -> bool:
    due, node, beat = item
    if due > now:
        return False
    assert node.hear(beat) == []
    return True


def _tree(nodes: list[Node], label: str) -> Tree:
    return next(node.tree for node in nodes if node.label == label)


def _ask(nodes: list[Node], now: int, answer: Callable[[Node, str, int], Growth | None]) -> None:
    """Each asks each log what it needs to tie loose heads, as often as there are members."""
    for node in nodes:
        for _ in range(len(nodes) + 1):
            for publisher, old in node.questions().items():
                member = node.index.member(publisher)
                assert member is not None
                told = answer(node, member.name, old)
                if told is not None and publisher in node.views:
                    spread(nodes, node.take_answer(publisher, told), now)


@runs(60)
def test_no_honest_log_is_blamed(runs: int) -> None:
    alarms = 0
    for seed in range(runs):
        for node in run_honest(seed):
            # Whatever was lost or late, all is tied in the end, and nobody hears of a head of his own that he lacks.
            alarms += bool(node.exposed) + bool(node.loose_since) + sum(not node.has(head) for head in node.own_shown)
    print(f"{alarms} false alarms in {runs} honest runs")
    assert alarms == 0


@runs(200)
def test_a_split_view_is_exposed_on_every_honest_node_within_two_rounds_of_a_path_between_them(runs: int) -> None:
    rounds = [run_split(seed, evades=False) for seed in range(runs)]
    print(f"{runs} split views exposed on every honest node, after {Counter(rounds)} rounds")
    assert set(rounds) <= {1, 2}


@runs(50)
def test_a_log_that_shows_no_path_between_its_views_is_loose_on_every_honest_node(runs: int) -> None:
    """Nobody can prove what it does not say: its heads stay loose, and that is told."""
    assert None not in {run_split(seed, evades=True) for seed in range(runs)}


def run_split(seed: int, *, evades: bool) -> int | None:
    """How many rounds after a path joined its views the liar was exposed to all; None where it was not.

    The honest are parted into the two sides that it lies to, until they are joined.
    """
    rng = random.Random(seed)
    index = circle(rng.randrange(4, 7))
    name, *labels = LABELS[: len(index.publishers)]
    nodes, liar = [make_node(index, label) for label in labels], publisher_of(index, name)
    fork, joined = entries(rng.randrange(5)), rng.randrange(MAX_APART)
    views = {word: make_tree(index, name, [*fork, f"{word} begins".encode()]) for word in "ab"}
    sides = dict(zip(labels, ["a", "b", *(rng.choice("ab") for _ in labels)], strict=False))
    parts = [[node for node in nodes if sides[node.label] == side] for side in "ab"]

    def answer(asker: Node, label: str, old: int) -> Growth | None:
        if label != name:
            return _tree(nodes, label).answer(old)
        return None if evades and now >= joined else views[sides[asker.label]].answer(old)

    for now in range(joined + ROUNDS):
        for word, tree in views.items():
            grow(tree, rng, word)
        told = {word: tree.show() for word, tree in views.items()}
        for node in nodes:
            grow(node.tree, rng)
            # It talks to each as it likes, and after the first round not always.
            if now == 0 or rng.random() < 0.7:
                assert node.hear(Beat(liar, told[sides[node.label]], ())) == []
        for part in [nodes] if now >= joined else parts:
            _beat(part, now)
            _ask(part, now, answer)
        assert all(set(node.exposed) <= {liar} for node in nodes)
        exposed = [liar in node.exposed or (evades and bool(node.views[liar].loose)) for node in nodes]
        if now < joined:
            assert not any(node.exposed for node in nodes)
        elif all(exposed):
            return now - joined + 1
    return None


def _beat(nodes: list[Node], now: int) -> None:
    """Every honest node's heartbeat comes to every other."""
    for node in nodes:
        beat = node.beat()
        for other in nodes:
            if other is not node:
                spread(nodes, other.hear(beat), now)


@pytest.mark.parametrize("sizes", [(5, 5), (5, 9)])
def test_two_heads_in_one_round_are_a_proof_that_stays(sizes: tuple[int, int]) -> None:
    index = circle(4)
    one, other = make_node(index, "brook"), make_node(index, "cedar")
    trees = [
        make_tree(index, "alba", [word, *entries(size - 1)]) for word, size in zip((b"a", b"b"), sizes, strict=True)
    ]
    liar = publisher_of(index, "alba")
    assert one.hear(Beat(liar, trees[0].show(), ())) == []
    assert other.hear(Beat(liar, trees[1].show(), ())) == []
    found = one.hear(other.beat()) or one.take_answer(liar, trees[1].growth(sizes[0], sizes[1]))
    spread([one, other], found, 0)
    assert liar in one.exposed
    assert liar not in one.views
    assert [publisher_of(index, "cedar")] == list(one.views)


def test_a_policy_of_more_witnesses_than_anybody_reads_is_not_written() -> None:
    log = verifier_key(bytes(32), "any", Algorithm.ED25519).key
    members = [make_member(f"m{n}", make_publisher(f"m{n}", log=log[:-2] + n.to_bytes(2, "big"))) for n in range(300)]
    few, many = RosterIndex(make_roster(members[:200])), RosterIndex(make_roster(members))
    assert len(decode_trust(trust_text(few, publisher_of(few, "m0"), 1, 67).encode()).witnesses) == 199
    with pytest.raises(RosterError, match=r"the 299 members who can cosign: a policy of \d+ bytes where at most 65536"):
        trust_text(many, publisher_of(many, "m0"), 1, 100)
    assert trust_text(many, publisher_of(many, "m0"), 1, 0).endswith("quorum none\n")
