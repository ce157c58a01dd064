"""The sandbox inside this process, for tests that run whole exports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_mailchimp_export.state.run import ExportFolder
from tests.kit.life import Life
from tests.kit.sandbox import InProcessSandbox


@pytest.fixture(scope="session")
def in_process() -> Iterator[InProcessSandbox]:
    """One sandbox for all tests of this process."""
    with InProcessSandbox() as sandbox:
        yield sandbox


@pytest.fixture
def life(in_process: InProcessSandbox, tmp_path: Path) -> Life:
    """An export that has not run yet, and an empty audience."""
    in_process.reset()
    return Life(in_process, ExportFolder(tmp_path / "exports" / "life"))
