"""deploy/README.md as text, and as the lines that an operator types."""

from __future__ import annotations

import re
import shlex

from deploy_kit import DEPLOY

TEXT = (DEPLOY / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
CONTAINER = {"run": "tocsin:local", "compose": "tocsin"}


def shell_lines(text: str = TEXT) -> list[str]:
    """The lines of all shell blocks, in their order."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def section(number: int) -> str:
    """The text of a numbered section."""
    begin = TEXT.index(f"\n## {number}. ")
    return TEXT[begin : TEXT.index("\n## ", begin + 1)]


def split(line: str) -> list[str]:
    """The words of a line, without sudo and what it is asked for."""
    words = shlex.split(line)
    if words[0] == "sudo":
        words = words[3:] if words[1] == "-u" else words[1:]
    return words


def tocsin_words(line: str) -> list[str] | None:
    """What a line asks of tocsin, whoever starts it; None where it asks nothing of it."""
    words = split(line)
    if words[0] in ("tocsin", "tocsin-with-keys"):
        return words[1:]
    if words[0] == "docker" and (words[1] == "run" or "exec" in words):
        return words[words.index(CONTAINER[words[1]]) + 1 :]
    return None
