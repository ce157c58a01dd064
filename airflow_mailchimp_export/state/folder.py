"""What exports and their runs leave under ``exports_root``, whole or not at all.

::

    <export>/ledger.parquet     what this export has put into the audience
    <export>/statuses.parquet   who of the audience may not be sent
    <export>/lock.json          which run is at work, or waits
    <export>/tags.json          which tags of the audience are this export's
    <export>/<run>/             plan.parquet, run.json, begun.json, batches.json, watch.json, outcomes.parquet,
                                rejects.csv, report.json

Every file is written on a local disk and then put in place as a whole, so that a reader never meets half a file; on a
local disk it has reached the disk by then, and only the owner may read it: the files hold addresses.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.state.scratch import remedy_of, sweep_scratch
from airflow_mailchimp_export.state.storage import Appender, plain, storage_of

if TYPE_CHECKING:
    from upath import UPath


@dataclass
class _Copy:
    """A local copy of a file, once there is one, and what removes it."""

    stack: ExitStack
    path: Path | None = None


class Folder:
    """A folder whose files are read and written whole.

    :param location: a path, local or of any object store that fsspec knows.
    :param setting: what says where it is, for messages.
    """

    def __init__(self, location: Path | UPath, *, setting: str = "exports_root") -> None:
        self._setting = setting
        self._folder = plain(location)
        self._storage = storage_of(self._folder)
        self._at_hand: dict[str, _Copy] = {}

    @property
    def uri(self) -> str:
        """Where the folder is; handed from task to task."""
        return str(self._folder)

    def exists(self, name: str) -> bool:
        """Return whether there is a file."""
        return self._storage.exists(self._folder / name)

    def put(self, name: str, content: bytes) -> None:
        """Write a file, whole."""
        with self.writing(name) as draft:
            draft.write_bytes(content)

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Lend a local path to write to; what is there at the end is put in place.

        :raises ConfigError: when the place cannot be written to.
        """
        with self.writable(name), ExitStack() as stack:
            draft = stack.enter_context(self._draft(name))
            yield draft
            self._storage.put_in_place(draft, self._folder / name)
            copy = self._at_hand.get(name)
            # A local disk has taken the draft itself.
            if copy and draft.exists():
                copy.stack.push(stack.pop_all())
                copy.path = draft

    def create(self, name: str, content: bytes) -> bool:
        """Write a file that must not be there yet; return whether it was not.

        :raises ConfigError: when the place cannot be written to.
        """
        with self.writable(name), self._draft(name) as draft:
            draft.write_bytes(content)
            return self._storage.create(draft, self._folder / name)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep out everybody else who asks for this, as far as the storage can."""
        with ExitStack() as stack:
            with self.writable("files"):
                self._storage.make_folder(self._folder)
                stack.enter_context(self._storage.exclusive(self._folder))
            yield

    def appender(self, name: str) -> Appender:
        """Begin a file that grows record by record.

        :raises ConfigError: when the place cannot be written to.
        """
        target = self._folder / name
        with self.writable(name):
            self._storage.make_folder(target.parent)
            return self._storage.appender(target)

    def read(self, name: str) -> bytes:
        """Return what is in a file."""
        return self._storage.read(self._folder / name)

    @contextmanager
    def reading(self, name: str) -> Iterator[Path]:
        """Lend a local path that holds what the file holds."""
        with ExitStack() as stack:
            copy = self._at_hand.get(name, _Copy(stack))
            copy.path = copy.path or copy.stack.enter_context(self._storage.local_copy(self._folder / name))
            yield copy.path

    @contextmanager
    def at_hand(self, name: str) -> Iterator[None]:
        """Fetch a file that nobody else changes no more than once meanwhile, and not at all once it is written here."""
        if name in self._at_hand:
            yield
            return
        with ExitStack() as stack:
            self._at_hand[name] = _Copy(stack)
            try:
                yield
            finally:
                del self._at_hand[name]

    def has_copy(self, name: str) -> bool:
        """Return whether a file is at hand that was fetched or written before, and not removed since."""
        copy = self._at_hand.get(name)
        return bool(copy and copy.path and copy.path.exists())

    def written_at(self, name: str) -> str:
        """Return when a file was written, in ISO 8601; 1970 where the storage does not say."""
        seconds = self._storage.written_at(self._folder / name)
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        self._storage.remove(self._folder / name)

    def remove_folder(self, name: str) -> None:
        """Remove a folder in it, with all that is there."""
        self._storage.remove_folder(self._folder / name)

    def names(self, under: str = "") -> list[str]:
        """Return what the folder, or a folder in it, holds, in order."""
        return self._storage.names(self._folder / under if under else self._folder)

    def names_below(self) -> dict[str, frozenset[str]]:
        """Return the folders in it, in order, each with what it holds; an object storage tells that at one look."""
        return self._storage.names_below(self._folder)

    def sweep(self) -> None:
        """Remove what killed processes were writing; only the holder of the export's lock may do this."""
        # The lock itself is written by drafts too, and only by those who are alone here.
        with self.exclusive():
            self._storage.sweep(self._folder)
        sweep_scratch()

    @contextmanager
    def _draft(self, name: str) -> Iterator[Path]:
        target = self._folder / name
        self._storage.make_folder(target.parent)
        with self._storage.draft(target) as draft:
            yield draft

    @contextmanager
    def writable(self, what: str) -> Iterator[None]:
        """Say of an error of the system that it kept something from being written, where, and what to do.

        :raises ConfigError: in its place.
        """
        try:
            yield
        except OSError as error:
            raise ConfigError(
                f"Cannot write {what} under {self._setting} ({self.uri}): "
                f"{error.strerror or type(error).__name__}",
                f"{remedy_of(error)}, or set {self._setting} to another place",
            ) from error
