"""What operations take in the query of their address, besides pages."""

from typing import Any

import msgspec

from monedero.api.formats import FORMATS
from monedero.api.transaction_bodies import KINDS, STATUSES
from monedero.storage.store import NEWEST

_SIZE = {"type": "integer", "minimum": 1, "maximum": NEWEST}
_TIME = {"type": "string", "format": "date-time"}
_MOMENT = {"anyOf": [_TIME, {"type": "integer", "minimum": 0, "maximum": NEWEST}]}


class Parameter(msgspec.Struct, frozen=True):
    """A parameter of the query, with its JSON schema."""

    name: str
    description: str
    schema: dict[str, Any]
    required: bool = False


FILTERS = (
    Parameter("kind", "Only transactions of this kind", {"type": "string", "enum": list(KINDS)}),
    Parameter("status", "Only transactions with this status", {"type": "string", "enum": list(STATUSES)}),
    Parameter("since", "Only transactions of this time and later", _TIME),
    Parameter("until", "Only transactions before this time", _TIME),
)
AT = (Parameter("at", "A time or a position in the log, which is included; now, unless it is given", _MOMENT),)
PERIOD = (
    Parameter("from", "The time or the position in the log at which the period begins; the wallet's opening", _MOMENT),
    Parameter("to", "The time or the position before which it ends; now, unless it is given", _MOMENT),
    Parameter("format", "The form of the answer, instead of `Accept`", {"type": "string", "enum": list(FORMATS)}),
)
SIZES = (
    Parameter("from", "The size of the earlier log, in events", _SIZE, required=True),
    Parameter("to", "The size of the later log; the latest if absent", _SIZE),
)
