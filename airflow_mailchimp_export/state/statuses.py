"""Who may not be sent, as an export read it last, kept between runs as ``statuses.parquet`` beside its ledger.

::

    subscriber_hash    of the address
    member_id          Mailchimp's key of the member, where that is another; else null
    status             unsubscribed, cleaned, pending, transactional or archived

No addresses: most of these people are in no segment. It saves requests and is no memory: what is wrong with the file in
any way, be it its format, its owner or a byte of it, is a reason to read all from Mailchimp, and never an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_mailchimp_export.errors import UnreadableFile
from airflow_mailchimp_export.state.json_format import JsonFormat
from airflow_mailchimp_export.state.ledger import METADATA_KEY
from airflow_mailchimp_export.state.parquet import is_whole, sealed_writer
from airflow_mailchimp_export.state.run import ExportFolder

STATUSES = "statuses.parquet"

GROUP_ROWS = 20_000
"""Rows that are written, read and checked together: hardly two hashes begin alike, so they take much memory."""

STATUSES_COLUMNS = ("subscriber_hash", "member_id", "status")

_FORMAT = JsonFormat()

_REMEDY = "None: who may not be sent is read from Mailchimp"


@dataclass(frozen=True, slots=True)
class StatusesMark:
    """What the file says of itself.

    :param account: where the account is that the audience belongs to, such as ``us21``.
    :param statuses: all whose members it holds.
    :param read_at: when all of them were read last, in ISO 8601.
    :param current_at: from when on changes are not in it for sure, by Mailchimp's clock, in ISO 8601.
    """

    export: str
    audience_id: str
    account: str
    statuses: tuple[str, ...]
    read_at: str
    current_at: str


@dataclass(frozen=True, slots=True)
class KeptStatuses:
    """What was kept.

    :param path: a local file with its rows.
    """

    mark: StatusesMark
    path: Path


@contextmanager
def opened(folder: ExportFolder) -> Iterator[KeptStatuses]:
    """Lend what an export has kept, read to its last byte.

    :raises UnreadableFile: when it is damaged, or was written by a newer release.
    """
    where = f"{folder.uri}/{STATUSES}"
    with folder.reading(STATUSES) as path:
        if not is_whole(path):
            raise UnreadableFile(where, "is damaged", _REMEDY)
        schema = pq.read_schema(path)
        told = (schema.metadata or {}).get(METADATA_KEY.encode(), b"")
        mark = _FORMAT.decode(told, StatusesMark, where=where, remedy=_REMEDY)
        if tuple(schema.names) != STATUSES_COLUMNS:
            raise UnreadableFile(where, "has other columns", _REMEDY)
        yield KeptStatuses(mark, path)


def write(path: Path, mark: StatusesMark, rows: pa.RecordBatchReader) -> None:
    """Write such a file; all of it has checksums."""
    schema = rows.schema.with_metadata({METADATA_KEY: _FORMAT.encode(mark, indent=-1)})
    with sealed_writer(path, schema) as writer:
        for batch in rows:
            writer.write_batch(batch)
