"""Columns within columns: ``contact.email`` is the field ``email`` of the struct ``contact``."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc


def all_names(schema: pa.Schema) -> list[str]:
    """Return the names of all columns, and of those within them, but where a column has that name itself."""
    own = schema.names
    return [*own, *(name for field in schema for name in _names(field, "") if name not in own)]


def _names(field: pa.Field, above: str) -> Iterator[str]:
    name = f"{above}{field.name}"
    yield name
    if pa.types.is_struct(field.type):
        for inner in field.type:
            yield from _names(inner, f"{name}.")


def type_of(schema: pa.Schema, name: str) -> pa.DataType:
    """Return the type of a column that is there."""
    outer, path = _split(schema, name)
    return _inner(schema.field(outer).type, path)


def root_of(schema: pa.Schema, name: str) -> str:
    """Return the column of a table in which another one is."""
    return _split(schema, name)[0]


def column_of(table: pa.Table | pa.RecordBatch, name: str) -> pa.Array | pa.ChunkedArray:
    """Return the values of a column; those within nothing are nothing."""
    outer, path = _split(table.schema, name)
    values = table.column(outer)
    return pc.struct_field(values, path) if path else values


def _split(schema: pa.Schema, wanted: str) -> tuple[str, list[str]]:
    """Part a name into that of a table's own column, the longest that leads there, and those within it."""
    parts = wanted.split(".")
    for length in range(len(parts), 0, -1):
        outer, path = ".".join(parts[:length]), parts[length:]
        if outer in schema.names and _inner(schema.field(schema.names.index(outer)).type, path) is not None:
            return outer, path
    raise KeyError(wanted)


def _inner(kind: pa.DataType, path: list[str]) -> pa.DataType | None:
    for part in path:
        index = kind.get_field_index(part) if pa.types.is_struct(kind) else -1
        if index < 0:
            return None
        kind = kind.field(index).type
    return kind
