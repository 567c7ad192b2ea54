import re
import subprocess
from pathlib import Path

import click
import pytest

from monedero.cli import COMMANDS, main
from tests.docs import pages
from tests.support import PROGRAM

CONTEXT = click.Context(main)
MAKEFILE = pages.ROOT / "Makefile"


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_says_what_a_command_does(command: str) -> None:
    """`monedero <command> --help` succeeds, with the usage, a description and the options."""
    ended = subprocess.run(
        [PROGRAM, *command.split(), "--help"], capture_output=True, text=True, timeout=60, check=False
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    usage, description, *_ = ended.stdout.split("\n\n")
    assert usage.startswith(" ".join(["Usage: monedero", *command.split()]))
    assert description.strip().endswith(".")
    assert "--help" in ended.stdout


@pytest.mark.parametrize("page", pages.PAGES, ids=pages.name)
def test_a_page_names_only_make_targets_that_exist(page: Path) -> None:
    """Every `make <target>` on a page is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):.*##", MAKEFILE.read_text(encoding="utf-8"), re.MULTILINE))

    named = {target for text in pages.code(page) for target in re.findall(r"^make ([a-z]+)", text)}

    assert named <= targets


@pytest.mark.parametrize("page", pages.PAGES, ids=pages.name)
def test_a_page_names_only_commands_and_options_that_exist(page: Path) -> None:
    """Every `monedero <command>` and every option of it on a page is one of the program."""
    commands = list(filter(None, (main.get_command(CONTEXT, name) for name in COMMANDS)))
    commands += [each for group in commands if isinstance(group, click.Group) for each in group.commands.values()]
    options = {option for command in commands for each in command.params for option in each.opts} | {
        "--help",
        "--version",
    }

    spoken = [text for text in pages.code(page) if re.match(r"(\.venv/bin/)?monedero |--", text)]
    named = {command for text in spoken for command in re.findall(r"monedero ([a-z]+)", text)}
    used = {option for text in spoken for option in re.findall(r"--[a-z-]+", text)}

    assert named <= set(COMMANDS)
    assert used <= options
