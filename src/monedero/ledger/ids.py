"""Typed ids: UUIDs in their canonical text, 36 characters in lower case, as the log and the API show them."""

import re
from typing import NewType

OwnerId = NewType("OwnerId", str)
"""The id of a customer or a business."""
WalletId = NewType("WalletId", str)
TransactionId = NewType("TransactionId", str)
HoldId = NewType("HoldId", TransactionId)
"""The id of the transaction that placed the hold."""

_CANONICAL = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")


def canonical_id(text: str) -> str | None:
    """Return the id that `text` writes, in lower case, or None when it is no UUID of the canonical shape."""
    return text.lower() if _CANONICAL.fullmatch(text) else None
