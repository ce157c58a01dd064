"""Segments of Customer Insights over the Dataverse Web API; those of one export share one reading."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_mailchimp_export.customer_insights.client import DataverseClient
from airflow_mailchimp_export.customer_insights.columns import ID, arrow_type
from airflow_mailchimp_export.customer_insights.tables import CUSTOMER_ID
from airflow_mailchimp_export.errors import ExportError
from airflow_mailchimp_export.settings.file_options import Spelling
from airflow_mailchimp_export.settings.identities import of_one_reading
from airflow_mailchimp_export.settings.insights_segments import InsightsSpec
from airflow_mailchimp_export.sources.columns import in_zone
from airflow_mailchimp_export.sources.insights_checks import Wanted
from airflow_mailchimp_export.sources.insights_reading import Reading
from airflow_mailchimp_export.sources.location import SourceLocation
from airflow_mailchimp_export.state.parquet import batches_in
from airflow_mailchimp_export.state.scratch import scratch_dir

log = logging.getLogger(__name__)

ClientFactory: TypeAlias = Callable[[str], DataverseClient]
"""Makes a client of the id of an Airflow connection to Customer Insights."""

_READ_ROWS: Final = 20_000


@contextmanager
def _naming(location: SourceLocation) -> Iterator[None]:
    """Say of each error which segment it is about; Customer Insights is named by what it says itself."""
    try:
        yield
    except ExportError as error:
        if not error.happened.startswith(("Segment ", "segment ")):
            error.happened = f"Segment {location.segment!r}: {error.happened}"
        raise


class InsightsReadings:
    """Makes the sources of one export, of which those of one connection share a reading; use it in ``with``.

    :param make_client: makes a client of the id of a connection.
    :param columns: the wanted columns, each of which is read once; ``None`` for all.
    """

    def __init__(self, make_client: ClientFactory, columns: Sequence[str] | None) -> None:
        self._make_client = make_client
        self._columns = None if columns is None else tuple(dict.fromkeys(columns))
        self._shared: dict[str, SharedReading] = {}
        self._stack = ExitStack()

    def __enter__(self) -> InsightsReadings:
        """Use it."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Let go of clients and of what was read."""
        self._stack.close()

    def source(self, name: str, spec: InsightsSpec) -> InsightsSource:
        """Make the source of a segment.

        :raises ExportError: it cannot be read.
        """
        location = SourceLocation(name)
        with _naming(location):
            shared = self._shared.get(spec.conn_id)
            if shared is None:
                client = self._stack.enter_context(self._make_client(spec.conn_id))
                shared = self._shared[spec.conn_id] = SharedReading(client, self._columns, self._stack)
            return InsightsSource(shared, location, spec)


class SharedReading:
    """What the segments of one connection share: it reads once, when the first of them is read.

    :param stack: keeps what was read until it is closed.
    """

    def __init__(self, client: DataverseClient, columns: Sequence[str] | None, stack: ExitStack) -> None:
        self.reading = Reading(client, columns)
        self._stack = stack
        self._wanted: list[Wanted] = []
        self._files: list[Path] = []

    def add(self, wanted: Wanted) -> int:
        """Want a segment too; return its number."""
        self._wanted.append(wanted)
        self._files = []
        return len(self._wanted) - 1

    def file(self, number: int) -> Path:
        """Return the file with the profiles of a segment."""
        if not self._files:
            folder = self._stack.enter_context(scratch_dir())
            self._files = self.reading.write(self._wanted, folder)
        return self._files[number]


class InsightsSource:
    """Reads one segment."""

    def __init__(self, shared: SharedReading, location: SourceLocation, spec: InsightsSpec) -> None:
        self.segment = location.segment
        self.spelling = Spelling(timezone=spec.timezone)
        self._location = location
        self._shared = shared
        self._number = shared.add(Wanted(location.segment, spec))
        self._file: pq.ParquetFile | None = None
        self._ids: tuple[int, pa.Array] | None = None
        columns, names = shared.reading.columns, shared.reading.names
        self.schema = pa.schema(
            [
                (name, in_zone(arrow_type(column), spec.timezone))
                for name, column in zip(names, columns, strict=True)
            ]
        )

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Read all profiles, in the order of their ids.

        :raises SourceError: memberships or profiles cannot be read to their end, or too many members have no profile.
        """
        for batch in batches_in(self._opened(), batch_size=_READ_ROWS):
            given = batch.columns[1:]
            columns = [values.cast(field.type) for values, field in zip(given, self.schema, strict=True)]
            yield pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def identity(self) -> str:
        """Return what no other reading has: there is no version of a segment that could be asked for."""
        return of_one_reading(self.segment)

    def locate(self, row: int) -> str:
        """Say whose profile it is."""
        return f"{CUSTOMER_ID} {self._id(row)}"

    def close(self) -> None:
        """Close the file; what was read goes with the export's other segments."""
        if self._file:
            self._file.close()
            self._file = None

    def _opened(self) -> pq.ParquetFile:
        if self._file is None:
            with _naming(self._location):
                self._file = pq.ParquetFile(self._shared.file(self._number))
        return self._file

    def _id(self, row: int) -> str:
        """Look an id up; rows are asked for in their order, so one group of them is kept."""
        file = self._opened()
        first, ids = self._ids or (0, pa.array([], pa.string()))
        if not first <= row < first + len(ids):
            first, group = 0, 0
            while row >= first + (rows := file.metadata.row_group(group).num_rows):
                first, group = first + rows, group + 1
            ids = file.read_row_group(group, columns=[ID]).column(0).combine_chunks()
            self._ids = (first, ids)
        return str(ids[row - first])
