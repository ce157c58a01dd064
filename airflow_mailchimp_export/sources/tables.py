"""A segment whose profiles are in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from airflow_mailchimp_export.settings.file_options import Spelling
from airflow_mailchimp_export.settings.segments import ArrowData, is_pandas
from airflow_mailchimp_export.sources.blocks import divided
from airflow_mailchimp_export.sources.columns import as_batch, check_columns, plain_type
from airflow_mailchimp_export.sources.location import SourceLocation
from airflow_mailchimp_export.sources.nested import all_names, column_of

if TYPE_CHECKING:
    import pandas as pd


class _Digest:
    """A file of which only the digest is kept."""

    closed = False

    def __init__(self) -> None:
        self.hash = hashlib.blake2b(digest_size=16)

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is waiting to be written."""

    def close(self) -> None:
        """Nothing is open."""


class TableSource:
    """Reads a data frame or table.

    :param data: a pandas.DataFrame, whose index is left out, a pyarrow.Table, or what else offers itself to
        Arrow as a table.
    :param columns: the wanted columns, each once.
    :raises SourceError: a column is missing, or its values are of several types.
    """

    def __init__(self, segment: str, data: ArrowData, *, columns: Sequence[str]) -> None:
        self.segment = segment
        self.spelling = Spelling()
        self._place = SourceLocation(segment)
        self._table = self._as_table(data, columns)
        self.schema = pa.schema([(field.name, plain_type(field.type)) for field in self._table.schema])

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Read from the first row to the last."""
        for batch in self._table.to_batches():
            for part in divided(batch):
                yield as_batch(part.columns, self.schema, location=self._place)

    def identity(self) -> str:
        """Return a digest of the values."""
        digest = _Digest()
        with pa.ipc.new_stream(pa.PythonFile(digest, mode="w"), self._table.schema) as stream:
            stream.write_table(self._table)
        return digest.hash.hexdigest()

    def locate(self, row: int) -> str:
        """Say which row it is; the first one is 1."""
        return f"row {row + 1}"

    def close(self) -> None:
        """Do nothing: the data belong to whoever handed them over."""

    def _as_table(self, data: ArrowData, columns: Sequence[str]) -> pa.Table:
        if is_pandas(data):
            return self._from_pandas(data, columns)
        table = data if isinstance(data, pa.Table) else self._from_arrow(data)
        check_columns(columns, all_names(table.schema), location=self._place)
        return pa.table([column_of(table, column) for column in columns], names=list(columns))

    def _from_arrow(self, data: ArrowData) -> pa.Table:
        if isinstance(data, pa.RecordBatchReader):
            raise self._place.error(
                "is a reader, which can be read only once: pass reader.read_all() instead."
            )
        try:
            return pa.table(data)
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise self._place.error(f"is no table, but of type {type(data).__name__}.") from error

    def _from_pandas(self, frame: pd.DataFrame, columns: Sequence[str]) -> pa.Table:
        names = [str(label) for label in frame.columns]
        check_columns(columns, names, location=self._place)
        series = [frame.iloc[:, names.index(column)] for column in columns]
        return pa.table([self._from_series(values) for values in series], names=list(columns))

    def _from_series(self, values: pd.Series) -> pa.Array:
        try:
            return pa.array(values, from_pandas=True)
        except (pa.ArrowException, TypeError, ValueError):
            # What pyarrow says quotes a value.
            raise self._place.error(
                f"column {str(values.name)!r} holds values of several types, or of one that Arrow "
                "does not know: convert it, e.g. with .astype('string')."
            ) from None
