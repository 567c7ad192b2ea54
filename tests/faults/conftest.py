"""What the tests of faults share."""

from tests.unmeasured import unmeasured

__all__ = ["unmeasured"]
