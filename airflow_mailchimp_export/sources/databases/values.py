"""Values as databases write them, as Arrow has them; what Arrow has no place for is refused by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

Read: TypeAlias = Callable[[pa.Array], pa.Array]

MAX_DIGITS: Final = 76
"""Of a decimal in Arrow."""


def text(values: pa.Array) -> pa.Array:
    """Return text as it is."""
    return values


def cast(kind: pa.DataType) -> Read:
    """Make what reads values that Arrow spells as the database does."""
    return lambda values: values.cast(kind)


def words(meanings: Mapping[str, bool]) -> Read:
    """Make what reads the words for true and false."""
    true = [word for word, meaning in meanings.items() if meaning]

    def read(values: pa.Array) -> pa.Array:
        is_true = pc.is_in(values, value_set=pa.array(true, pa.string()))
        return pc.if_else(pc.is_null(values), None, is_true)

    return read


def decimal_type(precision: int | None, scale: int | None) -> pa.DataType:
    """Return the type of numbers of so many digits: text where none holds them all."""
    if not precision or scale is None or not 0 <= scale <= precision <= MAX_DIGITS:
        return pa.string()
    return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)


def decimals(kind: pa.DataType) -> Read:
    """Make what reads numbers with a fraction, as text where no decimal holds them all."""
    return lambda values: without("NaN")(values).cast(kind)


def without(word: str) -> Read:
    """Make what reads text in which a word stands for nothing, as NaN does among floats and null in JSON."""

    def read(values: pa.Array) -> pa.Array:
        is_word = pc.equal(values, word)
        return pc.if_else(is_word, None, values) if pc.any(is_word).as_py() else values

    return read


def days(values: pa.Array) -> pa.Array:
    """Read days; those that no calendar has, or Python's has not, are brought so far away that none is sent."""
    return _read(values, pa.date32(), _DAY)


def moments(values: pa.Array) -> pa.Array:
    """Read moments without a zone, in the same way."""
    return _read(values, MOMENT, _MICROSECOND)


def zoned_moments(values: pa.Array) -> pa.Array:
    """Read moments that say how far they are from UTC, in the same way."""
    return _read(values, ZONED, _MICROSECOND)


MOMENT: Final = pa.timestamp("us")

ZONED: Final = pa.timestamp("us", "UTC")


def _read(values: pa.Array, kind: pa.DataType, unit: timedelta) -> pa.Array:
    try:
        return values.cast(kind)
    except pa.ArrowInvalid:
        width = pa.int32() if pa.types.is_date32(kind) else pa.int64()
        return pa.array([_ticks(value, unit) for value in values.to_pylist()], width).cast(kind)


_DAY: Final = timedelta(days=1)
_MICROSECOND: Final = timedelta(microseconds=1)

_EPOCH: Final = datetime(1970, 1, 1)

FAR: Final = 10_968_232
"""Days from 1970 to the year 32000, which Arrow can spell and Python cannot, so that no field takes it."""

_NOTHING: Final = "0000-00-00"
"""What MariaDB has in the place of a day that nobody knows."""


def _ticks(value: str | None, unit: timedelta) -> int | None:
    """Count days or microseconds from 1970."""
    if value is None or value.startswith(_NOTHING):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return FAR * (_DAY // unit)
    return (moment.replace(tzinfo=None) - _EPOCH - (moment.utcoffset() or timedelta())) // unit
