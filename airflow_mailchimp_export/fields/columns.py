"""The source's columns that a field map names: how they are written, and what they can fill."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.fields.values import REQUIRED_ADDRESS_PARTS
from airflow_mailchimp_export.settings.names import did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa


def parse_column(where: str, given: object) -> str:
    """Read the name of a source column.

    :raises ConfigError: it is none.
    """
    if not isinstance(given, str) or not given.strip():
        raise ConfigError(f"field_map: {where} needs the name of a source column")
    return given


def column_problems(
    name: str, columns: tuple[str, ...], schema: pa.Schema, *, kinds: Collection[str], of_type: str
) -> Iterator[str]:
    """Say which columns are not there, or are such that none of their values could ever fit.

    :param name: what they are to fill.
    :param kinds: which columns can fill it, as :func:`kind_of` names them.
    :param of_type: the type of what they are to fill, for the message.
    """
    for column in columns:
        if column not in schema.names:
            message = f"the source has no column {column!r} for {name}{did_you_mean(column, schema.names)}"
            yield f"{message}; it has {', '.join(schema.names)}"
        elif kind_of(arrow := schema.field(column).type) not in {"null", *kinds}:
            yield f"column {column!r} of type {arrow} can never fill {name} of type {of_type}"


_KINDS = {
    "null": ("is_null",),
    "text": ("is_string", "is_large_string", "is_string_view"),
    "number": ("is_integer", "is_floating", "is_decimal"),
    "boolean": ("is_boolean",),
    "date": ("is_date", "is_timestamp"),
    "time": ("is_time",),
}
"""The tests of ``pyarrow.types`` that a kind's types meet; a definition is read without pyarrow."""


def kind_of(arrow: pa.DataType) -> str:
    """Say what a column holds: null, text, number, boolean, date, time, address, struct, or other."""
    import pyarrow as pa

    if pa.types.is_dictionary(arrow) or pa.types.is_run_end_encoded(arrow):
        return kind_of(arrow.value_type)
    if isinstance(arrow, pa.BaseExtensionType):
        return "text" if arrow.extension_name == "arrow.uuid" else kind_of(arrow.storage_type)
    if pa.types.is_struct(arrow):
        return "address" if {part.name for part in arrow}.issuperset(REQUIRED_ADDRESS_PARTS) else "struct"
    fitting = (
        kind for kind, tests in _KINDS.items() if any(getattr(pa.types, test)(arrow) for test in tests)
    )
    return next(fitting, "other")
