"""For tests that repeat what others cover: measuring their coverage takes minutes and says nothing new."""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def unmeasured() -> Iterator[None]:
    """Let the processes that a test starts run without being measured."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"):
            patch.delenv(name, raising=False)
        yield
