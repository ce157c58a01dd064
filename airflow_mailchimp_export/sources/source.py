"""What every source offers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

import pyarrow as pa

from airflow_mailchimp_export.settings.file_options import Spelling

BATCH_ROWS: Final = 65_536
"""Most rows of one batch: large enough to keep Arrow busy, small enough to keep memory flat."""


class Source(Protocol):
    """A segment's profiles, as a stream.

    :ivar segment: the segment's name.
    :ivar schema: the wanted columns, in the wanted order.
    :ivar spelling: how their values are spelled.
    """

    segment: str
    schema: pa.Schema
    spelling: Spelling

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Read from the first row to the last, at most :data:`BATCH_ROWS` rows at a time.

        It may be called again and then starts again.

        :raises SourceError: the source cannot be read to its end.
        """
        ...

    def identity(self) -> str:
        """Return what changes whenever the profiles do, as their storage tells it; nothing is read for it.

        :raises SourceError: the source is gone.
        """
        ...

    def locate(self, row: int) -> str:
        """Say where a row stands.

        :param row: its number in the order of :meth:`batches`, from 0; it was read before.
        """
        ...

    def close(self) -> None:
        """Let go of what is open; batches that are still being read end."""
        ...
