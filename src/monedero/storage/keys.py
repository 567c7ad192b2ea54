"""When idempotency keys may be taken to be new without a look (docs/decisions/0018)."""

from collections.abc import Collection

from monedero.storage.store import Batch, TransientError

NEW_KEYS_LOOKS = 16
"""So many looks in a row, mostly one a batch, must have found nothing but new keys: a crowd of retries is looked up."""


class UnsureError(TransientError):
    """Keys were taken to be new, and at least one has to be looked up: nothing was written."""


class NewKeys:
    """Whether keys are likely to be new, by what was found of those before."""

    def __init__(self) -> None:
        self._in_a_row = 0

    @property
    def likely(self) -> bool:
        """Whether a batch may be decided as if its keys were new. The unique index of claims makes sure."""
        return self._in_a_row >= NEW_KEYS_LOOKS

    def looked_up(self, found: Collection[object]) -> None:
        """Note what claims there were on the keys of a batch."""
        self._in_a_row = 0 if found else self._in_a_row + 1

    def mistaken(self) -> UnsureError:
        """Have keys looked up from now on; return what the batch whose keys were not raises."""
        self._in_a_row = 0
        return UnsureError("An idempotency key has to be looked up")

    def require_claimed(self, guessed: set[bytes], batch: Batch | None) -> None:
        """Make sure that the index will be asked about every key that was not looked up.

        Raises UnsureError: one is not claimed, say because of a condition that does not matter if it had been used.
        """
        if not guessed <= {claim.key for claim in (batch.claims if batch else ())}:
            raise self.mistaken()
