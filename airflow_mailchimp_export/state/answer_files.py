"""The files that hold answers: records one after the other, each whole or ignored.

A record is its length, its checksum, and an Arrow stream with the answers to one chunk, or to all chunks of one
batch. A file that ends in half a record, because the process was killed while it wrote, is as good as one that ends
before it. Release 0.1.0 kept each record as a Parquet file of its own, with the key as its name.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import PurePath

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_mailchimp_export.errors import NewerFormat
from airflow_mailchimp_export.model import Effect, Outcome
from airflow_mailchimp_export.state.storage import Appender

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("email", "effect", "status", "reason", "field", "words")),
        ("chunk", pa.int32()),
    ]
)

Answer = tuple[int | None, Sequence[Outcome]]
"""The outcomes of one chunk; its number only where people leave by it, for they may leave by several."""

SUFFIX = ".answers"

OLD_SUFFIX = ".parquet"
"""That of release 0.1.0."""

FILE_PEOPLE = 100_000
"""People, those of 200 chunks, after whose answers another file is begun."""

FILE_BYTES = 8_000_000
"""Bytes after which another file is begun: a file is read in one go."""

FILE_SECONDS = 30.0
"""Seconds after which another file is begun, once there is another answer."""

FORMAT = 1

MAGIC = b"answers"
"""How each file begins; the number of the format follows as one byte."""

_START = MAGIC + bytes([FORMAT])

_HEAD = struct.Struct("<II")

_COMPRESSED = pa.ipc.IpcWriteOptions(compression="zstd")

_COLUMNS = [attrgetter(name) for name in SCHEMA.names[:-1]]

_EFFECTS = pa.array([effect.value for effect in Effect])

_KEY, _REFUSED = b"key", b"refused_chunks"

_DAMAGE = (pa.ArrowException, msgspec.MsgspecError, LookupError, TypeError, ValueError)
"""What reading raises on content of another shape."""


@dataclass(frozen=True, slots=True)
class Record:
    """The answers to one chunk, or to all chunks of one batch.

    :param key: which chunk or batch it is.
    :param refused: the numbers of the chunks that the batch could not deliver.
    """

    key: str
    refused: tuple[int, ...]
    rows: pa.Table


@dataclass(frozen=True, slots=True)
class Contents:
    """What could be read of a file.

    :param problem: why that is not all of it, as the rest of a sentence that begins with the file; else empty.
    """

    records: tuple[Record, ...]
    problem: str = ""


def to_record(key: str, answers: Iterable[Answer], refused: Sequence[int]) -> Record:
    """Return a record of answers that may be a stream; who was refused is looked at behind the last of them."""
    batches = [_to_batch(chunk, outcomes) for chunk, outcomes in answers]
    return Record(key, tuple(refused), pa.Table.from_batches(batches, SCHEMA).combine_chunks())


def to_bytes(records: Iterable[Record]) -> bytes:
    """Return records as they are in a file, behind its :func:`start`."""
    return b"".join(map(_packed, records))


def start() -> bytes:
    """Return what each file begins with."""
    return _START


def read_records(name: str, content: bytes, *, where: str) -> Contents:
    """Return the records of a file up to the first one that is not whole.

    :param where: the file, for the message.
    :raises NewerFormat: when a newer release wrote it.
    """
    records: list[Record] = []
    try:
        for record in _old_record(name, content) if name.endswith(OLD_SUFFIX) else _records(content, where):
            records.append(record)
    except MemoryError:
        raise
    except EOFError:
        return Contents(tuple(records), f"is cut short (records that can be read: {len(records)})")
    except _DAMAGE:
        return Contents(tuple(records), f"is damaged (records that can be read: {len(records)})")
    return Contents(tuple(records))


def _to_batch(chunk: int | None, outcomes: Sequence[Outcome]) -> pa.RecordBatch:
    columns = [pa.array(map(column, outcomes), pa.string()) for column in _COLUMNS]
    numbers = pa.array([chunk] * len(outcomes), pa.int32())
    return pa.record_batch([*columns, numbers], schema=SCHEMA)


def _packed(record: Record) -> bytes:
    body = pa.BufferOutputStream()
    about = {_KEY: record.key, _REFUSED: msgspec.json.encode(record.refused)}
    with pa.ipc.new_stream(body, SCHEMA.with_metadata(about), options=_COMPRESSED) as stream:
        stream.write_table(record.rows)
    content: bytes = body.getvalue().to_pybytes()
    return _HEAD.pack(len(content), zlib.crc32(content)) + content


def _records(content: bytes, where: str) -> Iterator[Record]:
    if content[: len(MAGIC)] == MAGIC and content[len(MAGIC) :][:1] > bytes([FORMAT]):
        raise NewerFormat(where, content[len(MAGIC)], FORMAT)
    if content[: len(_START)] != _START:
        raise EOFError if _START.startswith(content) else ValueError
    begin = len(_START)
    while begin < len(content):
        head = content[begin : begin + _HEAD.size]
        if len(head) < _HEAD.size:
            raise EOFError
        length, checksum = _HEAD.unpack(head)
        begin += _HEAD.size
        body = content[begin : begin + length]
        if len(body) < length:
            raise EOFError
        if zlib.crc32(body) != checksum:
            raise ValueError
        with pa.ipc.open_stream(body) as stream:
            about = stream.schema.metadata
            yield Record(about[_KEY].decode(), _refused(about), stream.read_all())
        begin += length


def _old_record(name: str, content: bytes) -> Iterator[Record]:
    with pq.ParquetFile(pa.BufferReader(content)) as file:
        rows = file.read().select(SCHEMA.names).cast(SCHEMA)
        about = file.metadata.metadata or {}
    # Without a checksum, what can be read need not be what was written.
    if not pc.all(pc.is_in(rows["effect"], _EFFECTS), min_count=0).as_py():
        raise ValueError("an answer that is none")
    yield Record(PurePath(name).stem, _refused(about), rows)


def _refused(about: Mapping[bytes, bytes]) -> tuple[int, ...]:
    return msgspec.json.decode(about.get(_REFUSED, b"[]"), type=tuple[int, ...])


class OpenFile:
    """A file to which answers are added until it is full."""

    def __init__(self, appender: Appender, *, begun_at: float) -> None:
        self.appender = appender
        self._begun_at = begun_at
        self._people = 0
        self._size = 0

    def append(self, content: bytes, *, people: int) -> None:
        """Add a record."""
        self.appender.append(content if self._size else start() + content)
        self._people += people
        self._size += len(content)

    def is_full(self, *, now: float) -> bool:
        """Return whether another file is to be begun."""
        return self._people >= FILE_PEOPLE or self._size >= FILE_BYTES or now - self._begun_at >= FILE_SECONDS
