"""Removes a person from everything that exports keep: ``python -m airflow_mailchimp_export.forget ADDRESS``.

For a data-protection request. It touches the ledgers and run files under ``exports_root``, not Mailchimp and not
the sources: remove the person there first, or the next run puts them back.
"""

from __future__ import annotations

import argparse
import csv
import io
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from upath import UPath

from airflow_mailchimp_export.accounting.accounts import escape_formula
from airflow_mailchimp_export.address import normal_address, subscriber_hash
from airflow_mailchimp_export.errors import ConfigError, ExportError
from airflow_mailchimp_export.exports_root import default_exports_root, storage_path
from airflow_mailchimp_export.state.answers import FOLDER as ANSWERS_FOLDER
from airflow_mailchimp_export.state.folder import Folder
from airflow_mailchimp_export.state.lock import Lock
from airflow_mailchimp_export.state.parquet import SEAL, batches_in, sealed_writer
from airflow_mailchimp_export.state.run import ExportFolder, RunFolder
from airflow_mailchimp_export.state.scratch import sweep_scratch
from airflow_mailchimp_export.state.statuses import STATUSES_COLUMNS

_ADDRESSES = ("email", "new_email")

_QUOTING = ("profile_id", "words", "mailchimp_says", "payload")
"""Columns that may hold an address too, be it among other words; those with the names of segments and files do not
count, for they are the same for many people."""

_HASHES = ("subscriber_hash", "member_id")

_PARQUET = b"PAR1"

_AND_ALL = ", and all others, which the next run reads from Mailchimp"


@dataclass(frozen=True, slots=True)
class Found:
    """A file that named the person, and in how many rows.

    :param whole: whether all of it was removed, for it can be read from Mailchimp again.
    """

    file: str
    rows: int
    whole: bool = False


def forget(address: str, root: Path | UPath) -> Iterator[Found]:
    """Remove a person from all exports under a root; yield each file that named them.

    :param address: however it is written; also what was rejected because it is no address.
    :raises ExportBusy: when a run of an export is at work; try again later.
    :raises ConfigError: when a file cannot be read or written, or what is no address is found nowhere.
    """
    person = _Person(address)
    if not root.exists():
        raise ConfigError(f"There are no exports at {root}", "Give the right location with --exports-root")
    anywhere = False
    sweep_scratch()
    for export in _folders(root):
        lock = Lock(ExportFolder(export), "forget")
        with lock.held():
            try:
                ExportFolder(export).sweep()
                for found in _forget_in(export, person):
                    anywhere = True
                    yield found
            finally:
                lock.release()
    if not (anywhere or person.has_address):
        raise _no_address()


def _no_address() -> ConfigError:
    return ConfigError("That is no e-mail address: give the address that is to be forgotten")


class _Person:
    """Who is to be forgotten, as files may name them.

    :ivar has_address: whether it is an address; anything else is not looked for among other words.
    """

    def __init__(self, address: str) -> None:
        self._address = normal_address(address)
        if not self._address or not _is_encodable(self._address):
            raise _no_address()
        self.has_address = re.search(r"[^\s@]@\w", self._address) is not None
        # Somebody else's address may end or begin like this one.
        self._quoted = re.compile(
            rf"(?<![^\s\x00-\x1f\x7f\"(),:;<>\[\]\\]){re.escape(self._address)}(?![\w-]|[.@]\w)"
        )
        self._columns = _ADDRESSES + (_QUOTING if self.has_address else ())

    def in_rows(self, batch: pa.RecordBatch) -> pa.Array:
        """Return for each row whether it names the person."""
        named = [False] * batch.num_rows
        for name in {*self._columns} & {*batch.schema.names}:
            texts = batch.column(name).cast(pa.string())
            for row in self._candidates(texts, name):
                named[row] = named[row] or self._is_in(name, texts[row].as_py())
        rows = pa.array(named, pa.bool_())
        for name in {*_HASHES} & {*batch.schema.names}:
            same = pc.equal(batch.column(name), subscriber_hash(self._address))
            rows = pc.or_(rows, pc.fill_null(same, False))
        return rows

    def in_cells(self, row: Mapping[str, str]) -> bool:
        """Return whether a row of a spreadsheet names the person."""
        cells = [row[name] for name in self._columns if name in row]
        return any(self._is_named(text) for cell in cells for text in (cell, _unescaped(cell)))

    def _candidates(self, texts: pa.Array, name: str) -> list[int]:
        """Return the rows that are worth a look: Arrow knows nothing of invisible characters."""
        spelled = orjson.dumps(self._address)[1:-1].decode() if name == "payload" else self._address
        near = pc.match_substring(texts, spelled, ignore_case=True)
        rows: list[int] = pc.indices_nonzero(
            pc.fill_null(pc.or_(near, pc.invert(pc.string_is_ascii(texts))), False)
        ).to_pylist()
        return rows

    def _is_in(self, name: str, text: str) -> bool:
        return (
            any(map(self._is_named, _texts(orjson.loads(text))))
            if name == "payload"
            else self._is_named(text)
        )

    def _is_named(self, text: str) -> bool:
        normal = normal_address(text)
        return normal == self._address or (self.has_address and self._quoted.search(normal) is not None)


