"""What an export has put into its audience, kept between runs as ``ledger.parquet``.

::

    subscriber_hash, email   who
    profile_id               the profile's own id, where the export names a column for it
    state                    member, unconfirmed, archived (by this export), rejected or suppressed
    status                   the status in which the person was last sent
    fingerprint              of the profile as last confirmed or refused; null to have it sent again
    tags                     the tags that this export gave
    reason                   why it was refused
    changed_at, run          when, and by which run

The rows are read and written by DuckDB; here stands what makes the file trustworthy. Its metadata name the
format, the export, the audience, and a version that grows by one with each run, so that a run that was planned
from an older ledger never overwrites a newer one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.model import FingerprintBasis
from airflow_mailchimp_export.state.run import ExportFolder

LEDGER = "ledger.parquet"

METADATA_KEY = "airflow_mailchimp_export"

FORMAT = 2
"""Format 1, of release 0.1.0, does not say what its fingerprints are based on."""

SET_ASIDE = "ledger.set-aside.parquet"


@dataclass(frozen=True, slots=True)
class LedgerMark:
    """What a ledger says of itself.

    :param version: grows by one with each run that writes it; 0 for none.
    :param run: the folder name of the run that wrote it.
    :param basis: of its fingerprints; empty in format 1.
    """

    export: str
    audience_id: str
    version: int
    run: str
    format: int = FORMAT
    basis: FingerprintBasis = FingerprintBasis()

    def to_json(self) -> str:
        """Return the mark as it stands in the file's metadata."""
        return orjson.dumps(asdict(self)).decode()


def read_mark(folder: ExportFolder) -> LedgerMark | None:
    """Return the mark of an export's ledger; ``None`` where there is no ledger yet.

    :raises ConfigError: when it is damaged, or made by a newer release.
    """
    if not folder.exists(LEDGER):
        return None
    with folder.reading(LEDGER) as path:
        mark = _mark_of(path)
    if mark is None or mark.format > FORMAT:
        raise ConfigError(
            f"The ledger {folder.uri}/{LEDGER} is damaged, or was written by another release. Bring the file back "
            "from a backup, or run the export once with full=True, which sets it aside and starts anew"
        )
    return mark


def check_owner(mark: LedgerMark | None, *, export: str, audience_id: str) -> None:
    """Stop a run that would take another audience's ledger for its own.

    :raises ConfigError: says whose it is.
    """
    if mark and (mark.export, mark.audience_id) != (export, audience_id):
        raise ConfigError(
            f"The ledger belongs to export {mark.export!r} of audience {mark.audience_id}, not to {export!r} of "
            f"{audience_id}. Give this export another export_name, or run it once with full=True, which sets the "
            "old ledger aside and starts anew: whom it put into the old audience stays there"
        )


def set_aside(folder: ExportFolder) -> None:
    """Keep a ledger that cannot be used, under another name."""
    if folder.exists(LEDGER):
        with folder.reading(LEDGER) as unusable, folder.writing(SET_ASIDE) as draft:
            draft.write_bytes(unusable.read_bytes())
        folder.remove(LEDGER)


@contextmanager
def open_local(folder: ExportFolder) -> Iterator[Path | None]:
    """Lend a local path to the ledger; ``None`` where there is none, or none that can be read."""
    if not folder.exists(LEDGER):
        yield None
        return
    with folder.reading(LEDGER) as path:
        yield path if _mark_of(path) else None


def _mark_of(path: Path) -> LedgerMark | None:
    """Return the mark of a file that is a ledger to its last byte."""
    try:
        with pq.ParquetFile(path) as ledger:
            text = (ledger.schema_arrow.metadata or {}).get(METADATA_KEY.encode())
        values: dict[str, Any] = orjson.loads(text or b"{}")
        basis = values.pop("basis", {})
        return LedgerMark(
            **values, basis=FingerprintBasis(**{**basis, "order": tuple(basis.get("order", ()))})
        )
    except (pa.ArrowException, OSError, ValueError, TypeError):
        return None
