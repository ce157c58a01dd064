"""Files are read to their last byte before they are believed, and those that are as they were not again."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mailchimp_export.state import parquet
from airflow_mailchimp_export.state.parquet import is_whole


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of some rows."""
    path = tmp_path / "file.parquet"
    write(path)
    return path


def write(path: Path) -> None:
    """Write rows."""
    rows = pa.table({"text": [f"{number} is a number" for number in range(100)]})
    pq.write_table(rows, path, write_page_checksum=True)


def damage(path: Path) -> None:
    """Change a byte in place."""
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0x10
    path.write_bytes(content)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Which files are read, in order."""
    files: list[Path] = []
    whole = parquet._read_whole

    def noted(path: Path) -> bool:
        files.append(path)
        return whole(path)

    monkeypatch.setattr(parquet, "_read_whole", noted)
    return files


def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let some time go by."""
    now = parquet.time.time()
    monkeypatch.setattr(parquet.time, "time", lambda: now + 60)


def test_a_file_that_is_as_it_was(path: Path, read: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found whole is not read again, until it is another file or another content."""
    later(monkeypatch)
    assert (is_whole(path), is_whole(path)) == (True, True)
    assert read == [path]
    damage(path)
    assert not is_whole(path)
    write(path.with_name("other"))
    path.with_name("other").replace(path)
    assert is_whole(path)
    assert read == [path] * 3


def test_a_file_that_has_just_changed(path: Path, read: list[Path]) -> None:
    """What changed so lately that a further change may not show is read each time."""
    assert (is_whole(path), is_whole(path)) == (True, True)
    damage(path)
    assert not is_whole(path)
    assert read == [path] * 3


def test_a_damaged_file(path: Path, read: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found damaged is looked at again: somebody may have brought it back."""
    later(monkeypatch)
    damage(path)
    assert (is_whole(path), is_whole(path)) == (False, False)
    assert read == [path] * 2
