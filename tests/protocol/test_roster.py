"""Rosters under attack: no second life for a key, no quorum out of nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_kit import (
    NAMES,
    NETWORK_ID,
    OTHER_NETWORK_ID,
    Feed,
    follow,
    make_index,
    make_member,
    make_publisher,
    make_roster,
    peer_id_of,
    root_secret,
    signed_by,
)
from strategies_kit import FIXED, garbage_or
from tocsin_protocol.encoding import MAX_UINT, encode_canonical
from tocsin_protocol.errors import DecodeError, RosterError, WrongNetworkError
from tocsin_protocol.roster import (
    RosterIndex,
    next_roster,
    quorum,
    sign_roster,
    tolerated_faults,
    verify_genesis,
    verify_successor,
)
from tocsin_protocol.roster_encoding import (
    decode_roster,
    decode_signed_roster,
    encode_roster,
    encode_signed_roster,
    roster_hash,
)
from tocsin_protocol.roster_model import Member, Roster, SignedRoster
from tocsin_protocol.signing import public_key_of

GENESIS = make_roster()
ALBA, BROOK, CEDAR, DELTA = GENESIS.members


def accepted(current: Roster, following: Roster, *signers: str) -> Roster:
    return verify_successor(current, signed_by(following, *signers))


@pytest.mark.parametrize(
    ("members", "needed", "faults"), [(1, 1, 0), (2, 2, 0), (3, 3, 0), (4, 3, 1), (7, 5, 2), (10, 7, 3)]
)
def test_quorum_and_faults(members: int, needed: int, faults: int) -> None:
    assert (quorum(members), tolerated_faults(members)) == (needed, faults)


@given(st.integers(4, 256))
@FIXED
def test_two_quorums_share_an_honest_member(members: int) -> None:
    assert 2 * quorum(members) - members > tolerated_faults(members)
    assert members - tolerated_faults(members) >= quorum(members)


@FIXED
@given(garbage_or(encode_roster(GENESIS)))
def test_garbage_raises_only_ours(data: bytes) -> None:
    try:
        assert encode_roster(decode_roster(data)) == data
    except DecodeError:
        return


@FIXED
@given(garbage_or(encode_signed_roster(signed_by(follow(GENESIS, GENESIS.members), *NAMES))))
def test_no_changed_signed_roster_follows(data: bytes) -> None:
    good = encode_signed_roster(signed_by(follow(GENESIS, GENESIS.members), *NAMES))
    try:
        signed = decode_signed_roster(data)
        verify_successor(GENESIS, signed)
    except (DecodeError, RosterError):
        return
    assert data == good or len(signed.signatures) < len(NAMES)


def test_one_root_does_not_vote_twice() -> None:
    signed = signed_by(follow(GENESIS, GENESIS.members), "alba", "brook")
    doubled = SignedRoster(signed.body, (*signed.signatures, signed.signatures[0]))
    with pytest.raises(RosterError, match="twice"):
        verify_successor(GENESIS, doubled)
    with pytest.raises(DecodeError):
        decode_signed_roster(encode_signed_roster(doubled))


@pytest.mark.parametrize(
    "pairs", [[[b"\x02" * 33]], [b"\x02" * 33], [[b"\x02" * 32, bytes(64)]], [[b"\x02" * 33, bytes(63)]]]
)
def test_signatures_come_in_pairs(pairs: list[object]) -> None:
    with pytest.raises(DecodeError):
        decode_signed_roster(encode_canonical([encode_roster(GENESIS), pairs]))
    with pytest.raises(DecodeError):
        decode_signed_roster(encode_canonical([encode_roster(GENESIS)]))


def test_signing_again_replaces_ones_signature() -> None:
    signed = signed_by(follow(GENESIS, GENESIS.members), "alba")
    again = sign_roster(signed, root_secret("alba"), ALBA.root)
    assert again == signed


def test_a_publisher_key_is_no_vote() -> None:
    following = follow(GENESIS, GENESIS.members)
    signed = signed_by(following, "alba", "brook")
    feed = Feed("cedar")
    with pytest.raises(RosterError, match="not a voting root"):
        verify_successor(GENESIS, sign_roster(signed, feed.secret, feed.key))


def test_a_signature_under_anothers_root_is_no_vote() -> None:
    signed = signed_by(follow(GENESIS, GENESIS.members), "alba", "brook")
    with pytest.raises(RosterError, match="signature of root"):
        verify_successor(GENESIS, sign_roster(signed, root_secret("alba"), CEDAR.root))


def revoke(member: Member, *revoked: tuple[int, int]) -> Member:
    return replace(member, publishers=tuple(replace(p, revoked=revoked) for p in member.publishers))


def test_removing_and_adding_does_not_lift_a_revocation() -> None:
    revoked = accepted(GENESIS, follow(GENESIS, [revoke(ALBA, (1, 5)), BROOK, CEDAR, DELTA]), *NAMES)
    gone = accepted(revoked, follow(revoked, [BROOK, CEDAR, DELTA]), "brook", "cedar", "delta")
    assert gone.retired == (ALBA.publishers[0].id,)
    with pytest.raises(DecodeError, match="retired"):
        encode_roster(next_roster(gone, [ALBA, BROOK, CEDAR, DELTA]))
    cleared = replace(next_roster(gone, [ALBA, BROOK, CEDAR, DELTA]), retired=())
    with pytest.raises(RosterError, match="retired"):
        accepted(gone, cleared, "brook", "cedar", "delta")
    fresh = replace(ALBA, publishers=(make_publisher("alba, new key"),))
    back = accepted(gone, follow(gone, [fresh, BROOK, CEDAR, DELTA]), "brook", "cedar", "delta")
    assert back.retired == gone.retired


def test_a_key_does_not_come_back_under_another_member() -> None:
    without = accepted(GENESIS, follow(GENESIS, [replace(ALBA, publishers=()), BROOK, CEDAR, DELTA]), *NAMES)
    taken = replace(BROOK, publishers=(*BROOK.publishers, *ALBA.publishers))
    with pytest.raises(RosterError, match="retired"):
        accepted(
            without, replace(follow(without, [replace(ALBA, publishers=()), taken, CEDAR, DELTA]), retired=()), *NAMES
        )


def test_retired_keys_are_kept_through_every_change() -> None:
    current, labels = GENESIS, []
    for n in range(3):
        rotated = replace(current.members[0], publishers=(make_publisher(f"alba {n}"),))
        labels.append(current.members[0].publishers[0].id)
        current = accepted(current, follow(current, [rotated, *current.members[1:]]), *NAMES)
        assert set(current.retired) == set(labels)
        with pytest.raises(RosterError, match="retired"):
            accepted(current, replace(follow(current, current.members), retired=current.retired[1:]), *NAMES)


def test_a_revoked_lane_that_is_not_named_stays_shut() -> None:
    revoked = accepted(GENESIS, follow(GENESIS, [revoke(ALBA, (1, 5)), BROOK, CEDAR, DELTA]), *NAMES)
    assert revoked.members[0].publishers[0].last_accepted(0) == 0
    for attempt in (((0, 7), (1, 5)), ((1, 6),), ()):
        with pytest.raises(RosterError, match="lifts"):
            accepted(revoked, follow(revoked, [revoke(ALBA, *attempt), BROOK, CEDAR, DELTA]), *NAMES)
    accepted(revoked, follow(revoked, [revoke(ALBA, (0, 0), (1, 4)), BROOK, CEDAR, DELTA]), *NAMES)


def test_unrevoked_keys_have_no_end() -> None:
    publisher = ALBA.publishers[0]
    assert [publisher.last_accepted(lane) for lane in (0, 1)] == [MAX_UINT, MAX_UINT]


def test_a_removal_brings_nothing_else() -> None:
    five = make_roster([*GENESIS.members, make_member("echo")])
    plain = follow(five, five.members[:4])
    assert accepted(five, plain, "alba", "brook", "cedar").epoch == 1
    other_root = replace(BROOK, root=public_key_of(root_secret("usurper")))
    for members in (
        [ALBA, other_root, CEDAR, DELTA],
        [ALBA, revoke(BROOK, (0, 1)), CEDAR, DELTA],
        [*five.members[:4], make_member("fjord")],
    ):
        with pytest.raises(RosterError, match="in one go"):
            accepted(five, follow(five, members), "alba", "brook", "cedar")


def test_a_rotated_root_votes_from_the_next_epoch_on() -> None:
    rotated = replace(ALBA, root=public_key_of(root_secret("alba, second")))
    changed = accepted(GENESIS, follow(GENESIS, [rotated, BROOK, CEDAR, DELTA]), "brook", "cedar", "delta")
    following = follow(changed, changed.members)
    with pytest.raises(RosterError, match="not a voting root"):
        accepted(changed, following, "alba", "brook", "cedar")
    signed = sign_roster(signed_by(following, "brook", "cedar"), root_secret("alba, second"), rotated.root)
    assert verify_successor(changed, signed).epoch == 2


def test_genesis_is_the_pinned_one_and_nothing_else() -> None:
    signed = signed_by(GENESIS)
    assert verify_genesis(signed, roster_hash(signed.body)) == GENESIS
    with pytest.raises(RosterError):
        verify_genesis(signed_by(replace(GENESIS, epoch=1)), roster_hash(signed.body))


def test_next_roster_orders_members_and_retires_who_left() -> None:
    following = next_roster(GENESIS, [DELTA, BROOK, CEDAR])
    assert [m.name for m in following.members] == ["brook", "cedar", "delta"]
    assert following.retired == (ALBA.publishers[0].id,)
    assert following.previous == roster_hash(encode_roster(GENESIS))


def test_index_finds_by_publisher_and_by_peer() -> None:
    index = make_index()
    publisher = Feed("brook").publisher
    found = index.publisher(publisher)
    member = index.member(publisher)
    assert found is not None
    assert member is not None
    assert (found.peer_id, member.name) == (peer_id_of("brook"), "brook")
    assert index.publisher_of_peer(peer_id_of("brook")) == publisher
    assert index.publisher(bytes(20)) is None
    assert index.member(bytes(20)) is None
    assert index.publisher_of_peer("nobody") is None
    assert set(index.publishers) == {Feed(name).publisher for name in NAMES}
    assert index.roster.member_of(publisher) == member
    assert isinstance(RosterIndex(GENESIS), RosterIndex)


def test_a_roster_of_another_network_is_told_apart_and_both_are_named() -> None:
    foreign = replace(follow(GENESIS, GENESIS.members), network_id=OTHER_NETWORK_ID)
    with pytest.raises(WrongNetworkError) as caught:
        accepted(GENESIS, foreign, *NAMES)
    assert NETWORK_ID.hex() in str(caught.value)
    assert OTHER_NETWORK_ID.hex() in str(caught.value)
