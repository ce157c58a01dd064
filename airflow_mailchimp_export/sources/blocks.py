"""Batches of rows in bounded memory, however long the values in them are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from airflow_mailchimp_export.sources.source import BATCH_ROWS

BATCH_BYTES: Final = 8 * 1024 * 1024
"""Bytes of a batch at most, unless a single row has more."""

MAX_TEXT: Final = 1_024
"""Characters of a text that are read at most: Mailchimp takes 255 bytes of one."""

_CUT: Final = " \N{HORIZONTAL ELLIPSIS}"
"""How a text ends that was cut, so that it is taken neither for a whole link nor for a whole address."""


def regrouped(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Join small batches and divide large ones, by rows and by bytes."""
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        bulk = _bytes_of(batch)
        if waiting and (rows + batch.num_rows > BATCH_ROWS or size + bulk > BATCH_BYTES):
            yield _joined(waiting)
            waiting, rows, size = [], 0, 0
        if batch.num_rows > BATCH_ROWS or bulk > BATCH_BYTES:
            yield from divided(batch)
        else:
            waiting.append(batch)
            rows, size = rows + batch.num_rows, size + bulk
    if waiting:
        yield _joined(waiting)


def divided(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Divide a batch that is too large; nothing is copied."""
    for start in range(0, batch.num_rows, BATCH_ROWS):
        yield from _halved(batch.slice(start, BATCH_ROWS))


def _halved(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    if batch.num_rows <= 1 or _bytes_of(batch) <= BATCH_BYTES:
        yield batch
        return
    middle = batch.num_rows // 2
    yield from _halved(batch.slice(0, middle))
    yield from _halved(batch.slice(middle))


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    # Not pa.concat_batches, which pyarrow has from 19 on; without a row, a table has no batch.
    joined = pa.Table.from_batches(batches).combine_chunks().to_batches()
    return joined[0] if joined else batches[0]


def _bytes_of(batch: pa.RecordBatch) -> int:
    return sum(map(_size, batch.columns))


def _size(values: pa.Array) -> int:
    """Return the bytes of a column, where values are repeated as if each was there by itself."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        return _widest(_counted(values.dictionary)) * len(values)
    if pa.types.is_struct(kind):
        return sum(map(_size, values.flatten()))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _size(values.flatten())
    return int(_counted(values).nbytes)


def _counted(values: pa.Array) -> pa.Array:
    """Return values whose bytes can be counted: pyarrow before 24 cannot do so for views, as polars hands over text."""
    is_view = pa.types.is_string_view(values.type) or pa.types.is_binary_view(values.type)
    return values.cast(pa.large_binary()) if is_view else values


def _widest(words: pa.Array) -> int:
    """Return the bytes of the longest text, or of all values where they are no texts."""
    if len(words) and _is_text(words.type):
        return int(pc.max(pc.binary_length(words)).as_py() or 0)
    return int(words.nbytes)


def _is_text(kind: pa.DataType) -> bool:
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(test(kind) for test in tests)


def shortened(values: pa.Array) -> pa.Array:
    """Cut texts that are longer than anything that is sent, also within structs; all else stays as it is."""
    if pa.types.is_struct(values.type):
        parts = [shortened(part) for part in values.flatten()]
        fields = [values.type.field(index) for index in range(values.type.num_fields)]
        return pa.StructArray.from_arrays(parts, fields=fields, mask=values.is_null())
    if not pa.types.is_string(values.type) or (pc.max(pc.binary_length(values)).as_py() or 0) <= MAX_TEXT:
        return values
    text = pc.utf8_trim_whitespace(values)
    cut = pc.binary_join_element_wise(pc.utf8_slice_codeunits(text, 0, MAX_TEXT - len(_CUT)), _CUT, "")
    return pc.if_else(pc.greater(pc.utf8_length(values), MAX_TEXT), cut, values)
