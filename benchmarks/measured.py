"""The child process: ``python -m benchmarks.measured WHAT JSON`` does one export and prints what it took."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from airflow_mailchimp_export.accounting.report import Report
from airflow_mailchimp_export.customer_insights.client import DataverseClient
from airflow_mailchimp_export.definition import ExportDefinition, RunContext, RunIdentity
from airflow_mailchimp_export.export import Export
from airflow_mailchimp_export.fields.field_map import parse_field_map
from airflow_mailchimp_export.finalizing import finalize
from airflow_mailchimp_export.mailchimp import calls
from airflow_mailchimp_export.mailchimp.client import MailchimpClient
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.model import Delivery
from airflow_mailchimp_export.options import ExportOptions
from airflow_mailchimp_export.settings.insights import InsightsSettings
from airflow_mailchimp_export.settings.segments import parse_segments
from airflow_mailchimp_export.sources.insights import ClientFactory
from airflow_mailchimp_export.sources.opening import no_connection, opened_sources, plain_path
from airflow_mailchimp_export.state.ledger import LEDGER
from airflow_mailchimp_export.state.run import RunFolder
from airflow_mailchimp_export.state.statuses import STATUSES
from benchmarks.databases import READINGS
from benchmarks.official import send_in_bulk, send_one_by_one
from benchmarks.people import FIELD_MAP
from benchmarks.seams import READ, SilentClient, WatchedClient, WatchedFolder
from benchmarks.stopwatch import Stopwatch, cpu_seconds, peak_memory

POLL_SECONDS = 0.1
MOST = 10_000_000
INSIGHTS_MAP = {
    "EMAIL": "msdynci_email",
    "FNAME": "msdynci_firstname",
    "LNAME": "msdynci_lastname",
    "BIRTHDAY": "msdynci_birthday",
}


def measure_plan(task: Mapping[str, Any]) -> dict[str, Any]:
    """Read, plan and encode, without anything at the other end."""
    watch = Stopwatch()
    folder = WatchedFolder(Path(task["folder"]), watch)
    export = _export(task, SilentClient(watch), folder, Delivery.BATCH)
    watch.enter(READ)
    batches = export.submit().batch_ids
    return {"phases": watch.stop(), "batches": len(batches)}


def measure_direct(task: Mapping[str, Any]) -> dict[str, Any]:
    """Deliver call by call."""
    with closing(_client(task)) as client:
        export = _export(task, client, RunFolder(Path(task["folder"])), Delivery.DIRECT)
        begin = time.monotonic()
        report = export.submit().report
        wall = time.monotonic() - begin
    assert report is not None, "direct delivery settles at once"
    return {
        "wall": wall,
        "delivery": client.delivery_seconds,
        "calls": len(client.calls),
        **_told(report),
    }


def measure_batch(task: Mapping[str, Any]) -> dict[str, Any]:
    """Deliver as batches, wait for them, and settle."""
    watch = Stopwatch()
    folder = RunFolder(Path(task["folder"]))
    with closing(_client(task)) as client:
        export = _export(task, client, folder, Delivery.BATCH)
        watch.enter("submit")
        batch_ids = export.submit().batch_ids
        watch.enter("wait")
        _wait(client, batch_ids)
        watch.enter("settle")
        report = finalize(folder, gateway=_gateway(client))
    return {"phases": watch.stop(), "batches": len(batch_ids), **_told(report)}


def measure_life(task: Mapping[str, Any]) -> dict[str, Any]:
    """Do one of the runs of an export, call by call, on what the runs before left behind."""
    folder = RunFolder(Path(task["folder"]))
    with closing(_client(task)) as client:
        export = _export(task, client, folder, Delivery.DIRECT)
        begin = time.monotonic()
        report = export.submit().report
        wall = time.monotonic() - begin
    assert report is not None, "direct delivery settles at once"
    sizes = {file: _size(Path(task["folder"]).with_name(file)) for file in (LEDGER, STATUSES)}
    return {
        "wall": wall,
        "ledger": sizes[LEDGER],
        "statuses": sizes[STATUSES],
        "look_up": report.look_up,
        **_told(report),
    }


def measure_insights(task: Mapping[str, Any]) -> dict[str, Any]:
    """Read a segment of Customer Insights to its end."""
    client = _insights_client(task)
    begin = time.monotonic()
    with opened_sources(
        parse_segments(_insights_segment(task)), tuple(INSIGHTS_MAP.values()), insights=lambda conn_id: client
    ) as (source,):
        rows = sum(batch.num_rows for batch in source.batches())
    return {"rows": rows, "wall": time.monotonic() - begin, "requests": client.requests}


def measure_insights_plan(task: Mapping[str, Any]) -> dict[str, Any]:
    """Read a segment of Customer Insights, plan and encode, without anything at Mailchimp's end."""
    watch = Stopwatch()
    folder = WatchedFolder(Path(task["folder"]), watch)
    export = _export(
        {**task, "segment": _insights_segment(task)["Everybody"]},
        SilentClient(watch),
        folder,
        Delivery.BATCH,
        field_map=INSIGHTS_MAP,
        insights=lambda conn_id: _insights_client(task),
    )
    watch.enter(READ)
    batches = export.submit().batch_ids
    return {"phases": watch.stop(), "batches": len(batches)}


