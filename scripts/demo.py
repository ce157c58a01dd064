"""Refreshes the sample segments, exports them to the sandbox through real Airflow, shows what came of it."""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path

from scripts.account import show_audience, show_report
from scripts.airflow_stack import REPOSITORY, AirflowStack
from scripts.sandbox_service import Sandbox, start_sandbox, to_environment
from scripts.services import ServiceError
from scripts.steps import Steps, end_on_sigterm, undisturbed

HOME = REPOSITORY / ".demo"
REFRESH, EXPORT = "customer_segments_refresh", "mailchimp_segment_export"


def main() -> int:
    """Run the demo; 0 if everything went well."""
    end_on_sigterm()
    steps = Steps()
    cleanup = ExitStack()
    try:
        return run(steps, cleanup)
    except ServiceError as error:
        steps.say(f"Failed: {error}")
        return 1
    except KeyboardInterrupt:
        steps.say("Interrupted")
        return 130
    finally:
        steps.say("Stopping what was started")
        undisturbed(cleanup)


def run(steps: Steps, cleanup: ExitStack) -> int:
    """Do one step after the other."""
    shutil.rmtree(HOME, ignore_errors=True)
    steps.say("Starting the sandbox, a local Mailchimp, with some members in its audience")
    sandbox = start_sandbox(HOME / "sandbox.log", members=REPOSITORY / "samples" / "audience.csv")
    cleanup.callback(sandbox.stop)
    steps.say(f"The sandbox answers at {sandbox.url}")
    report = run_dags(steps, sandbox)
    show_report(report)
    show_audience(sandbox.audience())
    return 1 if json.loads(report.read_text())["verdict"] == "failed" else 0


def run_dags(steps: Steps, sandbox: Sandbox) -> Path:
    """Run both DAGs once; returned is the report of the export.

    :raises ServiceError: one of them failed.
    """
    connection = to_environment(sandbox.connection(export_user="demo"))
    airflow = AirflowStack(HOME / "airflow", settings={"AIRFLOW_CONN_MAILCHIMP_DEFAULT": connection})
    steps.say(f"Making Airflow's metastore in {airflow.home.relative_to(REPOSITORY)}")
    airflow.migrate()
    steps.say(f"Running the DAG {REFRESH}: profiles become segments")
    airflow.cli("dags", "test", REFRESH)
    steps.say(f"Running the DAG {EXPORT}: segments go to Mailchimp, in batches")
    log = airflow.cli("dags", "test", EXPORT)
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
