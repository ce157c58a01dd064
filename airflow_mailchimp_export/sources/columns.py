"""The columns that an export wants: are they there, and what types are they read as."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from airflow_mailchimp_export.settings.names import did_you_mean
from airflow_mailchimp_export.sources.location import SourceLocation, listed, looks_like_data

_NAMED: Final = (
    "Correct its name where the export maps it, or put the column into the source: a retry reads it again"
)


def check_columns(wanted: Iterable[str], available: Sequence[str], *, location: SourceLocation) -> None:
    """Make sure that each wanted column is there once.

    :raises SourceError: names a column that is missing or there twice, and lists those that there are.
    """
    for column in wanted:
        if column not in available:
            if any(map(looks_like_data, available)):
                raise location.error(
                    "has no header row: what should be its columns' names looks like values. "
                    "Set 'header' to false and name its columns with 'columns', in their order."
                )
            hint = did_you_mean(column, available)
            raise location.error(
                f"there is no column {column!r}{hint}; there are {listed(available)}.", _NAMED
            )
        if available.count(column) > 1:
            raise location.error(f"several columns are named {column!r}: rename all but one.")


def plain_type(given: pa.DataType) -> pa.DataType:
    """Name the type that a column is read as: encodings and widths of text make no difference.

    Old writers of Parquet store text as binary, and a column without values may have no type.
    """
    if pa.types.is_dictionary(given) or pa.types.is_run_end_encoded(given):
        return plain_type(given.value_type)
    if isinstance(given, pa.BaseExtensionType):
        return pa.string() if given.extension_name == _UUID else plain_type(given.storage_type)
    is_text = pa.types.is_large_string(given) or pa.types.is_string_view(given) or pa.types.is_null(given)
    return pa.string() if is_text or _is_bytes(given) else given


_UUID: Final = "arrow.uuid"

DAMAGED: Final = "\N{REPLACEMENT CHARACTER}"
"""Stands for a value that cannot be read, so that it is refused by itself: U+FFFD."""


def _is_bytes(given: pa.DataType) -> bool:
    fixed = pa.types.is_fixed_size_binary(given) and not pa.types.is_decimal(given)
    return (
        fixed
        or pa.types.is_binary(given)
        or pa.types.is_large_binary(given)
        or pa.types.is_binary_view(given)
    )


def in_zone(kind: pa.DataType, zone: str | None) -> pa.DataType:
    """Name the type of moments whose days are those of a zone; moments without one are of it already."""
    return pa.timestamp(kind.unit, zone) if zone and pa.types.is_timestamp(kind) and kind.tz else kind


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
    """Tell values as text, each as it is spelled where it is sent by itself.

    Whole floats are spelled as integers are, as long as floats hold each of them, and what is no UTF-8 is
    :data:`DAMAGED`.

    :raises pa.ArrowException: text cannot tell such values.
    """
    kind = values.type
    if pa.types.is_dictionary(kind):
        # Polars has categories whose words are of a type that cannot be decoded.
        words = as_text(values.dictionary)
        return pa.DictionaryArray.from_arrays(values.indices, words).dictionary_decode()
    if isinstance(kind, pa.BaseExtensionType):
        return _uuids(values) if kind.extension_name == _UUID else as_text(values.storage)
    if pa.types.is_floating(kind):
        return _floats(values)
    if _is_bytes(kind):
        return _decoded(values)
    if pa.types.is_timestamp(kind) or pa.types.is_time(kind):
        return _moments(values)
    return values.cast(pa.string())


def undamaged(values: pa.Array) -> pa.Array:
    """Return text in which values that are no UTF-8 are :data:`DAMAGED`."""
    try:
        values.validate(full=True)
    except pa.ArrowInvalid:
        return _decoded(values.cast(pa.binary()))
    return values


def _floats(values: pa.Array) -> pa.Array:
    numbers = values.cast(pa.float64())
    small = pc.less(pc.abs(numbers), float(exact_up_to(values.type)))
    whole = pc.fill_null(pc.and_(small, pc.equal(pc.trunc(numbers), numbers)), fill_value=False)
    integers = pc.if_else(whole, numbers, 0.0).cast(pa.int64())
    return pc.if_else(whole, integers.cast(pa.string()), values.cast(pa.string()))


def _decoded(values: pa.Array) -> pa.Array:
    try:
        return values.cast(pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([_text(value) for value in values.to_pylist()], pa.string())


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return DAMAGED


def _uuids(values: pa.Array) -> pa.Array:
    return pa.array([None if value is None else str(value) for value in values.to_pylist()], pa.string())


def _moments(values: pa.Array) -> pa.Array:
    try:
        spelled = [None if value is None else str(value) for value in values.to_pylist()]
    except (OverflowError, ValueError):  # of years that Python has not
        return values.cast(pa.string())
    return pa.array(spelled, pa.string())


def exact_up_to(floats: pa.DataType) -> int:
    """Return the integer from which on floats of a type may stand for several integers."""
    return 1 << {16: 11, 32: 24, 64: 53}[floats.bit_width]


def as_batch(columns: Iterable[pa.Array], schema: pa.Schema, *, location: SourceLocation) -> pa.RecordBatch:
    """Bring columns to the types of a schema; its metadata names numbers that are told as text.

    :raises SourceError: a value does not fit.
    """
    given = list(columns)
    cast = [_cast(values, field, location) for values, field in zip(given, schema, strict=True)]
    numbers = [
        field.name
        for values, field in zip(given, schema, strict=True)
        if is_number(values.type) and pa.types.is_string(field.type)
    ]
    noted = schema.with_metadata({NUMBERS: json.dumps(numbers)}) if numbers else schema
    return pa.RecordBatch.from_arrays(cast, schema=noted)


NUMBERS: Final = b"numbers"
"""Key of the metadata that name the columns of a batch which are numbers told as text, as a JSON list."""


def is_number(kind: pa.DataType) -> bool:
    """Whether values are numbers: they may have lost zeros in front, which text has not."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _check_tellable(column: str, given: pa.DataType, location: SourceLocation) -> None:
    try:
        as_text(pa.nulls(0, given))
    except pa.ArrowException as error:
        raise location.error(
            f"column {column!r} is {given} here and of another type in other files of the segment: "
            "write all files with the same schema."
        ) from error


def _cast(values: pa.Array, field: pa.Field, location: SourceLocation) -> pa.Array:
    if values.type == field.type:
        return values
    if pa.types.is_dictionary(values.type) and not pa.types.is_string(field.type):
        return _cast(values.dictionary_decode(), field, location)
    try:
        if pa.types.is_string(field.type):
            return as_text(values)
        return values.cast(field.type)
    except pa.ArrowException:
        # What pyarrow says may quote a value.
        raise location.error(
            f"column {field.name!r} holds {values.type} values that cannot be read as {field.type}: "
            "write it as UTF-8 text."
        ) from None
