"""What one address is: the only rule by which people are told apart, in Python and in SQL.

Mailchimp trims an address, puts it in lower case, and keys the member by the md5 of that:
https://mailchimp.com/developer/marketing/docs/methods-parameters/#path-parameters
Characters that nobody sees are taken out before, or they would make a new person of somebody who opted out.

``address.sql`` offers the same to SQL: it does plain addresses itself, and hands all others over to
:func:`normal_addresses`, so that the two cannot disagree.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

_INVISIBLE = re.compile(
    # Default_Ignorable_Code_Point, https://www.unicode.org/reports/tr44/, with those that are not assigned yet.
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    # The blank of braille, which is no white space to Unicode.
    "\u2800]+"
)

_WHITE_SPACE = "".join(
    map(
        chr,
        # Control characters stand between the two: all up to the blank, and from DEL to the no-break space.
        (
            *range(0x21),
            *range(0x7F, 0xA1),
            0x1680,
            *range(0x2000, 0x200B),
            0x2028,
            0x2029,
            0x202F,
            0x205F,
            0x3000,
        ),
    )
)


def normal_address(text: str) -> str:
    """Return the form in which an address is sent, kept and compared; it is its own normal form.

    Each letter is put in lower case by itself, as DuckDB and so release 0.1.0 did it, which is what Mailchimp and
    the ledgers have: of the Turkish capital dotted I comes a plain i, of every capital sigma the middle one.
    """
    if text.isascii():
        return text.strip(_WHITE_SPACE).lower()
    visible = _INVISIBLE.sub("", text).strip(_WHITE_SPACE)
    return visible.replace("\u0130", "i").replace("\u03a3", "\u03c3").lower()


def subscriber_hash(text: str) -> str:
    """Return Mailchimp's key of the member with an address, however the address is written."""
    return stored_hash(normal_address(text))


def stored_hash(address: str) -> str:
    """Return Mailchimp's key for an address that a ledger or a plan holds, as it was sent.

    Release 0.1.0 left invisible characters in, so that these are listed under another key than they would now.
    """
    return hashlib.md5(address.encode(), usedforsecurity=False).hexdigest()


def normal_addresses(texts: Any) -> Any:
    """Return the normal form of each address of an Arrow array; what is null stays null.

    DuckDB evaluates the annotations, so they cannot name types of pyarrow, which who only reads a DAG need not import.
    """
    import pyarrow as pa

    return pa.array(
        [text if text is None else normal_address(text) for text in texts.to_pylist()], pa.string()
    )
