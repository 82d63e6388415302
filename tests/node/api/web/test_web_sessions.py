"""Signing in to the dashboard: what a session opens, from where, and for how long."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from api_kit import Desk, about
from tocsin_node.api.access import Scope
from tocsin_node.api.keys import revoke_key
from tocsin_node.api.web.sessions import MAX_SESSIONS, MAX_SESSIONS_OF_KEY, SESSION_SECONDS, Sessions
from tocsin_node.clock import now_ms
from tocsin_protocol.taxonomy import Tlp

OWN = {"sec-fetch-site": "same-origin"}
SESSION = "/dashboard/session"


def sign_in(desk: Desk, scope: Scope = Scope.OPERATOR, **headers: str) -> httpx.Response:
    return desk.client.request("POST", SESSION, headers=desk.key(scope) | OWN | headers)


def cookie_of(response: httpx.Response) -> str:
    return response.headers["set-cookie"].partition(";")[0]


def who(desk: Desk, cookie: str, **headers: str) -> Any:
    return desk.client.request("GET", SESSION, headers={"cookie": cookie} | OWN | headers)


def test_a_session_stands_for_its_key(desk: Desk) -> None:
    desk.say(about(1, tlp=Tlp.AMBER), about(2, tlp=Tlp.RED))
    for scope, seen in ((Scope.MEMBER, 1), (Scope.OPERATOR, 2), (Scope.INSURER, 0)):
        answer = sign_in(desk, scope)
        assert (answer.status_code, answer.json()["scope"]) == (200, scope)
        headers = {"cookie": cookie_of(answer)} | OWN
        assert len(desk.client.request("GET", "/v1/signals", headers=headers).json()["signals"]) == seen


def test_the_cookie_is_no_key_and_no_script_or_other_site_has_it(desk: Desk) -> None:
    cookie = sign_in(desk).headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/", f"Max-Age={SESSION_SECONDS}"} <= set(cookie.split("; "))
    assert desk.key(Scope.OPERATOR)["authorization"].removeprefix("Bearer ") not in cookie
    assert "Secure" not in cookie
    assert "; Secure" in sign_in(desk, origin="https://feed").headers["set-cookie"]


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none", ""])
def test_a_session_counts_in_requests_of_its_own_page_alone(desk: Desk, site: str) -> None:
    cookie = cookie_of(sign_in(desk))
    headers = {"sec-fetch-site": site} if site else {}
    for method, path in (("GET", "/v1/status"), ("POST", "/v1/steps"), ("POST", "/v1/approvals")):
        found = desk.client.request(method, path, headers={"cookie": cookie} | headers, json={"scope": "x"})
        assert found.status_code == 401, path
    refused = desk.client.request("POST", SESSION, headers=desk.key(Scope.OPERATOR) | headers)
    assert (refused.status_code, "set-cookie" in refused.headers) == (403, False)
    assert "over TLS or on this machine" in refused.json()["detail"]


def test_without_a_key_that_opens_something_there_is_no_session(desk: Desk) -> None:
    for headers in ({}, {"authorization": "Bearer nothing"}):
        answer = desk.client.request("POST", SESSION, headers=OWN | headers)
        assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)


def test_a_session_that_is_over_is_refused_and_not_shown_the_publics_view(desk: Desk) -> None:
    cookie = cookie_of(sign_in(desk))
    name = cookie.partition("=")[0]
    assert who(desk, f"{name}=unknown").status_code == 401
    assert who(desk, cookie).json()["scope"] == "operator"
    assert desk.client.request("DELETE", SESSION, headers={"cookie": cookie}).status_code == 403
    gone = desk.client.request("DELETE", SESSION, headers={"cookie": cookie} | OWN)
    assert (gone.status_code, f'{name}=""' in gone.headers["set-cookie"]) == (204, True)
    assert who(desk, cookie).status_code == 401


def test_signing_in_ends_the_session_that_was_there(desk: Desk) -> None:
    """Whoever put his own cookie into a browser does not share what is done there afterwards."""
    planted = cookie_of(sign_in(desk, Scope.MEMBER))
    fresh = cookie_of(sign_in(desk, cookie=planted))
    assert fresh != planted
    assert (who(desk, planted).status_code, who(desk, fresh).json()["scope"]) == (401, "operator")


def test_a_revoked_key_ends_its_sessions(desk: Desk) -> None:
    cookie = cookie_of(sign_in(desk, Scope.MEMBER))
    assert who(desk, cookie).status_code == 200
    revoke_key(desk.feed.db, desk.key(Scope.MEMBER)["authorization"].split("_")[1], now_ms())
    assert "revoked" in who(desk, cookie).json()["detail"]


def test_a_key_that_is_shown_counts_before_a_session(desk: Desk) -> None:
    cookie = cookie_of(sign_in(desk))
    assert who(desk, cookie, **desk.key(Scope.MEMBER)).json()["scope"] == "member"


def test_nodes_at_several_ports_of_one_address_do_not_sign_one_another_out(desk: Desk) -> None:
    names = {cookie_of(sign_in(desk, host=host)).partition("=")[0] for host in ("x:1", "x:2", "x", "[::1]:3", "x:y")}
    assert names == {"tocsin_1", "tocsin_2", "tocsin", "tocsin_3"}


def test_nobodys_signing_in_signs_others_out() -> None:
    sessions = Sessions()
    operator = sessions.begin("Bearer operator")
    tokens = [sessions.begin("Bearer member") for _ in range(2 * MAX_SESSIONS)]
    assert sessions.authorization(operator) == "Bearer operator"
    over = sessions.authorization("never begun")
    still = [token for token in tokens if sessions.authorization(token) != over]
    assert still == tokens[-MAX_SESSIONS_OF_KEY:]


def test_sessions_end_with_time_and_are_bounded() -> None:
    now = [0.0]
    sessions = Sessions(lambda: now[0])
    tokens = [sessions.begin(f"Bearer {number}") for number in range(MAX_SESSIONS + 1)]
    assert sessions.authorization(tokens[0]) == sessions.authorization("never begun")
    assert sessions.authorization(tokens[1]) == "Bearer 1"
    now[0] = SESSION_SECONDS
    assert sessions.authorization(tokens[1]) == sessions.authorization("never begun")
