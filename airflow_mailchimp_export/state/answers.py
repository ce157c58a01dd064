"""What Mailchimp answered: kept as it comes, many answers to a file.

On a local disk an answer is in a file before its chunk counts as done: a process that is killed loses none, a power
cut those that have not reached the disk. An object storage takes whole objects only, so there a kill costs as much:
the answers since the last object was written. They are of at most ``FILE_PEOPLE`` people, and none is older by more
than ``FILE_SECONDS`` than the newest. What is lost is work, not people: those without an answer are sent again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import PurePath
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.state.answer_files import (
    OLD_SUFFIX,
    SCHEMA,
    SUFFIX,
    Answer,
    Contents,
    OpenFile,
    Record,
    read_records,
    start,
    to_bytes,
    to_record,
)
from airflow_mailchimp_export.state.folder import Folder

log = logging.getLogger(__name__)

FOLDER = "answers"

RENAMES = "renames"
"""The key of the answers to all changed addresses of a run, in what release 0.1.0 wrote; since then each has a key that
begins with it."""

RENAMES_CHUNK = -1
"""In place of the number of a chunk."""


class AnswerLog:
    """The answers of one run; from any thread.

    :param folder: the run's.
    :param now: seconds of a clock that never goes back.
    """

    def __init__(self, folder: Folder, *, now: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._now = now
        self._lock = threading.Lock()
        self._open: OpenFile | None = None
        self._read: set[str] = set()
        self._named: set[str] = set()
        self._answered: set[str] = set()
        self._refused: set[int] = set()

    def keep(self, key: str, answers: Iterable[Answer], *, refused: Sequence[int] = ()) -> int:
        """Keep the answers to one chunk, or to all chunks of one batch; return how many people they name.

        The answers may be a stream: nothing is kept when it breaks.

        :param refused: the numbers of the chunks that a batch could not deliver; looked at behind the last answer.
        :raises ConfigError: when the place cannot be written to.
        """
        record = to_record(key, answers, refused)
        content = to_bytes([record])
        with self._lock, self._folder.writable("answers"):
            self._append(content, people=record.rows.num_rows)
            self._note(record)
        return int(record.rows.num_rows)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Let no answer that is kept meanwhile be lost any more at the end."""
        try:
            yield
        except BaseException:
            try:
                self.flush()
            except ConfigError as further:
                log.warning("%s", further)
            raise
        self.flush()

    def flush(self) -> None:
        """Let no answer be lost any more, whatever happens.

        :raises ConfigError: when the place cannot be written to.
        """
        with self._lock, self._folder.writable("answers"):
            self._end_file()

    def answered(self) -> frozenset[str]:
        """Return the keys of all answers kept so far, by whichever process."""
        self._look()
        return frozenset(self._answered)

    def refused_chunks(self) -> frozenset[int]:
        """Return the numbers of all chunks that batches could not deliver."""
        self._look()
        return frozenset(self._refused)

    def reading(self) -> pa.RecordBatchReader:
        """Return all answers as one stream.

        :raises NewerFormat: when a newer release wrote some of them.
        """
        self.flush()
        self._look()
        return pa.RecordBatchReader.from_batches(SCHEMA, self._batches())

    def names(self) -> list[str]:
        """Return the names of the files, in order."""
        names = self._folder.names(FOLDER)
        return [f"{FOLDER}/{name}" for name in names if name.endswith((SUFFIX, OLD_SUFFIX))]

    def drop(self) -> None:
        """Remove the files, once the answers are accounted for."""
        self.flush()
        for name in self.names():
            self._folder.remove(name)
        self._read.clear()
        self._answered.clear()
        self._refused.clear()

    def strike_out(self, is_about: Callable[[pa.RecordBatch], pa.Array]) -> Iterator[tuple[str, int]]:
        """Remove rows from all files; yield each file that lost some, and how many.

        What cannot be read of a file goes too: nobody can say whom it names.

        :param is_about: which rows are to go.
        """
        for name in self.names():
            found = self._contents(name)
            kept = [_without(record, is_about) for record in found.records]
            rows = sum(record.rows.num_rows for record in found.records)
            rows -= sum(record.rows.num_rows for record in kept)
            if rows or found.problem:
                self._replace(name, kept)
            if rows:
                yield name, rows

    def _append(self, content: bytes, *, people: int) -> None:
        if self._open is None:
            self._open = self._begin_file()
        try:
            self._open.append(content, people=people)
        except OSError:
            # Behind half a record nothing can be read, so the next answer goes into another file.
            self._open = None
            raise
        if self._open.is_full(now=self._now()):
            self._end_file()

    def _begin_file(self) -> OpenFile:
        name = f"{FOLDER}/{uuid4().hex[:12]}{SUFFIX}"
        self._read.add(name)
        return OpenFile(self._folder.appender(name), begun_at=self._now())

    def _end_file(self) -> None:
        if self._open:
            self._open.appender.close()
            self._open = None

    def _note(self, record: Record) -> None:
        self._answered.add(record.key)
        self._refused.update(record.refused)

    def _look(self) -> None:
        """Take in what other processes have kept; a file is read once."""
        with self._lock:
            for name in self.names():
                if name not in self._read:
                    self._read.add(name)
                    for record in self._contents(name).records:
                        self._note(record)

    def _contents(self, name: str) -> Contents:
        where = f"{self._folder.uri}/{name}"
        try:
            contents = read_records(name, self._folder.read(name), where=where)
        except OSError as error:
            contents = Contents((), f"cannot be read ({error.strerror or type(error).__name__})")
        if contents.problem and name not in self._named:
            self._named.add(name)
            log.warning("%s %s: what else it held counts as unanswered", where, contents.problem)
        return contents

    def _batches(self) -> Iterator[pa.RecordBatch]:
        for name in self.names():
            for record in self._contents(name).records:
                yield from record.rows.to_batches()

    def _replace(self, name: str, records: Sequence[Record]) -> None:
        """Write the records in place of a file; one of release 0.1.0 becomes one of this release."""
        new = str(PurePath(name).with_suffix(SUFFIX))
        self._folder.put(new, start() + to_bytes(records))
        if new != name:
            self._folder.remove(name)


def _without(record: Record, is_about: Callable[[pa.RecordBatch], pa.Array]) -> Record:
    kept = [batch.filter(pc.invert(is_about(batch))) for batch in record.rows.to_batches()]
    return replace(record, rows=pa.Table.from_batches(kept, SCHEMA))


def chunk_key(number: int) -> str:
    """Return the key of the answers to one chunk."""
    return f"chunk-{number:07d}"


def opted_out_key(number: int) -> str:
    """Return the key of those who were left out of a chunk's operation."""
    return f"opted-out-{number:07d}"


def batch_key(batch_id: str) -> str:
    """Return the key of the answers to one batch."""
    return f"batch-{batch_id}"
