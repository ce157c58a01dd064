"""The child process that reads DAGs: ``python -m benchmarks.parsing FOLDER EXPORTS SEGMENTS`` prints what it took.

It has imported nothing of the package before, as Airflow's DAG processor has not, which forks for each file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.stopwatch import Stopwatch, peak_memory

HEAVY = ("duckdb", "pandas", "pyarrow")
"""What a task may need, and who only reads DAGs must not wait for."""


def write_configuration(file: Path, exports: int, segments: int) -> None:
    """Write so many exports, each of so many segments, each to an audience of its own."""
    keys = [f"segment_{number}" for number in range(segments)]
    lines = ["profiles: profiles.parquet", "snapshots: snapshots", "segments:"]
    lines += [f"  {key}: {{name: {key}, where: lifetime_value >= {len(key)}}}" for key in keys]
    lines += [
        "defaults:",
        "  email: email",
        "  first_name: first_name",
        "  fields: {PHONE: phone}",
        "exports:",
    ]
    for number in range(exports):
        lines += [f"  export_{number}:", f"    audience_id: a{number}", "    segments:"]
        lines += [f"      - {key}" for key in keys]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Read, build and serialize the DAGs, and print the figures as the last line."""
    file = Path(sys.argv[1]) / "exports.yaml"
    write_configuration(file, int(sys.argv[2]), int(sys.argv[3]))
    # What the DAG processor has imported before it forks.
    from airflow.serialization.serialized_objects import DagSerialization

    watch, before = Stopwatch(), peak_memory()
    watch.enter("import")
    from airflow_mailchimp_export.config.loading import load
    from airflow_mailchimp_export.dags import exports

    watch.enter("read")
    configuration = load(file).configuration
    assert configuration, "it has no mistakes"
    watch.enter("build")
    dags = exports(configuration)
    watch.enter("serialize")
    for dag in dags.values():
        DagSerialization.to_dict(dag)
    figures = {
        "phases": watch.stop(),
        "dags": len(dags),
        "imported": [name for name in HEAVY if name in sys.modules],
        "memory": peak_memory(),
        "memory_at_start": before,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
