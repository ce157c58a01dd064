"""Real Airflow in the tests' own process: its environment is set before anything imports it."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_mailchimp_export.delivery import watch
from scripts.airflow_environment import airflow_environment
from tests.airflow.releases import bags, hand_errors_to_callbacks, keep_one_api_server, serialized_dag

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.sdk import DAG
    from starlette.testclient import TestClient

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


@pytest.hookimpl(tryfirst=True)
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
    keep_one_api_server()


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first look at a batch be followed by the next at once."""
    monkeypatch.setattr(watch, "FIRST_PAUSE", 0.05)


@pytest.fixture(scope="module")
def manager(airflow_db: None) -> Any:
    """Airflow's auth manager for roles."""
    from airflow.api_fastapi.app import init_auth_manager

    return init_auth_manager()


@pytest.fixture
def client(manager: Any) -> Iterator[TestClient]:
    """The app behind the pages, with nobody logged in."""
    from starlette.testclient import TestClient

    from airflow_mailchimp_export.pages.app import app

    with TestClient(app) as client:
        yield client


@pytest.fixture
def run_dag(airflow_db: None, monkeypatch: pytest.MonkeyPatch) -> RunDag:
    """Run a DAG once, through the real task runner: ``run_dag(dag, {"param": ...})``."""
    hand_errors_to_callbacks(monkeypatch)

    def run(dag: DAG, conf: dict[str, Any] | None = None) -> DagRun:
        register(dag)
        return dag.test(run_conf=conf)

    return run


def register(dag: DAG) -> None:
    """Tell the metastore of a DAG, as the DAG processor does."""
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from airflow.utils.session import create_session

    with create_session() as session:
        if session.get(DagBundleModel, "testing") is None:
            session.add(DagBundleModel(name="testing"))
    with create_session() as session:
        serialized = LazyDeserializedDAG.from_dag(dag)
        serialized_dag().bulk_write_to_db("testing", None, [serialized], session=session)
        SerializedDagModel.write_dag(serialized, bundle_name="testing", session=session)


@pytest.fixture
def shipped_dags(airflow_db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, DAG]:
    """The DAGs of the repository by their ids, with their snapshots in ``tmp_path / "segments"``."""
    monkeypatch.setenv("SEGMENT_SNAPSHOTS", str(tmp_path / "segments"))
    bag = bags().DagBag(DAGS)
    assert bag.import_errors == {}
    return bag.dags


@pytest.fixture
def mailchimp(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The sandbox, with Airflow's connection ``mailchimp_default`` leading there, and no export that knows of it."""
    shutil.rmtree(HOME / "exports", ignore_errors=True)
    monkeypatch.setenv("AIRFLOW_CONN_MAILCHIMP_DEFAULT", json.dumps(sandbox.connection()))
    return sandbox
