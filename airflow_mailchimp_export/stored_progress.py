"""How far a run is, where Airflow keeps what running tasks tell: in the task state store, from Airflow 3.3 on."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from airflow_mailchimp_export.ended_afterwards import ended_afterwards
from airflow_mailchimp_export.progress import Stage, heard_by

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

PROGRESS_KEY = "mailchimp_progress"
"""Under which a task keeps how far it is."""


def stored_progress(context: Context) -> AbstractContextManager[None]:
    """Keep how far the work within is; do nothing where Airflow has no such store."""
    store: Any = context.get("task_state_store")
    if store is None:
        return nullcontext()

    def keep(stage: Stage) -> None:
        told = {"phase": stage.phase.lower(), "unit": stage.unit, "done": stage.done, "total": stage.total}
        with ended_afterwards():
            store.set(PROGRESS_KEY, told)

    return heard_by(keep)
