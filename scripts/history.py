"""A few exports with runs behind them: real ones, to the sandbox, of which one is partial and one refused."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.airflow_stack import DAGS, REPOSITORY, AirflowStack

DAG_FILES = REPOSITORY / "samples" / "history"
PROFILES = REPOSITORY / "samples" / "profiles.parquet"

# Who has an address that nothing is wrong with, and whose names are letters.
SOUND = (
    r"regexp_full_match(email, '[a-z]+(\.[a-z]+)*\d*@[a-z-]+\.eu') AND regexp_full_match(first_name, '\pL+')"
)
LETTER, LOYAL, GONE = (
    "newsletter_opt_in",
    f"loyalty_tier = 'platinum' AND {SOUND}",
    f"NOT newsletter_opt_in AND {SOUND}",
)


@dataclass(frozen=True, slots=True)
class Run:
    """A run of an export, and the profiles that are in its segment by then.

    :param where: which of the sample profiles, in SQL.
    :param upto: the last customer; the later the run, the more there are.
    """

    export: str
    where: str
    upto: int
    conf: Mapping[str, Any] = field(default_factory=dict)


WAVES = (
    (
        Run("weekly_letter", f"{LETTER} AND {SOUND}", 2000),
        Run("loyal_customers", LOYAL, 3000),
        Run("win_back", GONE, 1000),
    ),
    (
        # Some whose addresses are not sound are let through.
        Run("weekly_letter", f"{LETTER} AND ({SOUND} OR customer_id LIKE '%7')", 2200),
        Run("loyal_customers", LOYAL, 3200),
        Run("win_back", GONE, 100),
    ),
    (
        Run("weekly_letter", f"{LETTER} AND {SOUND}", 2400),
        Run("loyal_customers", LOYAL, 3400, {"dry_run": True}),
    ),
)
"""What is run at the same time, one after the other: a day of new customers each."""


def settings_of(segments: Path, *, dags: Path = DAGS) -> dict[str, str]:
    """The environment in which Airflow has these exports beside the shipped ones.

    :param segments: where their segments are kept.
    :param dags: the folder with the shipped ones.
    """
    local = "airflow.dag_processing.bundles.local.LocalDagBundle"
    folders = {"dags-folder": dags, "history": DAG_FILES}
    bundles = [
        {"name": name, "classpath": local, "kwargs": {"path": str(path)}} for name, path in folders.items()
    ]
    return {
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
        "HISTORY_SEGMENTS": str(segments),
    }


def make_history(airflow: AirflowStack, segments: Path) -> int:
    """Run the exports, wave by wave; returned is how many runs there were.

    :raises ServiceError: one of them does not end.
    """
    segments.mkdir(parents=True, exist_ok=True)
    for wave in WAVES:
        _write(wave, segments)
        started = [(run.export, airflow.trigger(run.export, run.conf)) for run in wave]
        for export, run_id in started:
            airflow.wait_for_run(export, run_id)
    return sum(map(len, WAVES))


def _write(wave: Iterable[Run], segments: Path) -> None:
    import duckdb

    with duckdb.connect() as database:
        for run in wave:
            database.sql(
                f"SELECT email, first_name, last_name FROM '{PROFILES}' "
                f"WHERE {run.where} AND customer_id <= 'C{run.upto:06}'"
            ).write_csv(str(segments / f"{run.export}.csv"))
