"""The DAG of one export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from airflow import __version__ as airflow_version
from airflow.sdk import DAG, TriggerRule

from airflow_mailchimp_export.config.entries import Export
from airflow_mailchimp_export.config.models import Configuration
from airflow_mailchimp_export.dags.form import form_of
from airflow_mailchimp_export.dags.schedules import owned_by, schedule_of
from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.operators import MailchimpExportReportOperator, SegmentToMailchimpOperator
from airflow_mailchimp_export.options import ExportOptions
from airflow_mailchimp_export.sensors import MailchimpBatchSensor
from airflow_mailchimp_export.settings.names import unknown_names

ABOUT = """{description}

Runs {when}, and by hand: *Trigger* asks which segments to export and how.
Either way it exports what the newest refresh has built by then.
People who unsubscribed, bounced or wait for confirmation are left alone.

Only what changed since the last run is sent, and who left a segment loses its tag, unless *Who left a segment* says
otherwise.

- `export` works out who has to be sent, and who left, and hands them to Mailchimp.
- `wait_for_batches` waits, without holding a worker, until Mailchimp has worked them off.
- `report` collects the answer for every profile, writes the report and judges: a failed export fails the run.

A campaign that must not go out before the segments are in place follows `report`, never `wait_for_batches`: Mailchimp
may have finished without having taken anybody.
"""

_WHEN = {
    "with_refresh": "once for each refresh in which all segments were built",
    "by_hand": "when it is triggered",
}

_AIRFLOW = tuple(int(part) for part in airflow_version.split(".")[:2])

# A mistake in the set-up fails at once anyway; these are for a Mailchimp or a source that is away.
RETRIES: dict[str, Any] = {
    "retries": 2,
    "retry_delay": timedelta(minutes=1),
    # By what each further delay grows. Airflow 3.1 knows no factor, only a switch that doubles.
    "retry_exponential_backoff": 2.0 if _AIRFLOW >= (3, 2) else True,
}


def export_dag(configuration: Configuration, name: str) -> DAG:
    """Build the DAG of an export, which is called like it and is paused until somebody switches it on."""
    export = configuration.exports[name]
    snapshots = configuration.snapshots_of(export)
    with DAG(
        dag_id=name,
        dag_display_name=export.display_name or name,
        description=export.description or None,
        schedule=schedule_of(export.schedule, configuration),
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=False,
        # Two exports of the same segments at once would only get into each other's way. Refreshes that end while an
        # export is at work start one more: it begins after them, so it reads what the last of them has built.
        max_active_runs=1,
        is_paused_upon_creation=True,
        default_args={**RETRIES, **owned_by(export.owner)},
        doc_md=_about(export),
        tags={"mailchimp", "segments", *export.tags},
        params=form_of(export, list(snapshots)),
        user_defined_macros={"snapshots_of": partial(_chosen, snapshots)},
    ) as dag:
        _add_tasks(export)
    return dag


def _add_tasks(export: Export) -> None:
    submit = SegmentToMailchimpOperator(
        task_id="export",
        mailchimp_conn_id=export.connection,
        audience_id=export.audience_id,
        field_map=export.field_map,
        segments="{{ macros.json.dumps(snapshots_of(params.segments)) }}",
        delivery="{{ params.delivery }}",
        on_leave="{{ params.on_leave }}",
        dry_run="{{ params.dry_run }}",
        full="{{ params.full }}",
        options={
            **_options_set(export),
            "max_removal_ratio": "{{ params.max_removal_ratio }}",
            "allow_older": "{{ params.allow_older }}",
        },
        pool=export.pool,
        pool_slots=export.connections,
        wait_for_completion=False,
    )
    wait_for_batches = MailchimpBatchSensor(
        task_id="wait_for_batches",
        mailchimp_conn_id=export.connection,
        batch_ids=submit.output["batch_ids"],
        deferrable=True,
        pool=export.pool,
    )
    report = MailchimpExportReportOperator(
        task_id="report",
        mailchimp_conn_id=export.connection,
        run_uri=submit.output["run_uri"],
        pool=export.pool,
        pool_slots=export.connections,
        # Also when the sensor gave up, but not without an export to report on.
        trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS,
    )
    # What needs the segments in place goes on from the report.
    submit >> wait_for_batches >> report


def _chosen(snapshots: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Return the file of each of these segments, in the order in which they are configured.

    :raises ConfigError: one of them is none of the export's.
    """
    if unknown := unknown_names(names, snapshots):
        raise ConfigError(
            f"The export has no segment {', '.join(unknown)}",
            f"Choose among {', '.join(snapshots)}, or add it to the export's segments",
        )
    return {segment: file for segment, file in snapshots.items() if segment in names}


def _options_set(export: Export) -> dict[str, Any]:
    """Return the options that are not as they are anyway."""
    usual = asdict(ExportOptions())
    return {name: value for name, value in export.operator_options.items() if value != usual[name]}


def _about(export: Export) -> str:
    when = _WHEN.get(export.schedule, f"at `{export.schedule}` (UTC)")
    return ABOUT.format(description=export.description, when=when).strip()
