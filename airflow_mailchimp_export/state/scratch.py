"""Local folders for working files: they hold addresses, so only their owner may read them, and none stays behind.

A process that is killed cannot remove its folder; the next run on the machine does.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.state.held import held_folder, opened, sweep_left_behind

PREFIX = "airflow-mailchimp-export-"
"""How the folder begins that holds the scratch folders of one user, in the system's temporary folder."""

_OWNER_ONLY = 0o700


@contextmanager
def scratch_dir() -> Iterator[Path]:
    """Lend a folder of one's own, which is removed at the end.

    :raises ConfigError: when the temporary folder cannot be written to.
    """
    with ExitStack() as stack:
        with writable():
            folder = stack.enter_context(held_folder(_room(), prefix=""))
        yield folder


def sweep_scratch() -> None:
    """Remove the folders of processes that were killed."""
    with writable():
        left = list(_room().iterdir())
    sweep_left_behind(left)


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
def writable() -> Iterator[None]:
    """Say of an error of the system that the temporary folder cannot be written to.

    :raises ConfigError: in its place.
    """
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"Cannot write to the temporary folder {tempfile.gettempdir()}: {error.strerror}",
            f"{remedy_of(error)}, or set TMPDIR to another place",
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


def _room() -> Path:
    """Return the folder that holds the scratch folders of this user."""
    room = Path(temporary_folder()) / f"{PREFIX}{os.getuid()}"
    room.mkdir(mode=_OWNER_ONLY, exist_ok=True)
    with opened(room) as handle:
        if os.fstat(handle).st_uid != os.getuid():
            raise ConfigError(
                f"{room} belongs to another user, so nothing can be kept there in confidence",
                "Remove it, or set TMPDIR to another place",
            )
        os.fchmod(handle, _OWNER_ONLY)
    return room
