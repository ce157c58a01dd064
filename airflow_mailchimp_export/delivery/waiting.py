"""Whether a run that waits for Mailchimp is alive: asked of Mailchimp by whoever would like to take its place."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from airflow_mailchimp_export.delivery.watch import BatchWatch, poll_once
from airflow_mailchimp_export.errors import UnreadableFile
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.state.run import RunFolder

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WaitingRuns:
    """Looks after the batches of runs that wait.

    :param stall_timeout: seconds without any progress after which nothing is waited for any more.
    """

    gateway: Gateway
    stall_timeout: float

    def progress_of(self, run: RunFolder) -> str:
        """Say how far the batches of a run are; nothing where no batch is under way, or none moved for too long.

        What is seen is noted in the run's folder, so that the next look, by whichever run, knows since when nothing
        has moved.

        :raises MailchimpError: when Mailchimp does not say it.
        """
        watch = self._watch(run)
        if not (watch.waiting and poll_once(self.gateway, watch, clock=self._now)):
            log.info("Run %s waits for nothing any more: %s", run.name, watch.progress())
            return ""
        run.watch_note.put(watch.record())
        if watch.stalled(now=self._now()):
            log.warning(
                "Run %s waits for batches of which none has moved for %s s: %s",
                run.name,
                f"{self.stall_timeout:,.0f}",
                watch.progress(),
            )
            return ""
        return watch.progress()

    def _watch(self, run: RunFolder) -> BatchWatch:
        record = run.watch_note.read()
        if record and record["moved_at"] > self._now():
            # By a clock that was ahead, nothing would ever have stood still for long.
            record = {**record, "moved_at": self._now()}
        try:
            batch_ids = [batch.id for batch in run.batches]
        except UnreadableFile:
            batch_ids = []
        return BatchWatch(batch_ids, stall_timeout=self.stall_timeout, now=self._now(), record=record)

    def _now(self) -> float:
        return self.gateway.now().timestamp()
