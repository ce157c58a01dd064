"""Working files: nobody else may read them, and none stays behind, whoever was killed."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.state.scratch import PREFIX, scratch_dir, sweep_scratch

HOLDER = """
import sys, time
from airflow_mailchimp_export.state.scratch import scratch_dir
with scratch_dir() as folder:
    (folder / "plan.duckdb").write_bytes(b"ada@brieftaube.eu")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's folder for temporary files, empty."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


@contextmanager
def holder() -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another process that has a folder, until it is told to end or is killed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def modes(root: Path) -> set[int]:
    """The modes of all folders under a root."""
    return {stat.S_IMODE(path.stat().st_mode) for path in root.rglob("*") if path.is_dir()}


def test_it_is_ones_own_and_goes(temporary: Path) -> None:
    """A folder is there for its user alone, under a name that says whose it is, and is gone at the end."""
    before = os.umask(0)
    try:
        with scratch_dir() as first, scratch_dir() as second:
            assert first != second
            assert first.parent == second.parent == temporary / f"{PREFIX}{os.getuid()}"
            assert modes(temporary) == {0o700}
            (first / "file").write_bytes(b"x")
    finally:
        os.umask(before)
    assert list(first.parent.iterdir()) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_it_goes_whatever_happens(error: type[BaseException]) -> None:
    """Whatever breaks the work off, nothing stays."""
    with pytest.raises(error), scratch_dir() as folder:
        raise error
    assert not folder.exists()


def test_what_a_killed_process_left_is_swept() -> None:
    """The folder of a process that was killed stays until somebody sweeps, and then goes with all that is in it."""
    with holder() as (process, folder):
        process.kill()
        process.wait()
        assert (folder / "plan.duckdb").exists()
        sweep_scratch()
        assert not folder.exists()


def test_the_living_keep_theirs() -> None:
    """Sweeping leaves the folders of processes that are at work, this one's too."""
    with holder() as (_, folder), scratch_dir() as own:
        sweep_scratch()
        assert own.exists()
        assert (folder / "plan.duckdb").exists()


def test_nobody_waits_for_whom_hangs(temporary: Path) -> None:
    """Where another process holds the folder of all folders for good, the others work and sweep as ever."""
    with scratch_dir() as folder:
        room = folder.parent
    handle = os.open(room, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with scratch_dir() as folder:
            sweep_scratch()
            assert folder.exists()
    finally:
        os.close(handle)


def test_a_sweeper_may_be_quicker_than_the_lock(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is swept before it is held is made once more."""
    make, made = tempfile.mkdtemp, []

    def make_and_lose(**where: Any) -> str:
        made.append(make(**where))
        if len(made) == 1:
            sweep_scratch()
        return made[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", make_and_lose)
    with scratch_dir() as folder:
        assert folder.exists()
    assert len(made) == 2


@pytest.mark.parametrize(("age", "stays"), [(60, True), (2 * 86_400, False)])
def test_without_locks_age_decides(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, age: float, stays: bool
) -> None:
    """On a file system that knows no locks, only what was not touched for a day is swept."""

    def no_locks(handle: int, operation: int) -> None:
        raise OSError(errno.ENOTSUP, "not supported")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with scratch_dir() as folder:
        moment = time.time() - age
        os.utime(folder, (moment, moment))
        sweep_scratch()
        assert folder.exists() is stays


def test_there_may_be_nothing_to_sweep(temporary: Path) -> None:
    """On a machine on which nothing has run, sweeping finds nothing; what is no folder is no obstacle."""
    sweep_scratch()
    (temporary / f"{PREFIX}{os.getuid()}" / "stray").write_bytes(b"x")
    sweep_scratch()
    with scratch_dir() as folder:
        assert folder.exists()


def test_a_place_that_was_open_is_closed(temporary: Path) -> None:
    """A folder of this user that others may enter is closed to them."""
    (temporary / f"{PREFIX}{os.getuid()}").mkdir(mode=0o755)
    with scratch_dir():
        assert modes(temporary) == {0o700}


def test_a_link_is_not_followed(temporary: Path) -> None:
    """Where somebody has put a link in its place, nothing is written behind it."""
    (temporary / "theirs").mkdir()
    (temporary / f"{PREFIX}{os.getuid()}").symlink_to(temporary / "theirs")
    with (
        pytest.raises(ConfigError, match=r"Cannot write to the temporary folder .* or set TMPDIR"),
        scratch_dir(),
    ):
        pytest.fail("It was followed")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to somebody else")
def test_anothers_folder_is_not_used(temporary: Path) -> None:
    """A folder that belongs to another user is an error that says what to do."""
    room = temporary / f"{PREFIX}{os.getuid()}"
    room.mkdir()
    os.chown(room, 12345, 12345)
    with (
        pytest.raises(ConfigError, match=r"belongs to another user, .* Remove it, or set TMPDIR"),
        scratch_dir(),
    ):
        pytest.fail("It was used")


def test_a_place_that_is_none(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the temporary folder cannot be written to, the error names it and the remedy."""
    (temporary / "file").write_bytes(b"")
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / "file"))
    with pytest.raises(ConfigError) as error, scratch_dir():
        pytest.fail("It was used")
    assert str(error.value) == (
        f"Cannot write to the temporary folder {temporary}/file: Not a directory. "
        "Free space there or make it writable, or set TMPDIR to another place"
    )
