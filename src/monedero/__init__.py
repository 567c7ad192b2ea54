"""A wallet and payments ledger that loses no cent, and can prove it."""

__version__ = "0.1.0"
