"""The DAG that refreshes the segments and runs all exports, by hand."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG

from airflow_mailchimp_export.config.models import Configuration
from airflow_mailchimp_export.dags.schedules import owned_by

ABOUT = """Refreshes all segments, and then runs every export that is switched on, whatever its schedule.

Each export runs once: the runs that the refresh would start for exports *with_refresh* are skipped, because this DAG
starts them itself and waits for them. It fails if the refresh or one of the exports has failed; the others go on.
"""


def export_all_dag(configuration: Configuration) -> DAG:
    """Build it: one task for the refresh, and after it one for each export that is enabled."""
    # Airflow's operator takes longer to import than all the rest, and the tasks of exports do not need it.
    from airflow_mailchimp_export.operators.trigger_switched_on import TriggerSwitchedOnOperator

    refresh = configuration.refresh
    with DAG(
        dag_id=refresh.export_all_name,
        schedule=None,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=True,
        # A second try would run it all once more.
        default_args={"retries": 0, **owned_by(refresh.owner)},
        doc_md=ABOUT,
        # Not "mailchimp", by which the pages know exports: what the exports come to is told by theirs.
        tags={"segments", *refresh.tags},
    ) as dag:
        refreshed = TriggerSwitchedOnOperator(
            task_id="refresh",
            trigger_dag_id=refresh.name,
            conf={"exported_by": "{{ dag.dag_id }}.{{ run_id }}"},
            is_needed=True,
        )
        for name in configuration.enabled:
            refreshed >> TriggerSwitchedOnOperator(task_id=f"export_{name}", trigger_dag_id=name)
    return dag
