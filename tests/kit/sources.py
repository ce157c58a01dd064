"""A segment whose batches are given, and which may break."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from airflow_mailchimp_export.settings.file_options import Spelling


@dataclass
class FakeSource:
    """A segment out of given batches; ``breaks`` is raised behind the last of them."""

    segment: str
    tables: Sequence[pa.Table]
    breaks: Exception | None = None
    spelling: Spelling = field(default_factory=Spelling)
    schema: pa.Schema = field(init=False)

    def __post_init__(self) -> None:
        """Take the schema of the first table."""
        self.schema = self.tables[0].schema

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the batches of each table."""
        for table in self.tables:
            yield from table.to_batches()
        if self.breaks:
            raise self.breaks

    def locate(self, row: int) -> str:
        """Say which row it is."""
        return f"{self.segment} row {row + 1}"

    def close(self) -> None:
        """Do nothing."""
