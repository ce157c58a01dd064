"""What an export has put into its audience, kept between runs as ``ledger.parquet``.

::

    subscriber_hash, email   who
    profile_id               the profile's own id, where the export names a column for it
    state                    member, unconfirmed, archived (by this export), rejected or suppressed
    status                   the status in which the person was last sent
    fingerprint              of the profile as last confirmed or refused; null to have it sent again
    tags                     the tags that this export gave
    reason, words            why it was refused, and what Mailchimp said, masked
    attempts                 how many runs in a row a refusal in unknown words was answered
    created                  whether this export created the member in the audience
    changed_at, run          when, and by which run

The rows are made and read by DuckDB; here is what makes the file trustworthy: it is read to its last byte
before anything is believed. Its metadata name the format, the export, the audience, and a version that grows by one
with each run, so that a run that was planned from an older ledger never overwrites a newer one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from airflow_mailchimp_export.database import THREADS, quoted
from airflow_mailchimp_export.errors import ConfigError, UnreadableFile
from airflow_mailchimp_export.machine_limits import MEMORY_LIMIT
from airflow_mailchimp_export.model import FingerprintBasis
from airflow_mailchimp_export.settings.form import in_form
from airflow_mailchimp_export.state.json_format import JsonFormat
from airflow_mailchimp_export.state.parquet import is_whole, sealed_writer
from airflow_mailchimp_export.state.run import ExportFolder
from airflow_mailchimp_export.state.scratch import scratch_dir

LEDGER = "ledger.parquet"

METADATA_KEY = "airflow_mailchimp_export"

GROUP_ROWS = 100_000
"""Rows that are written, read and checked together."""

SET_ASIDE = "ledger.set-aside.parquet"


_REMEDY = (
    f"Bring the file back from a backup, or run the export once with full=True{in_form('full')}, "
    "which sets it aside and starts with an empty one"
)


def _unchanged(mark: Any) -> Any:
    return mark


@dataclass(frozen=True, slots=True)
class Migration:
    """How a ledger of one format becomes one of the next.

    :param rows: the rows of the next format, as SQL that reads those of this one from ``ledger``; empty where they
        stay as they are.
    :param mark: makes what the ledger says of itself what the next format has it say.
    """

    rows: str = ""
    mark: Callable[[Any], Any] = _unchanged


MIGRATIONS: Sequence[Migration] = (
    # Format 2 names what its fingerprints are based on; where that is missing it is as release 0.1.0 had it. It knows
    # who was created, what Mailchimp said and how often.
    Migration("SELECT *, '' AS words, 0 AS attempts, false AS created FROM ledger"),
)
"""From format 1, of release 0.1.0, to the present one, in order: a new format is one entry more."""


@dataclass(frozen=True, slots=True)
class LedgerMark:
    """What a ledger says of itself.

    :param version: grows by one with each run that writes it; 0 for none.
    :param run: the folder name of the run that wrote it.
    :param basis: of its fingerprints; empty in format 1.
    :param tags: that its people carry; ``None`` where it does not say.
    :param looked_up_at: when the statuses of the audience were last read; ISO 8601, empty where it does not say.
    :param unusable_rows: how many rows of the last run had no usable address, by what was wrong with it.
    :param data_moment: of what moment the newest data are that it tells of, in ISO 8601; empty in format 1.
    :param retired: tags that the export gave once and has taken back.
    """

    export: str
    audience_id: str
    version: int
    run: str
    basis: FingerprintBasis = FingerprintBasis()
    tags: tuple[str, ...] | None = None
    looked_up_at: str = ""
    data_moment: str = ""
    unusable_rows: dict[str, int] = field(default_factory=dict)
    retired: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Return the mark as the file's metadata hold it."""
        return _format_of(MIGRATIONS).encode(self, indent=-1).decode()


@dataclass(frozen=True, slots=True)
class Ledger:
    """A ledger that can be trusted.

    :param path: a local file with its rows, as the present format has them.
    :param is_outdated: whether it is kept in an older format still.
    """

    mark: LedgerMark
    path: Path
    is_outdated: bool