def _is_encodable(text: str) -> bool:
    """Bytes of a command line that are no UTF-8 arrive as what cannot be written again."""
    return not re.search("[\ud800-\udfff]", text)


def _texts(value: object) -> Iterator[str]:
    """Yield the texts of a member as it is sent, but for the tags, which are a list."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _texts(part)


def _unescaped(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and escape_formula(cell[1:]) == cell else cell


def _folders(path: Path | UPath) -> Iterator[Path | UPath]:
    return (entry for entry in _entries(path) if entry.is_dir())


def _entries(path: Path | UPath) -> list[Path | UPath]:
    return [path / name for name in Folder(path).names()]


def _forget_in(path: Path | UPath, person: _Person) -> Iterator[Found]:
    """Go through all files of a folder, whatever they are called: old ledgers may be set aside under any name."""
    folder = Folder(path)
    for entry in _entries(path):
        if entry.is_dir() and entry.name == ANSWERS_FOLDER:
            yield from _strike_out_answers(RunFolder(path), person)
        elif entry.is_dir():
            yield from _forget_in(entry, person)
        elif entry.suffix == ".csv":
            yield from _strike_out_lines(folder, entry.name, person)
        elif entry.suffix == ".parquet" or _begins(entry, _PARQUET):
            yield from _strike_out_rows(folder, entry.name, person)


def _begins(path: Path | UPath, magic: bytes) -> bool:
    with _readable(str(path)), path.open("rb") as file:
        return bool(file.read(len(magic)) == magic)


def _strike_out_rows(folder: Folder, name: str, person: _Person) -> Iterator[Found]:
    """Rewrite a Parquet file without the person's rows, if it has any.

    Statuses of an audience go as a whole, also where they are a copy. With some of them gone they would have as many
    people as Mailchimp once another one returns, and the person, who said no, would be sent.
    """
    with folder.reading(name) as path, _readable(f"{folder.uri}/{name}"), pq.ParquetFile(path) as stored:
        rows = sum(pc.sum(person.in_rows(batch)).as_py() or 0 for batch in _identities(stored))
        whole = tuple(stored.schema_arrow.names) == STATUSES_COLUMNS
        if rows and not whole:
            _rewrite(folder, name, stored, person)
    if rows and whole:
        folder.remove(name)
    if rows:
        yield Found(f"{folder.uri}/{name}", rows, whole)


def _rewrite(folder: Folder, name: str, stored: pq.ParquetFile, person: _Person) -> None:
    with folder.writing(name) as draft, sealed_writer(draft, _unsealed(stored.schema_arrow)) as writer:
        for batch in batches_in(stored):
            writer.write_batch(batch.filter(pc.invert(person.in_rows(batch))))


def _unsealed(schema: pa.Schema) -> pa.Schema:
    return schema.with_metadata({key: value for key, value in (schema.metadata or {}).items() if key != SEAL})


def _strike_out_answers(run: RunFolder, person: _Person) -> Iterator[Found]:
    for name, rows in run.answer_log.strike_out(person.in_rows):
        yield Found(f"{run.uri}/{name}", rows)


def _identities(stored: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    columns = {*_ADDRESSES, *_QUOTING, *_HASHES} & set(stored.schema_arrow.names)
    yield from batches_in(stored, columns=sorted(columns))


def _strike_out_lines(folder: Folder, name: str, person: _Person) -> Iterator[Found]:
    """Rewrite a list of rejects without the person's rows, if it has any."""
    with _readable(f"{folder.uri}/{name}"):
        text = folder.read(name).decode("utf-8-sig")
        header, *lines = list(csv.reader(io.StringIO(text, newline=""))) or [[]]
    kept = [line for line in lines if not person.in_cells(dict(zip(header, line, strict=False)))]
    if len(kept) < len(lines):
        with folder.writing(name) as draft, draft.open("w", newline="", encoding="utf-8-sig") as handle:
            csv.writer(handle).writerows([header, *kept])
        yield Found(f"{folder.uri}/{name}", len(lines) - len(kept))


@contextmanager
def _readable(uri: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, csv.Error, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{uri} is damaged, or may not be read, so nobody can be struck out of it",
            "Make it readable or remove it, then do this again",
        ) from error


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
            print(f"{found.rows} row(s) removed from {found.file}{_AND_ALL if found.whole else ''}")
            total += found.rows
    except ExportError as error:
        print(f"forget: {error}", file=sys.stderr)
        return 1
    print(f"{total} row(s) removed in all under {root}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
