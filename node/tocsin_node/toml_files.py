"""TOML files checked by pydantic models, whose errors are one sentence: file, line, key, value, what was wanted."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, ValidationInfo
from pydantic.fields import FieldInfo

from .errors import ConfigError
from .toml_lines import Location, line_of, spell_key

MAX_TOML_BYTES = 1024 * 1024
# More names than these are not told where one of them may have been meant.
MAX_NAMES_TOLD = 6

_AT_LINE = re.compile(r"at line (\d+)")
_NOTHING = object()

_M = TypeVar("_M", bound=BaseModel)


class Section(BaseModel):
    """Base of what is written in a TOML file: no unknown keys, no conversions, unchangeable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _resolve(path: Path, info: ValidationInfo) -> Path:
    directory: Path = (info.context or {}).get("directory", Path())
    return directory / path.expanduser()


# A path in a file is meant relative to that file.
FilePath = Annotated[Path, AfterValidator(_resolve)]


@dataclass(frozen=True, slots=True)
class TomlFile:
    """A TOML file as it was read: its text, for lines, and what it says."""

    path: Path
    text: str
    document: dict[str, Any]

    def check(self, model: type[_M]) -> _M:
        """The file as a model; raises ConfigError about the first thing that is wrong."""
        # As JSON, strict still reads an array as a tuple and a text as a path or an enumeration.
        try:
            text = json.dumps(self.document, default=str)
        except RecursionError as exc:
            raise ConfigError(self.path, "", "is nested too deeply") from exc
        try:
            return model.model_validate_json(text, context={"directory": self.path.absolute().parent})
        except ValidationError as exc:
            raise self._explain(model, exc) from exc

    def error(self, location: Location, wanted: str) -> ConfigError:
        """What is wrong with the key at a location, with its line and the value that stands there."""
        found: Any = self.document if location else _NOTHING
        for part in location:
            found = _below(found, part)
        shown = None if found is _NOTHING or isinstance(found, dict) else found
        line = line_of(self.text, location)
        return ConfigError(self.path, spell_key(location), wanted, found=shown, line=line)

    def _explain(self, model: type[BaseModel], exc: ValidationError) -> ConfigError:
        """One of pydantic's errors as a sentence: a slip in a key before the missing key that it makes."""
        errors = exc.errors(include_url=False)
        error = next((error for error in errors if error["type"] == "extra_forbidden"), errors[0])
        location, found = _locate(self.document, error["loc"])
        kind, message = error["type"], error["msg"].removeprefix("Value error, ")
        if kind == "extra_forbidden":
            line = line_of(self.text, location)
            wanted = "is no known key" + _suggestion(model, error["loc"])
            return ConfigError(self.path, spell_key(location), wanted, line=line)
        if kind == "missing":
            return self.error(location, "is missing")
        if kind.startswith("union_tag"):
            tag = str(error["ctx"]["discriminator"]).strip("'")
            is_there = isinstance(found, dict) and tag in found
            wanted = f"one of {error['ctx'].get('expected_tags', '')} is wanted" if is_there else "is missing"
            return self.error((*location, tag), wanted)
        if kind in ("enum", "literal_error"):
            name = location[-1] if error["loc"][-1] == "[key]" else found
            return self.error(location, _one_of(name, str(error["ctx"]["expected"])))
        if message.startswith("Input should be "):
            message = message.removeprefix("Input should be ") + " is wanted"
        return self.error(location, message)


def open_toml(path: Path) -> TomlFile:
    """Read a TOML file; raises ConfigError with its line."""
    return parse_toml(path, read_bytes(path, MAX_TOML_BYTES))


def read_toml(path: Path) -> dict[str, Any]:
    """What a TOML file says; raises ConfigError with its line."""
    return open_toml(path).document


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """Read a file that may not be longer than that; raises ConfigError."""
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as exc:
        raise ConfigError(path, "", f"cannot be read: {exc.strerror}") from exc
    if len(data) > max_bytes:
        raise ConfigError(path, "", f"is longer than {max_bytes} bytes")
    return data


def parse_toml(path: Path, data: bytes) -> TomlFile:
    """Parse what stands, or is to stand, in the file at `path`; raises ConfigError with its line."""
    text = ""
    try:
        text = data.decode()
        return TomlFile(path, text, tomllib.loads(text))
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise ConfigError(path, "", f"is not TOML: not UTF-8: {exc.reason}", line=line) from exc
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(path, "", f"is not TOML: {exc}", line=_line_in(str(exc), text)) from exc
    except RecursionError as exc:
        raise ConfigError(path, "", "is nested too deeply") from exc


def load_toml(path: Path, model: type[_M]) -> _M:
    """Read a TOML file into a model; raises ConfigError about the first thing that is wrong."""
    return open_toml(path).check(model)


def check_document(path: Path, document: dict[str, Any], model: type[_M]) -> _M:
    """Check a document that is not quite what stands in the file, so without lines; raises ConfigError."""
    return TomlFile(path, "", document).check(model)


def suggest(name: str, known: Iterable[str]) -> str:
    """What may have been meant by a name that is none of the known ones, as the rest of a sentence."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f": did you mean {near[0]!r}?"
    return f" (known are {', '.join(names)})" if names else ""


def _one_of(found: Any, expected: str) -> str:
    """That one of the expected texts is wanted, and which of many may have been meant."""
    names = re.findall(r"'([^']*)'", expected)
    if len(names) > MAX_NAMES_TOLD and difflib.get_close_matches(str(found), names, n=1):
        return "is none of those there are" + suggest(str(found), names)
    return f"{expected} is wanted"


def _line_in(message: str, text: str) -> int:
    """The line in a message of tomllib, which says "(at end of document)" of the last one."""
    match = _AT_LINE.search(message)
    return int(match[1]) if match else text.count("\n") + 1


def _locate(document: Any, location: Location) -> tuple[Location, Any]:
    """The path as it is written in the file, and the value there, if there is one.

    Tags of unions stand in pydantic's location but not in the file: they are left out.
    """
    path: Location = ()
    value = document
    for place, part in enumerate(location):
        below = _below(value, part)
        if below is not _NOTHING:
            path, value = (*path, part), below
        elif place == len(location) - 1 and part != "[key]":
            return (*path, part), None
    return path, value


def _below(value: Any, part: int | str) -> Any:
    """What stands at a key of a table or a place in an array; _NOTHING where nothing does."""
    if isinstance(value, list) and isinstance(part, int) and part < len(value):
        return value[part]
    return value.get(part, _NOTHING) if isinstance(value, dict) else _NOTHING


def _suggestion(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    return suggest(str(location[-1]), _names_at(model, location[:-1]))


def _names_at(model: type[BaseModel], location: tuple[int | str, ...]) -> set[str]:
    """The keys of the section that stands at a location; empty where that is not a plain section."""
    current: type[BaseModel] | None = model
    for part in location:
        if isinstance(part, str) and current is not None:
            fields = {_name(name, field): field for name, field in current.model_fields.items()}
            current = _section_in(fields[part].annotation) if part in fields else None
    return {_name(name, field) for name, field in current.model_fields.items()} if current else set()


def _name(name: str, field: FieldInfo) -> str:
    return field.alias or name


def _section_in(annotation: Any) -> type[BaseModel] | None:
    """The section that a field is, or is a list of."""
    kinds = [kind for kind in (annotation, *getattr(annotation, "__args__", ())) if isinstance(kind, type)]
    return next((kind for kind in kinds if issubclass(kind, BaseModel)), None)