def _insights_segment(task: Mapping[str, Any]) -> dict[str, Any]:
    return {"Everybody": {"conn_id": "ci", "segment": task["segment"], "profile_read": task["way"]}}


def _insights_client(task: Mapping[str, Any]) -> DataverseClient:
    given = task["connection"]
    settings = InsightsSettings.from_parts(
        login=given["login"], password=given["password"], host=given["host"], port=None, extra=given["extra"]
    )
    return DataverseClient(settings)


MEASURES: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "plan": measure_plan,
    "direct": measure_direct,
    "batch": measure_batch,
    "insights": measure_insights,
    "insights_plan": measure_insights_plan,
    "life": measure_life,
    "upheavals": measure_life,
    "ours": measure_direct,
    "bulk": send_in_bulk,
    "puts": send_one_by_one,
}


def main() -> None:
    """Do what the command line says, and print the figures as the last line."""
    what, task = sys.argv[1], json.loads(sys.argv[2])
    before_memory, before_cpu = peak_memory(), cpu_seconds()
    figures = MEASURES[what](task)
    used = {"cpu": cpu_seconds() - before_cpu, "memory": peak_memory(), "memory_at_start": before_memory}
    print(json.dumps({**figures, **used}))


def _export(
    task: Mapping[str, Any],
    client: MailchimpClient,
    folder: RunFolder,
    delivery: Delivery,
    *,
    field_map: Mapping[str, Any] = FIELD_MAP,
    insights: ClientFactory = no_connection,
) -> Export:
    definition = ExportDefinition(
        name="benchmark",
        audience_id=task["audience_id"],
        segments=parse_segments(
            task.get("segments", {"Everybody": task.get("segment", task.get("profiles"))})
        ),
        field_map=parse_field_map(field_map),
        delivery=delivery,
        options=ExportOptions(**{"max_profiles": MOST, **task.get("options", {})}),
    )
    identity = RunIdentity(
        run_id="1", dag_id="benchmark", export_user="benchmark", started_at="2026-01-01T00:00:00+00:00"
    )
    return Export(
        RunContext(
            definition=definition,
            identity=identity,
            gateway=_gateway(client),
            folder=folder,
            path_factory=plain_path,
            connection_factory=lambda reading: READINGS[reading].connect(),
            insights=insights,
        )
    )


def _gateway(client: MailchimpClient) -> Gateway:
    return Gateway(client, permit=lambda: None)


def _client(task: Mapping[str, Any]) -> WatchedClient:
    return WatchedClient(f"{task['url']}/3.0", task["key"], max_connections=task["connections"])


def _wait(client: MailchimpClient, batch_ids: tuple[str, ...]) -> None:
    """Wait with short pauses: those that the sensor makes between two looks are not what is measured."""
    for batch_id in batch_ids:
        while not client.send(calls.batch(batch_id)).finished:
            time.sleep(POLL_SECONDS)


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _told(report: Report) -> dict[str, Any]:
    return {"verdict": report.verdict.value, "counts": asdict(report.counts)}


if __name__ == "__main__":
    main()
