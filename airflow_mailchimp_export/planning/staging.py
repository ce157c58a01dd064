"""What is read, as Arrow tables to be staged: the batches of several sources, and the members of the audience."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from airflow_mailchimp_export.database import COLUMNS, SEGMENT, segment_named
from airflow_mailchimp_export.errors import SourceError
from airflow_mailchimp_export.planning.spelling import null_words, plain_days, plain_numbers
from airflow_mailchimp_export.settings.file_options import Spelling
from airflow_mailchimp_export.sources.blocks import shortened
from airflow_mailchimp_export.sources.columns import (
    DAMAGED,
    NUMBERS,
    as_text,
    exact_up_to,
    is_number,
    reconciled,
    undamaged,
)
from airflow_mailchimp_export.sources.source import Source

Members = Iterable[tuple[str, str]]
"""Pairs of Mailchimp's id and the address."""


def common_schema(sources: Sequence[Source]) -> pa.Schema:
    """Return names and types of the columns, the address's first; text where the sources differ."""
    schemas = [source.schema for source in sources]
    names = schemas[0].names
    types = [reconciled(schema.field(index).type for schema in schemas) for index in range(len(names))]
    return pa.schema(list(zip(names, [pa.string(), *types[1:]], strict=True)))


@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns of the sources are which.

    :param schema: names and types that all sources share, the address's first.
    :param mapped: how many columns, from the first, the field map needs.
    :param profile_id: the position of the column that identifies a profile for good; ``None`` for none.
    :param days: the positions of the columns that fill dates and birthdays, each with whether these may lack a year.
    :param numbers: the positions of the columns that fill numbers.
    """

    schema: pa.Schema
    mapped: int
    profile_id: int | None = None
    days: Mapping[int, bool] = field(default_factory=dict)
    numbers: Collection[int] = ()

    @property
    def floats(self) -> dict[int, int]:
        """The positions of mapped columns with floats, and up to which number these hold each integer."""
        return {
            index: exact_up_to(_stored_type(kind))
            for index, kind in enumerate(self.schema.types[: self.mapped])
            if index and pa.types.is_floating(kind)
        }


def staging_block(
    batch: pa.RecordBatch,
    layout: Layout,
    *,
    segment: str,
    first_row: int,
    spelling: Spelling = Spelling(),
) -> pa.RecordBatch:
    """Return a batch as rows to be staged: row number, address, profile id, and the mapped columns as one struct.

    :raises SourceError: when a column's values are damaged, or do not fit the type that the segments share.
    """
    columns = [
        # Ids are compared as a whole.
        _stored(batch, index, kind, segment)
        if index == layout.profile_id
        else shortened(_stored(batch, index, kind, segment))
        for index, kind in enumerate(layout.schema.types)
    ]
    columns, null_words = _respelled(columns, layout, spelling)
    # A struct needs a field, also where only addresses are exported; the address itself is not one of them.
    fields = [pa.nulls(batch.num_rows), *columns[1 : layout.mapped]]
    return pa.record_batch(
        {
            "source_row": pa.array(range(first_row, first_row + batch.num_rows), pa.int64()),
            "email": columns[0],
            "profile_id": _profile_ids(batch, columns, layout, segment=segment),
            "fields": pa.StructArray.from_arrays(
                fields, names=[f"field_{index}" for index in range(len(fields))]
            ),
            "null_words": null_words,
            "numbers": _numbers(batch, layout),
        },
        metadata={SEGMENT: segment, COLUMNS: _listed(layout.schema)},
    )


def staging_blocks(
    source: Source, layout: Layout, *, on_rows: Callable[[str, int], object]
) -> Iterator[pa.RecordBatch]:
    """Read a source to its end.

    :param on_rows: called with the segment and the number of rows of each batch read.
    :raises SourceError: see :func:`staging_block`.
    """
    rows = 0
    for batch in source.batches():
        yield staging_block(batch, layout, segment=source.segment, first_row=rows, spelling=source.spelling)
        rows += batch.num_rows
        on_rows(source.segment, batch.num_rows)


def gathered(blocks: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Put blocks together: each statement that stages some makes its patterns ready again, and writes for itself."""
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for block in blocks:
        waiting.append(block)
        rows, size = rows + block.num_rows, size + block.nbytes
        if rows >= _STAGED_ROWS or size >= _STAGED_BYTES:
            yield pa.Table.from_batches(waiting)
            waiting, rows, size = [], 0, 0
    if waiting:
        yield pa.Table.from_batches(waiting)


_STAGED_ROWS = 250_000
"""Rows after which they are staged: two groups of DuckDB's."""

_STAGED_BYTES = 24 * 1024 * 1024


def staged_column(index: int) -> str:
    """Return SQL of a column of the sources, by its position there, in a row that is staged."""
    return "email" if index == 0 else f"fields.field_{index}"


_POSITIONS = pa.list_(pa.uint16())
"""Type of what lists columns of a row by their positions; nearly always there are none."""


def _respelled(
    columns: Sequence[pa.Array], layout: Layout, spelling: Spelling
) -> tuple[list[pa.Array], pa.Array]:
    """Read columns as they are spelled; say of each row which of them had a word for nothing."""
    rows = len(columns[0])
    found: dict[int, list[int]] = {}
    respelled = []
    for index, given in enumerate(columns):
        is_null = null_words(given, spelling.null_words)
        for row in pc.indices_nonzero(is_null).to_pylist() if is_null is not None else ():
            found.setdefault(row, []).append(index)
        values = given if is_null is None else pc.if_else(is_null, None, given)
        days = plain_days(values, layout.schema.names[index], spelling) if index in layout.days else values
        respelled.append(plain_numbers(days, spelling) if index in layout.numbers else days)
    if not found:
        return respelled, pa.nulls(rows, _POSITIONS)
    return respelled, pa.array([found.get(row) for row in range(rows)], _POSITIONS)


