"""The client against a real feed: what it hands on is signed, and what is not it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from api_kit import about, account
from client_kit import GENESIS_HASH, PIN, PIN_WITH_ROSTERS, Node, nobody, revoking, with_log
from lying_feed import between
from protocol_kit import NOW_MS, VAULT, Feed
from store_kit import OWN, make_rules
from tocsin_client import (
    AsyncFeedClient,
    BadAnswer,
    ClientError,
    FeedClient,
    FeedKey,
    LogRolledBack,
    LogSplit,
    NotLoggedYet,
    NotVerified,
    Pin,
    Problem,
    Unreachable,
    session,
)
from tocsin_node.api.access import Scope
from tocsin_node.store.risk import report_subject
from tocsin_node.store.risk_sight import Reporting
from tocsin_node.store.rosters import insert_roster
from tocsin_protocol.log.note import decode_verifier_key
from tocsin_protocol.log.trust import NO_QUORUM, TrustPolicy
from tocsin_protocol.risk.model import DEFAULT_MODEL
from tocsin_protocol.risk.report import OracleDomain, subject_hash
from tocsin_protocol.roster_encoding import encode_signed_roster
from tocsin_protocol.taxonomy import STANDARD, Tlp

ORACLE = "eip155:31337:0x" + "0a" * 20


def test_signals_are_checked_from_a_pinned_genesis_on_and_paged(node: Node) -> None:
    sealed = node.say(*(about(n, text=f"note {n}") for n in range(1, 206)))
    with node.served() as url, FeedClient(url, PIN, key=node.feed_key(Scope.MEMBER)) as client:
        found = list(client.signals())
        assert [one.envelope for one in found] == sealed[::-1]
        assert {(one.member, one.is_pinned) for one in found} == {("brook", True)}
        assert found[0].body is not None
        assert found[0].body.text == "note 205"
        (one,) = client.signals(subject=account(7))
        assert client.signal(one.digest) == one
        (incident,) = client.incidents(subject=account(7))
        assert client.incident(incident.id).subjects == (account(7),)
        assert {p.member for p in client.publishers()} == {"alba", "brook", "cedar", "delta"}
        assert list(client.actions()) == []


def test_who_has_no_key_gives_the_rosters_as_files(node: Node, tmp_path: Path) -> None:
    node.say(about(1))
    with node.served() as url:
        with FeedClient(url, PIN) as client, pytest.raises(Problem, match="to members and the operator alone"):
            list(client.signals())
        pin = Pin.of(GENESIS_HASH.hex(), node.roster_files(tmp_path))
        with FeedClient(url, pin) as client:
            (one,) = client.signals()
            assert one.is_pinned
        with FeedClient(url, None) as client:
            (one,) = client.signals()
            assert (one.is_pinned, one.member) == (False, "brook")


def test_a_genesis_that_is_not_the_pinned_one_is_refused(node: Node) -> None:
    node.say(about(1))
    with (
        node.served() as url,
        FeedClient(url, Pin(b"\x01" * 32), key=node.feed_key(Scope.MEMBER)) as client,
        pytest.raises(NotVerified, match="genesis roster hashes to"),
    ):
        list(client.signals())


def _change_signals(change: Callable[[dict[str, Any]], None]) -> Callable[[str, bytes], bytes]:
    def answer(path: str, body: bytes) -> bytes:
        if not path.startswith("/v1/signals"):
            return body
        page = json.loads(body)
        change(page["signals"][0])
        return json.dumps(page).encode()

    return answer


def _foreign(row: dict[str, Any]) -> None:
    envelope = Feed("mallory").seal(about(9))
    row.update(encoded=envelope.encoded.hex(), digest=envelope.digest.hex())


def _flipped(row: dict[str, Any]) -> None:
    row["encoded"] = row["encoded"][:-2] + f"{int(row['encoded'][-2:], 16) ^ 1:02x}"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_foreign, "has no publisher 0x"),
        (_flipped, "sign"),
        (lambda row: row.update(digest="0" * 64), "what is shown as it is"),
        (lambda row: row.update(encoded="zz"), "non-hexadecimal"),
        (lambda row: row.update(encoded=""), "signal"),
    ],
)
def test_a_signal_that_is_not_its_publishers_is_refused(
    node: Node, change: Callable[[dict[str, Any]], None], why: str
) -> None:
    node.say(about(1), about(2))
    told: list[NotVerified] = []
    with (
        node.served() as url,
        between(url, _change_signals(change)) as liar,
        FeedClient(liar, PIN_WITH_ROSTERS) as client,
    ):
        with pytest.raises(NotVerified, match=why):
            list(client.signals())
        assert len(list(client.signals(refused=told.append))) == 1
    assert len(told) == 1


def test_what_the_node_says_beside_the_signature_changes_nothing_signed(node: Node) -> None:
    node.say(about(1, text="true"))

    def lie(row: dict[str, Any]) -> None:
        row["signal"]["text"], row["member"] = "false", "alba"

    with node.served() as url, between(url, _change_signals(lie)) as liar, FeedClient(liar, PIN_WITH_ROSTERS) as client:
        (one,) = client.signals()
    assert one.body is not None
    assert (one.body.text, one.member) == ("true", "brook")


def test_a_refusal_is_one_named_exception(node: Node) -> None:
    with node.served() as url:
        with FeedClient(url, None) as client:
            with pytest.raises(Problem) as refused:
                list(client.signals(severity="worst"))
            assert (refused.value.status, refused.value.is_passing) == (422, False)
            with pytest.raises(Problem, match="404"):
                client.signal("0" * 64)
            with pytest.raises(Problem, match="401"):
                client.risk_reports()
        unknown = FeedKey("tocsin_" + "0" * 12 + "_" + "0" * 64)
        with FeedClient(url, None, key=unknown) as client, pytest.raises(Problem, match="none of this node's"):
            client.publishers()


def test_a_feed_that_is_not_there_is_named() -> None:
    with nobody() as url, FeedClient(url, None) as client, pytest.raises(Unreachable, match="no answer"):
        client.publishers()


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff\xfe", b"{}", b"[" * 100_000, b'{"publishers": [{"id": 7}]}'])
def test_an_answer_that_is_none_is_named(node: Node, body: bytes) -> None:
    with (
        node.served() as url,
        between(url, lambda path, answer: body) as liar,
        FeedClient(liar, None) as client,
        pytest.raises(BadAnswer),
    ):
        client.publishers()


def test_an_answer_without_end_is_cut_off(node: Node) -> None:
    with (
        node.served() as url,
        between(url, lambda path, answer: bytes(20 << 20)) as liar,
        FeedClient(liar, None) as client,
        pytest.raises(BadAnswer, match="more than 16777216 bytes"),
    ):
        client.publishers()


@pytest.mark.parametrize("url", ["ftp://feed", "feed", "http://", "http://user:secret@feed", "http://[", ""])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ClientError) as refused:
        FeedClient(url, None)
    assert "secret" not in str(refused.value)


def test_the_head_of_the_log_is_checked_by_the_rosters_key_and_goes_on(node: Node, tmp_path: Path) -> None:
    state, key = tmp_path / "state", node.feed_key(Scope.MEMBER)
    node.show_log()
    with node.served() as url:
        with FeedClient(url, PIN, key=key, state=state) as client:
            first = client.head().checkpoint
        # so many that the tree has a second level of tiles
        node.say(*(about(n) for n in range(1, 300)))
        node.show_log()
        with FeedClient(url, PIN, key=key, state=state) as client:
            assert client.head().checkpoint.size > first.size + 256
    assert state.stat().st_mode & 0o777 == 0o600


def test_a_log_that_was_rolled_back_or_has_split_is_told(node: Node, tmp_path: Path) -> None:
    state, heads = tmp_path / "state", []
    node.show_log()
    with node.served() as url, FeedClient(url, PIN_WITH_ROSTERS, state=state) as client:
        client.head()
        heads.append(client._file.state.head)
        node.say(about(1))
        node.show_log()
        client.head()
        heads.append(client._file.state.head)
    other = Node(tmp_path / "other")
    try:
        other.say(about(2), about(3), about(4))
        other.show_log()
        with other.served() as theirs:
            kept = json.loads(state.read_bytes())
            state.write_text(json.dumps(kept | {"feed": theirs}))
            with FeedClient(theirs, PIN_WITH_ROSTERS, state=state) as client, pytest.raises(LogSplit) as split:
                client.head()
            assert split.value.seen.decode() == heads[1]
        with node.served() as url, between(url, lambda path, body: (heads[0] or "").encode()) as back:
            state.write_text(json.dumps(kept | {"feed": back}))
            with FeedClient(back, PIN_WITH_ROSTERS, state=state) as client, pytest.raises(LogRolledBack) as rolled:
                client.head()
            assert not isinstance(rolled.value, LogSplit)
            # what was seen is still what counts
            assert json.loads(state.read_bytes())["head"] == heads[1]
    finally:
        other.close()


def test_a_head_that_the_policy_does_not_take_is_refused(node: Node) -> None:
    node.show_log()
    with node.served() as url:
        own = decode_verifier_key(node.get("/v1/log", Scope.PUBLIC).json()["key"])
        with FeedClient(url, None, log=TrustPolicy((own,), {}, {}, NO_QUORUM)) as client:
            assert client.head().checkpoint.size > 0
        other = replace(own, key=decode_verifier_key(str(own)).key[:-1] + b"\x00")
        wrong = TrustPolicy((other,), {}, {}, NO_QUORUM)
        with FeedClient(url, None, log=wrong) as client, pytest.raises(NotVerified, match="the head of the log"):
            client.head()
        with FeedClient(url, None) as client, pytest.raises(ClientError, match="pinned genesis"):
            client.head()


def test_a_live_signal_is_proven_to_stand_in_the_log(node: Node) -> None:
    node.say(about(1), about(2))
    node.show_log()
    with node.served() as url, FeedClient(url, PIN_WITH_ROSTERS) as client:
        events = client.live(after=0, kind=["signal"])
        first = next(events)
        assert client.check_logged(first).checkpoint.size >= first.sequence
        assert first.signal is not None
        for lie in (
            replace(first, at_ms=first.at_ms + 1),
            replace(first, sequence=first.sequence + 1),
            replace(first, signal=replace(first.signal, standing="doubtful")),
        ):
            with pytest.raises(NotVerified):
                client.check_logged(lie)
        node.say(about(3))
        second = next(e for e in events if e.about != first.about and e.signal and e.signal.body != first.signal.body)
        events.close()
        late = replace(second, sequence=10_000)
        with pytest.raises(NotLoggedYet):
            client.check_logged(late)


def test_an_older_roster_than_one_seen_before_is_refused(node: Node, tmp_path: Path) -> None:
    state = tmp_path / "state"
    node.say(about(1))
    key = node.feed_key(Scope.MEMBER)

    def hide(path: str, body: bytes) -> bytes:
        return node.get("/v1/rosters/0").content if path == "/v1/rosters/1" else body

    with node.served() as url:
        with FeedClient(url, PIN, key=key, state=state) as client:
            list(client.signals())
            client._file.save()
        with between(url, hide) as liar:
            state.write_text(json.dumps(json.loads(state.read_bytes()) | {"feed": liar}))
            with FeedClient(liar, PIN, key=key, state=state) as client, pytest.raises(NotVerified, match="epoch 1"):
                list(client.signals())
        kept = json.loads(state.read_bytes())
        state.write_text(json.dumps(kept | {"feed": url, "epoch": 2}))
        with FeedClient(url, PIN, key=key, state=state) as client, pytest.raises(NotVerified, match="was of epoch 2"):
            list(client.signals())


def test_a_key_that_is_revoked_meanwhile_is_believed_no_more(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.say(about(1), about(2))
    told: list[NotVerified] = []
    with node.served() as url, FeedClient(url, PIN, key=node.feed_key(Scope.MEMBER)) as client:
        assert len(list(client.signals())) == 2
        node.write(lambda c: insert_roster(c, 2, revoking("brook", STANDARD, 1), NOW_MS))
        # rosters are asked for again after a while
        assert len(list(client.signals())) == 2
        monkeypatch.setattr(session, "ROSTER_SECONDS", 0.0)
        (one,) = client.signals(refused=told.append)
    assert one.envelope.sequence == 1
    assert "revoked before it" in str(told[0])


def test_a_roster_that_does_not_follow_is_refused(node: Node) -> None:
    def forge(path: str, body: bytes) -> bytes:
        if path != "/v1/rosters/1":
            return body
        signed = with_log()
        return json.dumps({"epoch": 1, "signed": encode_signed_roster(replace(signed, signatures=())).hex()}).encode()

    node.say(about(1))
    key = node.feed_key(Scope.MEMBER)
    with (
        node.served() as url,
        between(url, forge) as liar,
        FeedClient(liar, PIN, key=key) as client,
        pytest.raises(NotVerified, match="0 root signatures where 3 are needed"),
    ):
        list(client.signals())


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"feed": "x", "colour": 1}', '{"feed": "http://else"}', "\0"])
def test_a_state_that_is_none_of_this_feed_is_refused_and_not_begun_anew(tmp_path: Path, text: str) -> None:
    state = tmp_path / "state"
    state.write_text(text)
    with pytest.raises(ClientError, match="state"):
        FeedClient("http://feed.example", None, state=state)
    assert state.read_text() == text


def test_a_key_is_read_from_a_private_file_and_shown_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "tocsin_" + "ab" * 6 + "_" + "cd" * 32
    path = tmp_path / "key"
    path.write_text(text + "\n")
    path.chmod(0o640)
    with pytest.raises(ClientError, match="chmod 600"):
        FeedKey.from_file(path)
    path.chmod(0o600)
    key = FeedKey.from_file(path)
    assert key.header() == {"authorization": f"Bearer {text}"}
    with FeedClient("http://feed.example", None, key=key) as client:
        for thing in (key, client, client._http.headers):
            assert "cd" * 8 not in repr(thing)
    monkeypatch.setenv("TOCSIN_FEED_KEY", text)
    found = FeedKey.from_environment()
    assert found is not None
    assert found.id == key.id
    with pytest.raises(ClientError) as refused:
        FeedKey(text + "00")
    assert "cd" * 8 not in str(refused.value)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_same_is_awaited_under_asyncio_and_trio(node: Node, backend: str) -> None:
    sealed = node.say(*(about(n) for n in range(1, 4)))
    node.show_log()

    async def ask(url: str) -> None:
        async with AsyncFeedClient(url, PIN, key=node.feed_key(Scope.MEMBER)) as client:
            assert [one.envelope async for one in client.signals()] == sealed[::-1]
            assert (await client.head()).checkpoint.size > 3
            assert (await client.signal(sealed[0].digest.hex())).envelope == sealed[0]
            live = client.live(after=0, kind=["signal"])
            with anyio.fail_after(60):
                events = [await anext(live) for _ in range(3)]
            await live.aclose()
            assert [event.signal.envelope for event in events if event.signal] == sealed
            await client.check_logged(events[0])
            # who waits for what does not come can be called away
            heard = anyio.Event()

            async def listen() -> None:
                async with aclosing(client.live(quiet=True)) as waiting:
                    async for _ in waiting:
                        heard.set()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listen)
                with anyio.fail_after(60):
                    await heard.wait()
                tasks.cancel_scope.cancel()
            with pytest.raises(Problem):
                await client.signal("0" * 64)

    with node.served() as url:
        anyio.run(ask, url, backend=backend)


def test_the_client_brings_no_node_with_it() -> None:
    code = "import sys, tocsin_client; print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "tocsin_client" in loaded
    heavy = {"tocsin_node", "libp2p", "web3", "scipy", "numpy", "matplotlib", "fastapi", "uvicorn", "pydantic", "trio"}
    assert not heavy & loaded
    parts = {name.split(".")[1] for name in done.stdout.split() if name.startswith("tocsin_protocol.")}
    assert not parts & {"belief", "decision", "exposure", "containment", "recovery", "evidence", "stix", "postmortem"}


def test_risk_reports_are_believed_of_publishers_about_what_they_name(node: Node) -> None:
    own = Feed(OWN)
    reporting = Reporting(OracleDomain(ORACLE), own.secret, own.publisher, DEFAULT_MODEL, lambda tlp: True)
    node.write(lambda c: report_subject(c, make_rules(), reporting, VAULT, 1_000_000, NOW_MS))
    key = node.feed_key(Scope.INSURER)

    def lie(**changes: Any) -> Callable[[str, bytes], bytes]:
        def answer(path: str, body: bytes) -> bytes:
            if not path.startswith("/v1/risk"):
                return body
            return json.dumps({"reports": [one | changes for one in json.loads(body)["reports"]]}).encode()

        return answer

    with node.served() as url:
        with FeedClient(url, PIN_WITH_ROSTERS, key=key) as client:
            (word,) = client.risk_reports(subject=VAULT)
        # made at a time long past: it is OWN's word, and counts no more
        assert (word.member, word.subject, word.counts) == (OWN, VAULT, False)
        assert word.signed.report.subject == subject_hash(VAULT)
        for changes, why in (
            ({"subject_id": account(1)}, "about another subject"),
            # another oracle's domain: the signature leads to somebody else
            ({"oracle": account(1)}, "has no publisher"),
            ({"signed": "0x00"}, "risk report"),
        ):
            with (
                between(url, lie(**changes)) as liar,
                FeedClient(liar, PIN_WITH_ROSTERS, key=key) as client,
                pytest.raises(NotVerified, match=why),
            ):
                client.risk_reports()
        with FeedClient(url, PIN_WITH_ROSTERS, key=key) as client:
            assert client.risk_reports(oracle=account(1)) == []


def test_signals_up_to_the_keys_marking_are_shown(node: Node) -> None:
    node.say(about(1), about(2, tlp=Tlp.AMBER))
    with node.served() as url:
        with FeedClient(url, PIN_WITH_ROSTERS) as client:
            assert len(list(client.signals())) == 1
        with FeedClient(url, PIN, key=node.feed_key(Scope.MEMBER)) as client:
            assert len(list(client.signals())) == 2
