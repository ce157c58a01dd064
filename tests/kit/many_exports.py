"""Two hundred exports with a thousand runs, written into Airflow's metastore as they are.

``python -m tests.kit.many_exports write``, or ``remove``, does so in an Airflow that is configured by the environment.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

from tests.airflow.releases import forget_xcoms, keep_xcoms, new_id

MANY, EACH = 200, 5
BUNDLE = "testing"
"""Not one that is configured: a DAG processor takes the DAGs of a file that is not there for gone."""
IDS = [f"many_{number:03}" for number in range(MANY)]
MOMENTS = [datetime(2026, 11, day, tzinfo=UTC) for day in range(1, EACH + 1)]


def account(**told: Any) -> dict[str, Any]:
    """What a run has published."""
    counts = {"rows_read": 5, "created": 3, "rejected": 2}
    usual = {
        "schema": 1,
        "export": "news.export",
        "verdict": "partial",
        "dry_run": False,
        "finished_at": "2026-11-22T12:00:00+00:00",
    }
    return {**usual, "counts": counts, "connection_id": "mailchimp_default", "segments": [], **told}


def write_many() -> None:
    """Write them."""
    from airflow.models.dag import DagModel, DagTag
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import insert, select

    of_run = [(dag_id, f"run_{moment:%d}", moment) for dag_id in IDS for moment in MOMENTS]
    with create_session() as session:
        if session.get(DagBundleModel, BUNDLE) is None:
            session.add(DagBundleModel(name=BUNDLE))
            session.flush()
        session.execute(insert(DagModel.__table__), [_dag(dag_id) for dag_id in IDS])
        session.execute(insert(DagTag.__table__), [{"dag_id": dag_id, "name": "mailchimp"} for dag_id in IDS])
        session.execute(insert(DagRun.__table__), [_run(*one) for one in of_run])
        runs = session.execute(
            select(DagRun.id, DagRun.dag_id, DagRun.run_id).where(DagRun.dag_id.in_(IDS))
        ).all()
        session.execute(
            insert(TaskInstance.__table__), [_task(dag_id, run_id) for dag_id, run_id, _ in of_run]
        )
        keep_xcoms(session, (_published(*run) for run in runs))


def remove_many() -> None:
    """Remove them."""
    from airflow.models.dag import DagModel, DagTag
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:
        forget_xcoms(session, IDS)
        for model in (TaskInstance, DagRun, DagTag, DagModel):
            session.execute(delete(model).where(model.dag_id.in_(IDS)))


def _dag(dag_id: str) -> dict[str, Any]:
    limits = {"max_active_tasks": 1, "max_active_runs": 1, "max_consecutive_failed_dag_runs": 0}
    of_bundle = {"bundle_name": BUNDLE, "is_stale": False, "has_task_concurrency_limits": False}
    return {"dag_id": dag_id, **of_bundle, **limits}


def _run(dag_id: str, run_id: str, moment: datetime) -> dict[str, Any]:
    when = {"run_after": moment, "start_date": moment, "end_date": moment}
    return {"dag_id": dag_id, "run_id": run_id, "run_type": "manual", "state": "success", **when}


def _task(dag_id: str, run_id: str) -> dict[str, Any]:
    of_run = {"dag_id": dag_id, "run_id": run_id}
    return {"id": new_id(), "task_id": "report", "map_index": -1, "pool": "p", "pool_slots": 1, **of_run}


def _published(dag_run_id: int, dag_id: str, run_id: str) -> dict[str, Any]:
    of_task = {"task_id": "report", "map_index": -1, "dag_run_id": dag_run_id}
    value = account(export=dag_id)
    return {**of_task, "dag_id": dag_id, "run_id": run_id, "key": "mailchimp_report", "value": value}


if __name__ == "__main__":
    write_many() if sys.argv[1] == "write" else remove_many()
