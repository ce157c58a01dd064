"""A segment as one file, built from the unified profiles."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow.parquet as pq


def write_snapshot(profiles: str, where: str, snapshot: str) -> int:
    """Write the profiles that belong to a segment; the number of them is returned.

    The file is written whole and then put in place: a reader sees the old segment or the new one, never half of it.

    :param profiles: a Parquet file, or a glob of several.
    :param where: the condition that a segment's profiles meet, in DuckDB's SQL over ``profiles``.
    """
    file = Path(snapshot)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = file.with_name(f".{file.name}.part")
    with duckdb.connect() as database:
        database.read_parquet(profiles).create_view("profiles")
        database.sql(f"FROM profiles WHERE {where}").write_parquet(str(unfinished), compression="zstd")
    rows: int = pq.read_metadata(unfinished).num_rows
    unfinished.replace(file)
    return rows
