"""Waiting for a refresh of Customer Insights without holding a worker."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.connection import get_async_connection
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_mailchimp_export.errors import ConfigError, ExportError, SourceError
from airflow_mailchimp_export.exports_root import storage_path
from airflow_mailchimp_export.insights_hooks import to_prompt_client
from airflow_mailchimp_export.settings.insights import InsightsSettings, settings_of
from airflow_mailchimp_export.settings.insights_segments import InsightsSpec
from airflow_mailchimp_export.settings.segments import Segment, parse_segments

log = logging.getLogger(__name__)

FIRST_PAUSE = 2.0
"""Seconds before the first look: Airflow fails a task whose trigger fires before the scheduler knows that it deferred,
https://github.com/apache/airflow/issues/72716."""


class CustomerInsightsRefreshTrigger(BaseTrigger):
    """Fires once all segments were refreshed after a moment, or the time is over.

    The event is ``{"status": "refreshed" | "timed_out" | "refused" | "error", "message": "..."}``: what is refused
    will never be told, and of an error it is not known.

    :param segments: as the sensor takes them.
    :param after: in ISO 8601.
    :param quiet: seconds for which tables may not have been written.
    :param pause: seconds between two looks.
    :param end: when waiting ends, in seconds since the epoch.
    """

    def __init__(
        self, segments: dict[str, Any], after: str, *, quiet: float, pause: float, end: float
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's is not typed
        self.segments = segments
        self.after = after
        self.quiet = quiet
        self.pause = pause
        self.end = end

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what the triggerer needs to make the trigger again."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "segments": self.segments,
                "after": self.after,
                "quiet": self.quiet,
                "pause": self.pause,
                "end": self.end,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and say how it ended. An exception would be lost, so errors travel in the event too."""
        status, message = "error", ""
        try:
            status = await self._wait()
        except (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit):
            raise
        except ConfigError as error:
            status, message = "refused", str(error)
        except BaseException as error:  # among them Airflow's DeadlockImminentError
            message = str(error) if isinstance(error, ExportError) else type(error).__name__
        yield TriggerEvent({"status": status, "message": message})  # type: ignore[no-untyped-call]

    async def _wait(self) -> str:
        segments, after = parse_segments(self.segments), datetime.fromisoformat(self.after)
        pause = min(FIRST_PAUSE, self.pause)
        while True:
            await asyncio.sleep(pause)
            if await self._is_refreshed(segments, after):
                return "refreshed"
            left = self.end - time.time()
            if left <= 0:
                return "timed_out"
            pause = min(self.pause, left)

    async def _is_refreshed(self, segments: Sequence[Segment], after: datetime) -> bool:
        # Read each time, because a secret may have been replaced since.
        connections = {
            source.conn_id: settings_of(await get_async_connection(source.conn_id))
            for source in (segment.source for segment in segments)
            if isinstance(source, InsightsSpec)
        }
        # In a thread, because clients and storages block, and other triggers share this event loop.
        return await asyncio.to_thread(self._look, segments, after, connections)

    def _look(
        self, segments: Sequence[Segment], after: datetime, connections: dict[str, InsightsSettings]
    ) -> bool:
        from airflow_mailchimp_export.sources.refreshes import not_refreshed

        try:
            late = not_refreshed(
                segments,
                after,
                now=datetime.now(UTC),
                quiet=self.quiet,
                path_factory=storage_path,
                insights=lambda conn_id: to_prompt_client(connections[conn_id]),
            )
        except SourceError as error:
            log.warning("Customer Insights could not be asked, and is asked again: %s", error)
            return False
        return not late
