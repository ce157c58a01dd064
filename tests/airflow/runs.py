"""DAGs with an export in them, and what a run of theirs leaves behind."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import requests

from tests.airflow.people import FIELD_MAP
from tests.airflow.releases import rendered_fields
from tests.kit.waiting import PATIENCE, wait_until

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.sdk import DAG

    from scripts.sandbox_service import Sandbox

XCOM_KEYS = {"export", "run_uri", "batch_ids", "dry_run", "verdict", "counts"}


@contextmanager
def new_dag(*, schedule: Any = None, **settings: Any) -> Iterator[DAG]:
    """Make a DAG of its own, to put tasks in."""
    from airflow.sdk import DAG

    start = datetime(2026, 1, 1, tzinfo=UTC)
    with DAG(f"export_{uuid4().hex[:8]}", schedule=schedule, start_date=start, **settings) as dag:
        yield dag


def one_task(*, segments: Any, dag: Mapping[str, Any] | None = None, **settings: Any) -> DAG:
    """Make a DAG whose only task does the whole export."""
    from airflow_mailchimp_export.operators import SegmentToMailchimpOperator

    with new_dag(**(dag or {})) as made:
        SegmentToMailchimpOperator(
            task_id="export", **{"segments": segments, "field_map": FIELD_MAP, **settings}
        )
    return made


def three_tasks(
    *, segments: Any, deferrable: bool = False, sensor: Mapping[str, Any] | None = None, **settings: Any
) -> DAG:
    """Make a DAG that is wired like the shipped one: export, wait, report."""
    from airflow_mailchimp_export.operators import MailchimpExportReportOperator, SegmentToMailchimpOperator
    from airflow_mailchimp_export.sensors import MailchimpBatchSensor

    with new_dag() as made:
        export = SegmentToMailchimpOperator(
            task_id="export",
            wait_for_completion=False,
            multiple_outputs=True,
            **{"segments": segments, "field_map": FIELD_MAP, **settings},
        )
        batch_ids, run_uri = export.output["batch_ids"], export.output["run_uri"]
        waiting = {"poke_interval": 0.1, "deferrable": deferrable, **(sensor or {})}
        wait = MailchimpBatchSensor(task_id="wait", batch_ids=batch_ids, **waiting)
        report = MailchimpExportReportOperator(task_id="report", run_uri=run_uri, trigger_rule="all_done")
        export >> wait >> report
    return made


def context_of(operator: Any) -> Any:
    """Make what an operator sees of its run when it is executed by hand."""
    ti = SimpleNamespace(dag_id=operator.dag_id, map_index=-1, start_date=datetime.now(UTC))
    return {"run_id": uuid4().hex, "ti": ti}


def submit(segments: Any, **settings: Any) -> dict[str, Any]:
    """Hand an export over to Mailchimp, without waiting for it."""
    dag = one_task(segments=segments, wait_for_completion=False, **settings)
    handed_over: dict[str, Any] = dag.task_dict["export"].execute(context_of(dag.task_dict["export"]))
    return handed_over


class Failures(list[BaseException]):
    """The exceptions of failed tasks; a task that would be tried again is told apart.

    Hand ``**failures.settings`` to an operator.
    """

    def __init__(self) -> None:
        super().__init__()
        self.retried: list[BaseException] = []

    @property
    def settings(self) -> dict[str, Any]:
        """What lets a task be tried again, and tells of it."""
        return {
            "retries": 1,
            "retry_delay": timedelta(0),
            "on_retry_callback": lambda context: self.retried.append(context["exception"]),
            "on_failure_callback": lambda context: self.append(context["exception"]),
        }


def xcoms(run: DagRun) -> dict[tuple[str, int, str], Any]:
    """Read everything that the tasks of a run left in XComs, by task, map index and key."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        found = session.scalars(
            select(XComModel).where(XComModel.dag_id == run.dag_id, XComModel.run_id == run.run_id)
        )
        return {(xcom.task_id, xcom.map_index, xcom.key): xcom.value for xcom in found}


def result(run: DagRun, task_id: str = "export") -> Any:
    """Read what a task returned."""
    return xcoms(run)[task_id, -1, "return_value"]


def rendered(run: DagRun) -> str:
    """Read what Airflow keeps, and shows, of the tasks' template fields."""
    from airflow.utils.session import create_session

    with create_session() as session:
        return json.dumps([*session.scalars(rendered_fields(run))])


def states(run: DagRun) -> dict[str, str]:
    """Read how the tasks of a run ended."""
    return {task.task_id: str(task.state) for task in run.get_task_instances()}


def report_of(run_uri: str) -> dict[str, Any]:
    """Read the account of a run."""
    report: dict[str, Any] = json.loads(Path(run_uri, "report.json").read_text(encoding="utf-8"))
    return report


def batches(sandbox: Sandbox) -> list[dict[str, Any]]:
    """List the batches that Mailchimp has, with their status."""
    overview = requests.get(f"{sandbox.url}/sandbox/overview", timeout=PATIENCE).json()
    listed: list[dict[str, Any]] = overview["batches"]
    return listed


def member_rows(sandbox: Sandbox) -> int:
    """Count the rows of members that reached Mailchimp, in calls or in batches."""
    stats = sandbox.stats()
    rows: int = stats["member_rows"]["received"] + stats["member_rows"]["handled"]
    return rows + sum(stats["requests"].get("POST /batches", {}).values())


def wait_until_stuck(sandbox: Sandbox) -> None:
    """Wait until no batch moves any more, in a sandbox whose batches are never finished."""
    wait_until(
        lambda: all(batch["status"] == "finalizing" for batch in batches(sandbox)), "the end of all progress"
    )
