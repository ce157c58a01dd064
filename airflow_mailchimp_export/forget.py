"""Removes a person from everything that exports keep: ``python -m airflow_mailchimp_export.forget ADDRESS``.

For a data-protection request. It touches the ledgers and run files under ``exports_root``, not Mailchimp and not
the sources: remove the person there first, or the next run puts them back.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from upath import UPath

from airflow_mailchimp_export.accounting.accounts import REJECT_COLUMNS, escape_formula
from airflow_mailchimp_export.address import normal_address, subscriber_hash
from airflow_mailchimp_export.errors import ConfigError, ExportError
from airflow_mailchimp_export.exports_root import default_exports_root, storage_path
from airflow_mailchimp_export.state.folder import Folder
from airflow_mailchimp_export.state.ledger import LEDGER, SET_ASIDE
from airflow_mailchimp_export.state.lock import Lock
from airflow_mailchimp_export.state.run import OUTCOMES, PLAN, REJECTS, ExportFolder, RunFolder

_ADDRESSES = ("email", "new_email")


@dataclass(frozen=True, slots=True)
class Found:
    """A file that named the person, and in how many rows."""

    file: str
    rows: int


def forget(address: str, root: Path | UPath) -> Iterator[Found]:
    """Remove a person from all exports under a root; yield each file that named them.

    :param address: in any case, with or without blanks around it.
    :raises ExportBusy: when a run of an export is at work; try again later.
    :raises ConfigError: when a file cannot be written.
    """
    email = normal_address(address)
    if "@" not in email:
        raise ConfigError("That is no e-mail address: give the address that is to be forgotten")
    if not root.exists():
        raise ConfigError(f"There are no exports at {root}. Give the right location with --exports-root")
    for export in _exports(root):
        lock = Lock(export, "forget")
        with lock.held():
            try:
                yield from _forget_in(export, email)
            finally:
                lock.release()


def _exports(root: Path | UPath) -> Iterator[ExportFolder]:
    for name in Folder(root).names():
        if (root / name).is_dir():
            yield ExportFolder(root / name)


def _forget_in(export: ExportFolder, email: str) -> Iterator[Found]:
    export.sweep()
    for name in (LEDGER, SET_ASIDE):
        yield from _strike_out(export, name, email)
    for run in export.runs():
        for name in (PLAN, OUTCOMES):
            yield from _strike_out(run, name, email)
        yield from _strike_out_answers(run, email)
        yield from _strike_out_rejects(run, email)


def _strike_out(folder: Folder, name: str, email: str) -> Iterator[Found]:
    """Rewrite a Parquet file without the person's rows, if it has any."""
    if not folder.exists(name):
        return
    with folder.reading(name) as path, _opened(path, f"{folder.uri}/{name}") as stored:
        rows = sum(pc.sum(_is_about(batch, email)).as_py() or 0 for batch in _identities(stored))
        if not rows:
            return
        with (
            folder.writing(name) as draft,
            pq.ParquetWriter(draft, stored.schema_arrow, compression="zstd") as writer,
        ):
            for batch in stored.iter_batches():
                writer.write_batch(batch.filter(pc.invert(_is_about(batch, email))))
    yield Found(f"{folder.uri}/{name}", rows)


def _strike_out_answers(run: RunFolder, email: str) -> Iterator[Found]:
    for name, rows in run.answer_log.strike_out(lambda batch: _is_about(batch, email)):
        yield Found(f"{run.uri}/{name}", rows)


def _opened(path: Path, uri: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise ConfigError(
            f"{uri} is damaged, so nobody can be struck out of it. Remove the file, then do this again"
        ) from error


def _identities(stored: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    columns = {*_ADDRESSES, "subscriber_hash"} & set(stored.schema_arrow.names)
    yield from stored.iter_batches(columns=sorted(columns))


def _is_about(batch: pa.RecordBatch, email: str) -> pa.Array:
    """Return for each row whether it names the person, by address or hash."""
    wanted = {**dict.fromkeys(_ADDRESSES, email), "subscriber_hash": subscriber_hash(email)}
    matches = pa.array([False] * batch.num_rows)
    for name, value in wanted.items():
        if name in batch.schema.names:
            same = pc.equal(pc.utf8_lower(pc.utf8_trim_whitespace(batch.column(name))), value)
            matches = pc.or_(matches, pc.fill_null(same, False))
    return matches


def _strike_out_rejects(run: RunFolder, email: str) -> Iterator[Found]:
    if not run.exists(REJECTS):
        return
    text = run.read(REJECTS).decode("utf-8-sig")
    lines = list(csv.reader(io.StringIO(text, newline="")))
    at = REJECT_COLUMNS.index("email")
    kept = [line for line in lines if line[at] != escape_formula(email)]
    if len(kept) < len(lines):
        with run.writing(REJECTS) as draft, draft.open("w", newline="", encoding="utf-8-sig") as handle:
            csv.writer(handle).writerows(kept)
        yield Found(f"{run.uri}/{REJECTS}", len(lines) - len(kept))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; print what was found, never the address."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_mailchimp_export.forget",
        description="Remove a person from every ledger and run file (a data-protection request).",
    )
    parser.add_argument("address", help="the person's e-mail address")
    parser.add_argument("--exports-root", help="where exports are kept; Airflow's configuration unless given")
    given = parser.parse_args(arguments)
    root = given.exports_root or default_exports_root()
    total = 0
    try:
        # A folder is found without Airflow, which takes its time to load.
        for found in forget(given.address, storage_path(root) if "://" in root else Path(root)):
            print(f"{found.rows} row(s) removed from {found.file}")
            total += found.rows
    except ExportError as error:
        print(f"forget: {error}", file=sys.stderr)
        return 1
    print(f"{total} row(s) removed in all under {root}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
