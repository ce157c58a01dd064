"""Builds each customer segment anew from the unified profiles, once a day.

Every segment of `exports.yaml` becomes one Parquet file with the profiles that meet its condition.
A file is written whole and then put in place: a reader sees the old segment or the new one, never half of it.
Then the segment's asset is published with the number of its `rows`; once all of them are,
`mailchimp_segment_export` starts by itself, if it is switched on.
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


@dag(
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["segments"],
)
def customer_segments_refresh() -> None:
    """One task per segment; none waits for another."""
    for segment in EXPORTS.segments:
        refresh.override(
            task_id=f"refresh_{segment.key}", outlets=[segment.asset], doc_md=segment.description
        )(segment.key)


customer_segments_refresh()
