"""The pages of the documentation, and what stands in them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_FENCE = re.compile(r"^(`{3,})([a-z]*)\n(.*?)^\1\n", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


class Block(NamedTuple):
    """A fenced block: what its fence says that it is, and its text."""

    kind: str
    text: str


class Command(NamedTuple):
    """A command of a console block, and what is shown below it."""

    text: str
    shown: str


def name(page: Path) -> str:
    """Return the path of a page inside the project."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    return [Block(kind, text) for _, kind, text in _FENCE.findall(page.read_text(encoding="utf-8"))]


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def code(page: Path) -> list[str]:
    """Return what a page shows as code: inline, and the lines of blocks that are commands."""
    commands = [command.text for command in console(page)]
    lines = [line for block in blocks(page) if block.kind == "sh" for line in block.text.splitlines()]
    return [*_SPAN.findall(prose(page)), *commands, *lines]


def console(page: Path) -> list[Command]:
    """Return the commands of a page's console blocks, in order."""
    return [command for block in blocks(page) if block.kind == "console" for command in _commands(block.text)]


def table(page: Path, heading: str) -> list[list[str]]:
    """Return the cells of the table whose first heading is that, without the headings."""
    lines = iter(page.read_text(encoding="utf-8").splitlines())
    for line in lines:
        if line.startswith(f"| {heading} |"):
            next(lines)
            return list(_rows(lines))
    raise LookupError(f"{name(page)} has no table that begins with {heading}")


def _rows(lines: Iterator[str]) -> Iterator[list[str]]:
    for line in lines:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


def _commands(text: str) -> Iterator[Command]:
    """Split at each prompt; a backslash at the end of a line continues the command."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, lines = [], iter(part.splitlines())
        for line in lines:
            command.append(line)
            if not line.endswith("\\"):
                break
        yield Command("\n".join(command), "\n".join(lines))
