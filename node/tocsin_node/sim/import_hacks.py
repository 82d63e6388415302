"""Scenarios from a user's own clone of SunWeb3Sec/DeFiHackLabs (Apache-2.0); nothing of it is part of the project.

Its README pages list incidents by date, name, cause and loss, each with a proof of concept whose head names the
chain, the victim and the transactions.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tocsin_protocol.taxonomy import Category, EvidenceKind

from ..errors import ConfigError
from ..policy_file import MAX_USD
from .scenario_files import load_scenario

# A page of it is a few hundred KB, a proof of concept a few dozen.
MAX_PAGE_BYTES, MAX_SOURCE_BYTES = 8 * 1024 * 1024, 2 * 1024 * 1024
MAX_INCIDENTS = 5_000

_PAGES = ("README.md", "past/*/README.md")
_HEADING = re.compile(r"^###\s+(\d{8})\s+(.+?)\s*$", re.MULTILINE)
_SOURCE = re.compile(r"\]\((?:\.\./)*(?:\./)?(src/test/[^)\s]+\.sol)\)")
_LOST = re.compile(r"Lost\s*:\s*(.+)", re.IGNORECASE)
_AMOUNT = re.compile(
    r"(?P<dollar>\$)?[\s~>≈]*(?<![\w.,-])(?P<number>\d[\d,]*(?:\.\d+)?)\s*(?P<size>k|m|b|million|billion)?\b\s*\$?(?P<unit>[a-z$]*)",
    re.IGNORECASE,
)
_USD = frozenset(("usd", "us$", "us", "dollars"))
_STABLE = frozenset(("usdt", "usdc", "busd", "dai"))
_SIZES = {"": 1, "k": 1e3, "m": 1e6, "million": 1e6, "b": 1e9, "billion": 1e9}
_FORK = re.compile(r"createSelectFork\(\s*\"?([\w-]+)\"?")
_EXPLORER = re.compile(r"https?://([\w.]+)/(?:address|token)/(0x[0-9a-fA-F]{40})")
_VICTIM = re.compile(
    r"(?:vulnerable|victim)[^\n]*?(https?://[\w.]+/(?:address|token)/0x[0-9a-fA-F]{40})", re.IGNORECASE
)
_CHAINS = {
    "mainnet": (1, 12.0), "ethereum": (1, 12.0), "bsc": (56, 3.0), "polygon": (137, 2.0), "arbitrum": (42161, 1.0),
    "optimism": (10, 2.0), "base": (8453, 2.0), "avalanche": (43114, 2.0), "fantom": (250, 1.0), "gnosis": (100, 5.0),
}  # fmt: skip
# What the page says of the cause, by a word in it: the category that members would report, and what they would show.
_CATEGORIES = (
    ("oracle", Category.ORACLE_MANIPULATION, EvidenceKind.PRICE),
    ("price", Category.ORACLE_MANIPULATION, EvidenceKind.PRICE),
    ("flash", Category.FLASHLOAN_ATTACK, EvidenceKind.TRANSACTION),
    ("key", Category.KEY_COMPROMISE, EvidenceKind.BALANCE),
    ("governance", Category.GOVERNANCE_TAKEOVER, EvidenceKind.TRANSACTION),
    ("bridge", Category.BRIDGE_MESSAGE_FORGERY, EvidenceKind.TRANSACTION),
)
_REPORTERS = (
    ("victim", "victim-labs", "own-node-v", 240, 900, 30),
    ("watcher-a", "watchtower", "quicknode", 75, 360, 15),
    ("watcher-b", "sentinel", "own-node-b", 120, 600, 20),
    ("watcher-c", "in-house-c", "own-node-c", 240, 900, 25),
)
_DOUBTS = (
    "The second victim is made up: one that stands to lose as much, {} minutes later, within half an hour."
    " So is who reports how fast."
)


@dataclass(frozen=True, slots=True)
class Hack:
    """One incident of the clone; the loss is in USD."""

    date: datetime
    protocol: str
    cause: str
    loss_usd: int
    chain_id: int
    block_s: float
    victim: str
    source: str


@dataclass(frozen=True, slots=True)
class Imported:
    """The files written, and how many incidents were left out, by why."""

    written: tuple[Path, ...]
    left_out: dict[str, int]


def import_clone(clone: Path, out_dir: Path, after_minutes: int) -> Imported:
    """Write a scenario for each incident of which enough is known; raises ConfigError."""
    left_out: Counter[str] = Counter()
    written: dict[str, Path] = {}
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        for hack in list(read_hacks(clone, left_out))[:MAX_INCIDENTS]:
            name = f"dhl-{hack.date:%Y%m%d}-{_slug(hack.protocol)}"[:64].rstrip("-.")
            if name in written:
                left_out["it is there twice"] += 1
                continue
            path = out_dir / f"{name}.toml"
            path.write_text(write_scenario(hack, after_minutes), encoding="utf-8")
            load_scenario(path)
            written[name] = path
    except OSError as exc:
        raise ConfigError(out_dir, "", f"cannot be written: {exc.strerror}") from exc
    return Imported(tuple(written.values()), dict(left_out))


def read_hacks(clone: Path, left_out: Counter[str]) -> Iterator[Hack]:
    """The incidents of a clone, as its pages list them; raises ConfigError where it is none."""
    pages = sorted(page for pattern in _PAGES for page in clone.glob(pattern))
    if not pages or not (clone / "src" / "test").is_dir():
        raise ConfigError(clone, "", "is no clone of DeFiHackLabs: it has no README.md with src/test beside it")
    for page in pages:
        text = _read(page, MAX_PAGE_BYTES)
        headings = list(_HEADING.finditer(text))
        for n, heading in enumerate(headings):
            section = text[heading.end() : headings[n + 1].start() if n + 1 < len(headings) else len(text)]
            hack = _hack(clone, heading[1], heading[2], section, left_out)
            if hack is not None:
                yield hack


def write_scenario(hack: Hack, after_minutes: int) -> str:
    """The text of a scenario: the victim's loss is a fact, the second victim and who reports how fast are made up."""
    kind = next(
        (kind for kind in _CATEGORIES if kind[0] in hack.cause.lower()),
        ("", Category.ASSET_DRAIN, EvidenceKind.TRANSACTION),
    )
    victim = f"eip155:{hack.chain_id}:{hack.victim}"
    after_s = after_minutes * 60
    members = "\n".join(
        f'  {{ name = "{name}", vendor = "{vendor}", detector = "d-1", rpc_groups = ["{rpc}"] }},'
        for name, vendor, rpc, *_ in (("us", "in-house", "alchemy"), *_REPORTERS)
    )
    reports = "".join(_report(kind[1], kind[2], victim, *reporter) for reporter in _REPORTERS)
    return f"""\
# From a clone of DeFiHackLabs: {hack.source}
title = {_toml(f"After {hack.protocol}")}
kind = "attack"
summary = {_toml(f"{hack.protocol} lost about ${hack.loss_usd:,} on {hack.date:%Y-%m-%d} ({hack.cause}).")}
sources = ["github.com/SunWeb3Sec/DeFiHackLabs"]
doubts = "{_DOUBTS.format(after_minutes)}"
seat = "us"
starts = {hack.date:%Y-%m-%d}T00:00:00Z
lasts_s = {after_s + 7_200}
threat = {{ from_s = 0, until_s = {after_s + 10_800}, first_harm_s = {after_s} }}
chain = {{ block_s = {hack.block_s}, inclusion_percent = 90 }}
member = [
{members}
]
scope = [
  {{ name = "ours", id = "eip155:{hack.chain_id}:0x{1:040x}", at_stake_usd = {hack.loss_usd}, \
depends_on = [{{ subject = "{victim}", link = "deposit" }}], \
loss = [{{ at_s = {after_s}, until_s = {after_s + 1_800}, usd = {hack.loss_usd} }}] }},
]
{reports}"""


