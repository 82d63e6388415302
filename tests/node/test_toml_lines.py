"""On which line a key of a TOML file stands, whatever way it is written."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tocsin_node.toml_lines import Location, find_lines, line_of, spell_key

REPOSITORY = Path(__file__).parents[2]
TRICKY = (
    '''\
# a comment with [brackets] and = signs
top = 1
"quoted.key" = 'x # no comment'
a.b . "c d" = """
[not.a.table]
key = "no key" \\""" still """""
[table]   # a header
list = [ # of several lines
  1, 2.5,

  [ "a,]", 'b' ],
  { x = 1, y.z = [3,
    4] }, # the last
]
when = 2026-01-31 12:00:00Z
[ [ nested ] ]
'''.replace("[ [ nested ] ]", "[[nested]]")
    + """\
name = 'first'
[nested.sub]
k = true
[[nested.deep]]
n = 1
[[nested.deep]]
n = 2
[[nested]]
name = '''
[[nested]]
'''
[nested.'sub']
k = false
"""
)
WHERE: dict[Location, int] = {
    ("top",): 2,
    ("quoted.key",): 3,
    ("a", "b", "c d"): 4,
    ("table",): 7,
    ("table", "list"): 8,
    ("table", "list", 0): 9,
    ("table", "list", 1): 9,
    ("table", "list", 2, 1): 11,
    ("table", "list", 3, "x"): 12,
    ("table", "list", 3, "y", "z", 1): 13,
    ("table", "when"): 15,
    ("nested", 0): 16,
    ("nested", 0, "name"): 17,
    ("nested", 0, "sub", "k"): 19,
    ("nested", 0, "deep", 1, "n"): 23,
    ("nested", 1): 24,
    ("nested", 1, "name"): 25,
    ("nested", 1, "sub", "k"): 29,
}


def paths(value: Any, at: Location = ()) -> Iterator[Location]:
    """Every key and place in a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in items:
        yield (*at, key)
        yield from paths(below, (*at, key))


@pytest.mark.parametrize(("location", "line"), WHERE.items(), ids=lambda value: str(value))
def test_key_is_found_however_it_is_written(location: Location, line: int) -> None:
    assert find_lines(TRICKY)[location] == line


@pytest.mark.parametrize("name", ["node", "policy", "manifest"])
def test_every_key_of_an_example_has_its_line(name: str) -> None:
    text = (REPOSITORY / "deploy" / f"{name}.example.toml").read_text()
    lines, rows = find_lines(text), text.splitlines()
    assert set(lines) == set(paths(tomllib.loads(text)))
    for location, line in lines.items():
        if isinstance(location[-1], str):
            assert location[-1] in rows[line - 1]


def test_tricky_file_is_read_whole() -> None:
    assert set(find_lines(TRICKY)) == set(paths(tomllib.loads(TRICKY)))


_KEYS = st.text(alphabet="abc.\"'# ü", min_size=1, max_size=4)
_VALUES = st.recursive(
    st.integers(0, 9) | st.booleans() | st.floats(0, 1) | st.text(alphabet="ab\"'[]{}#,=\\\n", max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=8,
)


def write_toml(value: Any) -> str:
    match value:
        case dict():
            return "{" + ", ".join(f"{quote(key)} = {write_toml(item)}" for key, item in value.items()) + "}"
        case list():
            return "[\n" + ",\n".join(write_toml(item) for item in value) + "]"
        case bool():
            return str(value).lower()
        case str():
            return quote(value)
        case _:
            return repr(value)


def quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


@settings(deadline=None, derandomize=True, max_examples=150)
@given(st.lists(st.dictionaries(_KEYS, _VALUES, max_size=4), max_size=3))
def test_paths_are_those_of_the_document(tables: list[dict[str, Any]]) -> None:
    text = "".join(
        "[[t]]\n" + "".join(f"{quote(key)} = {write_toml(value)}\n" for key, value in table.items()) for table in tables
    )
    lines = find_lines(text)
    assert set(lines) == set(paths(tomllib.loads(text)))
    starts = [n for n, row in enumerate(text.splitlines(), 1) if row == "[[t]]"]
    assert [lines["t", n] for n in range(len(tables))] == starts


def test_missing_key_has_the_line_of_what_it_is_missing_from() -> None:
    assert line_of(TRICKY, ("nested", 1, "nothing", 3)) == 24
    assert line_of(TRICKY, ("nothing",)) is None
    assert line_of(TRICKY, ()) is None


def test_path_is_spelled_as_in_the_file() -> None:
    assert spell_key(("lever", 0, "scopes", 1)) == "lever[0].scopes[1]"
    assert spell_key(("pins", "a.b", "min")) == 'pins."a.b".min'
    assert spell_key(()) == ""
