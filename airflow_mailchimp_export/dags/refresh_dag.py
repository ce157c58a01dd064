"""The DAG that builds the segments of a configuration."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, Asset, task

from airflow_mailchimp_export.config.entries import Segment
from airflow_mailchimp_export.config.models import Configuration
from airflow_mailchimp_export.dags.schedules import owned_by, schedule_of, whole_refresh

ABOUT = """Builds each segment again from the unified profiles.

Every segment becomes one Parquet file with the profiles that meet its condition.
A file is written whole and then put in place: a reader sees the old segment or the new one, never half of it.

Once all of them are built, `publish` publishes one asset for the whole refresh, and the exports that run with the
refresh start by themselves, where they are switched on. After a failed segment nothing is published: clear the failed
task, and the refresh goes on from there, or wait for the next one.
The asset of a single segment says when it was built, and with how many `rows`; it starts nothing.
"""


def refresh_dag(configuration: Configuration) -> DAG:
    """Build it: one task per segment, of which none waits for another, and one that waits for all of them."""
    refresh = configuration.refresh
    with DAG(
        dag_id=refresh.name,
        schedule=schedule_of(refresh.schedule, configuration),
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=True,
        default_args=owned_by(refresh.owner),
        doc_md=ABOUT,
        tags={"segments", *refresh.tags},
    ) as dag:
        rows = [_refresh(configuration, key, segment) for key, segment in configuration.segments.items()]
        _publish(configuration)(rows)
    return dag


def asset_of(key: str) -> Asset:
    """Where a segment comes from, for lineage; it starts nothing, and stays the same when the file moves."""
    return Asset(name=f"segment_{key}", group="segment")


def _refresh(configuration: Configuration, key: str, segment: Segment) -> Any:
    asset = asset_of(key)

    @task(task_id=f"refresh_{key}", outlets=[asset], doc_md=segment.description)
    def refresh(*, outlet_events: Any = None) -> int:
        """Build one segment and publish it."""
        from airflow_mailchimp_export.snapshots import write_snapshot

        rows = write_snapshot(configuration.profiles, segment.where, configuration.snapshot(key))
        outlet_events[asset].extra = {"rows": rows}
        return rows

    return refresh()


def _publish(configuration: Configuration) -> Any:
    asset = whole_refresh(configuration)
    names = [segment.name for segment in configuration.segments.values()]

    @task(outlets=[asset])
    def publish(rows: list[int], *, dag_run: Any = None, outlet_events: Any = None) -> None:
        """Publish the whole refresh, with the rows of each segment and the moment that the refresh stands for."""
        outlet_events[asset].extra = {
            "rows": dict(zip(names, rows, strict=True)),
            "as_of": (dag_run.logical_date or dag_run.run_after).isoformat(),
        }

    return publish
