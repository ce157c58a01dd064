"""What Airflow's releases call differently, for tests that look into it; no operator or sensor needs any of this."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from packaging.version import Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from airflow.models.dagrun import DagRun
    from airflow.sdk import DAG
    from sqlalchemy import Select
    from sqlalchemy.orm import Session

RELEASE = Version(version("apache-airflow-core")).release[:2]
"""Airflow's release in two numbers; pre-releases count as what they lead to. Reading it imports nothing of Airflow."""


def lacks(what: str, *, before: tuple[int, int]) -> pytest.MarkDecorator:
    """Skip a test of what came with a release of Airflow, on those that are older."""
    return pytest.mark.skipif(before > RELEASE, reason=f"Airflow {RELEASE[0]}.{RELEASE[1]} has no {what}")


def read_back(dag: DAG) -> Any:
    """Return a DAG as the scheduler and the API server read it; Airflow 3.1 has one class for both ways."""
    serialization = _serialization()
    return serialization.from_dict(serialization.to_dict(dag))


def serialized_dag() -> Any:
    """Return the class of DAGs that were read back."""
    if RELEASE < (3, 2):
        return _serialization()
    from airflow.serialization.definitions.dag import SerializedDAG

    return SerializedDAG


def _serialization() -> Any:
    from airflow.serialization import serialized_objects

    return serialized_objects.SerializedDAG if RELEASE < (3, 2) else serialized_objects.DagSerialization


def hand_errors_to_callbacks(patch: pytest.MonkeyPatch) -> None:
    """Let ``dag.test()`` tell callbacks of a task's error, as a worker does; Airflow leaves that out before 3.3."""
    if RELEASE >= (3, 3):
        return
    from airflow.sdk.execution_time import task_runner

    finalize = task_runner.finalize

    def with_error(ti: Any, state: Any, context: Any, log: Any, error: BaseException | None = None) -> None:
        context["exception"] = error
        finalize(ti, state, context, log, error)

    patch.setattr(task_runner, "finalize", with_error)


def keep_one_api_server() -> None:
    """Let all runs of ``dag.test()`` share an API server, which takes a second to make; from Airflow 3.3 on they do."""
    if RELEASE >= (3, 3):
        return
    from airflow.sdk.execution_time import supervisor

    supervisor.in_process_api_server = cache(supervisor.in_process_api_server)


def connection_of(path: Any) -> Any:
    """Return the connection whose credentials a path uses; Airflow 3.1 keeps it among the options of the storage."""
    return path.storage_options.get("conn_id") if RELEASE < (3, 2) else path.conn_id


def bags() -> Any:
    """Return the module that reads DAG files, with ``DagBag``, ``BundleDagBag`` and ``sync_bag_to_db``."""
    return import_module("airflow.models.dagbag" if RELEASE < (3, 2) else "airflow.dag_processing.dagbag")


def bundle_bag(folder: Path, name: str) -> Any:
    """Read the DAG files of a folder as those of a bundle; in Airflow 3.1 DAGs do not know whose they are."""
    named = {} if RELEASE < (3, 2) else {"bundle_name": name}
    return bags().BundleDagBag(folder, bundle_path=folder, **named)


def new_id() -> Any:
    """Return an id for a row of the metastore; in Airflow 3.1 they are text."""
    return str(uuid4()) if RELEASE < (3, 2) else uuid4()


def keep_xcoms(session: Session, rows: Iterable[dict[str, Any]]) -> None:
    """Write XComs of tasks that ran once into the metastore; Airflow 3.4 keeps them for each try, by its id."""
    from airflow.models import xcom
    from airflow.models.taskinstance import TaskInstance as Task
    from sqlalchemy import insert, select

    if RELEASE < (3, 4):
        session.execute(insert(xcom.XComModel.__table__), [*rows])
        return
    tries = session.execute(select(Task.dag_id, Task.run_id, Task.task_id, Task.id)).all()
    ids = {tuple(names): task_id for *names, task_id in tries}
    named = ("dag_id", "run_id", "task_id")
    kept = [
        {
            "task_instance_id": ids[tuple(row[name] for name in named)],
            "key": row["key"],
            "value": row["value"],
        }
        for row in rows
    ]
    session.execute(insert(xcom.XComModelV2.__table__), kept)


def forget_xcoms(session: Session, dag_ids: Sequence[str]) -> None:
    """Take the XComs of some DAGs out of the metastore."""
    from airflow.models import xcom
    from airflow.models.taskinstance import TaskInstance as Task
    from sqlalchemy import delete, select

    if RELEASE < (3, 4):
        session.execute(delete(xcom.XComModel).where(xcom.XComModel.dag_id.in_(dag_ids)))
        return
    tries = select(Task.id).where(Task.dag_id.in_(dag_ids)).scalar_subquery()
    session.execute(delete(xcom.XComModelV2).where(xcom.XComModelV2.task_instance_id.in_(tries)))


def rendered_fields(run: DagRun) -> Select[Any]:
    """Select what the templates of a run's tasks became; Airflow 3.4 keeps that for each attempt, by its id."""
    from airflow.models.renderedtifields import RenderedTaskInstanceFields as Rendered
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select

    asked = select(Rendered.rendered_fields)
    if RELEASE < (3, 4):
        return asked.where(Rendered.dag_id == run.dag_id, Rendered.run_id == run.run_id)
    tries = asked.join(TaskInstance, TaskInstance.id == Rendered.task_instance_id)
    return tries.where(TaskInstance.dag_id == run.dag_id, TaskInstance.run_id == run.run_id)
