"""Columns of profiles: which of them are wanted, their Arrow types, and rows as batches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import pyarrow as pa

from airflow_mailchimp_export.customer_insights.pages import Row
from airflow_mailchimp_export.customer_insights.protocol import LABEL
from airflow_mailchimp_export.customer_insights.tables import CUSTOMER_ID, Column, Table
from airflow_mailchimp_export.errors import ConfigError, SourceError
from airflow_mailchimp_export.settings.names import did_you_mean

ID, ROW_ID, VERSION = "id", "row_id", "version"
"""Columns of the batches beside the wanted ones, which are called ``column_0`` and so on."""

_MOST_NAMED: Final = 40


def own_columns(table: Table) -> list[str]:
    """Name the columns that hold what Customer Insights knows of somebody, not what each table has."""
    return sorted(column.wire for name, column in table.columns.items() if name.startswith("msdynci_"))


def find_columns(table: Table, wanted: Iterable[str]) -> list[Column]:
    """Find the wanted columns of profiles.

    :raises ConfigError: one is not there; the closest of those that are is named.
    """
    by_name = {name: column for column in table.columns.values() for name in (column.wire, column.name)}
    found = []
    for name in wanted:
        if name not in by_name:
            names = sorted(name for name in table.columns if name.startswith("msdynci_")) or sorted(
                table.columns
            )
            more = ", ..." if len(names) > _MOST_NAMED else ""
            raise ConfigError(
                f"The profiles of Customer Insights have no column {name!r}{_hint(name, by_name)}",
                f"Name columns as the table {table.name} has them: {', '.join(names[:_MOST_NAMED])}{more}",
            )
        found.append(by_name[name])
    return found


def _hint(name: str, known: Iterable[str]) -> str:
    names = list(known)
    return did_you_mean(name, names) or did_you_mean(f"msdynci_{name}".lower(), names)


def arrow_type(column: Column) -> pa.DataType:
    """Name the type that a column is read as."""
    if column.kind == "DateTime":
        return pa.date32() if column.is_date else pa.timestamp("us", "UTC")
    return _TYPES.get(column.kind, pa.string())


_TYPES: Final[Mapping[str, pa.DataType]] = {
    "Integer": pa.int64(),
    "BigInt": pa.int64(),
    "Double": pa.float64(),
    "Decimal": pa.float64(),
    "Money": pa.float64(),
    "Boolean": pa.bool_(),
}


def batch_schema(columns: Sequence[Column]) -> pa.Schema:
    """Return the schema of batches of profiles."""
    wanted = [(f"column_{index}", arrow_type(column)) for index, column in enumerate(columns)]
    return pa.schema([(ID, pa.string()), (ROW_ID, pa.string()), (VERSION, pa.int64()), *wanted])


def to_batch(rows: Sequence[Row], table: Table, columns: Sequence[Column]) -> pa.RecordBatch:
    """Make a batch of rows.

    :raises SourceError: a value is not of its column's type, or a row has no id.
    """
    schema = batch_schema(columns)
    ids = [row.get(CUSTOMER_ID) for row in rows]
    if not all(isinstance(one, str) and one for one in ids):
        raise SourceError(
            f"A profile has no {CUSTOMER_ID}", "Wait until Customer Insights has refreshed, and run it again"
        )
    row_ids = [_text_or_none(row.get(table.primary_id)) for row in rows]
    versions = [version if isinstance(version := row.get("versionnumber"), int) else None for row in rows]
    values = [_array(rows, column) for column in columns]
    return pa.RecordBatch.from_arrays(
        [pa.array(ids, pa.string()), pa.array(row_ids, pa.string()), pa.array(versions, pa.int64()), *values],
        schema=schema,
    )


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _array(rows: Sequence[Row], column: Column) -> pa.Array:
    kind = arrow_type(column)
    try:
        if column.has_labels:
            label = f"{column.wire}@{LABEL}"
            return pa.array([_text(row.get(label, row.get(column.wire))) for row in rows], kind)
        values = [row.get(column.wire) for row in rows]
        if pa.types.is_timestamp(kind):
            return pa.array([_moment(value) for value in values], pa.string()).cast(kind)
        if pa.types.is_date(kind):
            return pa.array([value and _checked(value)[:10] for value in values], pa.string()).cast(kind)
        if pa.types.is_string(kind):
            return pa.array([_text(value) for value in values], kind)
        return pa.array(values, kind)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        # What pyarrow says may quote a value.
        raise SourceError(
            f"Column {column.wire!r} of the profiles holds a value that is no {column.kind}, which its definition "
            "says it is",
            "Correct it in Customer Insights, or leave the column out",
        ) from None


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise TypeError("neither text nor a number")


def _checked(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _moment(value: object) -> str | None:
    if value is None:
        return None
    text = _checked(value)
    return f"{text}T00:00:00Z" if len(text) == len("2026-01-31") else text
