"""Parquet files, read to their last byte before they are trusted.

Pages have checksums of their own; what else a file says, such as how many rows there are, and under which names, is
covered by a digest in its metadata.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_mailchimp_export.errors import UnreadableFile

SEAL = b"airflow_mailchimp_export.digest"

_UNREPEATED = frozenset({"subscriber_hash", "email"})
"""Columns of short texts that are others in each row: to look for the same value again would take most of the time."""

_READ_BYTES: Final = 1024 * 1024
"""Bytes of a column that are read at a time."""

_DAMAGE = (pa.ArrowException, OSError, ValueError)
"""What reading raises on a file that is no Parquet, or is cut short, or has a page that cannot be unpacked."""


_SETTLED_SECONDS: Final = 2.0
"""Age of a change from which on a further one shows in the file's times, however coarse the clock of its disk is."""

_KNOWN_WHOLE: Final[deque[tuple[int, ...]]] = deque(maxlen=16)
"""Files that this process has read to their last byte."""


def batches_in(file: pq.ParquetFile, **how: Any) -> Iterator[pa.RecordBatch]:
    """Read a file as its ``iter_batches`` does, which fails in pyarrow 18 where there is no row group."""
    if file.num_row_groups:
        yield from file.iter_batches(**how)


def is_whole(path: Path) -> bool:
    """Return whether every page of every column can be read, and is what its checksum says where it has one.

    A file that this process found whole is not read again as long as it is the same one, and unchanged: a run that
    plans and accounts for itself asks twice.

    :raises UnreadableFile: when the system does not let it be read.
    """
    known = _identity(path)
    if known and known in _KNOWN_WHOLE:
        return True
    found = _read_whole(path)
    if found and known:
        _KNOWN_WHOLE.append(known)
    return found


def _identity(path: Path) -> tuple[int, ...]:
    """Return what changes whenever a file does; nothing where it changed so lately that this may not show."""
    with suppress(OSError):
        found = path.stat()
        if time.time() - found.st_ctime > _SETTLED_SECONDS:
            return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    return ()


def _read_whole(path: Path) -> bool:
    """Read a file to its last byte.

    One group of rows is in memory at a time; a column of few values takes little, for values are not repeated.
    """
    try:
        with pq.ParquetFile(path) as file:
            texts = {column.name for column in file.schema_arrow if pa.types.is_string(column.type)}
        repeated = sorted(texts - _UNREPEATED)
        with streaming(path, page_checksum_verification=True, read_dictionary=repeated) as file:
            for group in range(file.num_row_groups):
                file.read_row_group(group).validate(full=True)
            return _is_sealed(file)
    except MemoryError:
        raise
    except _DAMAGE as error:
        # What the system refuses to give says nothing of what is in the file; what is damaged has no such number.
        if isinstance(error, OSError) and error.errno not in (None, errno.ENOENT, errno.EISDIR, errno.EINVAL):
            problem = f"cannot be read ({os.strerror(error.errno)})"
            raise UnreadableFile(str(path), problem, "Make it readable, then run the export again") from error
        return False


def streaming(path: Path, **options: Any) -> pq.ParquetFile:
    """Open a file that is read from its begin to its end, however large it is.

    Buffering ahead would keep what was read until the file is closed: as much memory as the file is large.

    :param options: see :class:`pyarrow.parquet.ParquetFile`.
    """
    return pq.ParquetFile(path, pre_buffer=False, buffer_size=_READ_BYTES, **options)


class SealedWriter:
    """Writes a file whose every part can be checked; made by :func:`sealed_writer`."""

    def __init__(self, writer: pq.ParquetWriter) -> None:
        self._writer = writer
        self.rows = 0

    def write_batch(self, batch: pa.RecordBatch) -> None:
        """Write rows."""
        self._writer.write_batch(batch)
        self.rows += batch.num_rows


@contextmanager
def sealed_writer(path: Path, schema: pa.Schema) -> Iterator[SealedWriter]:
    """Lend what writes a file; at the end it is sealed."""
    # Statistics have no checksum, and rows that they seem to rule out are not read.
    with pq.ParquetWriter(
        path, schema, compression="zstd", write_page_checksum=True, write_statistics=False
    ) as writer:
        sealed = SealedWriter(writer)
        yield sealed
        writer.add_key_value_metadata({SEAL: _digest(schema, sealed.rows)})


def _is_sealed(file: pq.ParquetFile) -> bool:
    """Return whether a file says of itself what was written; those of earlier releases have no seal."""
    seal = (file.metadata.metadata or {}).get(SEAL)
    groups = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    return seal is None or seal == _digest(file.schema_arrow, sum(groups))


def _digest(schema: pa.Schema, rows: int) -> bytes:
    columns = [f"{field.name} {_kind(field.type)}" for field in schema]
    told = sorted((key, value) for key, value in (schema.metadata or {}).items() if key != SEAL)
    return hashlib.sha256(repr((rows, columns, told)).encode()).hexdigest()[:16].encode()


def _kind(of: pa.DataType) -> str:
    """Name a type, however its values are kept, and whatever Parquet calls the elements of a list."""
    if pa.types.is_dictionary(of):
        return _kind(of.value_type)
    return f"list of {_kind(of.value_type)}" if pa.types.is_list(of) else str(of)
