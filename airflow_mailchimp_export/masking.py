"""What may be told of words that somebody else wrote: they may quote addresses, members and keys.

This is the only place that says what such a quotation looks like, for Python and for SQL.
"""

from __future__ import annotations

import re
from typing import Any

# The at-sign as it stands in an address, in a link, in a page, in JSON, or as another keyboard writes it.
_AT = r"(?:[@\uff20\ufe6b]|%(?:25)*40|&#0*64;|&#x0*40;|&commat;|\\u0040)"
# Whole words, quotes and all: an apostrophe belongs to an address as often as it surrounds one.
_ADDRESS = re.compile(rf"(?<!\S)\S*?{_AT}\S*", re.ASCII | re.IGNORECASE)
_MEMBER = re.compile(r"(?<=/members/)[^/\s]+")
# A key as a request carries it, which whoever answers may quote; and how ours begins, whatever stands before it.
_HEADER = re.compile(
    r"\b(?:Basic|Bearer|OAuth)(?:\s+|%20|\+)(?=\S*(?:[\d=]|(?-i:[a-z][A-Z])))[\w.~+/=%-]{8,}"
    r"|YWlyZmxvdz[\w+/=%-]*",
    re.IGNORECASE,
)
_KEY = re.compile(r"[0-9a-f]{32}(?:-[a-z]+\d+)?", re.IGNORECASE)
# The id of a profile of Customer Insights is as long as a key, and all that tells which profile a row is.
_PROFILE = re.compile(r"msdynci_customerid [0-9a-f]{32}", re.IGNORECASE)


def masked(words: str) -> str:
    """Return words that may be told: without the addresses, members and keys that they may quote."""
    without_people = _MEMBER.sub("<member>", _ADDRESS.sub("<address>", words))
    return _KEY.sub("<key>", _HEADER.sub("<key>", without_people))


def masked_place(place: str) -> str:
    """Mask where a row is, which may be in a file that is called like an address.

    The row's number stays, and so does the id of a profile.
    """
    if _PROFILE.fullmatch(place):
        return place
    file, colon, row = place.rpartition(":")
    return f"{masked(file)}:{row}" if colon and row.isdecimal() else masked(place)


def masked_texts(texts: Any) -> Any:
    """Mask many texts; what is null stays null.

    DuckDB evaluates the annotations, so they cannot name types of pyarrow, which who only reads a DAG need not import.
    """
    import pyarrow as pa

    return pa.array([text if text is None else masked(text) for text in texts.to_pylist()], pa.string())
