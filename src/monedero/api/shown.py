"""Transactions as JSON, rendered once: listings show the same ones again and again, and none ever changes."""

from typing import cast

import msgspec

from monedero.api.transaction_bodies import TransactionBody, transaction_body
from monedero.ledger.events import Movement, Recorded
from monedero.ledger.profiles import OwnerKind

LIMIT_TRANSACTIONS = 32_768
"""Of each kind of listing, about 15 MB together. Beyond it all are forgotten, and what is asked for comes back."""

_encode = msgspec.json.Encoder().encode


class Shown:
    """The rendered transactions, apart for each kind of wallet that lists them, by their ids."""

    def __init__(self) -> None:
        self._rendered: dict[OwnerKind, dict[str, msgspec.Raw]] = {kind: {} for kind in OwnerKind}

    def transactions(self, page: list[Recorded], seen_by: OwnerKind) -> list[TransactionBody]:
        """Show a page of transactions, each as the JSON of a TransactionBody."""
        rendered = self._rendered[seen_by]
        if len(rendered) > LIMIT_TRANSACTIONS:
            rendered.clear()
        shown = []
        for recorded in page:
            event = recorded.event
            if (raw := rendered.get(event.id)) is None:
                if not isinstance(event, Movement):
                    continue
                raw = rendered[event.id] = msgspec.Raw(_encode(transaction_body(event, seen_by)))
            shown.append(raw)
        return cast("list[TransactionBody]", shown)  # Encoded, the one is the other.
