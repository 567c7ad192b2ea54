import re
from pathlib import Path

import pytest

from monedero.settings import Settings
from tests.docs import pages

PAGE = pages.ROOT / "docs/reference/configuration.md"
PREFIX = "MONEDERO_"


def test_the_table_of_settings_is_complete_and_right() -> None:
    """Each setting has one row, in the order of the code, with its own name, default and description."""
    expected = [
        [f"`{PREFIX}{name.upper()}`", shown(field.default), field.description]
        for name, field in Settings.model_fields.items()
    ]

    rows = pages.table(PAGE, "name")

    assert rows == expected


@pytest.mark.parametrize("page", pages.PAGES, ids=pages.name)
def test_a_page_names_only_settings_that_exist(page: Path) -> None:
    """Every name of a setting on a page is one that the program reads."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}

    named = set(re.findall(rf"{PREFIX}[A-Z_]+[A-Z]", page.read_text(encoding="utf-8")))

    assert named <= known


def shown(default: object) -> str:
    """Return how the table shows a default."""
    if default == "":
        return "(empty)"
    return f"`{str(default).lower()}`" if isinstance(default, bool) else f"`{default}`"
