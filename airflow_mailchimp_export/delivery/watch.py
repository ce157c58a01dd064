"""Waiting for batches: whom to ask, how long to pause, when to give up. No I/O and no clock of its own.

The sensor's poke, the operator's wait and the trigger all follow the same watch, and ask by :func:`poll_once`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from airflow_mailchimp_export.errors import NotFound
from airflow_mailchimp_export.mailchimp import calls
from airflow_mailchimp_export.mailchimp.protocol import Sender
from airflow_mailchimp_export.model import Batch

log = logging.getLogger(__name__)

FIRST_PAUSE = 5.0

LONGEST_PAUSE = 60.0
"""Seconds between two looks, doubled from the first to the longest:
https://mailchimp.com/developer/marketing/docs/batch-operations/#check-the-status"""

DEFAULT_STALL_TIMEOUT = 1800.0
"""Seconds without progress. A batch may have done all its operations and still not be finished for hours."""


class BatchWatch:
    """Follows batches until all are finished, or none has moved for too long.

    :param batch_ids: the batches.
    :param stall_timeout: seconds without any progress after which waiting is given up.
    :param now: seconds of a clock that never goes back.
    """

    def __init__(self, batch_ids: Sequence[str], *, stall_timeout: float, now: float) -> None:
        self._stall_timeout = stall_timeout
        self._seen: dict[str, Batch | None] = dict.fromkeys(batch_ids)
        self._gone: set[str] = set()
        self._moved_at = now
        self._pause = FIRST_PAUSE

    @property
    def waiting(self) -> tuple[str, ...]:
        """The batches that are not finished as far as is known."""
        return tuple(batch_id for batch_id, batch in self._seen.items() if not self._is_over(batch_id, batch))

    def note(self, batch: Batch, *, now: float) -> None:
        """Take in how far a batch is; the link to its results is a new one each time."""
        batch = replace(batch, response_body_url="")
        if batch != self._seen[batch.id]:
            self._moved_at = now
            self._pause = FIRST_PAUSE
        self._seen[batch.id] = batch

    def note_gone(self, batch_id: str) -> None:
        """Take in that Mailchimp does not know a batch; there is nothing left to wait for."""
        self._gone.add(batch_id)

    def stalled(self, *, now: float) -> bool:
        """Whether nothing has moved for too long."""
        return now - self._moved_at >= self._stall_timeout

    def pause(self) -> float:
        """Return the seconds until the next look; longer each time that nothing moves."""
        pause = self._pause
        self._pause = min(LONGEST_PAUSE, pause * 2)
        return pause

    def progress(self) -> str:
        """Say how far the batches are."""
        known = [batch for batch in self._seen.values() if batch]
        operations = sum(batch.finished_operations for batch in known)
        total = sum(batch.total_operations for batch in known)
        over = len(self._seen) - len(self.waiting)
        return f"{over} of {len(self._seen)} batches finished, {operations} of {total} operations"

    def _is_over(self, batch_id: str, batch: Batch | None) -> bool:
        return batch_id in self._gone or (batch is not None and batch.finished)


def poll_once(sender: Sender, watch: BatchWatch, *, clock: Callable[[], float]) -> bool:
    """Ask once for each batch that is not known to be over; return whether any is left to wait for.

    :param clock: seconds of a clock that never goes back, the one of the watch.
    """
    for batch_id in watch.waiting:
        try:
            watch.note(sender.send(calls.batch(batch_id)), now=clock())
        except NotFound:
            watch.note_gone(batch_id)
    log.info("Waiting for Mailchimp: %s", watch.progress())
    return bool(watch.waiting)
