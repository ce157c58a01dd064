"""Whose run it is, and of what moment its data are: what Airflow tells a task of itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_mailchimp_export.definition import RunIdentity
    from airflow_mailchimp_export.settings.connection import ConnectionSettings


def map_index_of(context: Context) -> int | None:
    """Return which of several mapped tasks this is; ``None`` for a task that is not mapped."""
    index = context["ti"].map_index
    return None if index is None or index < 0 else index


def identity_of(context: Context, settings: ConnectionSettings, task_id: str) -> RunIdentity:
    """Return whose run it is, as Airflow tells it."""
    from airflow_mailchimp_export.definition import RunIdentity

    map_index = map_index_of(context)
    return RunIdentity(
        run_id=str(context["run_id"]),
        dag_id=context["ti"].dag_id,
        export_user=settings.export_user,
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        task_id=task_id,
        map_index=-1 if map_index is None else map_index,
        data_moment=_data_moment(context),
    )


def _data_moment(context: Context) -> str:
    """Return of what moment a run's data are: its logical date, or the end of its interval, else when it was due."""
    moments = [context.get("logical_date"), context.get("data_interval_end")]
    known = [moment for moment in moments if moment is not None]
    due = getattr(context.get("dag_run"), "run_after", None)
    moment = max(known) if known else due
    return moment.astimezone(UTC).isoformat() if moment else ""
