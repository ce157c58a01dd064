"""Local folders for working files: they hold addresses, so only their owner may read them, and none stays behind.

A process that is killed cannot remove its folder; the next run on the machine does. Who is alive is asked of the
system: a process holds a lock on its folder, which ends with it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from airflow_mailchimp_export.errors import ConfigError

PREFIX = "airflow-mailchimp-export-"
"""How the folder begins that holds the scratch folders of one user, in the system's temporary folder."""

_OWNER_ONLY = 0o700


@contextmanager
def scratch_dir() -> Iterator[Path]:
    """Lend a folder of one's own, which is removed at the end.

    :raises ConfigError: when the temporary folder cannot be written to.
    """
    # Made and locked while nobody sweeps, who would take it for a dead process's between the two.
    with _room() as room, _writable():
        folder = Path(tempfile.mkdtemp(dir=room))
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        _try_to_lock(held)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def sweep_scratch() -> None:
    """Remove the folders of processes that were killed."""
    with _room() as room:
        for folder in room.iterdir():
            with suppress(OSError):
                held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
                if _try_to_lock(held):
                    shutil.rmtree(folder, ignore_errors=True)
                os.close(held)


def _try_to_lock(handle: int) -> bool:
    """Return whether nobody else has the lock; ``False`` too where the file system cannot tell."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def temporary_folder() -> str:
    """Return the system's folder for temporary files.

    :raises ConfigError: when none can be written to.
    """
    try:
        return tempfile.gettempdir()
    except OSError as error:
        raise ConfigError(
            "No folder for temporary files can be written to: all that the system knows of are full or read-only. "
            "Free space there, or set TMPDIR to another place"
        ) from error


@contextmanager
def _writable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"Cannot write to the temporary folder {tempfile.gettempdir()}: {error.strerror}. "
            f"{remedy_of(error)}, or set TMPDIR to another place"
        ) from error


def remedy_of(error: OSError) -> str:
    """Return what to do where nothing can be written."""
    if error.errno in _FULL:
        return "Free space there"
    if error.errno in _FORBIDDEN:
        return "Make it writable"
    return "Free space there or make it writable"


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def _room() -> Iterator[Path]:
    """Lend the folder that holds the scratch folders of this user, with nobody else at work in it."""
    room = Path(temporary_folder()) / f"{PREFIX}{os.getuid()}"
    with _writable():
        room.mkdir(mode=_OWNER_ONLY, exist_ok=True)
        handle = os.open(room, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(handle).st_uid != os.getuid():
            raise ConfigError(
                f"{room} belongs to another user, so nothing can be kept there in confidence. "
                "Remove it, or set TMPDIR to another place"
            )
        os.fchmod(handle, _OWNER_ONLY)
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield room
    finally:
        os.close(handle)
