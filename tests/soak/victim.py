"""An export in a process of its own, to be killed: ``python -m tests.soak.victim JSON``."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from airflow_mailchimp_export.definition import RunContext, RunIdentity
from airflow_mailchimp_export.export import Export
from airflow_mailchimp_export.finalizing import finalize
from airflow_mailchimp_export.mailchimp import calls
from airflow_mailchimp_export.mailchimp.client import MailchimpClient
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.model import Delivery
from airflow_mailchimp_export.sources.opening import plain_path
from airflow_mailchimp_export.state.run import ExportFolder
from tests.kit.exports import define


def main() -> None:
    """Export once; say when the work begins, and how it ended."""
    task: dict[str, Any] = json.loads(sys.argv[1])
    with MailchimpClient(f"{task['url']}/3.0", task["key"], max_connections=4) as client:
        gateway = Gateway(client, lambda: None)
        definition = define(
            {"A": task["profiles"]},
            name="soak",
            audience_id=task["audience_id"],
            delivery=Delivery(task["delivery"]),
            max_removal_ratio=1.0,
        )
        folder = ExportFolder(Path(task["exports"]) / "soak").run(task["run"])
        identity = RunIdentity(run_id=task["run"], dag_id="soak", export_user="soak", started_at="")
        run = RunContext(
            definition=definition, identity=identity, gateway=gateway, folder=folder, path_factory=plain_path
        )
        print("begun", flush=True)
        submission = Export(run).submit()
        report = submission.report
        if report is None:
            while not all(client.send(calls.batch(batch_id)).finished for batch_id in submission.batch_ids):
                time.sleep(0.02)
            report = finalize(submission.run, gateway=gateway)
    print(json.dumps({"verdict": report.verdict.value, "adds_up": report.counts.adds_up}), flush=True)


if __name__ == "__main__":
    main()
