"""Waiting for batches: whom to ask, how long to pause, when to give up. No I/O and no clock of its own.

The sensor's poke, the operator's wait and the trigger all follow the same watch, and ask by :func:`poll_once`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from airflow_mailchimp_export.errors import NotFound, RetryableError
from airflow_mailchimp_export.mailchimp import calls
from airflow_mailchimp_export.mailchimp.batches import cancel_batches
from airflow_mailchimp_export.mailchimp.protocol import Sender
from airflow_mailchimp_export.model import Batch
from airflow_mailchimp_export.progress import Stage, note

log = logging.getLogger(__name__)

FIRST_PAUSE = 5.0

LONGEST_PAUSE = 60.0
"""Seconds between two looks, doubled from the first to the longest:
https://mailchimp.com/developer/marketing/docs/batch-operations/#check-the-status"""

UNDER_WAY = frozenset({"pending", "preprocessing", "started", "finalizing"})
"""The statuses of a batch that is still to finish; whatever else is not finished will never be:
https://mailchimp.com/developer/marketing/api/batch-operations/get-batch-operation-status/"""

GONE = "gone"

LONGEST_WAIT = 7 * 86_400.0
"""Seconds after which a batch is not waited for however much it moves: Mailchimp keeps results for seven days."""

DEFAULT_STALL_TIMEOUT = 1800.0
"""Seconds without progress. A batch may have done all its operations and still not be finished for hours."""


class BatchWatch:
    """Follows batches until none is under way any more, or none has moved for too long.

    :param batch_ids: the batches.
    :param stall_timeout: seconds without any progress after which waiting is given up.
    :param now: seconds of a clock; the epoch's, where a watch on another machine is to count on.
    :param record: what :meth:`record` of a watch over the same batches returned, to count on from there.
    :ivar called_off: why the batches were called off; empty where they were not.
    """

    def __init__(
        self,
        batch_ids: Sequence[str],
        *,
        stall_timeout: float,
        now: float,
        record: Mapping[str, Any] | None = None,
    ) -> None:
        seen = (record or {}).get("seen", {})
        self.called_off = ""
        self._stall_timeout = stall_timeout
        self._seen = {
            batch_id: Batch(batch_id, *seen[batch_id]) if batch_id in seen else None for batch_id in batch_ids
        }
        self._moved_at: float = record["moved_at"] if record else now
        self._began_at: float = (record or {}).get("began_at", self._moved_at)
        self._furthest = {
            batch_id: _Position(*position)
            for batch_id, position in (record or {}).get("furthest", {}).items()
        }
        self._pause = FIRST_PAUSE

    @property
    def waiting(self) -> tuple[str, ...]:
        """The batches that are not over as far as is known."""
        return tuple(
            batch_id for batch_id, batch in self._seen.items() if batch is None or batch.status in UNDER_WAY
        )

    @property
    def stopped(self) -> dict[str, str]:
        """The batches that ended without having finished, and how: their status, or that they are gone."""
        return {
            batch_id: batch.status
            for batch_id, batch in self._seen.items()
            if batch and not batch.finished and batch.status not in UNDER_WAY
        }

    def note(self, batch: Batch, *, now: float) -> None:
        """Take in how far a batch is: further than ever, or it has not moved."""
        before = self._furthest.get(batch.id) or _position_of(self._seen[batch.id])
        furthest = _furthest(before, _position_of(batch))
        if furthest != before:
            self._moved_at = now
            self._pause = FIRST_PAUSE
        self._furthest[batch.id] = furthest
        # The link to the results is a new one each time.
        self._seen[batch.id] = replace(batch, response_body_url="")

    def note_gone(self, batch_id: str) -> None:
        """Take in that Mailchimp does not know a batch; there is nothing left to wait for."""
        self._seen[batch_id] = replace(self._seen[batch_id] or Batch(batch_id, GONE), status=GONE)

    def record(self) -> dict[str, Any]:
        """Return what was seen and when something last moved, as JSON, for a watch on another machine."""
        return {
            "began_at": self._began_at,
            "moved_at": self._moved_at,
            "furthest": {batch_id: list(position) for batch_id, position in self._furthest.items()},
            "seen": {batch_id: _progress_of(batch) for batch_id, batch in self._seen.items() if batch},
        }

    def stalled(self, *, now: float) -> bool:
        """Whether nothing has moved for too long, or nothing that moves can be of use any more."""
        return now - self._moved_at >= self._stall_timeout or now - self._began_at >= LONGEST_WAIT

    def pause(self) -> float:
        """Return the seconds until the next look; longer each time that nothing moves."""
        pause = self._pause
        self._pause = min(LONGEST_PAUSE, pause * 2)
        return pause

    @property
    def stage(self) -> Stage:
        """How far the batches are, in operations."""
        known = [batch for batch in self._seen.values() if batch]
        done = sum(batch.finished_operations for batch in known)
        return Stage("Waiting", "operations", done, sum(batch.total_operations for batch in known))

    def progress(self) -> str:
        """Say how far the batches are."""
        over, stage = len(self._seen) - len(self.waiting), self.stage
        return f"{over} of {len(self._seen)} batches finished, {stage.done} of {stage.total} operations"


