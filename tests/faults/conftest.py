"""What the tests of faults share."""

from collections.abc import Iterator

import pytest

from tests.disks import FaultyDisk
from tests.unmeasured import unmeasured

__all__ = ["disk", "unmeasured"]


@pytest.fixture
def disk(request: pytest.FixtureRequest) -> Iterator[FaultyDisk]:
    """Return a disk to spoil."""
    made = FaultyDisk(f"faulty-{request.node.name}")
    yield made
    made.unregister()
