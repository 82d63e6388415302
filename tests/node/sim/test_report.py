"""The report: one file that fetches nothing."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from sim_kit import all_scenarios, default_policy, load
from tocsin_node.errors import ConfigError
from tocsin_node.sim.report import build_report, write_report
from tocsin_node.sim.runner import Plan, run_all
from tocsin_node.sim.scenario import Scenario
from tocsin_node.sim.totals import sum_up, total_of

_FETCHING = {"src", "href", "xlink:href", "data", "action", "poster"}


class _Fetches(HTMLParser):
    """Attributes that would make a browser fetch something."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.found += [
            f"{tag} {name}={value}" for name, value in attrs if name in _FETCHING and not (value or "").startswith("#")
        ]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    hostile = replace_title(load(tmp_path_factory.mktemp("scenario")))
    scenarios = (hostile, all_scenarios()["drill"], all_scenarios()["rescue-unannounced"])
    flown = run_all(Plan(scenarios, default_policy(), seeds=3, control_seeds=3, traced=0), 1, lambda: None)
    summaries = [sum_up(one.scenario, one.outcomes) for one in flown]
    return build_report(flown, summaries, total_of(summaries), "a policy", 0)


def replace_title(scenario: Scenario) -> Scenario:
    return scenario.model_copy(update={"title": "<script>alert(1)</script>", "name": "small"})


def test_page_fetches_nothing(page: str) -> None:
    parser = _Fetches()
    parser.feed(page)
    assert parser.found == []
    assert not {"script", "link", "img", "iframe", "object"} & set(parser.tags)
    assert not re.search(r"url\((?!#)|@import", page)


def test_page_has_all_plots(page: str) -> None:
    # losses, times, false pauses, and belief in one run of each
    assert page.count("<svg") == 3 + 3
    assert "best published human time" in page
    assert "2 other members" in page


def test_titles_are_text(page: str) -> None:
    assert "&lt;script&gt;alert(1)" in page


def test_page_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    flown = run_all(Plan((load(tmp_path),), default_policy(), 1, 1, traced=0), 1, lambda: None)
    summaries = [sum_up(one.scenario, one.outcomes) for one in flown]
    with pytest.raises(ConfigError, match="cannot be written"):
        write_report(tmp_path / "no" / "page.html", flown, summaries, total_of(summaries), "p", 0)
