"""`tocsin report`: files for our own people and for others, checked by whoever has them; each fault a sentence."""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from incident_kit import SECOND_WORDS, Scene, open_scene
from protocol_kit import NOW_MS
from store_kit import OWN
from tocsin_node.cli import cli
from tocsin_node.config import load_config
from tocsin_node.keystore import LEAST_COST
from tocsin_node.setup_node import NodeHome, NodePlan, create_node_home

Run = Callable[..., Result]


@pytest.fixture
def tocsin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command, in this process and an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Result:
        result = CliRunner(env={"TOCSIN_HOME": None}).invoke(cli, [str(a) for a in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def make_home(folder: Path, member: str) -> NodeHome:
    plan = NodePlan(member, f"{member} ltd", listen=("/ip4/127.0.0.1/tcp/0",))
    return create_node_home(folder, plan, NOW_MS, cost=LEAST_COST)


@pytest.fixture
def told(scene: Scene) -> Scene:
    scene.happen()
    return scene


def report(tocsin: Run, told: Scene, *arguments: object) -> Result:
    return tocsin("report", told.incident.hex()[:12], "--database", told.data_dir, *arguments)


def test_a_report_is_page_pdf_and_json_for_our_own_eyes(tocsin: Run, told: Scene, tmp_path: Path) -> None:
    result = report(tocsin, told)
    assert result.exit_code == 0, result.stderr
    folder = tmp_path / f"report-{told.incident.hex()[:12]}"
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "report.json", "report.pdf"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert (folder / "report.pdf").read_bytes().startswith(b"%PDF-")
    assert SECOND_WORDS in (folder / "report.json").read_text()


def test_a_public_report_is_a_part_of_the_whole_one(tocsin: Run, told: Scene) -> None:
    made = json.loads(report(tocsin, told, "--public", "--out", "out", "--json").stdout)
    assert [Path(path).name for path in made["files"]] == [
        *("report.json", "report.html", "public.json", "public.html"),
        *("report.pdf", "public.pdf"),
    ]
    assert SECOND_WORDS not in Path("out/public.json").read_text()
    assert SECOND_WORDS not in Path("out/public.html").read_text()
    alone = json.loads(tocsin("report", "verify", "out/public.json", "--json").stdout)
    assert (alone["root"], alone["part_of_full"]) == (made["root"], None)
    assert alone["entries"] + alone["withheld"] == made["entries"]
    both = tocsin("report", "verify", "out/public.json", "out/report.json")
    assert both.exit_code == 0
    assert "It is a part of out/report.json" in both.stdout
    wrong_way = tocsin("report", "verify", "out/report.json", "out/public.json")
    assert wrong_way.exit_code == 1
    assert "withholds" in wrong_way.stderr


def test_a_wider_circle_sees_what_is_open_to_it(tocsin: Run, told: Scene) -> None:
    report(tocsin, told, "--public", "--tlp", "amber", "--out", "out")
    assert SECOND_WORDS in Path("out/public.json").read_text()
    assert "amber+strict" not in Path("out/public.json").read_text()


def test_a_changed_report_is_refused_and_named(tocsin: Run, told: Scene) -> None:
    report(tocsin, told, "--out", "out")
    text = Path("out/report.json").read_text()
    Path("forged.json").write_text(text.replace('"brook"', '"delta"'))
    result = tocsin("report", "verify", "forged.json")
    assert result.exit_code == 1
    assert "forged.json: report: its leaves give the root" in result.stderr


def test_nothing_is_overwritten(tocsin: Run, told: Scene) -> None:
    assert report(tocsin, told, "--out", "out").exit_code == 0
    before = Path("out/report.json").read_bytes()
    again = report(tocsin, told, "--out", "out", "--public")
    assert again.exit_code == 78
    assert "holds report.json already, which is never overwritten" in again.stderr
    assert Path("out/report.json").read_bytes() == before
    assert not Path("out/public.json").exists()


def test_without_pango_there_is_a_page_and_a_word_why(
    tocsin: Run, told: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    result = report(tocsin, told, "--out", "out", "--json")
    assert result.exit_code == 0
    assert "WeasyPrint" in json.loads(result.stdout)["without_pdf"]
    assert sorted(path.name for path in Path("out").iterdir()) == ["report.html", "report.json"]


def test_the_nodes_own_database_is_read_and_a_copy_of_it(tocsin: Run, tmp_path: Path) -> None:
    home = make_home(tmp_path / OWN, OWN)
    data_dir = load_config(home.config_path, pinned=False).node.data_dir
    with open_scene(data_dir) as scene:
        scene.happen()
        incident = scene.incident.hex()[:8]
    # Nobody has it open: it is a file, and can be carried away.
    shutil.copytree(data_dir, tmp_path / "copy")
    own = tocsin("report", incident, "--home", tmp_path / OWN, "--out", "own")
    copied = tocsin("report", incident, "--database", "copy", "--out", "copied")
    assert (own.exit_code, copied.exit_code) == (0, 0), own.stderr + copied.stderr
    entries: list[list[Any]] = []
    for name in ("own", "copied"):
        leaves = json.loads(Path(name, "report.json").read_text())["leaves"]
        entries.append([leaf["entry"] for leaf in leaves[1:]])
    assert entries[0] == entries[1]


def test_the_database_of_another_node_is_not_taken_for_ours(tocsin: Run, tmp_path: Path) -> None:
    home = make_home(tmp_path / "brook", "brook")
    with open_scene(load_config(home.config_path, pinned=False).node.data_dir) as scene:
        scene.happen()
        result = tocsin("report", scene.incident.hex()[:8], "--home", tmp_path / "brook")
    assert result.exit_code == 78
    assert f"the database is of {OWN}, and this node is brook" in result.stderr


@pytest.mark.parametrize(
    ("incident", "says"),
    [("dead00", "no incident has an id that begins so"), ("ab", "at least 4 hex digits")],
)
def test_an_incident_that_is_not_there_leaves_no_folder(tocsin: Run, told: Scene, incident: str, says: str) -> None:
    result = tocsin("report", incident, "--database", told.data_dir, "--out", "out")
    assert result.exit_code == 1
    assert says in result.stderr
    assert not Path("out").exists()


def test_a_file_that_is_no_database_is_named(tocsin: Run, tmp_path: Path) -> None:
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "tocsin.db").write_bytes(b"not a database, and long enough to be looked at" * 100)
    result = tocsin("report", "abcdef", "--database", "odd")
    assert result.exit_code == 1
    assert "odd/tocsin.db: a database" in result.stderr
    assert "no database yet" in tocsin("report", "abcdef", "--database", tmp_path).stderr


def test_a_folder_that_cannot_be_written_is_named(tocsin: Run, told: Scene) -> None:
    Path("file").write_text("")
    result = report(tocsin, told, "--out", "file/below")
    assert result.exit_code == 78
    assert "file/below: cannot be written to" in result.stderr


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff\xfe", b'{"format": "tocsin/report/1"}'])
def test_what_is_no_report_is_refused_by_its_name(tocsin: Run, data: bytes) -> None:
    Path("odd.json").write_bytes(data)
    result = tocsin("report", "verify", "odd.json")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: odd.json: report:")
    assert "cannot be read" in tocsin("report", "verify", "missing.json").stderr


def test_help_says_how_both_are_used(tocsin: Run) -> None:
    assert "INCIDENT | verify FILE [FULL]" in tocsin("report", "--help").stdout
    assert "--tlp" in tocsin("report", "abcd", "--help").stdout
    assert tocsin("report").exit_code == 2


def test_options_may_stand_before_the_incident(tocsin: Run, told: Scene) -> None:
    result = tocsin("report", "--database", told.data_dir, "--out", "out", told.incident.hex())
    assert result.exit_code == 0, result.stderr
    assert os.path.exists("out/report.json")
