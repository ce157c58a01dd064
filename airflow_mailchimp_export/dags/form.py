"""What *Trigger* asks about one run of an export."""

from __future__ import annotations

import re
from collections.abc import Sequence

from airflow.sdk import Param

from airflow_mailchimp_export.config.entries import Export
from airflow_mailchimp_export.model import Delivery
from airflow_mailchimp_export.options import OnLeave
from airflow_mailchimp_export.settings.form import FORM_LABELS


def form_of(export: Export, segments: Sequence[str]) -> dict[str, Param]:
    """Make the form: what is configured stands in it, and holds unless somebody changes it for a run.

    :param segments: the names of the export's segments.
    """
    return {
        "segments": Param(
            list(segments),
            type="array",
            # A list of words would be compared with each other word, which takes long where there are hundreds.
            items={"type": "string", "pattern": f"^({'|'.join(map(re.escape, segments))})$"},
            examples=list(segments),
            minItems=1,
            title="Segments",
            description="Which segments to export; the others are left as they are.",
        ),
        "delivery": Param(
            export.delivery.value,
            type="string",
            enum=[*map(str, Delivery)],
            values_display={
                Delivery.BATCH.value: "Batch: Mailchimp works it off",
                Delivery.DIRECT.value: "Direct: call by call",
            },
            title="Delivery",
            description="Batch is gentle on Mailchimp's connection limit, direct is done sooner.",
        ),
        "on_leave": Param(
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
        ),
        "max_removal_ratio": Param(
            export.options.max_removal_ratio,
            type="number",
            minimum=0,
            maximum=1,
            title=FORM_LABELS["max_removal_ratio"],
            description="The part of the people added by this export, 0 to 1. Raise it for one run that is "
            "meant to remove more; 1 allows everything.",
        ),
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
            "A run of an earlier moment than the last one's is refused, unless this is on.",
        ),
    }


def _switch(default: bool, title: str, description: str) -> Param:
    return Param(default, type="boolean", title=title, description=description)
