"""What ends a task of an export ends its work too."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_mailchimp_export.hooks import MailchimpHook, free_lock, lock_freed_on_error
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.operators.results import told

if TYPE_CHECKING:
    from airflow_mailchimp_export.state.run import RunFolder


class ExportTask(BaseOperator):
    """A task that works on a run: what ends the task ends its work too, and lets the export's next run begin."""

    mailchimp_conn_id: str
    _close: Callable[[], None] | None = None
    _run_folder: RunFolder | None = None
    _submitted: tuple[str, ...] = ()

    def note_batch(self, batch_id: str) -> None:
        """Remember a batch that Mailchimp took, so that it ends with the task."""
        self._submitted += (batch_id,)

    def on_kill(self) -> None:
        """Stop what the task has under way: its calls, the batches it waits for, and its hold on the export."""
        if self._close:
            self._close()
        try:
            if self._submitted:
                MailchimpHook(self.mailchimp_conn_id).cancel_batches(self._submitted)
        finally:
            if self._run_folder:
                free_lock(self._run_folder)

    def finalize(self, folder: RunFolder) -> dict[str, Any]:
        """Account for a run; return what goes into the XCom.

        :raises ExportFailed: when its verdict is FAILED.
        """
        from airflow_mailchimp_export.finalizing import finalize

        self._run_folder = folder
        hook = MailchimpHook(self.mailchimp_conn_id)
        with lock_freed_on_error(folder), hook.client() as client:
            self._close = client.close
            report = finalize(folder, gateway=Gateway(client, hook.permit(self.dag_id)))
        return told(report, folder)
