"""Who asks, and what he may see (specs/api.md)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

from starlette.requests import HTTPConnection
from tocsin_protocol.taxonomy import Tlp

from tocsin_node.clock import now_ms

from .context import Feed, feed_of
from .keys import FeedKey, Scope, find_key
from .markings import tlp_rank
from .problems import Problem, Unauthorized

__all__ = ["PUBLIC", "Access", "Scope", "access_of", "any_access_of", "requires"]

# [API] Public sees CLEAR, an insurer up to GREEN, a member up to AMBER, the operator everything.
MAX_TLP = {
    Scope.PUBLIC: Tlp.CLEAR,
    Scope.INSURER: Tlp.GREEN,
    Scope.MEMBER: Tlp.AMBER,
    Scope.OPERATOR: Tlp.RED,
    Scope.SENDER: Tlp.CLEAR,
}


@dataclass(frozen=True, slots=True)
class Access:
    """What a request may see; `key_id` is None for the public."""

    scope: Scope
    key_id: str | None
    max_tlp: Tlp

    def may_see(self, tlp: Tlp | str | None) -> bool:
        """Whether something of this marking may be shown."""
        return tlp_rank(tlp) <= tlp_rank(self.max_tlp)


PUBLIC = Access(Scope.PUBLIC, None, MAX_TLP[Scope.PUBLIC])


async def access_of(request: HTTPConnection) -> Access:
    """The access of a request that reads, once its rate allows it; raises Problem 401, 403 or 429."""
    access = await any_access_of(request)
    # [API] A sender hands in findings and asks what became of his own: he reads nothing else.
    if access.scope is Scope.SENDER:
        raise Problem(HTTPStatus.FORBIDDEN, f"a key of scope {Scope.SENDER} hands in findings, and reads nothing")
    return access


async def any_access_of(request: HTTPConnection) -> Access:
    """The access of a request that shows nothing of the record; raises Problem 401 or 429."""
    feed = feed_of(request)
    if "authorization" not in request.headers:
        feed.limits.take_public(_address(request))
        return PUBLIC
    key = _charged_key(request)
    feed.limits.take_key(key.id, key.scope)
    return access_of_key(key)


def check_key(request: HTTPConnection) -> None:
    """Raises Problem 401 or 429 where a request shows no key that opens something."""
    if "authorization" not in request.headers:
        feed_of(request).limits.take_public(_address(request))
        raise Unauthorized("a key is wanted: a body is read of nobody else")
    _charged_key(request)


def access_of_key(key: FeedKey) -> Access:
    """What the holder of a key may see, for as long as it is valid."""
    return Access(key.scope, key.id, MAX_TLP[key.scope])


def requires(*scopes: Scope) -> Callable[[HTTPConnection], Awaitable[Access]]:
    """A dependency: the access of a request, which must be of one of these scopes or the operator's."""

    async def check(request: HTTPConnection) -> Access:
        access = await any_access_of(request)
        if access.scope in scopes or access.scope is Scope.OPERATOR:
            return access
        wanted = " or ".join((*scopes, Scope.OPERATOR))
        if access.key_id is None:
            raise Unauthorized(f"a key of scope {wanted} is wanted")
        raise Problem(HTTPStatus.FORBIDDEN, f"a key of scope {wanted} is wanted, this one is of scope {access.scope}")

    return check


def _charged_key(request: HTTPConnection) -> FeedKey:
    feed = feed_of(request)
    try:
        return _valid_key(feed, request.headers["authorization"])
    except Unauthorized:
        # [API] A key that opens nothing is charged to the address that shows it.
        feed.limits.take_public(_address(request))
        raise


def _address(request: HTTPConnection) -> str:
    return request.client.host if request.client else ""


def _valid_key(feed: Feed, header: str) -> FeedKey:
    """The key in an Authorization header; raises Unauthorized."""
    key = find_key(feed.db, _shown_key(header))
    # [API] A key that is wrong, expired or revoked is a 401, and never the public's access instead.
    if key is None:
        raise Unauthorized("the key is none of this node's")
    if key.revoked_ms is not None:
        raise Unauthorized("the key is revoked")
    if not key.is_valid(now_ms()):
        raise Unauthorized("the key has expired")
    return key


def _shown_key(header: str) -> str:
    scheme, _, value = header.partition(" ")
    match scheme.lower():
        case "bearer":
            return value.strip()
        case "basic":
            try:
                # the user name says nothing: the key is the password
                return base64.b64decode(value.strip(), validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError) as exc:
                raise Unauthorized("the Basic credentials are not base64 of a name, a colon and a key") from exc
        case _:
            raise Unauthorized("a key is shown as Bearer, or as the password of Basic")
