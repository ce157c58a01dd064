"""Folders that are held by whoever works in them: what a process that was killed left behind is told from the rest.

A process locks its folder, and the system lets go of the lock when the process ends. Nobody waits for a lock here: a
process that hangs is in nobody's way.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto
from pathlib import Path

LONGEST_LIFE = 86_400.0
"""Seconds after which a folder counts as left behind where the file system knows no locks."""


@contextmanager
def held_folder(parent: Path, *, prefix: str) -> Iterator[Path]:
    """Make a folder that only its owner may enter, hold it, and remove it at the end.

    :param prefix: how its name begins.
    """
    folder, handle = _made_and_locked(parent, prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def sweep_left_behind(folders: Iterable[Path]) -> None:
    """Remove those of these folders that nobody holds any more; what cannot be removed stays."""
    for folder in folders:
        with suppress(OSError), opened(folder) as handle:
            lock = _lock(handle)
            if lock is _Lock.OURS or (lock is _Lock.UNKNOWN and _is_old(handle)):
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def opened(folder: Path) -> Iterator[int]:
    """Open a folder; a link is not followed.

    :raises OSError: when it is none.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield handle
    finally:
        os.close(handle)


class _Lock(Enum):
    OURS = auto()
    THEIRS = auto()
    UNKNOWN = auto()
    """The file system knows no locks."""


def _made_and_locked(parent: Path, prefix: str) -> tuple[Path, int]:
    """Where a sweeper was faster than the lock, the folder is gone, and another one is made."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        with suppress(FileNotFoundError):
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            if _lock(handle) is not _Lock.THEIRS and folder.exists():
                return folder, handle
            os.close(handle)


def _lock(handle: int) -> _Lock:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _Lock.THEIRS
    except OSError:
        return _Lock.UNKNOWN
    return _Lock.OURS


def _is_old(handle: int) -> bool:
    return time.time() - os.fstat(handle).st_mtime > LONGEST_LIFE
