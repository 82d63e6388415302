"""Reading scenarios: ours by name, anybody's by path; and what their schema cannot say."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from tocsin_protocol.errors import DecodeError
from tocsin_protocol.exposure.manifest import LINK_SUBJECTS
from tocsin_protocol.ids import check_slug

from ..errors import ConfigError
from ..manifest_sections import subject_of
from ..toml_files import check_document, read_toml
from .scenario import MAX_SIGNALS, Kind, Member, Scenario, Scope
from .subjects import kind_of

SCENARIO_DIR = Path(__file__).parent / "scenarios"


def load_scenario(path: Path) -> Scenario:
    """Read one scenario; raises ConfigError naming file and key. Without a name it is called as its file."""
    document = read_toml(path)
    scenario = check_document(path, {"name": path.stem, **document}, Scenario)
    _check(path, scenario)
    return scenario


def list_scenarios(directory: Path = SCENARIO_DIR) -> list[Path]:
    """The scenario files of a directory, by name."""
    return sorted(directory.glob("*.toml"))


def find_scenario(name: str) -> Path:
    """The file of a scenario: one of ours by its name, or a path. Raises ConfigError."""
    ours = {path.stem: path for path in list_scenarios()}
    path = Path(name)
    if name in ours and not path.is_file():
        return ours[name]
    if not path.is_file():
        raise ConfigError(name, "", f"is neither a scenario file nor one of ours ({', '.join(sorted(ours))})")
    return path


def _check(path: Path, scenario: Scenario) -> None:
    """What the schema cannot say: names that are meant exist, times fit, money adds up."""
    try:
        _check_slug(path, "name", scenario.name)
        members = _unique(path, "member", "name", [member.name for member in scenario.member])
        for n, member in enumerate(scenario.member):
            _check_slug(path, f"member[{n}].name", member.name)
        if scenario.seat not in members:
            raise ConfigError(path, "seat", f"is no member ({', '.join(sorted(members))})", found=scenario.seat)
        _check_seat(path, next(member for member in scenario.member if member.name == scenario.seat))
        _unique(path, "scope", "id", [scope.id for scope in scenario.scope])
        _unique(path, "scope", "name", [scope.name for scope in scenario.scope])
        _unique(path, "report", "id", [report.id for report in scenario.report if report.id])
        for n, scope in enumerate(scenario.scope):
            _check_scope(path, f"scope[{n}]", scope, scenario.lasts_s)
        _check_reports(path, scenario)
        _check_kind(path, scenario)
    except DecodeError as exc:
        raise ConfigError(path, "", str(exc)) from exc


def _check_seat(path: Path, seat: Member) -> None:
    if seat.copies != 1 or seat.publishers != 1 or not seat.in_roster:
        raise ConfigError(path, "seat", "is not one publisher of one member in the roster", found=seat.name)


def _check_scope(path: Path, where: str, scope: Scope, lasts_s: int) -> None:
    _checked(path, f"{where}.id", scope.id, subject_of)
    _check_slug(path, f"{where}.name", scope.name)
    for n, dependency in enumerate(scope.depends_on):
        at = f"{where}.depends_on[{n}]"
        _checked(path, f"{at}.subject", dependency.subject, subject_of)
        wanted = LINK_SUBJECTS[dependency.link]
        if kind_of(dependency.subject) not in wanted:
            raise ConfigError(path, f"{at}.link", f"is of {', '.join(sorted(wanted))}", found=str(dependency.link))
    for name, losses in (("loss", scope.loss), ("outflow", scope.outflow or [])):
        for n, loss in enumerate(losses):
            if not loss.at_s <= loss.ends_s <= lasts_s:
                raise ConfigError(path, f"{where}.{name}[{n}]", f"is not within 0…{lasts_s} s, beginning first")
    if sum(loss.usd for loss in scope.loss) > scope.at_stake_usd:
        raise ConfigError(path, f"{where}.at_stake_usd", "is less than all losses", found=scope.at_stake_usd)


def _check_reports(path: Path, scenario: Scenario) -> None:
    members = {member.name: member for member in scenario.member}
    known: set[str] = set()
    signals = 0
    for n, report in enumerate(scenario.report):
        where = f"report[{n}]"
        if report.by not in members:
            raise ConfigError(path, f"{where}.by", f"is no member ({', '.join(sorted(members))})", found=report.by)
        _checked(path, f"{where}.subject", report.subject, subject_of)
        if (report.relation is None) is not (report.to == ""):
            missing = "relation" if report.relation is None else "to"
            raise ConfigError(path, f"{where}.{missing}", "is missing: relation and to belong together")
        if report.to and report.to not in known:
            raise ConfigError(path, f"{where}.to", "is the id of no earlier report", found=report.to)
        if (report.every_s is None) is not (report.times == 1):
            raise ConfigError(path, f"{where}.every_s", "belongs together with times of 2 or more")
        last_s = report.at_s + (report.every_s or 0) * (report.times - 1)
        if max(last_s, report.arrives_s or 0) > scenario.lasts_s:
            raise ConfigError(path, where, f"comes after lasts_s = {scenario.lasts_s}")
        known.add(report.id)
        signals += report.times * members[report.by].copies * members[report.by].publishers
    if signals > MAX_SIGNALS:
        raise ConfigError(path, "report", f"makes {signals} signals where at most {MAX_SIGNALS} are allowed")


def _check_kind(path: Path, scenario: Scenario) -> None:
    is_attack = scenario.kind is Kind.ATTACK
    if is_attack and scenario.threat is None:
        raise ConfigError(path, "threat", "is missing: an attack says when holding still is right")
    if scenario.kind is Kind.CONTROL and scenario.threat is not None:
        raise ConfigError(path, "threat", "stands in a control, where holding still is never right")
    if scenario.threat is None and any(scope.loss for scope in scenario.scope):
        raise ConfigError(path, "scope", "loses something, though there is no threat")
    if scenario.people is not None and scenario.threat is None:
        raise ConfigError(path, "people", "contained something, though there is no threat")


def _unique(path: Path, section: str, key: str, names: Iterable[str]) -> set[str]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ConfigError(path, f"{section}.{key}", "stands twice", found=name)
        seen.add(name)
    return seen


def _check_slug(path: Path, where: str, text: str) -> None:
    _checked(path, where, text, check_slug)


def _checked(path: Path, where: str, text: str, check: Callable[[str], object]) -> None:
    try:
        check(text)
    except DecodeError as exc:
        raise ConfigError(path, where, str(exc)) from exc
