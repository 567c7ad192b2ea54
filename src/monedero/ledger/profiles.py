"""Personal data of customers and businesses: kept outside the log, tied to it by a salted digest.

The log holds only the digest, so a changed profile is found, while erasing the row with its salt leaves
nothing that could be guessed back.
"""

from enum import StrEnum
from hashlib import sha256

import msgspec


class OwnerKind(StrEnum):
    """Who can own a wallet."""

    CUSTOMER = "customer"
    BUSINESS = "business"


class Profile(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Who an owner is. `last_name` is None for a business; `phone` is optional."""

    name: str
    last_name: str | None
    email: str
    phone: str | None

    @property
    def email_key(self) -> str:
        """The e-mail as uniqueness sees it: ignoring case."""
        return self.email.casefold()


class PersonalData(msgspec.Struct, frozen=True):
    """What is stored of an owner beside the log: `email_key` keeps an e-mail unique, `salt` seals the profile."""

    profile: Profile
    email_key: str
    salt: bytes


def profile_digest(profile: Profile, salt: bytes) -> str:
    """Return the SHA-256, in hex, of the salt followed by the profile as a JSON array."""
    return sha256(salt + msgspec.json.encode(profile)).hexdigest()
