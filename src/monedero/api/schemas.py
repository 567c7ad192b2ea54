"""The bodies of the API: what is read, what is answered, key by key in the documented order."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from monedero.api.errors import Problem, invalid_value, malformed_json
from monedero.api.times import read_timestamp, timestamp
from monedero.ledger.ids import OwnerId
from monedero.ledger.money import AmountError, NotPositiveError, Units, parse_amount, render_amount
from monedero.ledger.profiles import Profile
from monedero.ledger.state import Wallet
from monedero.proofs.receipt import EXAMPLE_KEY, EXAMPLE_NODE, EXAMPLE_NOTE, EXAMPLE_ORIGIN, EXAMPLE_ROOT

_NO_NUL = r"^[^\u0000]*(?![\s\S])"
_ADDRESS_PART = r"[^\s@\"(),:;<>\[\\\]\u0000-\u001f\u007f]"
_EMAIL = rf"^{_ADDRESS_PART}{{1,64}}@{_ADDRESS_PART}+(?![\s\S])"

Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=_NO_NUL)]
Phone = Annotated[str, Meta(max_length=50, pattern=_NO_NUL)]
Email = Annotated[str, Meta(max_length=254, pattern=_EMAIL)]
Description = Annotated[str, Meta(max_length=1000, pattern=_NO_NUL)]
IdText = Annotated[str, Meta(max_length=200)]
Id = Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
TimestampIn = Annotated[str, Meta(max_length=64, extra_json_schema={"format": "date-time"})]
Timestamp = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
AmountIn = Annotated[
    Raw,
    Meta(
        description="Above 0, at most 4 decimals and 15 digits before the point; a decimal string keeps digits that "
        "a floating-point number would lose.",
        extra_json_schema={
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 10**15},
                {"type": "string", "pattern": "^(0|[1-9][0-9]*)([.][0-9]+)?([eE][+-]?[0-9]{1,3})?$"},
            ]
        },
    ),
]
AmountOut = Annotated[Raw, Meta(extra_json_schema={"type": "number", "minimum": 0})]


class NewCustomer(msgspec.Struct, frozen=True):
    """Sign up a customer."""

    name: Name
    last_name: Name
    email: Email
    phone: Phone | None = None


class NewBusiness(msgspec.Struct, frozen=True):
    """Sign up a business."""

    name: Name
    email: Email
    phone: Phone | None = None


class NewCustomerWallet(msgspec.Struct, frozen=True):
    """Open a wallet for a customer."""

    customer_id: IdText


class NewBusinessWallet(msgspec.Struct, frozen=True):
    """Open the one wallet of a business."""

    business_id: IdText


class NewDeposit(msgspec.Struct, frozen=True):
    """Bring money into a customer's wallet."""

    amount: AmountIn
    description: Description | None = None


class NewDebit(msgspec.Struct, frozen=True):
    """Take money from a customer's wallet into the business's."""

    customer_wallet_id: IdText
    amount: AmountIn
    description: Description | None = None