def _report(
    category: Category,
    evidence: EvidenceKind,
    victim: str,
    name: str,
    _vendor: str,
    _rpc: str,
    median: int,
    p95: int,
    miss: int,
) -> str:
    return f"""
[[report]]
by = "{name}"
at_s = 0
every_s = 600
times = 6
delay_s = {{ median = {median}, p95 = {p95} }}
miss_percent = {miss}
category = "{category}"
severity = "critical"
confidence = 85
subject = "{victim}"
evidence = {{ kind = "{evidence}", answer = "confirmed" }}
"""


def _hack(clone: Path, date: str, title: str, section: str, left_out: Counter[str]) -> Hack | None:
    protocol, _, cause = title.partition(" - ")
    lost, source = _LOST.search(section), _SOURCE.search(section)
    usd = dollars_of(lost[1]) if lost else None
    try:
        at = datetime.strptime(date, "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        left_out["its date is none"] += 1
        return None
    if usd is None:
        left_out["its loss is not in dollars"] += 1
        return None
    text = _source_text(clone, source[1]) if source else ""
    fork, victim = _FORK.search(text), _VICTIM.search(text)
    address = _EXPLORER.search(victim[1]) if victim else None
    chain = _CHAINS.get(fork[1].lower()) if fork else None
    if address is None or chain is None or source is None:
        left_out["its victim or chain is not in its proof of concept"] += 1
        return None
    return Hack(at, _plain(protocol), _plain(cause) or "cause not stated", usd, *chain, address[2].lower(), source[1])


def dollars_of(text: str) -> int | None:
    """What is said of dollars in a loss: as such, else in stablecoins, else a size alone; None if in other coins."""
    amounts = []
    for match in _AMOUNT.finditer(text):
        size, unit = (match["size"] or "").lower(), match["unit"].lower()
        # Of "$~150 BNB" the dollar is a slip.
        if unit in _USD or (match["dollar"] and unit in _STABLE | {"", "$"}):
            rank = 0
        elif unit in _STABLE or (size and not unit and match.end() == len(text.rstrip())):
            rank = 1 if unit in _STABLE else 2
        else:
            continue
        amounts.append((rank, match.start(), round(float(match["number"].replace(",", "")) * _SIZES[size])))
    usd = min(amounts)[2] if amounts else 0
    return usd if 0 < usd <= MAX_USD else None


def _source_text(clone: Path, name: str) -> str:
    path = (clone / name).resolve()
    # A page may name what it likes: nothing outside of the clone is read.
    if not path.is_relative_to(clone.resolve()) or not path.is_file():
        return ""
    return _read(path, MAX_SOURCE_BYTES)


def _read(path: Path, max_bytes: int) -> str:
    try:
        with path.open("rb") as file:
            return file.read(max_bytes).decode(errors="replace")
    except OSError as exc:
        raise ConfigError(path, "", f"cannot be read: {exc.strerror}") from exc


def _toml(text: str) -> str:
    """A TOML basic string: JSON's escapes are a part of TOML's."""
    return json.dumps(text, ensure_ascii=False)


def _plain(text: str) -> str:
    return re.sub(r"[^\w .,&/()+-]", "", text).strip()[:80]


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "unnamed"
