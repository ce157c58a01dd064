"""Arrays as PostgreSQL writes them, as JSON: https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from enum import Enum, auto
from typing import Final

import orjson
import pyarrow as pa

OF_BYTEA: Final = 1001


class Element(Enum):
    """What the elements of an array are in JSON."""

    TEXT = auto()
    NUMBER = auto()
    BOOLEAN = auto()
    JSON = auto()


ELEMENTS: Final[Mapping[int, Element]] = {
    1000: Element.BOOLEAN,
    **dict.fromkeys((1005, 1007, 1016, 1021, 1022, 1028, 1231), Element.NUMBER),
    **dict.fromkeys((199, 3807), Element.JSON),
    # "char", name, text, bpchar, varchar, uuid, date, timestamp, timestamptz, time, timetz, interval
    **dict.fromkeys((1002, 1003, 1009, 1014, 1015, 2951, 1182, 1115, 1185, 1183, 1270, 1187), Element.TEXT),
    # money, inet, cidr, macaddr, xml
    **dict.fromkeys((791, 1041, 651, 1040, 143), Element.TEXT),
}
"""What arrays hold, by their OIDs."""


def as_json(element: Element) -> Callable[[pa.Array], pa.Array]:
    """Make what writes arrays as JSON."""

    def read(values: pa.Array) -> pa.Array:
        return pa.array([value and _json(value, element) for value in values.to_pylist()], pa.string())

    return read


_TOKEN: Final = re.compile(r'[{},]|"(?:[^"\\]|\\.)*"|[^{},"]+', re.DOTALL)

_BOUNDS: Final = re.compile(r"(?:\[-?\d+:-?\d+\])+=")


def _json(written: str, element: Element) -> str:
    tokens = iter(_TOKEN.findall(_BOUNDS.sub("", written, count=1)))
    next(tokens)
    return _elements(tokens, element)


def _elements(tokens: Iterator[str], element: Element) -> str:
    """Read up to the brace that closes; the one that opens is read."""
    found = []
    for token in tokens:
        if token == "}":
            break
        if token == "{":
            found.append(_elements(tokens, element))
        elif token != ",":
            found.append(_element(token, element))
    return f"[{','.join(found)}]"


def _element(token: str, element: Element) -> str:
    if token == "NULL":
        return "null"
    text = re.sub(r"\\(.)", r"\1", token[1:-1], flags=re.DOTALL) if token.startswith('"') else token
    if element is Element.BOOLEAN:
        return "true" if text == "t" else "false"
    if element is Element.JSON or (element is Element.NUMBER and _NUMBER.fullmatch(text)):
        return text
    return orjson.dumps(text).decode()


_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
