"""Holds: authorise now, take later."""

from collections.abc import Sequence

import msgspec

from monedero.api.errors import invalid_value
from monedero.api.http import Request, Response, json_response
from monedero.api.schemas import NewCapture, NewHold, NewVoid, amount_in, timestamp_in
from monedero.api.services import Services, id_or_unknown, known
from monedero.api.tags import tagged
from monedero.api.transaction_bodies import HoldBody, hold_body
from monedero.api.wallets import customer_wallet_id, wallet_id
from monedero.api.writes import Write, detail_body
from monedero.ledger.commands import Capture, PlaceHold, VoidHold
from monedero.ledger.errors import UnknownHold
from monedero.ledger.events import Recorded
from monedero.ledger.evolve import placed
from monedero.ledger.ids import HoldId, TransactionId

HOLD_LIMIT_DAYS = 366
_DAY = 24 * 60 * 60 * 1_000_000


def make_hold(services: Services, ids: Sequence[str], body: NewHold) -> PlaceHold:
    """Return the command of a hold for the wallet in the path. Raises Problem."""
    amount = amount_in(body.amount)
    now = services.now()
    expires_at = now + services.hold_seconds * 1_000_000
    if body.expires_at is not None:
        expires_at = timestamp_in("expires_at", body.expires_at)
        # That it lies in the future is for the ledger to say, which knows an earlier request of the same key.
        if expires_at > now + HOLD_LIMIT_DAYS * _DAY:
            raise invalid_value("expires_at", f"must lie at most {HOLD_LIMIT_DAYS} days away")
    return PlaceHold(
        HoldId(TransactionId(services.new_id())),
        now,
        wallet_id(ids[0]),
        customer_wallet_id(body.customer_wallet_id),
        amount,
        expires_at,
        body.description,
    )


def make_capture(services: Services, ids: Sequence[str], body: NewCapture) -> Capture:
    """Return the command of a capture of the hold in the path. Raises Problem."""
    amount = None if body.amount is msgspec.UNSET else amount_in(body.amount)
    return Capture(TransactionId(services.new_id()), services.now(), _hold_id(ids[0]), amount, body.final)


def make_void(services: Services, ids: Sequence[str], _body: NewVoid) -> VoidHold:
    """Return the command that gives the hold in the path up. Raises Problem."""
    return VoidHold(TransactionId(services.new_id()), services.now(), _hold_id(ids[0]))


def _placed(recorded: Recorded, _body: NewHold) -> HoldBody:
    return hold_body(placed(recorded))


HOLD = Write(NewHold, make_hold, _placed, "/holds", on_wallet=True)
CAPTURE = Write(NewCapture, make_capture, detail_body)
VOID = Write(NewVoid, make_void, detail_body)


async def place(services: Services, request: Request) -> Response:
    """Set money in a customer's wallet aside for the business. A hold that lacks the money is denied, and recorded."""
    return await HOLD.answer(services, request)


async def show(services: Services, request: Request) -> Response:
    """Return a hold, whatever has become of it."""
    hold_id = _hold_id(request.ids[0])
    hold = known(await (await services.reading(request)).hold(hold_id), UnknownHold(hold_id))
    return tagged(request, f'"{hold.position}"', lambda: json_response(200, hold_body(hold)))


async def capture(services: Services, request: Request) -> Response:
    """Take held money, all of it or a part; several captures may follow each other up to the amount of the hold."""
    return await CAPTURE.answer(services, request)


async def void(services: Services, request: Request) -> Response:
    """Give up what is left of a hold."""
    return await VOID.answer(services, request)


def _hold_id(text: str) -> HoldId:
    hold = HoldId(TransactionId(text))
    return HoldId(TransactionId(id_or_unknown(text, UnknownHold(hold))))
