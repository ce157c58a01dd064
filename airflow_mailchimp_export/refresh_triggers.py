"""Watching another system that refreshes what segments are made of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_mailchimp_export.refresh_calls import Look, look


class RefreshedElsewhereTrigger(BaseTrigger):
    """Fires once there is news: the system is done or has failed, cannot be asked, or the time is over.

    What the news is the task finds out by itself, so that it is told in one way.

    :param wanted: a :class:`~.refresh_calls.Look` as it is kept.
    :param poll: seconds between two looks.
    :param end: when waiting ends, in seconds since the epoch.
    """

    def __init__(self, wanted: Mapping[str, Any], *, poll: float, end: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's is not typed
        self.wanted = dict(wanted)
        self.poll = poll
        self.end = end

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what the triggerer needs to make the trigger again."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {"wanted": self.wanted, "poll": self.poll, "end": self.end},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look again and again."""
        is_waiting = True
        while is_waiting and time.time() < self.end:
            # Whoever deferred has looked a moment ago.
            await asyncio.sleep(min(self.poll, max(1.0, self.end - time.time())))
            # In a thread, because the hook blocks, and other triggers share this event loop.
            is_waiting = await asyncio.to_thread(self._is_waiting)
        yield TriggerEvent({"status": "news"})  # type: ignore[no-untyped-call]  # Airflow's is not typed

    def _is_waiting(self) -> bool:
        try:
            return bool(look(Look.from_dict(self.wanted)))
        except Exception as error:
            self.log.info("The task is woken to tell this: %s", type(error).__name__)
            return False
