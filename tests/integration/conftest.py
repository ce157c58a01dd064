"""One Airflow for the whole folder, which costs most of its time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scripts.airflow_stack import AirflowStack
from scripts.sandbox_service import Sandbox
from tests.conftest import AUDIENCE
from tests.live_airflow import EXPORT, REFRESH, live_airflow, until


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder, and keep them in one process, so that Airflow starts once."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.service)
            item.add_marker(pytest.mark.xdist_group("integration"))


@pytest.fixture(scope="package")
def airflow(tmp_path_factory: pytest.TempPathFactory, sandbox_process: Sandbox) -> Iterator[AirflowStack]:
    """A whole Airflow, whose logs tell everything."""
    home = tmp_path_factory.mktemp("integration")
    with live_airflow(home, sandbox_process, AIRFLOW__LOGGING__LOGGING_LEVEL="DEBUG") as stack:
        yield stack


@pytest.fixture
def audience(sandbox: Sandbox, airflow: AirflowStack) -> Sandbox:
    """The sandbox with the shipped audience, and no export that remembers what it put there."""
    shutil.rmtree(airflow.home / "exports", ignore_errors=True)
    sandbox.load(AUDIENCE)
    return sandbox


@dataclass(frozen=True)
class FirstExport:
    """What the first export did, which no one started."""

    run: dict[str, Any]
    deferred: bool
    tasks: dict[str, str]
    members: list[dict[str, Any]]


@pytest.fixture(scope="package")
def first_export(airflow: AirflowStack, sandbox_process: Sandbox) -> FirstExport:
    """Switch both DAGs on, and see what comes of it."""
    sandbox_process.reset()
    sandbox_process.load(AUDIENCE)
    sandbox_process.change(batch_stuck=-1)
    for dag_id in (EXPORT, REFRESH):
        airflow.wait_for_dag(dag_id)
        airflow.call("PATCH", f"/dags/{dag_id}", {"is_paused": False})
    (run,) = until(lambda: airflow.call("GET", f"/dags/{EXPORT}/dagRuns")["dag_runs"])
    run_id = run["dag_run_id"]
    ended = {"deferred", "success", "failed", "upstream_failed"}
    until(lambda: airflow.task_states(EXPORT, run_id).get("wait_for_batches") in ended)
    deferred = airflow.task_states(EXPORT, run_id)["wait_for_batches"] == "deferred"
    sandbox_process.change(batch_stuck=0)
    finished = airflow.wait_for_run(EXPORT, run_id, timeout=90)
    airflow.call("PATCH", f"/dags/{REFRESH}", {"is_paused": True})
    return FirstExport(finished, deferred, airflow.task_states(EXPORT, run_id), sandbox_process.members())
