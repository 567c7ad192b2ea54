"""The id of a request: taken from whoever sends one that can be trusted to be one, made otherwise."""

import re
from contextvars import ContextVar

import uuid_utils

from monedero.api.http import Scope

HEADER = b"x-request-id"
LIMIT_CHARACTERS = 128

current: ContextVar[str] = ContextVar("monedero_request_id", default="")
"""The id of the request that is being answered; empty outside of one."""

_valid = re.compile(rb"[A-Za-z0-9._:/+=-]{1,%d}" % LIMIT_CHARACTERS).fullmatch


def request_id(scope: Scope) -> bytes:
    """Return the id that a request brings, or a new one where it brings none, a long one, or one of odd characters.

    What is taken from a stranger goes into logs and answers, so it is held to a few characters.
    """
    for name, value in scope["headers"]:
        if name == HEADER:
            if _valid(value):
                return bytes(value)
            break
    return str(uuid_utils.uuid7()).encode()
