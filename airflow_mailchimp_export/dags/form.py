"""What *Trigger* asks about one run."""

from __future__ import annotations

import re
from collections.abc import Sequence

from airflow.sdk import DAG, Param
from airflow.sdk.definitions.param import ParamsDict

from airflow_mailchimp_export.config.entries import Export
from airflow_mailchimp_export.model import Delivery
from airflow_mailchimp_export.options import OnLeave
from airflow_mailchimp_export.settings.form import FORM_LABELS


def form_of(export: Export, segments: Sequence[str]) -> dict[str, Param]:
    """Make the form of an export: what is configured stands in it, and holds unless somebody changes it for a run.

    :param segments: the names of the export's segments.
    """
    return {
        "segments": segments_param(
            segments, segments, "Which segments to export; the others are left as they are.", minItems=1
        ),
        "refresh": _refresh(),
        "delivery": _delivery(export),
        "on_leave": _on_leave(export),
        "max_removal_ratio": _max_removal_ratio(export),
        "dry_run": _switch(
            False, FORM_LABELS["dry_run"], "Plan and report what would be done, and change nothing."
        ),
        "full": _switch(
            False,
            FORM_LABELS["full"],
            "Also those who have not changed; a ledger that cannot be used is set aside.",
        ),
        "allow_older": _switch(
            export.options.allow_older,
            FORM_LABELS["allow_older"],
            "A refresh that is older than the one that was exported last is refused, unless this is on.",
        ),
        "withdraw": _switch(
            False,
            FORM_LABELS["withdraw"],
            "Take all tags that this export gave, of whatever segments, from everybody who has them by it, and send "
            "nobody. With a dry run, the report says how many these are.",
        ),
    }


def leave_to_dag(dag: DAG) -> None:
    """Take the form from the tasks, which have it from their DAG anyway when they run.

    Airflow gives each task a copy, and checks each value of each copy several times whenever it reads the DAG.
    """
    for task in dag.tasks:
        task.params = ParamsDict()


def segments_param(names: Sequence[str], usual: Sequence[str], description: str, **schema: int) -> Param:
    """Ask for some of these segments."""
    return Param(
        list(usual),
        type="array",
        # A list of words would be compared with each other word, which takes long where there are hundreds.
        items={"type": "string", "pattern": f"^({'|'.join(map(re.escape, names))})$"},
        examples=list(names),
        title="Segments",
        description=description,
        **schema,
    )


def _refresh() -> Param:
    return Param(
        None,
        type=["null", "string"],
        pattern=r"^\d{8}T\d{6}\.\d{3}Z-[0-9a-f]{8}$",
        title="Refresh",
        description="Which refresh to export, by its name in the folder of snapshots: the one that started the run, "
        "or the newest that is finished, unless set.",
    )


def _delivery(export: Export) -> Param:
    return Param(
        export.delivery.value,
        type="string",
        enum=[*map(str, Delivery)],
        values_display={
            Delivery.BATCH.value: "Batch: Mailchimp works it off",
            Delivery.DIRECT.value: "Direct: call by call",
        },
        title="Delivery",
        description="Batch is gentle on Mailchimp's connection limit, direct is done sooner.",
    )


def _on_leave(export: Export) -> Param:
    return Param(
        export.on_leave,
        type="string",
        enum=[*map(str, OnLeave)],
        values_display={
            OnLeave.UNTAG.value: "Take the segment's tag",
            OnLeave.ARCHIVE.value: "Archive who is in no segment any more",
            OnLeave.KEEP.value: "Leave them as they are",
        },
        title=FORM_LABELS["on_leave"],
        description="Only people added by this export.",
    )


def _max_removal_ratio(export: Export) -> Param:
    return Param(
        export.options.max_removal_ratio,
        type="number",
        minimum=0,
        maximum=1,
        title=FORM_LABELS["max_removal_ratio"],
        description="The part of the people added by this export, 0 to 1. Raise it for one run that is "
        "meant to remove more; 1 allows everything.",
    )


def _switch(default: bool, title: str, description: str) -> Param:
    return Param(default, type="boolean", title=title, description=description)