class _Position(NamedTuple):
    """How far a batch is, each number as high as it ever was: counters that go up and down are no progress.

    :param step: which of Mailchimp's statuses it has come to; -1 where nothing is known of it.
    """

    step: int = -1
    total: int = 0
    finished: int = 0
    errored: int = 0


_STEPS = {status: step for step, status in enumerate(("pending", "preprocessing", "started", "finalizing"))}


def _position_of(batch: Batch | None) -> _Position:
    if batch is None:
        return _Position()
    step = _STEPS.get(batch.status, len(_STEPS))
    return _Position(step, batch.total_operations, batch.finished_operations, batch.errored_operations)


def _furthest(one: _Position, other: _Position) -> _Position:
    return _Position(*map(max, one, other))


def _progress_of(batch: Batch) -> list[Any]:
    return [batch.status, batch.total_operations, batch.finished_operations, batch.errored_operations]


def poll_once(sender: Sender, watch: BatchWatch, *, clock: Callable[[], float]) -> bool:
    """Ask once for each batch that is not known to be over; return whether any is left to wait for.

    :param clock: seconds of the watch's clock.
    """
    for batch_id in watch.waiting:
        try:
            watch.note(sender.send(calls.batch(batch_id)), now=clock())
        except NotFound:
            watch.note_gone(batch_id)
    log.info("Waiting for Mailchimp: %s", watch.progress())
    note(watch.stage)
    return bool(watch.waiting)


def keep_looking(sender: Sender, watch: BatchWatch, *, clock: Callable[[], float]) -> bool:
    """Ask once, as :func:`poll_once` does; where Mailchimp is out of reach, that is no reason not to wait on."""
    try:
        return poll_once(sender, watch, clock=clock)
    except RetryableError as error:
        log.warning("Mailchimp could not be asked for the batches, and is asked again: %s", error)
        return True


def call_off(sender: Sender, watch: BatchWatch, why: str) -> None:
    """Cancel, once, all batches that are under way.

    :param why: what holds for all of them, as a sentence without its end.
    """
    if not watch.called_off:
        watch.called_off = why
        log.error("The batches are called off: %s", why)
        cancel_batches(sender, watch.waiting)


def stopped_words(stopped: Mapping[str, str], called_off: str = "") -> str:
    """Say which batches ended without having finished, and what follows from it.

    :param called_off: why they were called off, where they were.
    """
    named = ", ".join(f"{batch_id} ({status})" for batch_id, status in sorted(stopped.items()))
    why = (
        f"They were called off: {called_off}"
        if called_off
        else "They were cancelled, are older than seven days, or belong to another account than the connection's key"
    )
    return (
        f"Mailchimp will not finish these batches: {named}. {why}. The report accounts for what was answered, and the "
        "next run sends the rest again"
    )
