"""The file of a calibrated model: what `tocsin risk calibrate` writes and [risk] names; and the incidents it reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tocsin_protocol.errors import ProtocolError
from tocsin_protocol.risk.calibration import MAX_INCIDENTS, PastIncident
from tocsin_protocol.risk.model import DEFAULT_MODEL, MODEL_VERSION, Model
from tocsin_protocol.risk.severity import Severity

from .errors import ConfigError
from .toml_files import read_bytes

MAX_MODEL_BYTES = 64 * 1024
MAX_INCIDENTS_BYTES = 256 * 1024 * 1024
MAX_LINE_BYTES = 1024 * 1024
MAX_ATTACKERS = 1_000
MICRO = 1_000_000
_NAMES = (
    *("base_hazard", "again_share", "again_half_life_ms", "containment_ms", "residual_share", "source"),
    *("median_micro_usd", "sigma", "splice_micro_usd", "tail_index"),
)
_OF_SEVERITY = frozenset(_NAMES[6:])


def model_document(model: Model) -> dict[str, Any]:
    """A model as its file has it; `hash` is for people."""
    numbers = {name: getattr(model.severity if name in _OF_SEVERITY else model, name) for name in _NAMES}
    return {"version": MODEL_VERSION, **numbers, "hash": "0x" + model.hash.hex()}


def load_model(path: Path | None) -> Model:
    """The model in a file, the default without one; raises ConfigError naming what is wrong."""
    if path is None:
        return DEFAULT_MODEL
    try:
        document = json.loads(read_bytes(path, MAX_MODEL_BYTES))
    except (ValueError, RecursionError) as exc:
        raise ConfigError(path, "", "is not JSON: tocsin risk calibrate writes it") from exc
    if type(document) is not dict or document.get("version") != MODEL_VERSION:
        raise ConfigError(path, "version", f"{MODEL_VERSION} is wanted")
    for name in _NAMES:
        wanted = (str,) if name == "source" else (int, float)
        if type(document.get(name)) not in wanted:
            kind = "a text" if name == "source" else "a number"
            raise ConfigError(path, name, f"{kind} is wanted", found=document.get(name, "(missing)"))
    values = {name: document[name] for name in _NAMES}
    try:
        severity = Severity(**{name: value for name, value in values.items() if name in _OF_SEVERITY})
        model = Model(**{name: v for name, v in values.items() if name not in _OF_SEVERITY}, severity=severity)
    except ProtocolError as exc:
        raise ConfigError(path, "", str(exc)) from exc
    if document.get("hash") != "0x" + model.hash.hex():
        raise ConfigError(path, "hash", "is not that of the numbers: was the file edited?", found=document.get("hash"))
    return model


def read_incidents(path: Path) -> list[PastIncident]:
    """Incidents, one JSON object a line: `date`, `loss_usd` (number or null), `attacker_addresses`, if any.

    Raises ConfigError naming the line.
    """
    return list(_incidents(path))


def _incidents(path: Path) -> Iterator[PastIncident]:
    lines = read_bytes(path, MAX_INCIDENTS_BYTES).splitlines()
    if len(lines) > MAX_INCIDENTS:
        raise ConfigError(path, "", f"has {len(lines)} lines where at most {MAX_INCIDENTS} are read")
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _incident(path, number, line)


def _incident(path: Path, number: int, line: bytes) -> PastIncident:
    def wrong(key: str, wanted: str, found: Any = None) -> ConfigError:
        return ConfigError(path, key, wanted, found=found, line=number)

    if len(line) > MAX_LINE_BYTES:
        raise wrong("", f"is longer than {MAX_LINE_BYTES} bytes")
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise wrong("", "is not JSON") from exc
    if type(fields) is not dict:
        raise wrong("", "is not a JSON object")
    date, loss, attackers = fields.get("date"), fields.get("loss_usd"), fields.get("attacker_addresses") or []
    try:
        at = datetime.fromisoformat(date if type(date) is str else "")
    except ValueError as exc:
        raise wrong("date", "a date such as 2024-09-03 is wanted", date) from exc
    # NaN compares with nothing, so it is refused here too.
    if loss is not None and (type(loss) not in (int, float) or not 0 <= loss <= 1e12):
        raise wrong("loss_usd", "a number of dollars or null is wanted", loss)
    if type(attackers) is not list or len(attackers) > MAX_ATTACKERS or any(type(one) is not str for one in attackers):
        raise wrong("attacker_addresses", "a list of addresses is wanted")
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    micro = None if loss is None else round(loss * MICRO)
    return PastIncident(round(at.timestamp() * 1000), micro, frozenset(one.lower() for one in attackers))
