"""A whole Airflow with the shipped DAGs and a connection to the sandbox in its metastore."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from scripts.airflow_stack import DAGS, REPOSITORY, AirflowStack
from scripts.sandbox_service import Sandbox

REFRESH, EXPORT, ONE_TASK = "customer_segments_refresh", "mailchimp_segment_export", "one_task_export"
HOLDING, CAMPAIGN = "holding_export", "campaign"
EXPORT_ALL = f"{REFRESH}_and_export_all"
PROFILES = REPOSITORY / "samples" / "profiles.parquet"
CONNECTION = "mailchimp_default"

# What the shipped DAG does in three tasks, in one that defers, and in one that holds its worker; and a campaign, which
# waits for the audience.
ONE_TASK_DAG = """
from __future__ import annotations

from datetime import datetime
from pathlib import Path

from airflow.sdk import DAG, Asset, task

from airflow_mailchimp_export.config.loading import load
from airflow_mailchimp_export.dags.choosing import choose_refresh
from airflow_mailchimp_export.dags.form import form_of
from airflow_mailchimp_export.operators import SegmentToMailchimpOperator

configuration = load(Path(__file__).with_name("exports.yaml")).configuration
export = configuration.exports["mailchimp_segment_export"]

names = configuration.names_of(export)
form = form_of(export, list(names.values()))

for name in ("one_task_export", "holding_export"):
    with DAG(name, schedule=None, start_date=datetime(2026, 1, 1), params=form):
        SegmentToMailchimpOperator(
            task_id="export",
            segments=choose_refresh(configuration, names)["segments"],
            field_map=export.field_map,
            deferrable=name == "one_task_export",
        )

AUDIENCE = Asset("mailchimp://us0/a1b2c3d4e5")

with DAG("campaign", schedule=[AUDIENCE], start_date=datetime(2026, 1, 1), is_paused_upon_creation=False):

    @task
    def send(*, triggering_asset_events=None):
        return triggering_asset_events[AUDIENCE][-1].extra

    send()
"""

T = TypeVar("T")


@contextmanager
def live_airflow(home: Path, sandbox: Sandbox, **settings: str) -> Iterator[AirflowStack]:
    """Start all of Airflow, with a copy of the shipped profiles beside it, and stop it in the end.

    :param settings: further environment variables.
    """
    dags, profiles = home / "dags", home / "profiles.parquet"
    shutil.copytree(DAGS, dags, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROFILES, profiles)
    (dags / "one_task_export.py").write_text(ONE_TASK_DAG, encoding="utf-8")
    environment = {"CUSTOMER_PROFILES": str(profiles), **settings}
    with AirflowStack(home / "airflow", dags=dags, settings=environment) as airflow:
        airflow.call("POST", "/connections", connection_body(sandbox))
        yield airflow


def connection_body(sandbox: Sandbox, **extra: Any) -> dict[str, Any]:
    """Make the connection to the sandbox as the REST API takes it."""
    connection = sandbox.connection(**extra)
    return {
        **connection,
        "connection_id": CONNECTION,
        "port": urlsplit(sandbox.url).port,
        "extra": json.dumps(connection["extra"]),
    }


def returned(airflow: AirflowStack, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
    """Read what a task returned."""
    path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
    value: dict[str, Any] = airflow.call("GET", f"{path}?deserialize=true")["value"]
    return value


def until(found: Callable[[], T], *, timeout: float = 90) -> T:
    """Ask again and again until there is an answer, and return it."""
    deadline = time.monotonic() + timeout
    while not (answer := found()):
        assert time.monotonic() < deadline, "It takes too long"
        time.sleep(0.2)
    return answer