class NewRefund(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Give a debit or a capture back; without an amount, all that is left of it."""

    amount: AmountIn | UnsetType = UNSET
    description: Description | None = None


class NewHold(msgspec.Struct, frozen=True):
    """Set a customer's money aside; without a time, for as long as the server is configured to."""

    customer_wallet_id: IdText
    amount: AmountIn
    description: Description | None = None
    expires_at: TimestampIn | None = None


class NewCapture(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Take held money; without an amount, all that is left. `final` gives the rest back to the customer."""

    amount: AmountIn | UnsetType = UNSET
    final: bool = False


class NewVoid(msgspec.Struct, frozen=True):
    """Give a hold up. There is nothing to say."""


class NewPayout(msgspec.Struct, frozen=True):
    """Pay money out of a wallet to the world outside."""

    amount: AmountIn
    description: Description | None = None


class NewTransfer(msgspec.Struct, frozen=True):
    """Move money into another wallet of the same customer."""

    wallet_id: IdText
    amount: AmountIn
    description: Description | None = None


class CustomerBody(msgspec.Struct, frozen=True):
    """A customer."""

    id: Id
    name: str
    last_name: str
    email: str
    phone: str | None


class BusinessBody(msgspec.Struct, frozen=True):
    """A business."""

    id: Id
    name: str
    email: str
    phone: str | None
    created_at: Timestamp
    modified_at: Timestamp


class CustomerWalletBody(msgspec.Struct, frozen=True):
    """A customer's wallet, as the documented API shows it alone."""

    id: Id
    balance: AmountOut


class WalletBody(msgspec.Struct, frozen=True):
    """A wallet, as the documented API shows a business's, and a customer's in a listing."""

    id: Id
    balance: AmountOut
    created_at: Timestamp
    modified_at: Timestamp


class WalletDetailBody(msgspec.Struct, frozen=True):
    """Everything about a wallet of either kind; `owner` is the customer's or business's id."""

    id: Id
    kind: Literal["customer", "business"]
    owner: Id
    balance: AmountOut
    held: AmountOut
    available: AmountOut
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$", description="ISO 4217")]
    version: Annotated[int, Meta(ge=0, description="How many transactions have moved or held its money.")]
    created_at: Timestamp
    modified_at: Timestamp


class WalletsBody(msgspec.Struct, frozen=True):
    """A page of wallets, last changed first; `next` is there when more follow."""

    wallets: list[WalletBody]
    next: str | UnsetType = UNSET


class MovementBody(msgspec.Struct, frozen=True):
    """What a deposit or a debit answers."""

    amount: AmountOut
    description: str | None
    id: Id


class CheckpointBody(msgspec.Struct, frozen=True):
    """How long the log is and its Merkle root, signed. Plain text, unless JSON is asked for: `note` is that text."""

    origin: Annotated[str, Meta(description="Names the ledger.", examples=[EXAMPLE_ORIGIN])]
    size: Annotated[int, Meta(ge=0, description="How many events the log has.", examples=[3])]
    root: Annotated[str, Meta(description="The Merkle root over them, in base64.", examples=[EXAMPLE_ROOT])]
    note: Annotated[
        str, Meta(description="The checkpoint as it is signed (C2SP tlog-checkpoint).", examples=[EXAMPLE_NOTE])
    ]


class ConsistencyBody(msgspec.Struct, frozen=True, rename={"first": "from", "second": "to"}):
    """The proof that the log of one size is the beginning of the log of another."""

    first: Annotated[int, Meta(ge=1, description="The size of the earlier log.", examples=[1])]
    second: Annotated[int, Meta(ge=1, description="The size of the later log.", examples=[3])]
    proof: Annotated[
        list[str],
        Meta(description="The nodes of the proof, in base64 (RFC 9162).", examples=[[EXAMPLE_ROOT, EXAMPLE_NODE]]),
    ]


class KeyBody(msgspec.Struct, frozen=True):
    """A verifier key and when it was the one that signed; `retired_at` is null while it still is."""

    key: Annotated[str, Meta(description="Name, id and public key (C2SP signed-note).", examples=[EXAMPLE_KEY])]
    created_at: Timestamp
    retired_at: Timestamp | None


class KeysBody(msgspec.Struct, frozen=True):
    """The verifier keys of the ledger, the one that signs now first."""

    origin: str
    keys: list[KeyBody]


def amount_in(raw: Raw) -> Units:
    """Read an amount from the JSON text of its value. Raises Problem 400."""
    try:
        text = msgspec.json.decode(raw, type=str) if bytes(raw).startswith(b'"') else bytes(raw).decode()
        return parse_amount(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise malformed_json() from None
    except NotPositiveError:
        raise Problem(400, "The entered amount must be a positive number", "amount_not_positive") from None
    except AmountError as error:
        raise invalid_value("amount", str(error)) from None


def amount_out(units: int) -> Raw:
    """Return units of 1/10,000 as the text of a JSON number."""
    return Raw(render_amount(units).encode())


def timestamp_in(key: str, text: str) -> int:
    """Read a time with its zone as microseconds since 1970. Raises Problem 400."""
    at = read_timestamp(text)
    if at is None:
        raise invalid_value(key, "must be a time as in RFC 3339, with its zone: 2030-01-31T12:00:00Z")
    return at


def customer_body(owner_id: OwnerId, profile: Profile) -> CustomerBody:
    """Show a customer."""
    return CustomerBody(owner_id, profile.name, profile.last_name or "", profile.email, profile.phone)


def business_body(owner_id: OwnerId, profile: Profile, created: int) -> BusinessBody:
    """Show a business that signed up at `created`, in microseconds since 1970."""
    created_at = timestamp(created)
    return BusinessBody(owner_id, profile.name, profile.email, profile.phone, created_at, created_at)


def wallet_body(wallet: Wallet) -> WalletBody:
    """Show a wallet with its times."""
    return WalletBody(
        wallet.id, amount_out(wallet.balance), timestamp(wallet.created_at), timestamp(wallet.modified_at)
    )


def wallet_detail_body(wallet: Wallet) -> WalletDetailBody:
    """Show everything about a wallet."""
    return WalletDetailBody(
        wallet.id,
        wallet.owner_kind.value,
        wallet.owner_id,
        amount_out(wallet.balance),
        amount_out(wallet.held),
        amount_out(wallet.available),
        wallet.currency,
        wallet.version,
        timestamp(wallet.created_at),
        timestamp(wallet.modified_at),
    )
