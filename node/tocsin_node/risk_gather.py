"""Gathering the signers' reports: from our own database, from feeds, from files. Each is checked, whoever served it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import trio
from tocsin_protocol.errors import ProtocolError
from tocsin_protocol.risk.report import OracleDomain, SignedReport, open_report

from .errors import ConfigError
from .outbound import open_client
from .private_files import read_private_file
from .risk_config import RiskFeed
from .risk_view import read_risk_report
from .toml_files import read_bytes

RISK_PATH = "/v1/risk"
MAX_ANSWER_BYTES = 1024 * 1024
MAX_FILE_REPORTS = 4_096
FEED_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Gathered:
    """Reports with the subjects' ids as far as known by hash, and a sentence for each source that failed."""

    reports: tuple[SignedReport, ...]
    subjects: dict[bytes, str]
    faults: tuple[str, ...]


async def gather(
    domain: OracleDomain,
    own: Iterable[tuple[str, str, bytes]],
    feeds: Sequence[RiskFeed],
    files: Iterable[Path],
    before: Iterable[SignedReport] = (),
) -> Gathered:
    """All reports for one oracle; a source that fails is told of, and never in the way of the others.

    `own` are rows of our database (oracle, subject, the signed report), `before` is what is kept of earlier rounds.
    """
    reports = {one.digest + one.signer: one for one in before}
    subjects: dict[bytes, str] = {}
    faults: list[str] = []
    for oracle, subject, encoded in own:
        if oracle == domain.account:
            one = open_report(domain, encoded)
            subjects[one.report.subject] = subject
            reports[one.digest + one.signer] = one
    shown: dict[str, list[Any]] = {}
    # [RISK] All feeds are asked at once, and none is waited for longer than FEED_SECONDS.
    async with trio.open_nursery() as nursery:
        for feed in feeds:
            nursery.start_soon(_ask, domain, feed, shown, faults)
    shown |= {str(path): list(_read_objects(path)) for path in files}
    for source, items in shown.items():
        for number, item in enumerate(items, start=1):
            try:
                one = read_risk_report(domain, item)
            except ProtocolError as exc:
                faults.append(f"{source}: report {number}: {exc}")
            else:
                reports[one.digest + one.signer] = one
    return Gathered(tuple(reports.values()), subjects, tuple(sorted(faults)))


async def _ask(domain: OracleDomain, feed: RiskFeed, shown: dict[str, list[Any]], faults: list[str]) -> None:
    """Add what a feed shows, or why it shows nothing."""
    try:
        with trio.fail_after(FEED_SECONDS):
            shown[feed.url] = await _fetch(domain, feed)
    except trio.TooSlowError:
        faults.append(f"{feed.url}: has not answered in full within {FEED_SECONDS:g} s")
    except (httpx.HTTPError, ValueError, RecursionError, ConfigError) as exc:
        faults.append(f"{feed.url}: {str(exc) or type(exc).__name__}")


def read_feed_key(feed: RiskFeed) -> dict[str, str]:
    """The headers with our key to a feed; raises ConfigError."""
    if feed.key_file is None:
        return {}
    try:
        key = read_private_file(feed.key_file).decode("ascii").strip()
    except UnicodeDecodeError as exc:
        raise ConfigError(feed.key_file, "", "a key of the feed is wanted") from exc
    return {"authorization": f"Bearer {key}"}


async def _fetch(domain: OracleDomain, feed: RiskFeed) -> list[Any]:
    url, body = feed.url.rstrip("/") + RISK_PATH, bytearray()
    # Nothing that grows when it is unpacked is taken.
    headers = {"accept-encoding": "identity"} | read_feed_key(feed)
    # Redirects are not followed: they would carry our key to somebody else.
    async with (
        open_client() as client,
        client.stream("GET", url, params={"oracle": domain.account}, headers=headers) as answer,
    ):
        if answer.status_code != httpx.codes.OK:
            raise ValueError(f"answers with the status {answer.status_code}")
        # Cancelled, not left: httpx's nested generators end cleanly only when the innermost one does.
        with trio.CancelScope() as too_long:
            async for chunk in answer.aiter_raw():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    too_long.cancel()
    if len(body) > MAX_ANSWER_BYTES:
        raise ValueError(f"answers with more than {MAX_ANSWER_BYTES} bytes")
    document = json.loads(body)
    reports = document.get("reports") if type(document) is dict else None
    if type(reports) is not list or len(reports) > MAX_FILE_REPORTS:
        raise ValueError("answers with no list of reports")
    return reports


def _read_objects(path: Path) -> Iterator[Any]:
    """JSON objects, one a line: what `tocsin oracle show --json` prints."""
    for line in read_bytes(path, MAX_ANSWER_BYTES).splitlines()[:MAX_FILE_REPORTS]:
        if line.strip():
            shown: Any = None
            # What is no JSON is no report: that is said of it as of any other line.
            with suppress(ValueError, RecursionError):
                shown = json.loads(line)
            yield shown
