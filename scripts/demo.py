"""Exports the sample segments to the sandbox through real Airflow, and shows what came of it."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from scripts.account import show_audience, show_report
from scripts.airflow_stack import REPOSITORY, AirflowStack
from scripts.insights_service import start_insights
from scripts.sandbox_service import Sandbox, start_sandbox, to_environment
from scripts.services import ServiceError
from scripts.steps import Steps, end_on_sigterm, undisturbed

HOME = REPOSITORY / ".demo"
REFRESH, EXPORT = "customer_segments_refresh", "mailchimp_segment_export"
INSIGHTS_EXPORT = "customer_insights_export"
FILES, CUSTOMER_INSIGHTS = "files", "customer-insights"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; 0 if everything went well."""
    source = parse(arguments).source
    end_on_sigterm()
    steps = Steps()
    cleanup = ExitStack()
    try:
        return run(steps, cleanup, source)
    except ServiceError as error:
        steps.say(f"Failed: {error}")
        return 1
    except KeyboardInterrupt:
        steps.say("Interrupted")
        return 130
    finally:
        steps.say("Stopping what was started")
        undisturbed(cleanup)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Where the segments come from."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--source", choices=(FILES, CUSTOMER_INSIGHTS), default=FILES)
    return parser.parse_args(arguments)


def run(steps: Steps, cleanup: ExitStack, source: str) -> int:
    """Do one step after the other."""
    shutil.rmtree(HOME, ignore_errors=True)
    steps.say("Starting the sandbox, a local Mailchimp, with some members in its audience")
    sandbox = start_sandbox(HOME / "sandbox.log", members=REPOSITORY / "samples" / "audience.csv")
    cleanup.callback(sandbox.stop)
    steps.say(f"The sandbox answers at {sandbox.url}")
    if source == CUSTOMER_INSIGHTS:
        report = export_from_customer_insights(steps, cleanup, sandbox)
    else:
        report = run_dags(steps, sandbox)
    show_report(report)
    show_audience(sandbox.audience())
    return 1 if json.loads(report.read_text())["verdict"] == "failed" else 0


def run_dags(steps: Steps, sandbox: Sandbox) -> Path:
    """Refresh the segments, and export them; returned is the report of the export.

    :raises ServiceError: one of the DAGs failed.
    """
    airflow = make_airflow(steps, AirflowStack(HOME / "airflow", settings=connections(sandbox)))
    steps.say(f"Running the DAG {REFRESH}: profiles become segments")
    airflow.cli("dags", "test", REFRESH)
    return run_export(steps, airflow, EXPORT)


def export_from_customer_insights(steps: Steps, cleanup: ExitStack, sandbox: Sandbox) -> Path:
    """Export the segments of a local Customer Insights that has the same profiles; returned is the report.

    :raises ServiceError: something did not start, or the DAG failed.
    """
    steps.say("Starting a local Customer Insights, with the sample profiles and three segments")
    profiles = str(REPOSITORY / "samples" / "profiles.parquet")
    insights = start_insights(HOME / "customer_insights.log", "--profiles", profiles)
    cleanup.callback(insights.stop)
    steps.say(f"Customer Insights answers at {insights.url}")
    settings = {
        **connections(sandbox),
        "AIRFLOW_CONN_CUSTOMER_INSIGHTS_DEFAULT": to_environment(insights.connection()),
    }
    dags = REPOSITORY / "samples" / "dags"
    airflow = make_airflow(steps, AirflowStack(HOME / "airflow", dags=dags, settings=settings))
    report = run_export(steps, airflow, INSIGHTS_EXPORT)
    stats = insights.control("stats")
    steps.say(f"Customer Insights answered {stats['rows']:,} rows in {calls(stats):,} calls")
    return report


def calls(stats: Mapping[str, Any]) -> int:
    """How many calls were counted."""
    return sum(sum(by_status.values()) for by_status in stats["requests"].values())


def connections(sandbox: Sandbox) -> dict[str, str]:
    """The connection to Mailchimp, as Airflow reads it from the environment."""
    return {"AIRFLOW_CONN_MAILCHIMP_DEFAULT": to_environment(sandbox.connection(export_user="demo"))}


def make_airflow(steps: Steps, airflow: AirflowStack) -> AirflowStack:
    """The Airflow, with its metastore."""
    steps.say(f"Making Airflow's metastore in {airflow.home.relative_to(REPOSITORY)}")
    airflow.migrate()
    return airflow


def run_export(steps: Steps, airflow: AirflowStack, dag_id: str) -> Path:
    """Run an export once; returned is its report.

    :raises ServiceError: it failed.
    """
    steps.say(f"Running the DAG {dag_id}: segments go to Mailchimp, in batches")
    log = airflow.cli("dags", "test", dag_id)
    steps.say(f"Done; Airflow's output is in {log.parent.relative_to(REPOSITORY)}")
    return newest_report(airflow.home / "exports")


def newest_report(exports: Path) -> Path:
    """The report that was written last.

    :raises ServiceError: there is none.
    """
    reports = sorted(exports.glob("*/*/report.json"), key=lambda report: report.stat().st_mtime)
    if not reports:
        raise ServiceError(f"The export left no report below {exports}.")
    return reports[-1]


if __name__ == "__main__":
    sys.exit(main())
