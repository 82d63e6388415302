"""Keys, scopes, markings and rates, asked of a small app as a client would."""

from __future__ import annotations

import base64
import sqlite3
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI
from tocsin_node.api.access import MAX_TLP, Access, access_of, requires
from tocsin_node.api.context import Feed
from tocsin_node.api.feed_db import FEED_DB_NAME, open_feed_db
from tocsin_node.api.feed_schema import SCHEMA_VERSION
from tocsin_node.api.keys import Scope, create_key, find_key, list_keys, revoke_key
from tocsin_node.api.markings import tlp_rank
from tocsin_node.api.problems import MEDIA_TYPE, Problem, install_problems
from tocsin_node.api.rates import KEY_RATE, MAX_BUCKETS, PUBLIC_RATE, RateLimits
from tocsin_node.clock import now_ms
from tocsin_node.errors import ControlError, NodeUnreachable
from tocsin_node.store.database import StoreError
from tocsin_protocol.encoding import MAX_UINT
from tocsin_protocol.taxonomy import Tlp

FAR_MS = MAX_UINT


@pytest.fixture
def db(tmp_path: Path) -> Any:
    connection = open_feed_db(tmp_path)
    yield connection
    connection.close()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def make_app(db: sqlite3.Connection, limits: RateLimits | None = None) -> FastAPI:
    app = FastAPI()
    app.state.feed = Feed(None, db, limits or RateLimits(), -1)  # type: ignore[arg-type]
    install_problems(app)

    @app.get("/who")
    async def who(access: Annotated[Access, Depends(access_of)]) -> dict[str, Any]:
        return {"scope": access.scope, "key": access.key_id, "tlp": access.max_tlp}

    @app.get("/insured")
    async def insured(access: Annotated[Access, Depends(requires(Scope.INSURER))]) -> dict[str, Any]:
        return {"scope": access.scope}

    @app.get("/number/{number}")
    async def number(number: int) -> int:
        raise {1: ControlError("policy", "not armed"), 2: NodeUnreachable("x"), 3: StoreError("/secret/path")}.get(
            number, ZeroDivisionError("inside")
        )

    return app


@pytest.fixture
async def get(db: sqlite3.Connection) -> AsyncIterator[Callable[..., Any]]:
    transport = httpx.ASGITransport(make_app(db), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://feed") as client:

        async def ask(path: str, authorization: str | None = None) -> httpx.Response:
            return await client.get(path, headers={} if authorization is None else {"authorization": authorization})

        yield ask


async def test_without_a_key_one_is_the_public(get: Callable[..., Any]) -> None:
    assert (await get("/who")).json() == {"scope": "public", "key": None, "tlp": "clear"}


@pytest.mark.parametrize("scope", [Scope.MEMBER, Scope.INSURER, Scope.OPERATOR])
async def test_a_key_is_shown_as_bearer_or_as_password(
    get: Callable[..., Any], db: sqlite3.Connection, scope: Scope
) -> None:
    key = create_key(db, scope, "a desk", now_ms(), FAR_MS)
    basic = base64.b64encode(f"anybody:{key}".encode()).decode()
    wanted = {"scope": scope.value, "key": key.split("_")[1], "tlp": MAX_TLP[scope].value}
    for header in (f"Bearer {key}", f"bearer {key}", f"Basic {basic}"):
        assert (await get("/who", header)).json() == wanted


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer x", "Basic !", "Basic /w==", "Basic eA==", "Digest a=b", "Bearer tocsin_0_0"],
)
async def test_what_is_no_key_is_refused_and_told_how_one_is_shown(get: Callable[..., Any], header: str) -> None:
    answer = await get("/who", header)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert answer.json()["status"] == 401


async def test_wrong_expired_and_revoked_keys_are_refused(get: Callable[..., Any], db: sqlite3.Connection) -> None:
    key = create_key(db, Scope.MEMBER, "a desk", now_ms(), FAR_MS)
    wrong = key[:-1] + ("0" if key[-1] != "0" else "1")
    old = create_key(db, Scope.MEMBER, "an old desk", 0, now_ms())
    assert "none of this node's" in (await get("/who", f"Bearer {wrong}")).json()["detail"]
    assert "expired" in (await get("/who", f"Bearer {old}")).json()["detail"]
    assert revoke_key(db, key.split("_")[1], now_ms())
    assert "revoked" in (await get("/who", f"Bearer {key}")).json()["detail"]


async def test_a_scope_that_does_not_reach_is_refused(get: Callable[..., Any], db: sqlite3.Connection) -> None:
    keys = {scope: create_key(db, scope, "x", now_ms(), FAR_MS) for scope in Scope if scope is not Scope.PUBLIC}
    assert (await get("/insured")).status_code == 401
    answers = {scope: (await get("/insured", f"Bearer {key}")).status_code for scope, key in keys.items()}
    assert answers == {Scope.MEMBER: 403, Scope.INSURER: 200, Scope.OPERATOR: 200, Scope.SENDER: 403}


