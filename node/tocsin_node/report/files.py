"""The report on disk: JSON, page and PDF, of the whole and of the public version."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tocsin_protocol.postmortem.entries import AnyEntry
from tocsin_protocol.postmortem.report import SALT_BYTES, Report, build_report, encode_report, redact_report, strictness
from tocsin_protocol.taxonomy import Tlp

from ..errors import ConfigError
from ..private_files import PRIVATE_FILE_MODE, make_private_directory, write_new_file
from .page import build_page
from .pdf import PdfError, print_page

WHOLE, PUBLIC = "report", "public"
_PUBLIC_FILE_MODE = 0o644


@dataclass(frozen=True, slots=True)
class Written:
    """What was written, and why there is no PDF among it, where there is none."""

    paths: tuple[Path, ...]
    without_pdf: str


def make_report(entries: Sequence[AnyEntry]) -> Report:
    """The whole report of these entries, the header first, with fresh salts."""
    # [REPORT] Entries stand in the order of their labels: the place of one that is withheld tells nothing of it.
    header, *others = entries
    ordered = [header, *sorted(others, key=lambda entry: strictness(entry.tlp))]
    return build_report(ordered, [secrets.token_bytes(SALT_BYTES) for _ in ordered])


def write_report(folder: Path, whole: Report, allowed: Tlp | None) -> Written:
    """Write the whole report, and with `allowed` the one for those to whom that label is open.

    Raises ConfigError where the folder cannot be written or holds a report already: a public report may have been made
    of that one, and only its salts can show that.
    """
    files = _files_of(WHOLE, whole, PRIVATE_FILE_MODE)
    if allowed is not None:
        files += _files_of(PUBLIC, redact_report(whole, allowed), _PUBLIC_FILE_MODE)
    try:
        make_private_directory(folder)
        taken = [name for name, _, _ in files if (folder / name).exists()]
    except OSError as exc:
        raise ConfigError(folder, "", f"cannot be written to: {exc.strerror}") from exc
    if taken:
        raise ConfigError(folder, "", f"holds {taken[0]} already, which is never overwritten: name another with --out")
    without_pdf = ""
    try:
        pages = [(name, page) for name, page, _ in files if name.endswith(".html")]
        prints = {name.replace(".html", ".pdf"): print_page(page.decode()) for name, page in pages}
    except PdfError as exc:
        without_pdf, prints = str(exc), {}
    modes = {name.partition(".")[0]: mode for name, _, mode in files}
    files += [(name, data, modes[name.partition(".")[0]]) for name, data in prints.items()]
    for name, data, mode in files:
        write_new_file(folder / name, data, mode=mode)
    return Written(tuple(folder / name for name, _, _ in files), without_pdf)


def _files_of(stem: str, report: Report, mode: int) -> list[tuple[str, bytes, int]]:
    return [(f"{stem}.json", encode_report(report), mode), (f"{stem}.html", build_page(report).encode(), mode)]
