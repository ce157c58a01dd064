"""Waiting for batches without holding a worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from airflow.providers.common.compat.connection import get_async_connection
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_mailchimp_export.delivery import watch as watching
from airflow_mailchimp_export.delivery.watch import DEFAULT_STALL_TIMEOUT, BatchWatch, keep_looking
from airflow_mailchimp_export.errors import ExportError
from airflow_mailchimp_export.exports_root import storage_path
from airflow_mailchimp_export.hooks import (
    MailchimpHook,
    call_off_without_consent,
    free_lock,
    to_prompt_client,
    to_settings,
)
from airflow_mailchimp_export.mailchimp.protocol import Sender
from airflow_mailchimp_export.settings.connection import ConnectionSettings
from airflow_mailchimp_export.web.transport_errors import Machine


class MailchimpBatchTrigger(BaseTrigger):
    """Fires once no batch is under way any more, none has moved for too long, or the time is over.

    Mailchimp being out of reach is no reason to fire: it is asked again until nothing has moved for too long.

    The event is ``{"status": "finished" | "stalled" | "timed_out" | "error", "batch_ids": [...], "message": "...",
    "run_uri": "...", "stopped": {...}, "called_off": "...", "record": {...}}``: ``stopped`` has the batches that
    ended without having finished, ``called_off`` why they were called off; with ``record`` another trigger can wait on.

    :param batch_ids: the batches, all of one run.
    :param mailchimp_conn_id: the connection.
    :param stall_timeout: seconds without progress after which waiting is given up.
    :param run_uri: where the run keeps its files; the event names it, for whoever goes on with the run, and its
        lock is freed once a user ends the waiting task.
    :param end: when waiting ends whatever moves, in seconds since the epoch.
    :param record: what was seen of the batches before, to count on from there.
    :param pause: seconds before the first look, unless the usual ones.
    """

    def __init__(
        self,
        batch_ids: Sequence[str],
        mailchimp_conn_id: str = MailchimpHook.default_conn_name,
        stall_timeout: float = DEFAULT_STALL_TIMEOUT,
        run_uri: str = "",
        *,
        end: float | None = None,
        record: Mapping[str, Any] | None = None,
        pause: float | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's is not typed
        self.batch_ids = list(batch_ids)
        self.mailchimp_conn_id = mailchimp_conn_id
        self.stall_timeout = stall_timeout
        self.run_uri = run_uri
        self.end = end
        self.record = record
        self.pause = pause

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what the triggerer needs to make the trigger again."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "batch_ids": self.batch_ids,
                "mailchimp_conn_id": self.mailchimp_conn_id,
                "stall_timeout": self.stall_timeout,
                "run_uri": self.run_uri,
                "end": self.end,
                "record": self.record,
                "pause": self.pause,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and say how it ended. An exception would be lost, so errors travel in the event too."""
        watch = BatchWatch(
            self.batch_ids, stall_timeout=self.stall_timeout, now=time.time(), record=self.record
        )
        status, message = "error", ""
        try:
            status = await self._wait(watch)
        except (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # among them Airflow's DeadlockImminentError
            message = str(error) if isinstance(error, ExportError) else type(error).__name__
        yield self._event(status, message, watch)

    async def on_kill(self) -> None:
        """Call the batches off and free the export when a user ends the waiting task."""
        await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        try:
            MailchimpHook(self.mailchimp_conn_id).cancel_batches(tuple(self.batch_ids))
        finally:
            if self.run_uri:
                from airflow_mailchimp_export.state.run import RunFolder

                free_lock(RunFolder(storage_path(self.run_uri)))

    async def _wait(self, watch: BatchWatch) -> str:
        # Whoever deferred has looked a moment ago. Besides, Airflow fails a task whose trigger fires
        # before the scheduler knows that it deferred: https://github.com/apache/airflow/issues/72716
        await self._sleep(watch.pause() if self.pause is None else self.pause, at_least=watching.FIRST_PAUSE)
        settings = to_settings(await get_async_connection(self.mailchimp_conn_id))
        reread = MailchimpHook(self.mailchimp_conn_id).settings
        # In threads, because the client blocks, and other triggers share this event loop.
        with await asyncio.to_thread(
            to_prompt_client, settings, reread=reread, machine=Machine.TRIGGERER
        ) as client:
            while await self._look(client, watch, settings):
                if watch.stalled(now=time.time()):
                    return "stalled"
                if self.end is not None and time.time() >= self.end:
                    return "timed_out"
                await self._sleep(watch.pause())
                settings = to_settings(await get_async_connection(self.mailchimp_conn_id))
        return "finished"

    async def _look(self, client: Sender, watch: BatchWatch, settings: ConnectionSettings) -> bool:
        await asyncio.to_thread(call_off_without_consent, settings, client, watch, self.mailchimp_conn_id)
        return await asyncio.to_thread(keep_looking, client, watch, clock=time.time)

    async def _sleep(self, seconds: float, *, at_least: float = 0.0) -> None:
        left = seconds if self.end is None else self.end - time.time()
        await asyncio.sleep(min(seconds, max(at_least, left)))

    def _event(self, status: str, message: str, watch: BatchWatch) -> TriggerEvent:
        event = {
            "status": status,
            "batch_ids": self.batch_ids,
            "message": message,
            "run_uri": self.run_uri,
            "stopped": watch.stopped,
            "called_off": watch.called_off,
            "record": watch.record(),
        }
        return TriggerEvent(event)  # type: ignore[no-untyped-call]  # Airflow's is not typed
