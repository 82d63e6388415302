"""TOML files checked by pydantic models, whose errors are one sentence: file, key, value, what was wanted."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, ValidationInfo
from pydantic.fields import FieldInfo

from .errors import ConfigError

MAX_TOML_BYTES = 1024 * 1024

_M = TypeVar("_M", bound=BaseModel)


class Section(BaseModel):
    """Base of what is written in a TOML file: no unknown keys, no conversions, unchangeable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _resolve(path: Path, info: ValidationInfo) -> Path:
    directory: Path = (info.context or {}).get("directory", Path())
    return directory / path.expanduser()


# A path in a file is meant relative to that file.
FilePath = Annotated[Path, AfterValidator(_resolve)]


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; raises ConfigError with line and column."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_TOML_BYTES + 1)
        if len(data) > MAX_TOML_BYTES:
            raise ConfigError(path, "", f"is longer than {MAX_TOML_BYTES} bytes")
        return parse_toml(path, data.decode())
    except OSError as exc:
        raise ConfigError(path, "", f"cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(path, "", f"is not TOML: {exc}") from exc


def parse_toml(path: Path, text: str) -> dict[str, Any]:
    """Parse what stands, or is to stand, in the file at `path`; raises ConfigError with line and column."""
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as exc:
        raise ConfigError(path, "", f"is not TOML: {exc}") from exc


def load_toml(path: Path, model: type[_M]) -> _M:
    """Read a TOML file into a model; raises ConfigError about the first thing that is wrong."""
    return check_document(path, read_toml(path), model)


def check_document(path: Path, document: Mapping[str, Any], model: type[_M]) -> _M:
    """Check a document that was read from `path`; raises ConfigError about the first thing that is wrong."""
    # As JSON, strict still reads an array as a tuple and a text as a path or an enumeration.
    try:
        text = json.dumps(document, default=str)
    except RecursionError as exc:
        raise ConfigError(path, "", "is nested too deeply") from exc
    try:
        return model.model_validate_json(text, context={"directory": path.absolute().parent})
    except ValidationError as exc:
        raise explain(path, document, model, exc) from exc


def explain(path: Path, document: Mapping[str, Any], model: type[BaseModel], exc: ValidationError) -> ConfigError:
    """One of pydantic's errors as a sentence: a slip in a key before the missing key that it makes."""
    errors = exc.errors(include_url=False)
    error = next((error for error in errors if error["type"] == "extra_forbidden"), errors[0])
    key, found, is_there = _locate(document, error["loc"])
    kind, message = error["type"], error["msg"].removeprefix("Value error, ")
    if kind == "extra_forbidden":
        return ConfigError(path, key, "is no known key" + _suggestion(model, error["loc"]))
    if kind == "missing" or not is_there:
        return ConfigError(path, key, "is missing" if kind == "missing" else message)
    if kind.startswith("union_tag"):
        return _wrong_tag(path, key, found, error["ctx"])
    if message.startswith("Input should be "):
        message = message.removeprefix("Input should be ") + " is wanted"
    return ConfigError(path, key, message, found=None if isinstance(found, dict) else found)


def _locate(document: Any, location: tuple[int | str, ...]) -> tuple[str, Any, bool]:
    """The key as it is written in the file, its value, and whether it is there.

    Tags of unions stand in pydantic's location but not in the file: they are left out.
    """
    key, value = "", document
    for place, part in enumerate(location):
        if isinstance(part, int) and isinstance(value, list) and part < len(value):
            key, value = f"{key}[{part}]", value[part]
        elif isinstance(value, dict) and part in value:
            key, value = f"{key}.{part}" if key else str(part), value[part]
        elif place == len(location) - 1 and part != "[key]":
            return (f"{key}.{part}" if key else str(part)), None, False
    return key, value, True


def _wrong_tag(path: Path, key: str, found: Any, context: Mapping[str, Any]) -> ConfigError:
    """A section of several kinds whose kind is missing or unknown."""
    tag, wanted = str(context["discriminator"]).strip("'"), f"one of {context.get('expected_tags', '')} is wanted"
    if not isinstance(found, dict) or tag not in found:
        return ConfigError(path, f"{key}.{tag}", "is missing")
    return ConfigError(path, f"{key}.{tag}", wanted, found=found[tag])


def _suggestion(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    names = _names_at(model, location[:-1])
    near = difflib.get_close_matches(str(location[-1]), sorted(names), n=1)
    if near:
        return f": did you mean {near[0]!r}?"
    return f" (known are {', '.join(sorted(names))})" if names else ""


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
