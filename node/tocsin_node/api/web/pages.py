"""The dashboard's files, signing in and signing out."""

from __future__ import annotations

from hashlib import sha256
from http import HTTPStatus
from importlib.resources import files
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import RedirectResponse, Response

from ..access import Access, access_of
from ..paging import answer, no_query
from ..problems import Problem, Unauthorized
from . import proofs, stix
from .sessions import SESSION_SECONDS, CookieKeys, Sessions, check_own_page, cookie_name, token_of

PREFIX = "/dashboard"
INDEX = "index.html"
_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
# [API] The dashboard's pages load nothing from elsewhere, run no inline script or style, and are shown in no frame.
HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none';"
    " object-src 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}

router = APIRouter(include_in_schema=False, dependencies=[Depends(no_query)])


def install_dashboard(app: FastAPI) -> None:
    """Serve the dashboard and its sessions."""
    app.state.sessions = Sessions()
    app.state.pages = _read_pages()
    app.add_middleware(CookieKeys, sessions=app.state.sessions)
    app.include_router(stix.router)
    app.include_router(proofs.router)
    app.include_router(router)


@router.get("/")
def root() -> Response:
    """Whoever comes with a browser means the dashboard."""
    return RedirectResponse(f"{PREFIX}/", HTTPStatus.TEMPORARY_REDIRECT)


@router.get(f"{PREFIX}/session")
def session(request: Request, access: Annotated[Access, Depends(access_of)]) -> Response:
    """Who one is here."""
    return answer(request, {"scope": access.scope, "key": access.key_id})


@router.post(f"{PREFIX}/session")
def sign_in(request: Request, access: Annotated[Access, Depends(access_of)]) -> Response:
    """Show a key, as in any other request, and get a cookie for it."""
    check_own_page(request.headers)
    if access.key_id is None:
        raise Unauthorized("a key is wanted")
    sessions: Sessions = request.app.state.sessions
    # [API] Signing in ends the session that the browser had.
    if (before := token_of(request.headers)) is not None:
        sessions.end(before)
    response = answer(request, {"scope": access.scope, "key": access.key_id})
    # [API] No script can read the cookie, no page of another site sends it, and over TLS it is never sent without.
    response.set_cookie(
        cookie_name(request.headers),
        sessions.begin(request.headers["authorization"]),
        max_age=SESSION_SECONDS,
        httponly=True,
        samesite="strict",
        # a proxy in front may speak TLS where we do not: the page knows
        secure=request.headers.get("origin", "").startswith("https:"),
    )
    return response


@router.delete(f"{PREFIX}/session")
def sign_out(request: Request) -> Response:
    """Forget the session, here and in the browser."""
    check_own_page(request.headers)
    sessions: Sessions = request.app.state.sessions
    if (token := token_of(request.headers)) is not None:
        sessions.end(token)
    response = Response(status_code=HTTPStatus.NO_CONTENT)
    response.delete_cookie(cookie_name(request.headers), httponly=True, samesite="strict")
    return response


@router.get(f"{PREFIX}/")
def index(request: Request) -> Response:
    """The page."""
    return _page(request, INDEX)


@router.get(f"{PREFIX}/{{name}}")
def page(request: Request, name: str) -> Response:
    """One of its files."""
    return _page(request, name)


def _page(request: Request, name: str) -> Response:
    pages: dict[str, tuple[bytes, dict[str, str]]] = request.app.state.pages
    if name not in pages:
        raise Problem(HTTPStatus.NOT_FOUND, "the dashboard has no such file")
    body, headers = pages[name]
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(body, headers=headers)


def _read_pages() -> dict[str, tuple[bytes, dict[str, Any]]]:
    """All files with their headers, once: what is asked for is a key, and never a path."""
    pages = {}
    for file in files(__package__).joinpath("static").iterdir():
        if (content_type := _TYPES.get(file.name.rpartition(".")[2])) is not None:
            body = file.read_bytes()
            about = {"content-type": content_type, "etag": f'"{sha256(body).hexdigest()[:32]}"'}
            pages[file.name] = body, HEADERS | about
    return pages
