"""What the pages are told: of all exports, and of one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_mailchimp_export.pages.accounts import NEEDED, SHOWN, rows_of_dag
from airflow_mailchimp_export.pages.metastore import awaited_assets, exporting_dags, newest_runs, published
from airflow_mailchimp_export.pages.schedules import schedule_in_words

if TYPE_CHECKING:
    from airflow.models.dag import DagModel
    from sqlalchemy.orm import Session

    from airflow_mailchimp_export.pages.rights import AskRights

STRIP = 14
"""How many runs the list of all exports shows of each."""

HISTORY = 50
"""How many the page of one export shows."""

FURTHER = (
    "segments",
    "verdict",
    "refused",
    "rejects_by_reason",
    "suppressed_by_reason",
    "run_uri",
    "truncated",
)
"""What the page of one export shows beside what the list shows."""


def listing(session: Session, ask: AskRights) -> list[dict[str, Any]]:
    """Return a row for each export whose DAG the user may read."""
    return _rows(session, ask, exporting_dags(session), STRIP)


def history(session: Session, ask: AskRights, dag_id: str) -> list[dict[str, Any]]:
    """Return the same of the exports of one DAG, with more of each run and more runs."""
    return _rows(session, ask, exporting_dags(session, dag_id), HISTORY, FURTHER)


def _rows(
    session: Session, ask: AskRights, found: Sequence[DagModel], count: int, further: Sequence[str] = ()
) -> list[dict[str, Any]]:
    rights = ask([dag.dag_id for dag in found])
    dags = [dag for dag in found if dag.dag_id in rights.read]
    ids = [dag.dag_id for dag in dags]
    keys = dict.fromkeys((*NEEDED, *SHOWN, *further))
    runs, accounts = newest_runs(session, ids, count), published(session, ids, count, keys)
    assets = awaited_assets(session, ids)
    rows = []
    for dag in dags:
        of_dag = runs.get(dag.dag_id, [])
        about = {
            "dag_id": dag.dag_id,
            "name": dag.dag_display_name,
            "paused": bool(dag.is_paused),
            "schedule": schedule_in_words(
                dag.timetable_summary, dag.timetable_description, assets.get(dag.dag_id, [])
            ),
            "may_run": dag.dag_id in rights.run,
            "may_pause": dag.dag_id in rights.pause,
        }
        told = {run.run_id: accounts.get((dag.dag_id, run.run_id), []) for run in of_dag}
        rows += [{**about, **row} for row in rows_of_dag(of_dag, told, further)]
    return rows
