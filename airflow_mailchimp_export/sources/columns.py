"""The columns that an export wants: are they there, and what types are they read as."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from airflow_mailchimp_export.settings.names import did_you_mean
from airflow_mailchimp_export.sources.location import SourceLocation, listed


def check_columns(wanted: Iterable[str], available: Sequence[str], *, location: SourceLocation) -> None:
    """Make sure that each wanted column is there once.

    :raises SourceError: names a column that is missing or there twice, and lists those that there are.
    """
    for column in wanted:
        if column not in available:
            hint = did_you_mean(column, available)
            raise location.error(f"there is no column {column!r}{hint}; there are {listed(available)}.")
        if available.count(column) > 1:
            raise location.error(f"several columns are named {column!r}: rename all but one.")


def plain_type(given: pa.DataType) -> pa.DataType:
    """Name the type that a column is read as: encodings and widths of text make no difference.

    Old writers of Parquet store text as binary, and a column without values may have no type.
    """
    if pa.types.is_dictionary(given):
        return plain_type(given.value_type)
    is_text = pa.types.is_large_string(given) or pa.types.is_string_view(given) or pa.types.is_null(given)
    is_bytes = pa.types.is_binary(given) or pa.types.is_large_binary(given) or pa.types.is_binary_view(given)
    return pa.string() if is_text or is_bytes else given


def common_type(column: str, types: Mapping[str, pa.DataType], *, segment: str) -> pa.DataType:
    """Find the type that a column has in all files of a segment: text where they differ.

    :param types: the column's type by file.
    :raises SourceError: the types differ, and one of them cannot be told as text.
    """
    plain = {file: plain_type(given) for file, given in types.items() if not pa.types.is_null(given)}
    common = reconciled(plain.values())
    for file, given in plain.items():
        if given != common:
            _check_tellable(column, given, SourceLocation(segment, file))
    return common


def reconciled(types: Iterable[pa.DataType]) -> pa.DataType:
    """Return the type that values of several types are read as: text where they differ."""
    kinds = {kind for kind in types if not pa.types.is_null(kind)}
    return kinds.pop() if len(kinds) == 1 else pa.string()


def as_text(values: pa.Array) -> pa.Array:
    """Tell values as text; whole floats are spelled as integers are, as long as floats hold each of them."""
    if not pa.types.is_floating(values.type):
        return values.cast(pa.string())
    numbers = values.cast(pa.float64())
    small = pc.less(pc.abs(numbers), float(exact_up_to(values.type)))
    whole = pc.fill_null(pc.and_(small, pc.equal(pc.trunc(numbers), numbers)), fill_value=False)
    integers = pc.if_else(whole, numbers, 0.0).cast(pa.int64())
    return pc.if_else(whole, integers.cast(pa.string()), values.cast(pa.string()))


def exact_up_to(floats: pa.DataType) -> int:
    """Return the integer from which on floats of a type may stand for several integers."""
    return 1 << {16: 11, 32: 24, 64: 53}[floats.bit_width]


def as_batch(columns: Iterable[pa.Array], schema: pa.Schema, *, location: SourceLocation) -> pa.RecordBatch:
    """Bring columns to the types of a schema.

    :raises SourceError: a value does not fit.
    """
    cast = [_cast(values, field, location) for values, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(cast, schema=schema)


def _check_tellable(column: str, given: pa.DataType, location: SourceLocation) -> None:
    try:
        pa.nulls(0, given).cast(pa.string())
    except pa.ArrowNotImplementedError as error:
        raise location.error(
            f"column {column!r} is {given} here and of another type in other files of the segment: "
            "write all files with the same schema."
        ) from error


def _cast(values: pa.Array, field: pa.Field, location: SourceLocation) -> pa.Array:
    if values.type == field.type:
        return values
    if pa.types.is_dictionary(values.type):
        return _cast(values.dictionary_decode(), field, location)
    try:
        return as_text(values) if pa.types.is_string(field.type) else values.cast(field.type)
    except pa.ArrowInvalid:
        # What pyarrow says may quote a value.
        raise location.error(
            f"column {field.name!r} holds {values.type} values that cannot be read as {field.type}: "
            "write it as UTF-8 text."
        ) from None
