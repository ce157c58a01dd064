"""A sandbox in a thread, for tests that run whole exports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from airflow_mailchimp_export.sandbox.account import Account
from airflow_mailchimp_export.sandbox.server import running
from airflow_mailchimp_export.sandbox.settings import Settings
from airflow_mailchimp_export.state.run import ExportFolder
from tests.kit.life import Life

QUICK_BATCHES = {
    "batch_pending": 0.0,
    "batch_preprocessing": 0.0,
    "batch_finalizing": 0.0,
    "fault_delay": 0.01,
}


@pytest.fixture(scope="session")
def account() -> Iterator[Account]:
    """One sandbox for all tests of this process."""
    with running() as account:
        yield account


@pytest.fixture
def life(account: Account, tmp_path: Path) -> Life:
    """An export that has not run yet, and an empty audience."""
    account.settings.change({**asdict(Settings()), **QUICK_BATCHES})
    account.clear()
    account.meter = account.meter.successor()
    return Life(account, ExportFolder(tmp_path / "exports" / "life"))
