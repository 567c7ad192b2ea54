import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.docs import pages
from tests.support import Service

SESSION_SECONDS = 120
EXAMPLES = [page for page in pages.PAGES if pages.console(page)]
KINDS = {"console", "sh", "yaml", ""}
_MARK = "\x1e"
_NORMAL = (
    (re.compile(r"\r"), ""),
    (re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{6}Z"), "<time>"),
    (re.compile(r"(?<=^date: ).*", re.MULTILINE), "<time>"),
    (re.compile(r'(?<="at":)[0-9]{16}'), "<time>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<hash>"),
    (re.compile(r"\+[0-9a-f]{8}\+[A-Za-z0-9+/]{44}(?![A-Za-z0-9+/])"), "+<key>"),
    (re.compile(r"[A-Za-z0-9+/]{91}="), "<signature>"),
    (re.compile(r"[A-Za-z0-9+/]{43}="), "<hash>"),
    (re.compile(r"(?<=monedero\.local/)[0-9a-f]{16}"), "<origin>"),
    (re.compile(r"(?<=cursor=)[A-Za-z0-9_-]{20}"), "<cursor>"),
    (re.compile(r"[^\s\"']*/(?=[a-z]+\.db\b)"), ""),
)
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Service]:
    """Return a service on a new ledger, in a folder that looks as a user's after `make run`."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    with Service(tmp_path / "monedero.db") as service:
        yield service


@pytest.mark.parametrize("page", EXAMPLES, ids=pages.name)
def test_every_command_of_a_page_answers_as_shown(page: Path, session: Service) -> None:
    """On a new ledger, the console blocks of a page give what is shown, apart from ids, times and hashes."""
    commands = pages.console(page)

    answers = list(run([command.text for command in commands], session))

    assert [status for _, status in answers] == [0] * len(commands), answers
    shown = normal(command.shown for command in commands)
    assert list(normal(text for text, _ in answers)) == list(shown)


@pytest.mark.parametrize("page", pages.PAGES, ids=pages.name)
def test_a_page_shows_requests_only_where_they_are_run(page: Path) -> None:
    """A fence is of a kind that the tests know, and a request never stands in one that is not run."""
    found = pages.blocks(page)

    assert {block.kind for block in found} <= KINDS
    assert not [block for block in found if block.kind != "console" and "curl" in block.text]


def test_the_first_debit_is_among_the_examples() -> None:
    """The README's commands are found, so that the test above cannot pass by running nothing."""
    commands = [command.text for command in pages.console(pages.ROOT / "README.md")]

    assert len([command for command in commands if "curl" in command]) >= 5
    assert any("/debit" in command for command in commands)


def run(commands: list[str], service: Service) -> Iterator[tuple[str, int]]:
    """Run commands in one shell, beside the service; yield what each printed and its exit code."""
    script = "".join(f"{command}\nprintf '{_MARK}%d{_MARK}' $?\n" for command in commands)
    ended = subprocess.run(
        ["bash", "-c", script.replace("127.0.0.1:8000", service.base.removeprefix("http://"))],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SESSION_SECONDS,
        check=False,
        cwd=service.database.parent,
        env={
            **service.environment,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "MONEDERO_DATABASE_URL": "sqlite:///monedero.db",
        },
    )
    parts = ended.stdout.split(_MARK)
    assert parts.pop() == ""
    for printed, status in zip(parts[::2], parts[1::2], strict=True):
        yield printed.removesuffix("\n"), int(status)


def normal(texts: Iterable[str]) -> Iterator[str]:
    """Replace what differs each time; an id becomes its number in order of appearance, so that each stays itself."""
    numbers: dict[str, str] = {}
    for text in texts:
        plain = text
        for pattern, instead in _NORMAL:
            plain = pattern.sub(instead, plain)
        yield _ID.sub(lambda found: numbers.setdefault(found[0], f"<id {len(numbers)}>"), plain)