async def test_a_sender_reads_nothing_not_even_what_is_public(get: Callable[..., Any], db: sqlite3.Connection) -> None:
    key = create_key(db, Scope.SENDER, "a detector", now_ms(), FAR_MS)
    answer = await get("/who", f"Bearer {key}")
    assert (answer.status_code, answer.json()["detail"]) == (
        403,
        "a key of scope sender hands in findings, and reads nothing",
    )


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/number/1", 409, "not armed"),
        ("/number/2", 503, "relay does not answer"),
        ("/number/3", 503, "cannot be read"),
        ("/number/4", 500, "its log says why"),
        ("/number/x", 422, "path.number"),
        ("/nowhere", 404, "Not Found"),
    ],
)
async def test_errors_are_problems_that_tell_nothing_of_our_inside(
    get: Callable[..., Any], path: str, status: int, told: str
) -> None:
    answer = await get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, MEDIA_TYPE)
    assert told in answer.json()["detail"]
    assert answer.json().keys() >= {"title", "status", "detail"}
    assert "secret" not in answer.text
    assert "inside" not in answer.text


def test_each_scope_sees_up_to_its_marking_and_nobody_what_is_unknown() -> None:
    seen = {scope: [tlp for tlp in Tlp if Access(scope, None, most).may_see(tlp)] for scope, most in MAX_TLP.items()}
    # defence in depth: no route asks for what a sender may see
    assert seen.pop(Scope.SENDER) == [Tlp.CLEAR]
    assert seen == {
        Scope.PUBLIC: [Tlp.CLEAR],
        Scope.INSURER: [Tlp.CLEAR, Tlp.GREEN],
        Scope.MEMBER: [Tlp.CLEAR, Tlp.GREEN, Tlp.AMBER],
        Scope.OPERATOR: list(Tlp),
    }
    for unknown in (None, "", "white", "CLEAR"):
        sees = [scope for scope, most in MAX_TLP.items() if Access(scope, None, most).may_see(unknown)]
        assert sees == [Scope.OPERATOR]
        assert tlp_rank(unknown) == tlp_rank(Tlp.RED)


def test_a_stored_key_opens_nothing(db: sqlite3.Connection, tmp_path: Path) -> None:
    key = create_key(db, Scope.MEMBER, "a desk", 1, FAR_MS)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path = tmp_path / FEED_DB_NAME
    stored = path.read_bytes()
    assert key.split("_")[2].encode() not in stored
    assert bytes.fromhex(key.split("_")[2]) not in stored
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert find_key(db, key) == list_keys(db)[0]


def test_keys_that_make_no_sense_are_not_made(db: sqlite3.Connection) -> None:
    for scope, label in ((Scope.PUBLIC, "x"), (Scope.MEMBER, ""), (Scope.MEMBER, "x" * 81)):
        with pytest.raises(ValueError):
            create_key(db, scope, label, 1, FAR_MS)
    assert list_keys(db) == []
    assert not revoke_key(db, "000000000000", 1)


def test_a_newer_feed_db_is_refused_and_the_same_one_opens_again(tmp_path: Path) -> None:
    open_feed_db(tmp_path).close()
    connection = open_feed_db(tmp_path)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(StoreError, match="newer than this program"):
        open_feed_db(tmp_path)
    (tmp_path / FEED_DB_NAME).write_bytes(b"no database" * 100)
    with pytest.raises(StoreError, match="not a usable database"):
        open_feed_db(tmp_path)


def test_who_asks_too_fast_is_told_when_to_come_again_and_slows_nobody() -> None:
    clock = Clock()
    limits = RateLimits(clock)
    for _ in range(PUBLIC_RATE.burst):
        limits.take_public("192.0.2.1")
    with pytest.raises(Problem) as caught:
        limits.take_public("192.0.2.1")
    assert (caught.value.status, caught.value.headers) == (429, {"retry-after": "1"})
    limits.take_public("192.0.2.2")
    limits.take_key("a", Scope.MEMBER)
    clock.now += 1 / PUBLIC_RATE.per_second
    limits.take_public("192.0.2.1")
    with pytest.raises(Problem):
        limits.take_public("192.0.2.1")


def test_a_network_of_ipv6_addresses_is_one() -> None:
    limits = RateLimits(Clock())
    for number in range(PUBLIC_RATE.burst):
        limits.take_public(f"2001:db8::{number:x}")
    with pytest.raises(Problem):
        limits.take_public("2001:db8::ffff")
    limits.take_public("2001:db8:0:1::1")


def test_however_many_addresses_ask_no_key_gains_by_it_and_the_table_is_bounded() -> None:
    limits = RateLimits(Clock())
    for _ in range(KEY_RATE.burst):
        limits.take_key("a", Scope.MEMBER)
    for number in range(MAX_BUCKETS + 10):
        limits.take_public(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    with pytest.raises(Problem):
        limits.take_key("a", Scope.MEMBER)
    assert len(limits._by_address) == MAX_BUCKETS


async def test_guessing_keys_is_charged_to_the_address(db: sqlite3.Connection) -> None:
    limits = RateLimits(Clock())
    transport = httpx.ASGITransport(make_app(db, limits), client=("192.0.2.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://feed") as client:
        wrong = {"authorization": "Bearer guess"}
        statuses = [(await client.get("/who", headers=wrong)).status_code for _ in range(PUBLIC_RATE.burst + 1)]
    assert statuses == [401] * PUBLIC_RATE.burst + [429]
