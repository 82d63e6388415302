"""A node's record and its TAXII server, with or without a port."""

from __future__ import annotations

from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
from api_kit import Client, Desk
from fastapi import FastAPI
from protocol_kit import NOW_MS, Feed, make_standard
from tocsin_node.api.access import Scope
from tocsin_node.api.app import create_app
from tocsin_node.api.taxii.projecting import Projection
from tocsin_node.clock import now_ms
from tocsin_node.store.reader import Reader
from tocsin_protocol.envelope import Envelope
from tocsin_protocol.model import Signal, Subject
from tocsin_protocol.stix.marking import Circle
from tocsin_protocol.taxonomy import Role, SubjectKind, Tlp

ROOT = "/taxii2/tocsin"
MEDIA = "application/taxii+json;version=2.1"


def about(number: int, **changes: Any) -> Signal:
    """A signal about an account of its own, by an attacker of its own: an incident of its own."""
    subjects = (
        Subject(Role.ATTACKER, SubjectKind.ACCOUNT, f"eip155:1:0x{number + 2**32:040x}"),
        Subject(Role.VICTIM, SubjectKind.ACCOUNT, f"eip155:1:0x{number:040x}"),
    )
    return make_standard(
        **({"subjects": subjects, "incident": f"n{number}", "evidence": (), "tlp": Tlp.CLEAR} | changes)
    )


class TaxiiDesk(Desk):
    """The record of the first member, and its TAXII server."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self.publishers = {name: Feed(name) for name in ("brook", "cedar")}

    def tell(self, *signals: Signal, by: str = "brook", at_ms: int = NOW_MS, export: bool = True) -> list[Envelope]:
        """File signals, one batch each, and export them."""
        sealed = [self.publishers[by].seal(signal) for signal in signals]
        for place, envelope in enumerate(sealed):
            self.file([envelope], at_ms=at_ms + place)
        if export:
            self.export()
        return sealed

    def export(self) -> None:
        """Bring the collections up with the record, as a feed that has just been started does."""
        with closing(self.feed.open_db()) as connection, Reader(self.config.node.data_dir) as reader:
            projection = Projection(connection, reader, now_ms)
            while projection.step():
                pass

    @cached_property
    def app(self) -> FastAPI:
        return create_app(self.feed)

    @cached_property
    def client(self) -> Client:
        return Client(self.app)

    def secret(self, scope: Scope) -> str:
        """The key of somebody with this scope."""
        return self.key(scope)["authorization"].removeprefix("Bearer ")

    def ask(self, method: str, path: str, scope: Scope = Scope.OPERATOR, **how: Any) -> httpx.Response:
        """One request, without a port."""
        headers = {"accept": MEDIA} | self.key(scope) | how.pop("headers", {})
        return self.client.request(method, path, headers=headers, **how)

    def taxii(self, path: str, scope: Scope = Scope.OPERATOR, **query: Any) -> httpx.Response:
        return self.ask("GET", ROOT + path, scope, params=query)

    def objects(self, circle: Circle, scope: Scope = Scope.OPERATOR, **query: Any) -> list[dict[str, Any]]:
        """All of a collection, page by page."""
        found: list[dict[str, Any]] = []
        while True:
            got = self.taxii(f"/collections/{circle}/objects/", scope, **query)
            assert got.status_code == 200, got.text
            page = got.json()
            found += page.get("objects", [])
            if not page.get("more"):
                return found
            query["next"] = page["next"]

    def post(self, body: Any, scope: Scope = Scope.OPERATOR, **headers: str) -> httpx.Response:
        """Objects for the inbox."""
        how: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body}
        return self.ask(
            "POST", f"{ROOT}/collections/inbox/objects/", scope, headers={"content-type": MEDIA} | headers, **how
        )
