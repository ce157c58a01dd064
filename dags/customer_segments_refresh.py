"""Builds each customer segment again from the unified profiles, once a day.

Every segment of `exports.yaml` becomes one Parquet file with the profiles that meet its condition.
A file is written whole and then put in place: a reader sees the old segment or the new one, never half of it.

Once all of them are built, `publish` publishes one asset for the whole refresh, and `mailchimp_segment_export` starts
by itself, if it is switched on. After a failed segment nothing is published: clear the failed task, and the refresh
goes on from there, or wait for the next one.
The asset of a single segment says when it was built, and with how many `rows`; it starts nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import dag, task

from customer_exports import read_exports

if TYPE_CHECKING:
    from customer_exports import Segment

EXPORTS = read_exports(Path(__file__).with_name("exports.yaml"))


def write_snapshot(profiles: Path, segment: Segment) -> int:
    """Write the profiles that belong to the segment; the number of them is returned."""
    import duckdb
    import pyarrow.parquet as pq

    segment.snapshot.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = segment.snapshot.with_name(f".{segment.snapshot.name}.part")
    with duckdb.connect() as database:
        database.read_parquet(str(profiles)).create_view("profiles")
        database.sql(f"FROM profiles WHERE {segment.where}").write_parquet(
            str(unfinished), compression="zstd"
        )
    rows: int = pq.read_metadata(unfinished).num_rows
    unfinished.replace(segment.snapshot)
    return rows


@task
def refresh(key: str, *, outlet_events: Any = None) -> int:
    """Build one segment and publish it."""
    segment = EXPORTS.segment(key)
    rows = write_snapshot(EXPORTS.profiles, segment)
    outlet_events[segment.asset].extra = {"rows": rows}
    return rows


@task(outlets=[EXPORTS.asset])
def publish(rows: list[int], *, dag_run: Any = None, outlet_events: Any = None) -> None:
    """Publish the whole refresh, with the rows of each segment and the moment that the refresh stands for."""
    outlet_events[EXPORTS.asset].extra = {
        "rows": dict(zip(EXPORTS.names, rows, strict=True)),
        "as_of": (dag_run.logical_date or dag_run.run_after).isoformat(),
    }


@dag(
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["segments"],
)
def customer_segments_refresh() -> None:
    """One task per segment, of which none waits for another, and one that waits for all of them."""
    rows = [
        refresh.override(
            task_id=f"refresh_{segment.key}", outlets=[segment.asset], doc_md=segment.description
        )(segment.key)
        for segment in EXPORTS.segments
    ]
    publish(rows)


customer_segments_refresh()
