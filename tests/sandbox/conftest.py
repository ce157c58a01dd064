"""A sandbox that really listens on a port."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import pytest

from airflow_mailchimp_export.sandbox.account import Account
from airflow_mailchimp_export.sandbox.server import running
from airflow_mailchimp_export.sandbox.settings import Settings
from tests.sandbox.driver import Sandbox

QUICK = {"batch_pending": 0.0, "batch_preprocessing": 0.0, "batch_finalizing": 0.0}


@pytest.fixture(scope="session")
def account() -> Iterator[Account]:
    """One server for all tests of this process."""
    with running() as account:
        yield account


@pytest.fixture
def sandbox(account: Account) -> Iterator[Sandbox]:
    """That server, empty and with the default settings, but with batches that do not dawdle."""
    driver = Sandbox(account.url, Settings().key)
    with driver.session:
        driver.set(**asdict(Settings()) | QUICK)
        driver.control("/reset", {})
        yield driver
