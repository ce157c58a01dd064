"""The DAG of one export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, TriggerRule

from airflow_mailchimp_export.config.entries import Export
from airflow_mailchimp_export.config.models import Configuration
from airflow_mailchimp_export.dags.alerts import deadline_of, on_failure, on_report
from airflow_mailchimp_export.dags.choosing import choose_refresh, choose_sources
from airflow_mailchimp_export.dags.form import form_of, leave_to_dag
from airflow_mailchimp_export.dags.insights import wait_for_insights
from airflow_mailchimp_export.dags.schedules import RETRIES, owned_by, schedule_of
from airflow_mailchimp_export.operators import MailchimpExportReportOperator, SegmentToMailchimpOperator
from airflow_mailchimp_export.options import ExportOptions
from airflow_mailchimp_export.sensors import MailchimpBatchSensor

ABOUT = """{description}

Runs {when}, and by hand: *Trigger* asks which segments to export and how.
{reads}
People who unsubscribed, bounced or wait for confirmation are left alone.

Only what changed since the last run is sent, and who left a segment loses its tag, unless *Who left a segment* says
otherwise.

{begins}
- `export` works out who has to be sent, and who left, and hands them to Mailchimp.
- `wait_for_batches` waits, without holding a worker, until Mailchimp has worked them off.
- `report` collects the answer for every profile, writes the report and judges: a failed export fails the run.

A campaign that must not go out before the segments are in place follows `report`, never `wait_for_batches`: Mailchimp
may have finished without having taken anybody. A DAG of its own waits for the audience, which `report` publishes.
"""

_OF_REFRESH = {
    "reads": "It exports the refresh that started it, else the newest that is finished, and a retry exports the same.",
    "begins": "- `choose_refresh` says which refresh is exported.",
}

_WHERE_THEY_ARE = {
    "reads": "It exports the segments as they are where they are read.",
    "begins": "- `choose_segments` says which segments are exported; where there is a `wait_for_refresh`, it waits for "
    "Customer Insights before.",
}

_WHEN = {
    "with_refresh": "once for each refresh in which all segments were built",
    "by_hand": "when it is triggered",
}

EXPORT_TASK = "export"
"""Its name is part of the export's, by which the ledger is found."""


def export_dag(configuration: Configuration, name: str, *, refresh: bool = True) -> DAG:
    """Build the DAG of an export, which is called like it and is paused until somebody switches it on.

    :param refresh: whether a refresh builds the segments; otherwise they are read where they are.
    """
    export = configuration.exports[name]
    names = configuration.names_of(export)
    of_refresh = refresh and not configuration.reads_insights(export)
    with DAG(
        dag_id=name,
        dag_display_name=export.display_name or name,
        description=export.description or None,
        schedule=schedule_of(export.schedule, configuration),
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=False,
        # Two exports of the same segments at once would only get into each other's way. Refreshes that end while an
        # export is at work start one more, which reads what the last of them has built.
        max_active_runs=1,
        is_paused_upon_creation=True,
        default_args={**RETRIES, **owned_by(export.owner)},
        doc_md=_about(export, _OF_REFRESH if of_refresh else _WHERE_THEY_ARE),
        tags={"mailchimp", "segments", *export.tags},
        params=form_of(export, list(names.values())),
        **deadline_of(name, export),
    ) as dag:
        choose = choose_refresh if of_refresh else choose_sources
        chosen = choose(configuration, names, **on_failure(name, export))
        if export.refreshed_within is not None:
            wait_for_insights(configuration, export, **on_failure(name, export)) >> chosen
        _add_tasks(name, export, chosen)
    leave_to_dag(dag)
    return dag


def _add_tasks(name: str, export: Export, chosen: Any) -> None:
    submit = SegmentToMailchimpOperator(
        task_id=EXPORT_TASK,
        approved=_approval(name, export, chosen),
        wait_for_completion=False,
        **_asked(export, chosen),
        **on_failure(name, export),
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
        **on_failure(name, export),
        **on_report(name, export),
    )
    # What needs the segments in place goes on from the report.
    submit >> wait_for_batches >> report


def _asked(export: Export, chosen: Any) -> dict[str, Any]:
    """Return what the export is asked for, and its preview alike."""
    return {
        "mailchimp_conn_id": export.connection,
        "audience_id": export.audience_id,
        "field_map": export.field_map,
        "segments": chosen["segments"],
        "data_moment": chosen["as_of"],
        "delivery": "{{ params.delivery }}",
        "on_leave": "{{ params.on_leave }}",
        "dry_run": "{{ params.dry_run }}",
        "full": "{{ params.full }}",
        "retire": list(export.retire),
        "withdraw": "{{ params.withdraw }}",
        "options": {
            **_options_set(export),
            "max_removal_ratio": "{{ params.max_removal_ratio }}",
            "allow_older": "{{ params.allow_older }}",
        },
        "pool": export.pool,
        "pool_slots": export.connections,
    }


def _approval(name: str, export: Export, chosen: Any) -> Any:
    """Add the tasks that ask for somebody's yes, where it is asked for; return what they leave for the export."""
    if export.approval is None:
        return None
    # Airflow's operators for this are imported where they are needed: not every release has them.
    from airflow_mailchimp_export.dags.approval import approval_of
    from airflow_mailchimp_export.operators.preview import ExportPreviewOperator

    preview = ExportPreviewOperator(
        task_id="preview",
        export_name=f"{name}.{EXPORT_TASK}",
        when=export.approval.value,
        **_asked(export, chosen),
        **on_failure(name, export),
    )
    return approval_of(name, export, preview.output).output["approved"]


def _options_set(export: Export) -> dict[str, Any]:
    """Return the options that are not as they are anyway."""
    usual = asdict(ExportOptions())
    return {name: value for name, value in export.operator_options.items() if value != usual[name]}


def _about(export: Export, words: Mapping[str, str]) -> str:
    when = _WHEN.get(export.schedule, f"at `{export.schedule}` (UTC)")
    return ABOUT.format(description=export.description, when=when, **words).strip()
