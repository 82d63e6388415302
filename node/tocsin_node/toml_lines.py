"""On which line each key of a TOML file stands: tomllib says what a file holds, and not where."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass

# A key path as in Python: ("lever", 0, "scopes", 1).
Location = tuple[str | int, ...]

_TOKEN = re.compile(
    r"""(?P<skip>[ \t\r\ufeff]+|\#[^\n]*)
      | (?P<end>\n)
      | (?P<text>\"{3}(?:\\.|[^\\])*?\"{3,5}|'{3}.*?'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*')
      | (?P<mark>[\[\]{}=,.])
      | (?P<bare>[^\s\[\]{}=,."'#]+)""",
    re.DOTALL | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    line: int


def find_lines(text: str) -> dict[Location, int]:
    """The line (from 1) of each table, key and array element, by its path; `text` is TOML that tomllib took."""
    return _Reader(tuple(_tokens(text))).read()


def line_of(text: str, location: Location) -> int | None:
    """The line of a key, or of the innermost table around it that is there; None for the file as a whole."""
    lines = find_lines(text)
    return next((lines[location[:n]] for n in range(len(location), 0, -1) if location[:n] in lines), None)


def spell_key(location: Location) -> str:
    """A path as it is written in a sentence: `lever[0].scopes[1]`, `pins."a.b".min`."""
    spelled = ""
    for part in location:
        if isinstance(part, int):
            spelled += f"[{part}]"
        else:
            bare = part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else f'"{part}"'
            spelled += f".{bare}" if spelled else bare
    return spelled


def _tokens(text: str) -> Iterator[_Token]:
    line = 1
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        if kind != "skip":
            yield _Token(kind, match[0], line)
        line += match[0].count("\n")
    yield _Token("end", "", line)


class _Reader:
    """One pass over the tokens of a document that is known to be right."""

    def __init__(self, tokens: tuple[_Token, ...]) -> None:
        self._tokens = tokens
        self._at = 0
        self._lines: dict[Location, int] = {}
        # how many tables each array of tables has so far
        self._counts: dict[Location, int] = {}

    def read(self) -> dict[Location, int]:
        table: Location = ()
        while self._at < len(self._tokens):
            if self._tokens[self._at].kind == "end":
                self._at += 1
            elif self._is("["):
                table = self._header()
            else:
                self._pair(table)
        return self._lines

    def _header(self) -> Location:
        line = self._tokens[self._at].line
        is_array = self._is("[", 1)
        self._at += 2 if is_array else 1
        keys = self._keys()
        self._at += 2 if is_array else 1
        table = self._within(keys[:-1]) + keys[-1:]
        if is_array:
            count = self._counts.get(table, 0)
            self._counts[table] = count + 1
            table += (count,)
        self._mark(table, line)
        return table

    def _within(self, keys: Location) -> Location:
        """A path through arrays of tables, whose last table is the one that is meant."""
        location: Location = ()
        for key in keys:
            location += (key,)
            if location in self._counts:
                location += (self._counts[location] - 1,)
        return location

    def _pair(self, table: Location) -> None:
        line = self._tokens[self._at].line
        location = table + self._keys()
        self._mark(location, line)
        self._at += 1  # the equals sign
        self._value(location)

    def _keys(self) -> Location:
        keys = [self._key()]
        while self._is("."):
            self._at += 1
            keys.append(self._key())
        return tuple(keys)

    def _key(self) -> str:
        token = self._tokens[self._at]
        self._at += 1
        if token.kind != "text":
            return token.text
        return str(tomllib.loads(f"key = {token.text}")["key"])

    def _value(self, location: Location) -> None:
        if self._is("["):
            self._items(location)
        elif self._is("{"):
            self._inline(location)
        else:
            # a number may be several tokens, as 3.5 is
            while not (self._tokens[self._at].kind == "end" or self._is(",") or self._is("]") or self._is("}")):
                self._at += 1

    def _items(self, location: Location) -> None:
        self._at += 1
        self._skip_ends()
        count = 0
        while not self._is("]"):
            self._mark((*location, count), self._tokens[self._at].line)
            self._value((*location, count))
            count += 1
            self._skip_ends()
        self._at += 1

    def _inline(self, location: Location) -> None:
        self._at += 1
        self._skip_ends()
        while not self._is("}"):
            self._pair(location)
            self._skip_ends()
        self._at += 1

    def _skip_ends(self) -> None:
        """Pass over line ends and commas."""
        while self._is(",") or (self._tokens[self._at].kind == "end" and self._tokens[self._at].text):
            self._at += 1

    def _is(self, mark: str, ahead: int = 0) -> bool:
        at = self._at + ahead
        return at < len(self._tokens) and self._tokens[at].kind == "mark" and self._tokens[at].text == mark

    def _mark(self, location: Location, line: int) -> None:
        """Note where a path first stands, and every table that it makes on the way."""
        for end in range(1, len(location) + 1):
            self._lines.setdefault(location[:end], line)