@contextmanager
def opened(folder: ExportFolder, *, migrations: Sequence[Migration] = MIGRATIONS) -> Iterator[Ledger | None]:
    """Lend an export's ledger, read to its last byte and brought to the present format; ``None`` where there is none.

    :raises UnreadableFile: when it is damaged, or was written by a newer release.
    """
    if not folder.exists(LEDGER):
        yield None
        return
    where = f"The ledger {folder.uri}/{LEDGER}"
    with folder.reading(LEDGER) as path, scratch_dir() as working:
        if not is_whole(path):
            raise UnreadableFile(where, "is damaged", _REMEDY)
        format_ = _format_of(migrations)
        mark, number = format_.read(_mark_in(path), LedgerMark, where=where, remedy=_REMEDY)
        steps = [migration.rows for migration in migrations[number - 1 :] if migration.rows]
        yield Ledger(
            mark, _migrated(path, steps, working) if steps else path, is_outdated=number < format_.number
        )


def read_mark(folder: ExportFolder) -> LedgerMark | None:
    """Return what an export's ledger says of itself; ``None`` where there is none.

    :raises UnreadableFile: as :func:`opened`.
    """
    with opened(folder) as ledger:
        return ledger.mark if ledger else None


def write(folder: ExportFolder, mark: LedgerMark, rows: pa.RecordBatchReader) -> None:
    """Put a ledger in place of the one before; all of it has checksums."""
    schema = rows.schema.with_metadata({METADATA_KEY: mark.to_json()})
    with folder.writing(LEDGER) as draft, sealed_writer(draft, schema) as writer:
        for batch in rows:
            writer.write_batch(batch)


def check_owner(mark: LedgerMark | None, *, export: str, audience_id: str) -> None:
    """Stop a run that would take another audience's ledger for its own.

    :raises ConfigError: says whose it is.
    """
    if mark and (mark.export, mark.audience_id) != (export, audience_id):
        raise ConfigError(
            f"The ledger belongs to export {mark.export!r} of audience {mark.audience_id}, not to {export!r} of "
            f"{audience_id}",
            f"Give this export another export_name, or run it once with full=True{in_form('full')}, which sets the "
            "old ledger aside and starts again: whom it put into the old audience stays there",
        )


def check_moment(mark: LedgerMark | None, data_moment: str, *, allow_older: bool) -> None:
    """Stop a run whose data are older than those that a run before it has put there.

    :param data_moment: in ISO 8601; empty where nobody knows.
    :raises ConfigError: names both moments.
    """
    newest = mark.data_moment if mark else ""
    if allow_older or not (newest and data_moment):
        return
    if datetime.fromisoformat(data_moment) < datetime.fromisoformat(newest):
        raise ConfigError(
            f"This run's data are of {data_moment}, but run {mark.run if mark else ''} has put data of {newest} there",
            f"To put older data over newer, set allow_older in options{in_form('allow_older')}",
            nothing_sent=True,
        )


def set_aside(folder: ExportFolder) -> None:
    """Keep a copy of a ledger that cannot be used, under a name that no other has."""
    if folder.exists(LEDGER):
        stem, suffix = SET_ASIDE.rsplit(".", 1)
        names = chain([SET_ASIDE], (f"{stem}-{number}.{suffix}" for number in count(2)))
        free = next(name for name in names if not folder.exists(name))
        with folder.reading(LEDGER) as unusable, folder.writing(free) as draft:
            draft.write_bytes(unusable.read_bytes())


def _format_of(migrations: Sequence[Migration]) -> JsonFormat:
    return JsonFormat([migration.mark for migration in migrations])


def _mark_in(path: Path) -> bytes:
    """Return what a Parquet file says of itself; that it is a ledger shows only when this is read."""
    metadata: dict[bytes, bytes] = pq.read_schema(path).metadata or {}
    return metadata.get(METADATA_KEY.encode(), b"")


def _migrated(path: Path, steps: Sequence[str], working: Path) -> Path:
    """Take the rows of a ledger from format to format."""
    query = f"SELECT * FROM read_parquet({quoted(path)})"
    for rows in steps:
        query = f"WITH ledger AS ({query}) SELECT * FROM ({rows})"
    migrated = working / LEDGER
    limits = {"memory_limit": f"{MEMORY_LIMIT}MB", "threads": str(THREADS), "temp_directory": str(working)}
    with duckdb.connect(config={**limits}) as database:
        database.execute(f"COPY ({query}) TO {quoted(migrated)} (FORMAT parquet, COMPRESSION zstd)")
    return migrated