def _numbers(batch: pa.RecordBatch, layout: Layout) -> pa.Array:
    """Say of each row which of its texts are numbers at the source."""
    told = json.loads((batch.schema.metadata or {}).get(NUMBERS, b"[]"))
    positions = [
        index
        for index in range(1, layout.mapped)
        if pa.types.is_string(layout.schema.types[index])
        and (batch.schema.names[index] in told or is_number(batch.schema.types[index]))
    ]
    return (
        pa.array([positions or None] * batch.num_rows, _POSITIONS)
        if positions
        else pa.nulls(batch.num_rows, _POSITIONS)
    )


def _listed(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name!r} ({field.type})" for field in schema)


def _profile_ids(
    batch: pa.RecordBatch, columns: Sequence[pa.Array], layout: Layout, *, segment: str
) -> pa.Array:
    """Return the ids as text: what is 7 today and 7.0 tomorrow is the same id.

    :raises SourceError: they are floats that stand for several integers each, or nothing that text can tell.
    """
    index = layout.profile_id
    if index is None:
        return pa.nulls(batch.num_rows, pa.string())
    where = f"{segment_named(segment)}: column {batch.schema.names[index]!r}"
    values, given = columns[index], batch.column(index)
    if pa.types.is_floating(given.type):
        if pc.any(pc.greater_equal(pc.abs(given.cast(pa.float64())), float(exact_up_to(given.type)))).as_py():
            raise SourceError(f"{where} holds profile ids as {given.type}, {_LOST}")
        values = pc.if_else(pc.is_nan(given), None, given)
    try:
        ids = as_text(values)
    except pa.ArrowException:
        raise SourceError(
            f"{where} holds {values.type}, which is no profile id", "Give text or integers"
        ) from None
    # Nobody is told from another by an id that cannot be read.
    ids = pc.if_else(pc.equal(ids, DAMAGED), None, ids)
    if pc.any(pc.match_substring_regex(ids, _ROUNDED)).as_py():
        raise SourceError(f"{where} holds profile ids that were written as floats, {_LOST}")
    return ids


_LOST = (
    "which cannot hold so many digits, so that several profiles have one id. "
    "Give the ids as text or as integers at the source"
)

_ROUNDED = r"^-?\d(\.\d+)?[eE]\+\d+$"


def empty_block(layout: Layout) -> pa.RecordBatch:
    """Return a block without rows, for its types."""
    schema = layout.schema
    batch = pa.RecordBatch.from_arrays([pa.array([], kind) for kind in schema.types], schema=schema)
    return staging_block(batch, layout, segment="", first_row=0)


def to_pairs(members: Members) -> pa.Table:
    """Return members as a table."""
    found = list(members)
    return pa.table(
        {
            "id": pa.array([member_id for member_id, _ in found], pa.string()),
            "email": pa.array([email for _, email in found], pa.string()),
        }
    )


def _stored(batch: pa.RecordBatch, index: int, kind: pa.DataType, segment: str) -> pa.Array:
    """Return a column as DuckDB reads it."""
    values = batch.column(index)
    try:
        if pa.types.is_string(values.type):
            values = undamaged(values)
        if pa.types.is_struct(values.type):
            values.validate(full=True)
        typed = as_text(values) if pa.types.is_string(kind) else values.cast(kind)
        return _within_calendar(typed.cast(_stored_type(kind)))
    except (pa.ArrowException, ValueError, OverflowError):
        # What pyarrow says may quote a value.
        raise SourceError(
            f"{segment_named(segment)}: column {batch.schema.names[index]!r} holds {values.type}, "
            f"which cannot be read as {kind}",
            "Cast it at the source",
        ) from None


def _stored_type(kind: pa.DataType) -> pa.DataType:
    """Name the type that DuckDB has for another; it has no floats of 16 bits and no decimals of 256."""
    if pa.types.is_float16(kind):
        return pa.float32()
    if pa.types.is_decimal256(kind):
        fits = kind.precision <= _MOST_DIGITS and 0 <= kind.scale <= kind.precision
        return pa.decimal128(kind.precision, kind.scale) if fits else pa.string()
    return kind


def _within_calendar(values: pa.Array) -> pa.Array:
    """Bring days and moments past DuckDB's calendar to a year that cannot be sent either."""
    kind = values.type
    unit = kind.unit if pa.types.is_timestamp(kind) else "day" if pa.types.is_date64(kind) else ""
    most = _MOST_TICKS.get(unit)
    if most is None:
        return values
    ticks = values.cast(pa.int64())
    return pc.max_element_wise(
        pc.min_element_wise(ticks, most, skip_nulls=False), -most, skip_nulls=False
    ).cast(values.type)


_MOST_DIGITS = 38
"""Of a decimal in DuckDB: https://duckdb.org/docs/stable/sql/data_types/numeric"""

_MOST_TICKS = {"s": 9 * 10**12, "ms": 9 * 10**15, "day": 9 * 10**15}
"""Furthest from 1970 that a column counts, in its own unit: DuckDB counts microseconds in 64 bits."""
