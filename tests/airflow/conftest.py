"""Real Airflow in the tests' own process: its environment is set before anything imports it."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from scripts.airflow_environment import airflow_environment

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.sdk import DAG

    from scripts.sandbox_service import Sandbox

DAGS = Path(__file__).resolve().parents[2] / "dags"
HOME = Path(tempfile.mkdtemp(prefix="airflow-tests-"))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
(HOME / "dags").mkdir()

for _name in [name for name in os.environ if name.startswith("AIRFLOW")]:
    del os.environ[_name]
os.environ.update(airflow_environment(HOME, HOME / "dags", port=0))
os.environ.update(
    AIRFLOW__CORE__UNIT_TEST_MODE="True",
    AIRFLOW__LOGGING__LOGGING_LEVEL="WARNING",
    # What tasks log is what users see.
    AIRFLOW__LOGGING__NAMESPACE_LEVELS="airflow.task.operators=INFO",
    AIRFLOW__MAILCHIMP__EXPORTS_ROOT=str(HOME / "exports"),
)

RunDag = Callable[..., "DagRun"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder, and keep them in one process, so that only one boots Airflow."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.airflow)
            item.add_marker(pytest.mark.xdist_group("airflow"))


@pytest.fixture(scope="session")
def airflow_db() -> None:
    """Airflow's metastore."""
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture
def run_dag(airflow_db: None) -> RunDag:
    """Run a DAG once, through the real task runner: ``run_dag(dag, {"param": ...})``."""

    def run(dag: DAG, conf: dict[str, Any] | None = None) -> DagRun:
        register(dag)
        return dag.test(run_conf=conf)

    return run


def register(dag: DAG) -> None:
    """Tell the metastore of a DAG, as the DAG processor does."""
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.definitions.dag import SerializedDAG
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from airflow.utils.session import create_session

    with create_session() as session:
        if session.get(DagBundleModel, "testing") is None:
            session.add(DagBundleModel(name="testing"))
    with create_session() as session:
        serialized = LazyDeserializedDAG.from_dag(dag)
        SerializedDAG.bulk_write_to_db("testing", None, [serialized], session=session)
        SerializedDagModel.write_dag(serialized, bundle_name="testing", session=session)


@pytest.fixture
def shipped_dags(airflow_db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, DAG]:
    """The DAGs of the repository by their ids, with their snapshots in ``tmp_path / "segments"``."""
    from airflow.dag_processing.dagbag import DagBag

    monkeypatch.setenv("SEGMENT_SNAPSHOTS", str(tmp_path / "segments"))
    bag = DagBag(DAGS)
    assert bag.import_errors == {}
    return bag.dags


@pytest.fixture
def mailchimp(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The sandbox, with Airflow's connection ``mailchimp_default`` leading there, and no export that knows of it."""
    shutil.rmtree(HOME / "exports", ignore_errors=True)
    monkeypatch.setenv("AIRFLOW_CONN_MAILCHIMP_DEFAULT", json.dumps(sandbox.connection()))
    return sandbox
