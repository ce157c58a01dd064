"""A sandbox of Customer Insights - Data that really listens on a port."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from airflow_mailchimp_export.sandbox.customer_insights.organisation import Organisation
from airflow_mailchimp_export.sandbox.customer_insights.server import running
from airflow_mailchimp_export.sandbox.customer_insights.settings import Settings
from airflow_mailchimp_export.sandbox.customer_insights.store import Store, generated
from tests.sandbox.customer_insights.driver import Insights

PROFILES = 200
FIRST: list[Store] = []
"""The data as it is at first under the default settings: as long as no test changed it, the next one has it too."""


@pytest.fixture(scope="session")
def organisation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Organisation]:
    """One server for all tests of this process."""
    folder = tmp_path_factory.mktemp("exports")
    with running(Organisation(source=generated(PROFILES), export_folder=folder)) as organisation:
        yield organisation


@pytest.fixture
def insights(organisation: Organisation) -> Iterator[Insights]:
    """That server with its first data and the default settings, and a user who is logged in."""
    driver = Insights(organisation.url)
    with driver.session:
        driver.set(**asdict(Settings()))
        store = organisation.store
        if store not in FIRST or store.revision > 1:
            driver.control("reset", {})
            FIRST[:] = [organisation.store]
        for path in ("faults/clear", "stats/reset", "tokens/revoke"):
            driver.control(path, {})
        driver.log_in()
        yield driver


@pytest.fixture
def exports(organisation: Organisation) -> Path:
    """Where it writes its file exports."""
    assert organisation.export_folder
    return organisation.export_folder
