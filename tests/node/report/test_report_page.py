"""The page: fetches nothing, runs nothing, shows what strangers wrote as text, and on paper the same."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser

import pytest
from incident_kit import SECOND_WORDS, Scene
from msgspec import structs
from protocol_kit import NOW_MS
from report_kit import acted, decided, header, incident, said, salts
from tocsin_node.report.files import make_report
from tocsin_node.report.markup import MAX_SHOWN_CHARS, MAX_TABLE_ROWS, safe, short, time_text
from tocsin_node.report.page import build_page
from tocsin_node.report.pdf import PACKAGES, PdfError, print_page
from tocsin_protocol.postmortem.entries import Believed, Proof, Ruled
from tocsin_protocol.postmortem.report import build_report, redact_report
from tocsin_protocol.taxonomy import Tlp

_FETCHING = {"src", "href", "xlink:href", "data", "action", "poster", "srcset"}
_VOID = {"meta", "br", "path", "use", "rect"}


class _Page(HTMLParser):
    """The tags of a page, what would be fetched, and whether each tag that is opened is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.handlers: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [f"{tag} {n}={v}" for n, v in attrs if n in _FETCHING and not (v or "").startswith("#")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self.open.pop() == tag


@pytest.fixture
def page(scene: Scene) -> str:
    scene.happen()
    scene.judge()
    return build_page(make_report(scene.entries()))


def test_page_fetches_and_runs_nothing(page: str) -> None:
    parsed = _Page(page)
    assert parsed.fetched == []
    assert parsed.handlers == []
    assert parsed.open == []
    assert not {"script", "link", "img", "iframe", "object", "form"} & set(parsed.tags)
    assert not re.search(r"url\((?!#)|@import", page)


def test_what_strangers_wrote_is_text_and_is_cut(page: str) -> None:
    assert "&lt;/blockquote&gt;&lt;script&gt;alert(1)" in page
    assert "long " * 200 not in page
    assert SECOND_WORDS.replace("'", "&#x27;") in page


def test_page_has_every_section_and_plot(page: str) -> None:
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert headings == [
        "What happened, in order",
        "How likely it seemed",
        "How long containment took",
        "What was lost",
        "Who said what, and when",
        "What was decided, and what would have changed it",
        "What it was found to be",
        "Lessons, and questions that stay open",
        "Proofs",
    ]
    assert page.count("<svg") == 3
    names = re.findall(r' id="([^"]*)"', page)
    assert len(set(names)) == len(names)
    for told in ("TLP:AMBER+STRICT", "1.04 s", "$28.00M", "one more independent group", "IN EFFECT", "disagreement"):
        assert told in page, told


def test_a_public_page_says_how_much_is_withheld_and_shows_none_of_it(scene: Scene) -> None:
    scene.happen()
    full = make_report(scene.entries())
    public = redact_report(full, Tlp.CLEAR)
    page = build_page(public)
    assert f"{public.withheld} of {len(full.leaves)} entries are withheld" in page
    assert "TLP:CLEAR" in page
    assert full.root.hex() in page
    for hidden in ("treasurer", "cedar", "28.00M", "one more", "disagreement"):
        assert hidden not in page, hidden


def test_a_public_page_says_that_its_paths_into_the_log_are_withheld(scene: Scene) -> None:
    scene.happen()
    full = make_report(scene.entries())
    said = "The paths from here into the node's audit log are withheld"
    assert said in build_page(redact_report(full, Tlp.CLEAR))
    assert said not in build_page(full)


def test_a_belief_that_our_own_detector_made_alone_is_not_told_as_of_no_group() -> None:
    belief = Believed(tlp=Tlp.AMBER, decision=1, at_ms=NOW_MS, belief_ppm=8_920, groups=0, acts=1)
    beliefs = [structs.replace(belief, groups=groups) for groups in (0, 1, 2)]
    page = build_page(build_report([header(), *beliefs], salts(1 + len(beliefs))))
    for told in (
        ", with nobody else&#x27;s word",
        ", with 1 independent group of others",
        ", with 2 independent groups",
    ):
        assert told in page or told.replace("&#x27;", "'") in page, told


def test_proven_entries_are_told_by_the_index_that_the_log_is_asked_for(page: str, scene: Scene) -> None:
    proofs = [entry for entry in make_report(scene.entries()).entries if isinstance(entry, Proof)]
    for proof in proofs:
        assert f"{proof.sequence - 1}</td><td>{time_text(proof.at_ms)[11:]}" in re.sub(r"<td[^>]*>", "<td>", page)


def test_a_page_of_withheld_actions_does_not_say_that_there_were_none() -> None:
    hidden = build_report([header(), acted(tlp=Tlp.RED)], salts(2))
    page = build_page(redact_report(hidden, Tlp.CLEAR))
    assert "levers came into effect" not in page
    assert "levers came into effect" in build_page(build_report([header()], salts(1)))


def test_any_subset_of_entries_makes_a_page() -> None:
    entries = incident()
    for number in range(1, len(entries)):
        chosen = [entries[0], *entries[number : number + 2]]
        assert _Page(build_page(build_report(chosen, salts(len(chosen))))).open == []


def test_hostile_names_break_no_plot() -> None:
    entries = [
        header(member="$\\frac{"),
        said(member="<b>$x_{$</b>", lost=5),
        decided(hook="$\\undefined$"),
        acted(hook="$\\frac{<i>"),
    ]
    page = build_page(build_report(entries, salts(len(entries))))
    assert "<b>$x_" not in page
    assert "<i>" not in page.replace("<i>Open:", "")


def test_times_and_tiers_that_nobody_has_heard_of_are_shown_as_they_are() -> None:
    lever = Ruled(hook="x", tier=99, verdict="?", held=(), cost_micro_usd=0, observe_micro_usd=0, would_with=())
    entries = [header(made_ms=2**53 - 1), said(received_ms=2**53 - 1), decided(levers=(lever,), sums=("+1.0",))]
    page = build_page(build_report(entries, salts(3)))
    assert f"{2**53 - 1} ms" in page
    assert ">99</td>" in page


def test_long_tables_are_cut_and_say_so() -> None:
    entries = [header(), *(said(n, after_ms=n) for n in range(1, MAX_TABLE_ROWS + 11))]
    page = build_page(build_report(entries, salts_of(len(entries))))
    assert page.count("… and 10 more, which stand in the JSON.") == 2


def salts_of(count: int) -> list[bytes]:
    return [number.to_bytes(32, "big") for number in range(count)]


def test_text_is_escaped_bounded_and_steers_no_reader() -> None:
    assert safe('<a href="x">\u202e\x1b') == "&lt;a href=&quot;x&quot;&gt;��"
    assert len(safe("a" * 10_000)) == MAX_SHOWN_CHARS
    assert short("at 0x" + "ab" * 32 + "!") == "at 0xabababab…ababab!"
    assert time_text(NOW_MS) == "2023-11-14 22:13:20.000"


def test_the_pdf_is_the_page(page: str) -> None:
    printed = print_page(page)
    assert printed.startswith(b"%PDF-")
    assert len(printed) > 20_000


def test_widths_of_columns_are_given_on_paper() -> None:
    # WeasyPrint would find them by measuring each letter: minutes for a table of a hundred long words.
    assert "table-layout: fixed" in build_page(build_report([header()], salts(1))).split("@media print", 1)[1]


def test_a_page_that_asks_for_something_is_not_printed() -> None:
    with pytest.raises(PdfError, match="nothing is ever fetched"):
        print_page('<img src="file:///etc/hostname">')


def test_missing_libraries_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with pytest.raises(PdfError, match=r"pip install 'tocsin\[report\]'"):
        print_page("")

    class _Broken:
        """What importing WeasyPrint does without Pango."""

        def find_spec(self, name: str, *_: object) -> None:
            if name == "weasyprint":
                raise OSError("cannot load library 'libpango-1.0-0': libpango-1.0-0: cannot open shared object file")

    monkeypatch.delitem(sys.modules, "weasyprint")
    monkeypatch.setattr(sys, "meta_path", [_Broken(), *sys.meta_path])
    with pytest.raises(PdfError, match=f"libpango-1.0-0.*{PACKAGES}"):
        print_page("")
