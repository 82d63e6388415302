"""Vectors of reports: files with their hashes and roots, what others are shown of them, and what is no report."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from report_kit import header, incident, said, salts
from tocsin_protocol.postmortem.entries import AnyEntry
from tocsin_protocol.postmortem.report import Report, build_report, encode_report, redact_report
from tocsin_protocol.taxonomy import Tlp
from vector_kit import case

FULL = build_report(incident(), salts(len(incident())))


def report() -> dict[str, Any]:
    """specs/vectors/report.json"""
    return {
        "valid": [
            _valid("whole", "every entry is shown", FULL),
            *(
                _valid(label.value, "what is above the label is a hash alone", redact_report(FULL, label))
                for label in Tlp
            ),
            _valid("header", "the least that a report can be", _of(header())),
            _valid("text", "text beyond ASCII, and of every width", _of(header(), said(text='"é€𐍈\n'))),
        ],
        "invalid": [
            _invalid("format", "another format", lambda d: d.update(format="tocsin/report/2")),
            _invalid("root", "another root", lambda d: d.update(root="00" * 32)),
            _invalid(
                "changed", "one word of an entry is changed", lambda d: d["leaves"][1]["entry"].update(member="delta")
            ),
            _invalid("salt", "another salt", lambda d: d["leaves"][1].update(salt="ff" * 32)),
            _invalid("short-salt", "a salt of 31 bytes", lambda d: d["leaves"][1].update(salt="01" * 31)),
            _invalid("missing", "the last leaf is gone", lambda d: d["leaves"].pop()),
            _invalid("added", "a leaf stands twice", lambda d: d["leaves"].append(d["leaves"][-1])),
            _invalid("order", "two leaves have changed places", lambda d: d["leaves"].insert(1, d["leaves"].pop(2))),
            _invalid("both", "a hash beside its entry", lambda d: d["leaves"][1].update(hash="00" * 32)),
            _invalid("neither", "a leaf without hash or entry", lambda d: d["leaves"].__setitem__(1, {})),
            _invalid("upper-case", "hex in upper case", lambda d: d.update(root=d["root"].upper())),
            _invalid("more", "a key that the format does not have", lambda d: d.update(note="")),
            _invalid("no-header", "the header is withheld", _hide_header),
        ],
        "parts": [
            _part("clear", "of the whole one", redact_report(FULL, Tlp.CLEAR), FULL, is_part=True),
            _part("itself", "the whole is a part of itself", FULL, FULL, is_part=True),
            _part("other-salts", "the same entries under other salts", redact_report(_resalted(), Tlp.CLEAR), FULL),
            _part("not-whole", "what withholds something is not the whole one", FULL, redact_report(FULL, Tlp.AMBER)),
        ],
    }


def _of(*entries: AnyEntry) -> Report:
    return build_report(entries, salts(len(entries)))


def _resalted() -> Report:
    return build_report(incident(), salts(len(incident()))[::-1])


def _valid(name: str, why: str, shown: Report) -> dict[str, Any]:
    hashes = [leaf.hash for leaf in shown.leaves]
    return case(name, why, text=encode_report(shown).decode(), hashes=hashes, root=shown.root, withheld=shown.withheld)


def _invalid(name: str, why: str, change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    document = json.loads(encode_report(FULL))
    change(document)
    return case(name, why, text=json.dumps(document))


def _hide_header(document: dict[str, Any]) -> None:
    document["leaves"][0] = {"hash": FULL.leaves[0].hash.hex()}


def _part(name: str, why: str, public: Report, full: Report, *, is_part: bool = False) -> dict[str, Any]:
    return case(name, why, public=encode_report(public).decode(), full=encode_report(full).decode(), is_part=is_part)
