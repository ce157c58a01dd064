"""Parquet files, read to their last byte before they are trusted."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_mailchimp_export.errors import UnreadableFile

_DAMAGE = (pa.ArrowException, OSError, ValueError)
"""What reading raises on a file that is no Parquet, or is cut short, or has a page that cannot be unpacked."""


def is_whole(path: Path) -> bool:
    """Return whether every page of every column can be read, and is what its checksum says where it has one.

    :raises UnreadableFile: when the system does not let it be read.

    One group of rows is in memory at a time; a column of few values takes little, for values are not repeated.
    """
    try:
        with pq.ParquetFile(path) as file:
            repeated = [column.name for column in file.schema_arrow if pa.types.is_string(column.type)]
        with pq.ParquetFile(path, page_checksum_verification=True, read_dictionary=repeated) as file:
            for group in range(file.num_row_groups):
                file.read_row_group(group)
    except MemoryError:
        raise
    except _DAMAGE as error:
        # What the system refuses to give says nothing of what is in the file; what is damaged has no such number.
        if isinstance(error, OSError) and error.errno not in (None, errno.ENOENT, errno.EISDIR, errno.EINVAL):
            problem = f"cannot be read ({os.strerror(error.errno)})"
            raise UnreadableFile(str(path), problem, "Make it readable, then run the export again") from error
        return False
    return True
