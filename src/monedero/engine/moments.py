"""Where a time is in the log, and how a wallet stood there.

The log is in order of position. Its times are in that order as far as the clocks agreed that wrote them: those of
several processes, and one that was set back, may differ a little. What `length_at` finds is a place in the log with
these properties, whatever the clocks did:

- the event before it was recorded at that time or earlier, and the event after it later;
- where times are in order around it, it is the only such place, so nothing is missing and nothing is too much;
- where clocks disagreed by at most d, no event before it was recorded more than d after that time, and none after it
  more than d before;
- a later time never gives an earlier place, and events that are recorded later than that time never change it.
"""

from monedero.ledger.standing import OPENED, Standing, standing
from monedero.ledger.state import Wallet
from monedero.storage.store import Queries

FAN_OUT = 32
"""Events that one step looks at: a log of a million takes four steps, one of a billion six."""
STEP_LIMIT = 1_024


async def length_at(queries: Queries, size: int, at: int) -> int:
    """Return how many of the log's first `size` events belong to the time up to and with `at`, in microseconds.

    Looks at positions that are multiples of powers of FAN_OUT, less one, from the largest power down, and goes on
    after the last before the first that is later: which ones it looks at does not depend on how long the log is.
    """
    stride = 1
    while stride * FAN_OUT <= size:
        stride *= FAN_OUT
    length = 0
    while stride:
        lengths = range(length + stride, size + 1, stride)[: FAN_OUT - 1]
        for recorded in await queries.events([end - 1 for end in lengths]) if lengths else ():
            if recorded.event.at > at:
                break
            length += stride
        stride //= FAN_OUT
    return length


async def standing_at(queries: Queries, wallet: Wallet, length: int) -> Standing | None:
    """Return how a wallet stood after the first `length` events of the log; None: it was not open yet.

    Every event of a wallet states how it stands, so that one is enough. Only debits that were denied long ago do not:
    they are stepped over, more at a time the more there are.
    """
    if wallet.number >= length:
        return None
    end, limit = length, 1
    while found := await queries.movements(wallet.number, wallet.number, end, limit):
        for recorded in found:
            if stated := standing(recorded.event, wallet.id):
                return stated
        end, limit = found[-1].position, min(limit * 4, STEP_LIMIT)
    return OPENED
