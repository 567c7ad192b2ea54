import re
from pathlib import Path

import pytest

from tests.docs import pages

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@pytest.mark.parametrize("page", pages.PAGES, ids=pages.name)
def test_every_link_inside_the_project_leads_somewhere(page: Path) -> None:
    """A relative link names a file or folder that exists, and its fragment a heading of that page."""
    links = [link for link in _LINK.findall(pages.prose(page)) if "://" not in link]

    dead = [link for link in links if not leads_somewhere(page, link)]

    assert dead == []


def test_the_index_lists_every_page_of_the_documentation() -> None:
    """docs/README.md links to each page below docs/."""
    index = pages.ROOT / "docs/README.md"
    expected = {page for page in pages.PAGES if page.is_relative_to(index.parent) and page != index}

    linked = {(index.parent / link.partition("#")[0]).resolve() for link in _LINK.findall(pages.prose(index))}

    assert expected - linked == set()


def leads_somewhere(page: Path, link: str) -> bool:
    """Tell whether a relative link on a page has a target."""
    path, _, fragment = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.is_relative_to(pages.ROOT) or not target.exists():
        return False
    return not fragment or fragment in map(anchor, _HEADING.findall(pages.prose(target)))


def anchor(heading: str) -> str:
    """Return the fragment by which a heading is linked to."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
