"""What ends a task of an export ends its work too, and what its run came to is published before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator, TaskDeferred

from airflow_mailchimp_export.assets import audience_alias
from airflow_mailchimp_export.errors import ConfigError, UnreadableFile
from airflow_mailchimp_export.hooks import MailchimpHook, free_lock, lock_freed_on_error
from airflow_mailchimp_export.links import LINKS
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.operators.publishing import (
    Outcome,
    accounted,
    failed,
    publish_audiences,
    push,
)
from airflow_mailchimp_export.operators.results import told
from airflow_mailchimp_export.stored_progress import stored_progress

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import AssetAlias, Context

    from airflow_mailchimp_export.accounting.report import Report
    from airflow_mailchimp_export.published.building import Known
    from airflow_mailchimp_export.state.run import RunFolder


class ExportTask(BaseOperator):
    """A task that works on a run: what ends the task ends its work too, and lets the export's next run begin."""

    mailchimp_conn_id: str
    _close: Callable[[], None] | None = None
    _run_folder: RunFolder | None = None
    _submitted: tuple[str, ...] = ()
    _publishing_in: Context | None = None
    _known: Known
    _outcome: Outcome | None = None
    _was_killed = False
    _audience_alias: AssetAlias | None = None
    _published: list[dict[str, Any]] | None = None

    operator_extra_links = LINKS

    def declare_audience(self) -> None:
        """Make the audience an outlet of this task, which accounts for runs."""
        dag = self.get_dag()
        name = f"{dag.dag_id}.{self.task_id}" if dag else self.task_id
        self._audience_alias = audience_alias(name)
        self.add_outlets([self._audience_alias])

    def audience_page(self) -> str:
        """Return where a browser shows the audience; empty where the run did not get as far as asking."""
        if self._published:
            return str(self._published[0]["audience"]["page"])
        with suppress(ConfigError, OSError):
            if self._run_folder and self._run_folder.is_planned():
                return self._run_folder.manifest.audience.page
        return ""

    @contextmanager
    def publishing(self, context: Context, known: Known) -> Iterator[None]:
        """Publish what the run has come to once its task ends; not where the run goes on in another task.

        :param known: what is known of the run before it begins.
        """
        self._publishing_in, self._known, self._outcome = context, known, None
        try:
            with stored_progress(context):
                yield
        except TaskDeferred:
            raise
        except BaseException as error:
            self._published = push(context, self.failure(error))
            raise
        else:
            if self._outcome:
                self.publish(context, self._outcome)
        finally:
            self._publishing_in = None

    def publish(self, context: Context, outcome: Outcome | Sequence[Outcome]) -> None:
        """Publish what a run came to, or several; Airflow takes the audience only of a task that succeeds."""
        self._published = push(context, outcome)
        if self._audience_alias:
            publish_audiences(context, self._audience_alias, self._published)

    def failure(self, error: BaseException) -> Outcome:
        """Return what makes what is published of a run whose task fails."""
        return partial(failed, error, self._known, self._run_folder, killed=self._was_killed)

    def tell(self, report: Report, folder: RunFolder) -> dict[str, Any]:
        """Return what goes into the XCom of a run that is accounted for, or fail the task.

        :raises ExportFailed: when its verdict is FAILED.
        """
        self._run_folder = folder
        result = told(report, folder)
        self._outcome = partial(accounted, report, folder, preview=self._known.preview)
        return result

    def note_batch(self, batch_id: str) -> None:
        """Remember a batch that Mailchimp took, so that it ends with the task."""
        self._submitted += (batch_id,)

    def on_kill(self) -> None:
        """Stop what the task has under way: its calls, the batches it waits for, and its hold on the export."""
        self._was_killed = True
        if self._close:
            self._close()
        try:
            if self._submitted:
                MailchimpHook(self.mailchimp_conn_id).cancel_batches(self._submitted)
        finally:
            if self._run_folder:
                free_lock(self._run_folder)
            self._publish_the_end()

    def _publish_the_end(self) -> None:
        """Publish that the task was ended, now: nobody knows whether it gets as far as saying so itself."""
        if self._publishing_in:
            push(self._publishing_in, self.failure(SystemExit()))

    def known_report(self) -> Report | None:
        """Return the account of the run that the task worked on; ``None`` where there is none that can be read."""
        from airflow_mailchimp_export.accounting.report import Report
        from airflow_mailchimp_export.state.run import REPORT

        folder = self._run_folder
        with suppress(UnreadableFile):
            return folder.report(Report) if folder and folder.exists(REPORT) else None
        return None

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
        return self.tell(report, folder)
