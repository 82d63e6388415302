"""The dashboard's files: what they may load and run, and that nothing else is served by their names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from api_kit import Desk
from tocsin_node.api.web import pages

STATIC = Path(str(pages.__file__)).parent / "static"
FILES = sorted(STATIC.iterdir())
SVG = "http://www.w3.org/2000/svg"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_is_served_as_what_it_is_and_may_load_nothing_from_elsewhere(desk: Desk, file: Path) -> None:
    found = desk.client.request("GET", f"/dashboard/{file.name}")
    assert (found.status_code, found.content) == (200, file.read_bytes())
    policy = found.headers["content-security-policy"]
    assert policy.startswith("default-src 'self'; ")
    assert "unsafe" not in policy
    for part in (
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "object-src 'none'",
        "require-trusted-types-for 'script'",
    ):
        assert part in policy
    assert found.headers["x-content-type-options"] == "nosniff"
    again = desk.client.request("GET", f"/dashboard/{file.name}", headers={"if-none-match": found.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_names_no_other_place_and_writes_no_markup(file: Path) -> None:
    text = file.read_text().replace(SVG, "")
    assert "://" not in text
    if file.suffix == ".js":
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function|\bstyle\b\s*=", text
        )
        imported = re.findall(r'from "\./([a-z]+\.js)"', text)
        assert {name for name in imported if not (STATIC / name).is_file()} == set()
    if file.suffix == ".html":
        assert re.findall(r"<script(?![^>]*src=)|<style|\sstyle=|\son[a-z]+=", text) == []


def test_the_root_leads_to_the_dashboard(desk: Desk) -> None:
    root = desk.client.request("GET", "/")
    assert (root.status_code, root.headers["location"]) == (307, "/dashboard/")
    index = desk.client.request("GET", "/dashboard/")
    assert (index.status_code, index.headers["content-type"]) == (200, "text/html; charset=utf-8")


@pytest.mark.parametrize("name", ["nothing.js", "..%2fpages.py", "%2e%2e%2fpages.py", "static", "%00", "stix"])
def test_what_is_no_file_of_it_is_not_there(desk: Desk, name: str) -> None:
    found = desk.client.request("GET", f"/dashboard/{name}")
    assert found.status_code == 404
    assert found.headers["content-type"] == "application/problem+json"
