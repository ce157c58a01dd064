"""What an export is asked to do, and what its runs leave."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_mailchimp_export.definition import ExportDefinition
from airflow_mailchimp_export.fields.field_map import parse_field_map
from airflow_mailchimp_export.model import Delivery
from airflow_mailchimp_export.options import ExportOptions
from airflow_mailchimp_export.settings.segments import parse_segments
from airflow_mailchimp_export.state.manifest import Manifest, SegmentTally, Tallies
from airflow_mailchimp_export.state.run import RunFolder

AUDIENCE_ID = "a1b2c3d4e5"
LIST = f"/lists/{AUDIENCE_ID}"
_PARTS = frozenset(
    {
        *("name", "audience_id", "delivery", "on_leave", "dry_run", "full"),
        *("contact_limit", "retire", "preview", "approved"),
    }
)

MANIFEST = Manifest(
    export="export",
    run_id="manual__1",
    dag_id="dag",
    audience_id=AUDIENCE_ID,
    export_user="Ada Lovelace",
    started_at="2026-01-02T03:04:05+00:00",
    planned_at="2026-01-02T03:05:06+00:00",
    delivery=Delivery.BATCH,
    skip_merge_validation=False,
    max_reject_ratio=0.5,
    dry_run=False,
    keep_runs=30,
    ledger_version=0,
    segments=(SegmentTally("A", "a", 0), SegmentTally("B", "b", 0)),
    warnings=(),
    tallies=Tallies(0),
)


def define(
    segments: Mapping[str, Any], *, field_map: Mapping[str, Any] | None = None, **how: Any
) -> ExportDefinition:
    """Say what an export is asked to do; what is no part of the definition is an option."""
    parts = {name: how.pop(name) for name in _PARTS & how.keys()}
    withdraw = how.pop("withdraw", False)
    definition = ExportDefinition(
        **{"name": "export", "audience_id": AUDIENCE_ID, "delivery": Delivery.DIRECT, **parts},
        segments=parse_segments(segments),
        field_map=parse_field_map(field_map or {"EMAIL": "email"}),
        options=ExportOptions(**how),
    )
    return definition.withdrawal() if withdraw else definition


def run_folder(tmp_path: Path) -> RunFolder:
    """Make a folder for a run."""
    return RunFolder(tmp_path / "exports" / "run")
