"""Exports the customer segments to a Mailchimp audience, where each becomes a tag.

Runs once for each refresh in which all segments of `exports.yaml` were built, and by hand: *Trigger* asks which
segments to export and how. Either way it exports what the newest refresh has built by then.
People who unsubscribed, bounced or wait for confirmation are left alone.

Only what changed since the last run is sent, and who left a segment loses its tag.

- `export` works out who has to be sent, and who left, and hands them to Mailchimp.
- `wait_for_batches` waits, without holding a worker, until Mailchimp has worked them off.
- `report` collects the answer for every profile, writes the report and judges: a failed export fails the run.

A campaign that must not go out before the segments are in place follows `report`, never `wait_for_batches`: Mailchimp
may have finished without having taken anybody.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow import __version__ as airflow_version
from airflow.sdk import DAG, Param, TriggerRule
from packaging.version import Version

from airflow_mailchimp_export.operators import MailchimpExportReportOperator, SegmentToMailchimpOperator
from airflow_mailchimp_export.sensors import MailchimpBatchSensor
from customer_exports import read_exports

EXPORTS = read_exports(Path(__file__).with_name("exports.yaml"))

# By what each further delay grows. Airflow 3.1 knows no factor, only a switch that doubles.
BACKOFF = 2.0 if Version(airflow_version) >= Version("3.2") else True

with DAG(
    dag_id="mailchimp_segment_export",
    schedule=[EXPORTS.asset],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    # Two exports of the same segments at once would only get into each other's way. Refreshes that end while an
    # export is at work start one more: it begins after them, so it reads what the last of them has built.
    max_active_runs=1,
    # A mistake in the set-up fails at once anyway; these are for a Mailchimp or a source that is away.
    default_args={
        "retries": 2,
        "retry_delay": timedelta(minutes=1),
        "retry_exponential_backoff": BACKOFF,
    },
    doc_md=__doc__,
    tags=["mailchimp", "segments"],
    params={
        "segments": Param(
            EXPORTS.names,
            type="array",
            items={"type": "string", "enum": EXPORTS.names},
            examples=EXPORTS.names,
            minItems=1,
            title="Segments",
            description="Which segments to export; the others are left as they are.",
        ),
        "delivery": Param(
            "batch",
            type="string",
            enum=["batch", "direct"],
            values_display={"batch": "Batch: Mailchimp works it off", "direct": "Direct: call by call"},
            title="Delivery",
            description="Batch is gentle on Mailchimp's connection limit, direct is done sooner.",
        ),
        "on_leave": Param(
            "untag",
            type="string",
            enum=["untag", "archive", "keep"],
            values_display={
                "untag": "Take the segment's tag",
                "archive": "Archive who is in no segment any more",
                "keep": "Leave them as they are",
            },
            title="Who left a segment",
            description="Only people added by this export.",
        ),
        "max_removal_ratio": Param(
            0.3,
            type="number",
            minimum=0,
            maximum=1,
            title="Stop when more would leave",
            description="The part of the people added by this export, 0 to 1. Raise it for one run that is "
            "meant to remove more; 1 allows everything.",
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run",
            description="Plan and report what would be done, and change nothing.",
        ),
        "full": Param(
            False,
            type="boolean",
            title="Send everybody",
            description="Also those who have not changed; a ledger that cannot be used is set aside.",
        ),
        "allow_older": Param(
            False,
            type="boolean",
            title="Put older data over newer",
            description="A run of an earlier moment than the last one's is refused, unless this is on.",
        ),
    },
    user_defined_macros={"snapshots_of": EXPORTS.snapshots_of},
):
    export = SegmentToMailchimpOperator(
        task_id="export",
        mailchimp_conn_id=EXPORTS.mailchimp_conn_id,
        audience_id=EXPORTS.audience_id,
        field_map=EXPORTS.field_map,
        segments="{{ macros.json.dumps(snapshots_of(params.segments)) }}",
        delivery="{{ params.delivery }}",
        on_leave="{{ params.on_leave }}",
        dry_run="{{ params.dry_run }}",
        full="{{ params.full }}",
        options={
            "max_removal_ratio": "{{ params.max_removal_ratio }}",
            "allow_older": "{{ params.allow_older }}",
        },
        pool=EXPORTS.pool,
        pool_slots=EXPORTS.connections,
        wait_for_completion=False,
    )
    wait_for_batches = MailchimpBatchSensor(
        task_id="wait_for_batches",
        mailchimp_conn_id=EXPORTS.mailchimp_conn_id,
        batch_ids=export.output["batch_ids"],
        deferrable=True,
        pool=EXPORTS.pool,
    )
    report = MailchimpExportReportOperator(
        task_id="report",
        mailchimp_conn_id=EXPORTS.mailchimp_conn_id,
        run_uri=export.output["run_uri"],
        pool=EXPORTS.pool,
        pool_slots=EXPORTS.connections,
        # Also when the sensor gave up, but not without an export to report on.
        trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS,
    )
    # What needs the segments in place goes on from here: report >> send_campaign
    export >> wait_for_batches >> report
