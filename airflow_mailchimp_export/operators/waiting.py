"""Waiting for the batches of an export, in the task itself or in the triggerer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_mailchimp_export.delivery import watch as watching
from airflow_mailchimp_export.delivery.watch import BatchWatch, keep_looking, stopped_words
from airflow_mailchimp_export.errors import ExportError, ExportFailed
from airflow_mailchimp_export.exports_root import storage_path
from airflow_mailchimp_export.failures import failing_in_short
from airflow_mailchimp_export.hooks import (
    MailchimpHook,
    call_off_without_consent,
    lock_freed_on_error,
    no_consent,
)
from airflow_mailchimp_export.operators.task import ExportTask
from airflow_mailchimp_export.sensors import (
    DEFERRAL_GRACE,
    checked_event,
    end_of_wait,
    look,
    taken_over,
    to_seconds,
)
from airflow_mailchimp_export.triggers import MailchimpBatchTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_mailchimp_export.mailchimp.protocol import Sender
    from airflow_mailchimp_export.published.building import Known
    from airflow_mailchimp_export.settings.connection import ConnectionSettings
    from airflow_mailchimp_export.state.run import RunFolder

DEFAULT_WAIT_TIMEOUT = 43_200.0
"""Seconds from the start of a task for which it waits for batches: no batch was seen to take longer."""


class WaitingTask(ExportTask):
    """A task that waits for the batches that it has handed over, on its worker or in the triggerer."""

    deferrable: bool
    stall_timeout: float | timedelta
    wait_timeout: float | timedelta

    def run_folder(self, context: Context) -> RunFolder:
        """Return where the run keeps its files."""
        raise NotImplementedError

    def known(self, context: Context) -> Known:
        """Return what is known of the run before it begins."""
        raise NotImplementedError

    def wait_and_account(
        self, context: Context, folder: RunFolder, batch_ids: Sequence[str]
    ) -> dict[str, Any]:
        """Wait until the batches are over, and account for the run."""
        self._submitted = tuple(batch_ids)
        watch = self._new_watch(batch_ids)
        with lock_freed_on_error(folder):
            if self.deferrable:
                self._defer(context, folder, watch)
            self._wait(context, watch)
            return self._account(folder, watch.stopped, watch.called_off)

    def execute_complete(
        self,
        context: Context,
        event: dict[str, Any] | None = None,
        run_uri: str = "",
        batch_ids: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Account for the run once waiting has ended; where the trigger could not look, look and wait on."""
        with failing_in_short(), self.publishing(context, self.known(context)):
            folder, batch_ids = self._waited_for(context, event, run_uri, batch_ids)
            self._run_folder, self._submitted = folder, tuple(batch_ids)
            told = checked_event(event, batch_ids)
            with lock_freed_on_error(folder):
                if told["status"] == "error":
                    self.log.warning("The triggerer could not look at the batches: %s", told["message"])
                    told = self._look_or_defer(context, folder, told.get("record"))
                self.log.info("Waiting for the batches ended: %s", told["status"])
                if told["status"] == "timed_out":
                    self._check_execution_timeout()
                return self._account(folder, told.get("stopped") or {}, told.get("called_off") or "")

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on also where a trigger failed without an event, or where no triggerer has ended the deferral."""
        return super().resume_execution(*taken_over(next_method, next_kwargs), context)

    def _waited_for(
        self, context: Context, event: Mapping[str, Any] | None, run_uri: str, batch_ids: Sequence[str]
    ) -> tuple[RunFolder, Sequence[str]]:
        """Return the run and its batches, also where Airflow hands over less than the task was deferred with.

        So does dag.test(), and so does Airflow where it ended the deferral.
        """
        from airflow_mailchimp_export.state.run import RunFolder

        uri = run_uri or (event or {}).get("run_uri")
        folder = RunFolder(storage_path(uri)) if uri else self.run_folder(context)
        return folder, batch_ids or [batch.id for batch in folder.batches]

    def _new_watch(self, batch_ids: Sequence[str], record: Mapping[str, Any] | None = None) -> BatchWatch:
        seconds = to_seconds(self.stall_timeout)
        return BatchWatch(batch_ids, stall_timeout=seconds, now=time.time(), record=record)

    def _look_or_defer(
        self, context: Context, folder: RunFolder, record: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        """Look at the batches in the trigger's place; return how waiting ended, unless it goes on."""
        watch = self._new_watch(self._submitted, record)
        status = "finished"
        if look(MailchimpHook(self.mailchimp_conn_id), watch):
            status = "stalled" if watch.stalled(now=time.time()) else "timed_out"
            if status == "timed_out" and time.time() < self._end(context):
                self._defer(context, folder, watch, pause=watching.LONGEST_PAUSE)
        return {"status": status, "stopped": watch.stopped, "called_off": watch.called_off}

    def _defer(
        self, context: Context, folder: RunFolder, watch: BatchWatch, *, pause: float | None = None
    ) -> None:
        end, batch_ids = self._end(context), list(self._submitted)
        self.defer(
            trigger=MailchimpBatchTrigger(
                batch_ids,
                self.mailchimp_conn_id,
                to_seconds(self.stall_timeout),
                folder.uri,
                end=end,
                record=watch.record(),
                pause=pause,
            ),
            method_name="execute_complete",
            kwargs={"run_uri": folder.uri, "batch_ids": batch_ids},
            timeout=timedelta(seconds=max(0.0, end - time.time()) + DEFERRAL_GRACE),
        )

    def _end(self, context: Context) -> float:
        return end_of_wait(self, context, to_seconds(self.wait_timeout))

    def _check_execution_timeout(self) -> None:
        """End the task as Airflow ends one that is not deferred; of our own limit a run is accounted for.

        :raises AirflowTaskTimeout: Airflow then calls on_kill.
        """
        limit = self.execution_timeout
        if limit and limit.total_seconds() <= to_seconds(self.wait_timeout):
            raise AirflowTaskTimeout(f"The batches are not finished after {limit} (execution_timeout)")

    def _wait(self, context: Context, watch: BatchWatch) -> None:
        hook, end = MailchimpHook(self.mailchimp_conn_id), self._end(context)
        settings = hook.settings()
        with hook.prompt_client(settings) as client:
            self._close = client.close
            while self._look(client, watch, settings):
                left = end - time.time()
                if watch.stalled(now=time.time()):
                    return
                if left <= 0:
                    self._check_execution_timeout()
                    return
                time.sleep(min(left, watch.pause()))
                settings = self._settings_now(hook, settings)

    def _settings_now(self, hook: MailchimpHook, before: ConnectionSettings) -> ConnectionSettings:
        """Read the connection again; where the place with the connections is away, that is no reason to give up."""
        try:
            return hook.settings()
        except ExportError:
            raise
        except Exception as error:
            self.log.warning("The connection could not be read again (%s)", type(error).__name__)
            return before

    def _look(self, client: Sender, watch: BatchWatch, settings: ConnectionSettings) -> bool:
        call_off_without_consent(settings, client, watch, self.mailchimp_conn_id)
        return keep_looking(client, watch, clock=time.time)

    def _account(self, folder: RunFolder, stopped: Mapping[str, str], called_off: str) -> dict[str, Any]:
        if stopped:
            self.log.warning("%s", stopped_words(stopped, called_off))
        if not (stopped and called_off):
            return self.finalize(folder)
        # Whatever the account comes to, running the export again is no remedy.
        with suppress(ExportFailed):
            self.finalize(folder)
        raise no_consent(self.mailchimp_conn_id)
