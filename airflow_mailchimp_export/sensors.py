"""Waiting until Mailchimp has worked through the batches of an export."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    BaseSensorOperator,
    conf,
)

from airflow_mailchimp_export.delivery.watch import DEFAULT_STALL_TIMEOUT, BatchWatch, poll_once
from airflow_mailchimp_export.errors import RetryableError
from airflow_mailchimp_export.hooks import MailchimpHook, no_retry_on_permanent_errors
from airflow_mailchimp_export.settings.coercion import id_list, parse_setting
from airflow_mailchimp_export.triggers import MailchimpBatchTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class MailchimpBatchSensor(BaseSensorOperator):
    """Waits until Mailchimp says that all batches are finished.

    Finished is not yet in place: a campaign waits for the report, which knows what became of everybody.
    Whoever waits in vain gives up after ``stall_timeout``; the report then counts the members without
    an answer as unconfirmed, and the next run sends them again.

    :param batch_ids: the batches, from the XCom of :class:`~.operators.SegmentToMailchimpOperator`, also of
        several mapped ones; none, as with direct delivery, means that there is nothing to wait for.
    :param mailchimp_conn_id: the Mailchimp connection.
    :param stall_timeout: seconds (or a timedelta) without any progress after which waiting is given up;
        30 minutes unless set, because a batch may be done and still not finished for hours.
        With ``mode="reschedule"`` nothing is remembered between two looks: there, set ``timeout``.
    :param deferrable: wait in the triggerer; Airflow's default unless set.
    """

    template_fields = ("batch_ids", "mailchimp_conn_id")
    ui_color = "#ffe01b"

    def __init__(
        self,
        *,
        batch_ids: Sequence[str] | Sequence[Sequence[str]],
        mailchimp_conn_id: str = MailchimpHook.default_conn_name,
        stall_timeout: float | timedelta = DEFAULT_STALL_TIMEOUT,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.batch_ids = batch_ids
        self.mailchimp_conn_id = mailchimp_conn_id
        self.stall_timeout = stall_timeout
        self.deferrable = deferrable
        self._watch: BatchWatch | None = None

    def execute(self, context: Context) -> None:
        """Look once; then wait, in the triggerer if it may."""
        if not self.deferrable:
            super().execute(context)
        elif not self.poke(context):
            self.defer(
                trigger=MailchimpBatchTrigger(
                    self._batches(), self.mailchimp_conn_id, to_seconds(self.stall_timeout)
                ),
                method_name="execute_complete",
                timeout=timedelta(seconds=self.timeout),
            )

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> None:
        """Take the trigger's word only where it is about these batches.

        :raises AirflowSensorTimeout: when no batch has moved for too long.
        :raises RetryableError: when the trigger could not look.
        """
        told = check_event(event, self._batches())
        if told == "stalled":
            raise stalled_error(self.stall_timeout)

    def poke(self, context: Context) -> bool:
        """Look at the batches that are not known to be finished.

        :raises AirflowSensorTimeout: when no batch has moved for too long.
        """
        if not (batch_ids := self._batches()):
            return True
        if self._watch is None:
            seconds = to_seconds(self.stall_timeout)
            self._watch = BatchWatch(batch_ids, stall_timeout=seconds, now=time.monotonic())
        with no_retry_on_permanent_errors(), MailchimpHook(self.mailchimp_conn_id).client() as client:
            waiting = poll_once(client, self._watch, clock=time.monotonic)
        if waiting and self._watch.stalled(now=time.monotonic()):
            raise stalled_error(self.stall_timeout)
        return not waiting

    def on_kill(self) -> None:
        """Cancel the batches when the waiting task is killed."""
        if batch_ids := self._batches():
            MailchimpHook(self.mailchimp_conn_id).cancel_batches(tuple(batch_ids))

    def _batches(self) -> list[str]:
        # Kept, because XComs of mapped tasks are fetched as they are read, which a killed task should not do.
        with no_retry_on_permanent_errors():
            self.batch_ids = batch_ids = parse_setting("batch_ids", self.batch_ids or [], id_list)
        return batch_ids


def check_event(event: dict[str, Any] | None, batch_ids: Sequence[str]) -> str:
    """Return how waiting ended: ``finished`` or ``stalled``.

    :raises RetryableError: when the trigger failed, or the event is not about these batches.
    """
    status = (event or {}).get("status")
    if event is None or status not in ("finished", "stalled"):
        raise RetryableError(
            f"Waiting for the batches failed: {(event or {}).get('message') or 'no event came'}"
        )
    if sorted(event.get("batch_ids") or ()) != sorted(batch_ids):
        raise RetryableError("The trigger's event is about other batches")
    return str(status)


def stalled_error(stall_timeout: float | timedelta) -> AirflowSensorTimeout:
    """Return the error of a sensor that waits no longer."""
    return AirflowSensorTimeout(
        f"No batch has moved for {to_seconds(stall_timeout):,.0f} s (stall_timeout), so waiting is given up. "
        "The report counts what Mailchimp did not confirm, and the next run sends it again"
    )


def to_seconds(span: float | timedelta) -> float:
    """Return a span of time in seconds."""
    return span.total_seconds() if isinstance(span, timedelta) else float(span)
