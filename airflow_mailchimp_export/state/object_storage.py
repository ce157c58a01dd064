"""Files of an object store, or of whatever else fsspec knows.

An upload that ends early leaves nothing: files are handed over as a whole, and never through an open file, whose end
would put in place what was written so far. What libraries remember of a store's listings is forgotten before each
look, for other processes write there too.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.state.scratch import scratch_dir

if TYPE_CHECKING:
    from upath import UPath

ALONE = "alone"
"""The object that whoever is alone in a folder has there meanwhile."""

PATIENCE = 60.0
"""Seconds after which whoever is alone in a folder counts as dead: nobody needs longer than a few requests."""

_POLL_EVERY = 0.2

_WILDCARDS = frozenset("*?[")


class ObjectStorage:
    """Files elsewhere: written and read as a whole.

    :param patience: seconds after which whoever is alone in a folder counts as dead.
    :param clock: seconds that only ever grow.
    :param sleep: waits for so many seconds.
    """

    def __init__(
        self,
        *,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._patience = patience
        self._clock = clock
        self._sleep = sleep

    @contextmanager
    def draft(self, target: UPath) -> Iterator[Path]:
        """Lend a path in a scratch folder."""
        with scratch_dir() as folder:
            yield folder / target.name

    def put_in_place(self, draft: Path, target: UPath) -> None:
        """Hand the draft over; the object is there once all of it is."""
        if target.fs.async_impl:
            target.fs.put_file(str(draft), target.path)
        else:
            _write(target, draft.read_bytes())

    def create(self, draft: Path, target: UPath) -> bool:
        """Hand the draft over, unless the name is taken; the store decides, where it knows exclusive creation."""
        return self._create(target, draft.read_bytes())

    def appender(self, target: UPath) -> ObjectAppender:
        """Collect what is added: an object is written as a whole, and cannot grow."""
        return ObjectAppender(target)

    def make_folder(self, folder: UPath) -> None:
        """Make the folder where the storage has folders; a bucket of a name that was misspelled is not made."""
        if not folder.fs.async_impl:
            folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def exclusive(self, folder: UPath) -> Iterator[None]:
        """Keep out everybody else who asks for this, by an object that only one of them can create.

        :raises ConfigError: when what a killed process left there cannot be removed.
        """
        name = folder / ALONE
        self._wait_to_be_alone(name)
        try:
            yield
        finally:
            self.remove(name)

    @contextmanager
    def local_copy(self, path: UPath) -> Iterator[Path]:
        """Lend a copy in a scratch folder."""
        with scratch_dir() as folder:
            copy = folder / path.name
            path.fs.get_file(path.path, str(copy))
            yield copy

    def read(self, path: UPath) -> bytes:
        """Return what is in an object."""
        content: bytes = path.fs.cat_file(path.path)
        return content

    def exists(self, path: UPath) -> bool:
        """Ask the store whether there is an object, or a folder."""
        return bool(_afresh(path).exists(path.path))

    def names(self, folder: UPath) -> list[str]:
        """Ask the store what is in a folder; the marker that some tools put there for the folder itself is not."""
        own = folder.path.strip("/")
        try:
            paths = {path.strip("/") for path in _afresh(folder).ls(folder.path, detail=False)}
        except FileNotFoundError:
            return []
        if own in paths:
            # Azure's file system takes a folder with a marker for a file, and lists nothing else.
            paths = {path.strip("/") for path in folder.fs.find(folder.path)}
            # From its listing it would take what it did not list for missing.
            folder.fs.invalidate_cache()
        below = (path.removeprefix(f"{own}/").partition("/")[0] for path in paths if path != own)
        return sorted({name for name in below if name})

    def names_below(self, folder: UPath) -> dict[str, frozenset[str]]:
        """Ask the store for all that is below a folder, however deep, in one request for many."""
        own = f"{folder.path.strip('/')}/"
        paths = (path.strip("/") for path in _afresh(folder).find(folder.path))
        found: dict[str, set[str]] = {}
        for path in paths:
            name, _, below = path.removeprefix(own).partition("/")
            # The marker that some tools put there for the folder itself is not below it.
            if below and path.startswith(own):
                found.setdefault(name, set()).add(below.partition("/")[0])
        return {name: frozenset(found[name]) for name in sorted(found)}

    def written_at(self, path: UPath) -> float:
        """Return when an object was written, in seconds since the epoch; 0 where the store does not say."""
        try:
            return float(_afresh(path).modified(path.path).timestamp())
        except (AttributeError, KeyError, NotImplementedError):
            return 0.0

    def remove(self, path: UPath) -> None:
        """Remove an object by its own name, not by what it would mean as a pattern."""
        with suppress(FileNotFoundError):
            path.fs.rm_file(path.path)

    def remove_folder(self, folder: UPath) -> None:
        """Remove all objects under the folder, one by one, and the folder where the storage has folders."""
        for path in _afresh(folder).find(folder.path):
            folder.fs.rm_file(path)
        # A path with wildcards would mean other folders too.
        if not _WILDCARDS.intersection(folder.path) and self.exists(folder):
            folder.rmdir(recursive=True)

    def sweep(self, folder: UPath) -> None:
        """Do nothing: drafts are in scratch folders."""

    def _create(self, target: UPath, content: bytes) -> bool:
        try:
            target.fs.pipe_file(target.path, content, mode="create")
        except OSError as error:
            if error.errno == errno.ENOSYS:
                return self._create_unless_seen(target, content)
            found = self._holds(target)
            if found is None and not _was_taken(error):
                raise
            # A request whose answer was lost is sent again, and meets what it put there itself.
            return found == content
        return True

    def _create_unless_seen(self, target: UPath, content: bytes) -> bool:
        """Create an object on a store that refuses to do so exclusively."""
        if self.exists(target):
            return False
        _write(target, content)
        return True

    def _wait_to_be_alone(self, name: UPath) -> None:
        mark = uuid4().hex.encode()
        seen, since = None, self._clock()
        while not self._create(name, mark):
            if (holder := self._holds(name)) != seen:
                seen, since = holder, self._clock()
            elif holder and self._clock() - since > self._patience:
                self._bury(name, holder)
                seen, since = None, self._clock()
            self._sleep(_POLL_EVERY)

    def _bury(self, name: UPath, holder: bytes) -> None:
        """Remove what a process that was killed left; of those who wait, one may do so, for another's comes next."""
        if not self._create(name.parent / f"{ALONE}-{holder.decode()}", b""):
            raise ConfigError(
                f"{name} was left by a process that was killed. Make sure that no run of this export is at work, "
                "and remove it"
            )
        self.remove(name)

    def _holds(self, path: UPath) -> bytes | None:
        try:
            return self.read(path)
        except FileNotFoundError:
            return None


class ObjectAppender:
    """A file that is kept in memory until it is closed."""

    def __init__(self, target: UPath) -> None:
        self._target = target
        self._records: list[bytes] = []

    def append(self, record: bytes) -> None:
        """Add a record."""
        self._records.append(record)

    def close(self) -> None:
        """Write all records as one object."""
        _write(self._target, b"".join(self._records))


def _was_taken(error: OSError) -> bool:
    """Tell whether the name was taken, though it may be free by now; S3 may say that two requests met.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
    """
    return isinstance(error, FileExistsError) or "ConditionalRequestConflict" in repr(error.__cause__)


def _write(target: UPath, content: bytes) -> None:
    target.fs.pipe_file(target.path, content)


def _afresh(path: UPath) -> Any:
    """Return the file system of a path without what it remembers of listings."""
    path.fs.invalidate_cache()
    return path.fs
