"""The two kinds of storage that files are kept on: a local disk, and whatever else fsspec knows.

They differ in how a file comes to be under its name as a whole, and for good; in who may read it; and in what a
file can be locked against.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from airflow_mailchimp_export.state.held import held_folder, sweep_left_behind
from airflow_mailchimp_export.state.object_storage import ObjectStorage

if TYPE_CHECKING:
    from upath import UPath

DRAFT = ".draft-"
"""How the folders begin in which files are written before they are put in place."""

OWNER_ONLY_FILE = 0o600

OWNER_ONLY_FOLDER = 0o700

_LOCAL_PROTOCOLS = ("", "file", "local")


class Appender(Protocol):
    """A file that grows."""

    def append(self, record: bytes) -> None:
        """Add a record, whole or not at all, unless the process is killed; after an error the file is closed."""

    def close(self) -> None:
        """Let nothing that was added be lost any more; the file does not grow further."""


class Storage(Protocol):
    """What a folder asks of the storage that it is on."""

    def draft(self, target: Any) -> AbstractContextManager[Path]:
        """Lend a local path to write to, from which a file can be put in place."""

    def put_in_place(self, draft: Path, target: Any) -> None:
        """Give a draft its name: whole, to stay, and in place of what had the name before."""

    def create(self, draft: Path, target: Any) -> bool:
        """Give a draft its name, unless something has it already; return whether nothing had."""

    def appender(self, target: Any) -> Appender:
        """Begin a file that grows."""

    def make_folder(self, folder: Any) -> None:
        """Make a folder and those above it, unless they are there."""

    def exclusive(self, folder: Any) -> AbstractContextManager[None]:
        """Keep out everybody else who asks to be alone in a folder, where the storage can do that."""

    def local_copy(self, path: Any) -> AbstractContextManager[Path]:
        """Lend a local path that holds what a file holds."""

    def read(self, path: Any) -> bytes:
        """Return what is in a file."""

    def exists(self, path: Any) -> bool:
        """Return whether there is a file or a folder, now."""

    def names(self, folder: Any) -> list[str]:
        """Return what a folder holds, now and in order; nothing where there is no folder."""

    def names_below(self, folder: Any) -> dict[str, frozenset[str]]:
        """Return the folders in a folder, in order, each with what it holds, now."""

    def written_at(self, path: Any) -> float:
        """Return when a file was written, in seconds since the epoch; 0 where the storage does not say."""

    def remove(self, path: Any) -> None:
        """Remove a file, if it is there."""

    def remove_folder(self, folder: Any) -> None:
        """Remove a folder with all that is in it."""

    def sweep(self, folder: Any) -> None:
        """Remove the drafts that killed processes left in a folder and below it."""


class LocalDisk:
    """Files of this machine, or of a network file system that looks like it."""

    @contextmanager
    def draft(self, target: Path) -> Iterator[Path]:
        """Lend a path beside the target: a file can be put in place at once only within one file system."""
        with held_folder(target.parent, prefix=DRAFT) as folder:
            yield folder / target.name

    def put_in_place(self, draft: Path, target: Path) -> None:
        """Rename the draft, once it has reached the disk."""
        self._make_ready(draft)
        os.replace(draft, target)
        flush_names(target.parent)

    def create(self, draft: Path, target: Path) -> bool:
        """Link the draft, which fails where the name is taken, however short the time since."""
        self._make_ready(draft)
        try:
            os.link(draft, target)
        except FileExistsError:
            return False
        flush_names(target.parent)
        return True

    def appender(self, target: Path) -> Appender:
        """Begin a file in its place: what is added is there at once."""
        return _LocalAppender(target)

    def make_folder(self, folder: Path) -> None:
        """Make folders that only the owner may enter."""
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        for each in reversed(missing):
            each.mkdir(mode=OWNER_ONLY_FOLDER, exist_ok=True)
            flush_names(each.parent)

    @contextmanager
    def exclusive(self, folder: Path) -> Iterator[None]:
        """Lock the folder, no longer than the process lives."""
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # Some network file systems cannot lock a folder.
            with suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    @contextmanager
    def local_copy(self, path: Path) -> Iterator[Path]:
        """Lend the file itself."""
        yield path

    def read(self, path: Path) -> bytes:
        """Return what is in a file."""
        return path.read_bytes()

    def exists(self, path: Path) -> bool:
        """Return whether there is a file or a folder."""
        return path.exists()

    def names(self, folder: Path) -> list[str]:
        """Return what a folder holds."""
        return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []

    def names_below(self, folder: Path) -> dict[str, frozenset[str]]:
        """Look into each folder, also where it is a link to one, but not into drafts, which come and go."""
        found: dict[str, frozenset[str]] = {}
        for name in self.names(folder):
            if not name.startswith(DRAFT):
                with suppress(FileNotFoundError, NotADirectoryError):
                    found[name] = frozenset(os.listdir(folder / name))
        return found

    def written_at(self, path: Path) -> float:
        """Return when a file was written."""
        return path.stat().st_mtime

    def remove(self, path: Path) -> None:
        """Remove a file, if it is there."""
        path.unlink(missing_ok=True)

    def remove_folder(self, folder: Path) -> None:
        """Remove the folder as far as it can be removed, and raise what keeps the rest there."""
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            shutil.rmtree(folder)

    def sweep(self, folder: Path) -> None:
        """Remove the folders of drafts, which lie beside their targets; those of processes at work stay."""
        sweep_left_behind(list(folder.rglob(f"{DRAFT}*")))

    def _make_ready(self, draft: Path) -> None:
        draft.chmod(OWNER_ONLY_FILE)
        flush(draft)


class _LocalAppender:
    def __init__(self, target: Path) -> None:
        self._handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY_FILE)
        self._folder = target.parent
        self._size = 0

    def append(self, record: bytes) -> None:
        left = memoryview(record)
        try:
            while left:
                left = left[os.write(self._handle, left) :]
        except OSError:
            os.ftruncate(self._handle, self._size)
            os.close(self._handle)
            raise
        self._size += len(record)

    def close(self) -> None:
        os.fsync(self._handle)
        os.close(self._handle)
        flush_names(self._folder)


def plain(location: Path | UPath) -> Path | UPath:
    """Return a location on the local disk as a path of the standard library, and any other as it is."""
    protocol = getattr(location, "protocol", "")
    return Path(location.path) if protocol in _LOCAL_PROTOCOLS and hasattr(location, "path") else location


def storage_of(location: Path | UPath) -> Storage:
    """Return the storage that a plain location is on."""
    return LocalDisk() if getattr(location, "protocol", "") in _LOCAL_PROTOCOLS else ObjectStorage()


def flush(file: Path) -> None:
    """Wait until what is in a file has reached the disk."""
    handle = os.open(file, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def flush_names(folder: Path) -> None:
    """Wait until the names in a folder have reached the disk, where that can be asked for."""
    # Not every file system can do it, and not every folder in which one may write may be read.
    with suppress(OSError):
        flush(folder)
