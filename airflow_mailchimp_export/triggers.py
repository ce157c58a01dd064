"""Waiting for batches without holding a worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from airflow.providers.common.compat.connection import get_async_connection
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_mailchimp_export.delivery.watch import DEFAULT_STALL_TIMEOUT, BatchWatch, poll_once
from airflow_mailchimp_export.errors import ExportError
from airflow_mailchimp_export.hooks import MailchimpHook, to_client, to_settings


class MailchimpBatchTrigger(BaseTrigger):
    """Fires once all batches are finished, or none has moved for too long.

    The event is ``{"status": "finished" | "stalled" | "error", "batch_ids": [...], "message": "...",
    "run_uri": "..."}``.

    :param batch_ids: the batches, all of one run.
    :param mailchimp_conn_id: the connection.
    :param stall_timeout: seconds without progress after which waiting is given up.
    :param run_uri: where the run keeps its files; the event names it, for whoever goes on with the run.
    """

    def __init__(
        self,
        batch_ids: Sequence[str],
        mailchimp_conn_id: str = MailchimpHook.default_conn_name,
        stall_timeout: float = DEFAULT_STALL_TIMEOUT,
        run_uri: str = "",
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's is not typed
        self.batch_ids = list(batch_ids)
        self.mailchimp_conn_id = mailchimp_conn_id
        self.stall_timeout = stall_timeout
        self.run_uri = run_uri

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what the triggerer needs to make the trigger anew."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "batch_ids": self.batch_ids,
                "mailchimp_conn_id": self.mailchimp_conn_id,
                "stall_timeout": self.stall_timeout,
                "run_uri": self.run_uri,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and say how it ended. An exception would be lost, so errors travel in the event too."""
        try:
            yield self._event(await self._wait(), "")
        except Exception as error:
            known = isinstance(error, ExportError)
            yield self._event("error", str(error) if known else type(error).__name__)

    async def on_kill(self) -> None:
        """Cancel the batches when a user ends the waiting task."""
        await asyncio.to_thread(MailchimpHook(self.mailchimp_conn_id).cancel_batches, tuple(self.batch_ids))

    async def _wait(self) -> str:
        settings = to_settings(await get_async_connection(self.mailchimp_conn_id))
        reread = MailchimpHook(self.mailchimp_conn_id).settings
        watch = BatchWatch(self.batch_ids, stall_timeout=self.stall_timeout, now=time.monotonic())
        # In threads, because the client blocks, and other triggers share this event loop.
        with await asyncio.to_thread(to_client, settings, reread=reread) as client:
            # Whoever deferred has looked a moment ago. Besides, Airflow fails a task whose trigger fires
            # before the scheduler knows that it deferred: https://github.com/apache/airflow/issues/72716
            await asyncio.sleep(watch.pause())
            while await asyncio.to_thread(poll_once, client, watch, clock=time.monotonic):
                if watch.stalled(now=time.monotonic()):
                    return "stalled"
                await asyncio.sleep(watch.pause())
        return "finished"

    def _event(self, status: str, message: str) -> TriggerEvent:
        event = {
            "status": status,
            "batch_ids": self.batch_ids,
            "message": message,
            "run_uri": self.run_uri,
        }
        return TriggerEvent(event)  # type: ignore[no-untyped-call]  # Airflow's is not typed
