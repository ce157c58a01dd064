"""Every test of this folder is one of the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.airflow.conftest import airflow_db, mailchimp, run_dag, shipped_dags

__all__ = ["airflow_db", "mailchimp", "run_dag", "shipped_dags"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.docs)
