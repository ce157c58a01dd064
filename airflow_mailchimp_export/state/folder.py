"""What exports and their runs leave under ``exports_root``, whole or not at all.

::

    <export>/ledger.parquet     what this export has put into the audience
    <export>/lock.json          which run is at work
    <export>/<run>/             plan.parquet, run.json, batches.json, outcomes.parquet, rejects.csv, report.json

Every file is written beside its place and then put there, so that a reader never meets half a file.
On a local disk only the owner may read: the files hold addresses.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mailchimp_export.errors import ConfigError

if TYPE_CHECKING:
    from upath import UPath


DRAFT = ".draft-"

_OWNER_ONLY_FILE = 0o600

_OWNER_ONLY_FOLDER = 0o700

_LOCAL_PROTOCOLS = ("", "file", "local")


class Folder:
    """A folder whose files are read and written whole.

    :param location: a path, local or of any object store that fsspec knows.
    """

    def __init__(self, location: Path | UPath) -> None:
        self._folder = _plain(location)

    @property
    def uri(self) -> str:
        """Where the folder is; handed from task to task."""
        return str(self._folder)

    def exists(self, name: str) -> bool:
        """Return whether a file is in its place."""
        return (self._folder / name).exists()

    def put(self, name: str, content: bytes) -> None:
        """Write a file, whole."""
        with self.writing(name) as draft:
            draft.write_bytes(content)

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Lend a local path to write to; what is there at the end is put in place.

        :raises ConfigError: when the place cannot be written to.
        """
        target = self._folder / name
        with self._writable(name):
            _make_folder(target.parent)
            with tempfile.TemporaryDirectory(prefix=DRAFT, dir=_beside(target)) as scratch_dir:
                draft = Path(scratch_dir) / target.name
                yield draft
                _put_in_place(draft, target)

    def create(self, name: str, content: bytes) -> bool:
        """Write a file that must not be there yet; return whether it was not.

        :raises ConfigError: when the place cannot be written to.
        """
        target = self._folder / name
        if not is_local(target):
            if target.exists():
                return False
            self.put(name, content)
            return True
        with self._writable(name):
            _make_folder(target.parent)
            return _linked(content, Path(str(target)))

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep out whoever else asks to be alone here; on a local disk only, and no longer than the process lives."""
        if not is_local(self._folder):
            yield
            return
        with self._writable("files"):
            _make_folder(self._folder)
            handle = os.open(str(self._folder), os.O_RDONLY | os.O_DIRECTORY)
        try:
            # Some network file systems cannot lock a folder.
            with suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def read(self, name: str) -> bytes:
        """Return what is in a file."""
        return (self._folder / name).read_bytes()

    @contextmanager
    def reading(self, name: str) -> Iterator[Path]:
        """Lend a local path that holds what the file holds."""
        place = self._folder / name
        if is_local(place):
            yield Path(str(place))
            return
        with tempfile.TemporaryDirectory() as scratch_dir:
            copy = Path(scratch_dir) / place.name
            with place.open("rb") as stored, copy.open("wb") as local:
                shutil.copyfileobj(stored, local)
            yield copy

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        (self._folder / name).unlink(missing_ok=True)

    def names(self, under: str = "") -> list[str]:
        """Return what the folder, or a folder in it, holds, in order."""
        place = self._folder / under if under else self._folder
        return sorted(entry.name for entry in place.iterdir()) if place.exists() else []

    @contextmanager
    def _writable(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ConfigError(
                f"Cannot write {what} under exports_root ({self.uri}): "
                f"{error.strerror or type(error).__name__}. "
                "Free space there or make it writable, or set exports_root to another place"
            ) from error


def _plain(location: Path | UPath) -> Path | UPath:
    protocol = getattr(location, "protocol", "")
    return Path(location.path) if protocol in _LOCAL_PROTOCOLS and hasattr(location, "path") else location


def is_local(place: Path | UPath) -> bool:
    """Whether a path is on this machine's disk."""
    return getattr(place, "protocol", "") in _LOCAL_PROTOCOLS


def _beside(target: Path | UPath) -> str | None:
    """A draft is put in place at once only within one file system."""
    return str(target.parent) if is_local(target) else None


def _make_folder(folder: Path | UPath) -> None:
    if not is_local(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    for place in reversed(missing):
        place.mkdir(mode=_OWNER_ONLY_FOLDER, exist_ok=True)


def _linked(content: bytes, target: Path) -> bool:
    with tempfile.TemporaryDirectory(prefix=DRAFT, dir=target.parent) as scratch_dir:
        draft = Path(scratch_dir) / target.name
        draft.write_bytes(content)
        draft.chmod(_OWNER_ONLY_FILE)
        try:
            os.link(draft, target)
        except FileExistsError:
            return False
    return True


def _put_in_place(draft: Path, target: Path | UPath) -> None:
    if is_local(target):
        draft.chmod(_OWNER_ONLY_FILE)
        os.replace(draft, str(target))
        return
    with draft.open("rb") as local, target.open("wb") as stored:
        shutil.copyfileobj(local, stored)
