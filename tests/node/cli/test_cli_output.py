"""What others wrote is printed as text and steers nothing."""

from __future__ import annotations

import pytest
from tocsin_node.cli.output import Output, count_text, money_text, plain, short_address, short_hex, time_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, ünïcødé ✓", "plain text, ünïcødé ✓"),
        ("two\nlines", "two\nlines"),
        ("\x1b[2J\x1b]0;title\x07", "�[2J�]0;title�"),
        ("right\u202eleft", "right�left"),
        ("over\rwrite\b", "over�write�"),
        ("\x9b31m", "�31m"),
    ],
)
def test_control_characters_are_replaced(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_markup_of_others_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(as_json=False)
    out.say("[bold red]not bold[/]", " [link=file:///etc]x")
    out.table("", ("[b]head",), [("[red]cell[/red]\x1b[1m",)])
    printed = capsys.readouterr().out
    assert "[bold red]not bold[/] [link=file:///etc]x" in printed
    assert "[red]cell[/red]�[1m" in printed
    assert "\x1b" not in printed


def test_json_output_is_one_object_a_line_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(as_json=True)
    out.say("for people")
    out.emit({"text": "a\nb", "money": 5})
    assert capsys.readouterr().out == '{"text": "a\\nb", "money": 5}\n'


def test_values_are_written_for_people() -> None:
    assert time_text(0) == "1970-01-01 00:00:00.000"
    assert time_text(1_700_000_000_123) == "2023-11-14 22:13:20.123"
    assert time_text(2**53 - 1) == "9007199254740991 ms"
    assert money_text(1_234_567_000_000) == "$1,234,567"
    assert count_text(1, "signal") == "1 signal"
    assert count_text(0, "signal") == "0 signals"
    assert short_hex(b"\xab" * 32) == "ab" * 6
    assert short_address("eip155:1:0x" + "12" * 20) == "eip155:1:0x121212…1212"
    assert short_address("vyper 0.2.15") == "vyper 0.2.15"
