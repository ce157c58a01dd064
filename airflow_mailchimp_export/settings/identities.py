"""What identifies the data of a segment, also where nobody tells whether they have changed."""

from __future__ import annotations

from typing import Final
from uuid import uuid4

_UNTOLD: Final = "\0"
"""What no path and no name has."""


def of_one_reading(what: str) -> str:
    """Return an identity that no other reading has: a database, for one, does not tell whether its rows have changed.

    :param what: what is read, which a second reading has too.
    """
    return f"{what}{_UNTOLD}{uuid4().hex}"


def of_any_reading(identity: str) -> str:
    """Return as much of an identity as a second reading of the same data has, too."""
    return identity.partition(_UNTOLD)[0]
