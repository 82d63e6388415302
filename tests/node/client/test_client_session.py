"""What a client knows, tried without a socket: questions are taken from it, and answers given."""

from __future__ import annotations

import json
from typing import Any

import pytest
from api_kit import about
from protocol_kit import NAMES, Feed, follow, make_member, make_roster, signed_by
from tocsin_client import FeedSignal, NotVerified, Pin, Problem, StateFile
from tocsin_client.session import Session
from tocsin_protocol.roster_encoding import encode_roster, encode_signed_roster, roster_hash
from tocsin_protocol.roster_model import SignedRoster

BEFORE = make_roster([make_member(name) for name in NAMES if name != "brook"])
AFTER = signed_by(follow(BEFORE, [make_member(name) for name in NAMES]), "alba", "cedar", "delta")
SEALED = Feed("brook").seal(about(1))
DIGEST = SEALED.digest.hex()


def roster(epoch: int, signed: SignedRoster) -> dict[str, Any]:
    return {f"/v1/rosters/{epoch}": {"epoch": epoch, "signed": encode_signed_roster(signed).hex()}}


def shown() -> dict[str, Any]:
    row = {"digest": DIGEST, "encoded": SEALED.encoded.hex(), "received_ms": 1, "path": "gossip"}
    return {f"/v1/signals/{DIGEST}": row | {"standing": "admitted", "incident": None}}


def ask(session: Session, answers: dict[str, Any]) -> tuple[FeedSignal, list[str]]:
    flow, asked = session.signal(DIGEST), []
    try:
        question = next(flow)
        while True:
            asked.append(question.path)
            if question.path in answers:
                question = flow.send(json.dumps(answers[question.path]).encode())
            else:
                question = flow.throw(Problem(404, "there is no such thing"))
    except StopIteration as done:
        return done.value, asked


def test_a_publisher_who_has_just_come_is_looked_up_in_the_next_roster() -> None:
    pin = Pin(roster_hash(encode_roster(BEFORE)))
    session = Session(pin, None, StateFile(None, "http://feed.example"), lambda: 0.0, lambda: 0)
    answers = shown() | roster(0, signed_by(BEFORE))
    with pytest.raises(NotVerified, match="epoch 0 has no publisher"):
        ask(session, answers)
    found, asked = ask(session, answers | roster(1, AFTER))
    assert (found.member, found.is_pinned) == ("brook", True)
    assert asked == [f"/v1/signals/{DIGEST}", "/v1/rosters/1", "/v1/rosters/2"]
    # and then it is known
    assert ask(session, answers)[1] == [f"/v1/signals/{DIGEST}"]


def test_a_publisher_who_left_is_believed_no_more() -> None:
    start = make_roster()
    pin = Pin(roster_hash(encode_roster(start)))
    session = Session(pin, None, StateFile(None, "http://feed.example"), lambda: 0.0, lambda: 0)
    gone = signed_by(follow(start, [make_member(name) for name in NAMES if name != "brook"]), "alba", "cedar", "delta")
    with pytest.raises(NotVerified, match="epoch 1 has no publisher"):
        ask(session, shown() | roster(0, signed_by(start)) | roster(1, gone))
