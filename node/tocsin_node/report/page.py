"""The report as one page that holds everything it shows: no script, nothing fetched, the same text on paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tocsin_protocol.postmortem.entries import About, Acted, AnyEntry, Believed, Found
from tocsin_protocol.postmortem.lessons import first_effect_ms, reports_of
from tocsin_protocol.postmortem.report import Report, strictest
from tocsin_protocol.postmortem.words import money_text, span_text
from tocsin_protocol.taxonomy import Tlp

from .markup import code, safe, table, time_text
from .plots import plot_belief, plot_losses, plot_stages
from .sections import decisions_html, lessons_html, outcome_html, people_html, proofs_html, said_html, stages_html
from .stages import Stages, stages_of
from .timeline import timeline_of

_CSS = Path(__file__).with_name("page.css")
MAX_SUBJECTS_SHOWN = 12
_TLP_SAYS = {
    Tlp.CLEAR: "may be passed on without limit",
    Tlp.GREEN: "may be passed on within the community, not published",
    Tlp.AMBER: "for the recipient's organisation and its clients, as far as they need it",
    Tlp.AMBER_STRICT: "for the recipient's organisation alone",
    Tlp.RED: "for the persons it was given to, and nobody else",
}


def build_page(report: Report) -> str:
    """The page as text."""
    entries, header = report.entries, report.header
    title = f"Post-mortem of incident {header.incident[:12]}"
    stages = stages_of(entries)
    parts = [
        _banner(report),
        f"<h1>{title}</h1>",
        _intro(report),
        _cards(entries, stages, is_whole=not report.withheld),
        _story(entries, stages, header.member or "the node"),
        *_section("What happened, in order", _timeline(entries, safe(header.member or "the node", 80))),
        *_section("How likely it seemed", _belief(entries)),
        *_section("How long containment took", _stages(entries, stages)),
        *_section("What was lost", _losses(entries)),
        *_section("Who said what, and when", said_html(entries)),
        *_section("What was decided, and what would have changed it", decisions_html(entries)),
        *_section("People: what was asked, and the way back", people_html(entries)),
        *_section("What it was found to be", outcome_html(entries)),
        *_section("Lessons, and questions that stay open", lessons_html(entries)),
        *_section("Proofs", proofs_html(report)),
    ]
    body = "\n".join(part for part in parts if part)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width"><meta name="referrer" content="no-referrer">'
        f"<style>\n{_CSS.read_text()}</style></head>\n<body><main>\n{body}\n</main></body></html>\n"
    )


def _section(title: str, html: str) -> tuple[str, ...]:
    return (f"<h2>{title}</h2>", html) if html else ()


def _banner(report: Report) -> str:
    # [REPORT] What a report shows as a whole stands under the strictest label of its entries.
    label = strictest(entry.tlp for entry in report.entries)
    style = label.value.replace("+", "-")
    says = (
        f'<span class="tlp tlp-{style}">TLP:{label.value.upper()}</span> <span class="faint">{_TLP_SAYS[label]}</span>'
    )
    if not report.withheld:
        return says
    note = (
        f"<b>{report.withheld} of {len(report.leaves)} entries are withheld</b>, because those who wrote them, or whom"
        " they concern, did not open them this far. Each is in this report by its hash: whoever holds the full report"
        " can check that this one is a part of it, and that nothing in it was changed (tocsin report verify)."
    )
    return f'{says}<div class="note"><p>{note}</p></div>'


def _intro(report: Report) -> str:
    header = report.header
    rows = [
        f"Made {time_text(header.made_ms)} UTC from the record of {safe(header.member or 'an unnamed member', 80)}"
        f" (publisher <code>0x{header.publisher}</code>). Times are UTC, by that node's clock unless said otherwise.",
        f"Incident {code(header.incident)}",
    ]
    for about in (entry for entry in report.entries if isinstance(entry, About)):
        hint = f", called “{safe(about.hint, 120)}” by its first publisher" if about.hint else ""
        rows.append(f"Kind of threat: {safe(about.family)}{hint}. About:")
        subjects = [code(subject) for subject in about.subjects[:MAX_SUBJECTS_SHOWN]]
        if len(about.subjects) > MAX_SUBJECTS_SHOWN:
            subjects.append(f"and {len(about.subjects) - MAX_SUBJECTS_SHOWN} more")
        rows.append("<br>".join(subjects))
        rows += [f"It {safe(tied.tie)} incident {code(tied.other)}." for tied in about.ties[:8]]
    return "".join(f'<p class="faint">{row}</p>' for row in rows)


def _cards(entries: Sequence[AnyEntry], stages: Sequence[Stages], *, is_whole: bool) -> str:
    """The figures at a glance; of what is withheld none is shown, rather than a zero."""
    cards = []
    effective = [row for row in stages if row.known[-1][0] == "effective"]
    if effective:
        first = min(effective, key=lambda row: row.known[-1][1])
        what = f"from {first.known[0][0]} to the first lever in effect"
        cards.append(_card(span_text(first.total_ms), what, "good"))
    elif is_whole and first_effect_ms(entries) is None:
        cards.append(_card("none", "levers came into effect", "bad"))
    lost = [s.statement.observed_micro_usd for s in reports_of(entries) if s.statement]
    if any(lost):
        cards.append(_card(money_text(max(lost)), "the largest loss that was reported"))
    if said := reports_of(entries):
        members = {report.member or report.publisher for report in said}
        cards.append(_card(str(len(said)), f"signals in earnest, of {len(members)} members"))
    believed = [entry.belief_ppm for entry in entries if isinstance(entry, Believed)]
    if believed:
        cards.append(_card(f"{max(believed) / 10_000:.3g} %", "the highest belief, before evidence"))
    if used := sorted({entry.hook for entry in entries if isinstance(entry, Acted)}):
        cards.append(_card(str(len(used)), f"of our levers set off: {', '.join(used)}"))
    found = [entry.finding.value for entry in entries if isinstance(entry, Found)]
    cards.append(_card(found[-1] if found else "not yet", "is what its operator found it to be"))
    return f'<div class="cards">{"".join(cards)}</div>'


def _card(figure: str, what: str, style: str = "") -> str:
    return f'<div class="card"><b class="{style}">{safe(figure, 80)}</b><span>{safe(what, 200)}</span></div>'


def _story(entries: Sequence[AnyEntry], stages: Sequence[Stages], own: str) -> str:
    """What came of it, in a few sentences; nothing that is not in the entries."""
    said = reports_of(entries)
    told = []
    if said:
        first = said[0]
        at = time_text(first.received_ms)
        other = f"{first.member or 'a stranger'}, whose word {own} had at {at}"
        told.append(f"The first to tell of it was {f'{own} itself, at {at}' if first.own else other}.")
        others = sorted({s.member or s.publisher[:12] for s in said} - {first.member or first.publisher[:12]})
        told.append(f"{', '.join(others)} spoke as well." if others else "Nobody else spoke.")
    for row in stages[:8]:
        last, at_ms = row.known[-1]
        took = f"{span_text(row.total_ms)} after it was {row.known[0][0]}"
        told.append(f"{row.hook} was {last} at {time_text(at_ms)}, {took}; its state is now {row.state}.")
    if not stages:
        told.append("No use of a lever is told here.")
    return f'<div class="note"><p>{safe(" ".join(told), 4000)}</p></div>'


def _timeline(entries: Sequence[AnyEntry], own: str) -> str:
    moments = timeline_of(entries, own)
    if not moments:
        return ""
    start_ms = moments[0].at_ms
    rows = [(time_text(m.at_ms)[11:], "+" + span_text(m.at_ms - start_ms), m.who, m.what) for m in moments]
    day = f'<p class="faint">The first line is of {time_text(start_ms)[:10]}.</p>'
    return day + table(("UTC", "after", "who", "what"), rows, "tnw-", [moment.style for moment in moments])


def _belief(entries: Sequence[AnyEntry]) -> str:
    caption = (
        "Belief is the node's probability that the incident is real, by who reported it and how right they were before."
        " It is recorded when a decision is, not in between. Evidence is asked for beside it and does not change it."
    )
    return _figure("Belief over time", plot_belief(entries), caption)


def _stages(entries: Sequence[AnyEntry], stages: Sequence[Stages]) -> str:
    caption = "“Detected” and “issued” are by the clock of the member who sent the signal; all others by this node's."
    return _figure("Time from stage to stage", plot_stages(stages), caption) + stages_html(entries, stages)


def _losses(entries: Sequence[AnyEntry]) -> str:
    caption = (
        "Dots: what signals say was lost so far, from when this node had them; rings: what they say was still at risk."
        " A claim is its publisher's; only what our own detector measured was seen on chain by us. What was lost before"
        " a lever took hold stays lost."
    )
    return _figure("Losses over time", plot_losses(entries), caption)


def _figure(name: str, svg: str, caption: str) -> str:
    if not svg:
        return ""
    named = svg.replace("<svg ", f'<svg role="img" aria-label="{name}" ', 1)
    return f"<figure>{named}<figcaption>{caption}</figcaption></figure>"
