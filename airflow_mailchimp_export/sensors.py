"""Waiting until Mailchimp has worked through the batches of an export."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowTaskTimeout,
    BaseSensorOperator,
    conf,
)

from airflow_mailchimp_export.delivery import watch as watching
from airflow_mailchimp_export.delivery.watch import (
    DEFAULT_STALL_TIMEOUT,
    BatchWatch,
    poll_once,
    stopped_words,
)
from airflow_mailchimp_export.errors import RetryableError
from airflow_mailchimp_export.failures import no_retry_on_permanent_errors
from airflow_mailchimp_export.hooks import MailchimpHook, call_off_without_consent
from airflow_mailchimp_export.settings.coercion import id_list, parse_setting
from airflow_mailchimp_export.stored_progress import stored_progress
from airflow_mailchimp_export.triggers import MailchimpBatchTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context

log = logging.getLogger(__name__)

DEFERRAL_GRACE = 60.0
"""Seconds after its end after which Airflow ends a deferral that no triggerer has ended."""

_ENDINGS = frozenset({"finished", "stalled", "timed_out", "error"})

# What Airflow calls in place of the task's method where a trigger failed or took too long, and what it says then.
_FAILED_DEFERRAL, _DEFERRAL_TIMED_OUT = "__fail__", "Trigger timeout"


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
        with stored_progress(context):
            if not self.deferrable:
                super().execute(context)
            elif not self.poke(context):
                self._defer(context)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> None:
        """Take the trigger's word only where it is about these batches; where it could not look, look and wait on.

        :raises AirflowFailException: when a batch was stopped, or is gone.
        :raises AirflowSensorTimeout: when no batch has moved for too long, or ``timeout`` is over.
        :raises AirflowTaskTimeout: when ``execution_timeout`` is over.
        """
        batch_ids = self._batches()
        told = checked_event(event, batch_ids)
        if told["status"] == "error":
            self.log.warning("The triggerer could not look at the batches: %s", told["message"])
            self._watch = self._new_watch(batch_ids, told.get("record"))
            if not self.poke(context):
                self._defer(context, pause=watching.LONGEST_PAUSE)
        elif told["status"] == "timed_out":
            raise self._timeout_error()
        else:
            check_stopped(told.get("stopped") or {}, told.get("called_off") or "")
            if told["status"] == "stalled":
                raise stalled_error(self.stall_timeout)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on also where a trigger failed without an event, or where no triggerer has ended the deferral."""
        return super().resume_execution(*taken_over(next_method, next_kwargs), context)

    def poke(self, context: Context) -> bool:
        """Look at the batches that are not known to be over; where Mailchimp is out of reach, that is no news.

        :raises AirflowFailException: when no batch is under way any more, and one was stopped, or is gone.
        :raises AirflowSensorTimeout: when no batch has moved for too long.
        """
        if not (batch_ids := self._batches()):
            return True
        if self._watch is None:
            self._watch = self._new_watch(batch_ids)
        waiting = look(MailchimpHook(self.mailchimp_conn_id), self._watch)
        if not waiting or self._watch.stalled(now=time.time()):
            check_stopped(self._watch.stopped, self._watch.called_off)
        if waiting and self._watch.stalled(now=time.time()):
            raise stalled_error(self.stall_timeout)
        return not waiting

    def _new_watch(self, batch_ids: Sequence[str], record: Mapping[str, Any] | None = None) -> BatchWatch:
        seconds = to_seconds(self.stall_timeout)
        return BatchWatch(batch_ids, stall_timeout=seconds, now=time.time(), record=record)

    def _defer(self, context: Context, *, pause: float | None = None) -> None:
        end = end_of_wait(self, context, self.timeout)
        left = end - time.time()
        if left <= 0:
            raise self._timeout_error()
        self.defer(
            trigger=MailchimpBatchTrigger(
                self._batches(),
                self.mailchimp_conn_id,
                to_seconds(self.stall_timeout),
                end=end,
                record=self._watch.record() if self._watch else None,
                pause=pause,
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=left + DEFERRAL_GRACE),
        )

    def _timeout_error(self) -> BaseException:
        limit = self.execution_timeout
        if limit and limit.total_seconds() <= self.timeout:
            return AirflowTaskTimeout(f"The batches are not finished after {limit} (execution_timeout)")
        return AirflowSensorTimeout(f"The batches are not finished after {self.timeout:,.0f} s (timeout)")

    def on_kill(self) -> None:
        """Cancel the batches when the waiting task is killed."""
        if batch_ids := self._batches():
            MailchimpHook(self.mailchimp_conn_id).cancel_batches(tuple(batch_ids))

    def _batches(self) -> list[str]:
        # Kept, because XComs of mapped tasks are fetched as they are read, which a killed task should not do.
        with no_retry_on_permanent_errors():
            self.batch_ids = batch_ids = parse_setting("batch_ids", self.batch_ids or [], id_list)
        return batch_ids


def look(hook: MailchimpHook, watch: BatchWatch) -> bool:
    """Look once at the batches that are not known to be over; return whether any is left to wait for.

    :raises AirflowFailException: when the set-up is wrong, or Mailchimp said no.
    """
    try:
        with no_retry_on_permanent_errors():
            settings = hook.settings()
            with hook.prompt_client(settings) as client:
                call_off_without_consent(settings, client, watch, hook.mailchimp_conn_id)
                return poll_once(client, watch, clock=time.time)
    except RetryableError as error:
        log.warning("Mailchimp could not be asked for the batches, and is asked again: %s", error)
        return True


def check_stopped(stopped: Mapping[str, str], called_off: str = "") -> None:
    """Let nobody take batches for finished that never will be.

    :param called_off: why they were called off, where they were.
    :raises AirflowFailException: names them.
    """
    if stopped:
        raise AirflowFailException(stopped_words(stopped, called_off))


def checked_event(event: dict[str, Any] | None, batch_ids: Sequence[str]) -> dict[str, Any]:
    """Return a trigger's event; one that cannot be trusted as an error, after which the batches are looked at."""
    if event is None or event.get("status") not in _ENDINGS:
        return {"status": "error", "message": (event or {}).get("message") or "no event came"}
    if "batch_ids" in event and sorted(event["batch_ids"] or ()) != sorted(batch_ids):
        return {"status": "error", "message": "The trigger's event is about other batches"}
    return event


def taken_over(next_method: str, next_kwargs: dict[str, Any] | None) -> tuple[str, dict[str, Any] | None]:
    """Turn a deferral that Airflow ended, which would fail the task, into an event of the trigger's kind."""
    if next_method != _FAILED_DEFERRAL:
        return next_method, next_kwargs
    words = str((next_kwargs or {}).get("error") or "the trigger failed")
    status = "timed_out" if _DEFERRAL_TIMED_OUT in words else "error"
    return "execute_complete", {"event": {"status": status, "message": words}}


def end_of_wait(task: BaseOperator, context: Context, longest: float) -> float:
    """Return when a task stops waiting, in seconds since the epoch: Airflow counts no time while it is deferred.

    :param longest: seconds from the start of the task.
    """
    limit = task.execution_timeout
    seconds = min(longest, limit.total_seconds()) if limit else longest
    return context["ti"].start_date.timestamp() + seconds


def stalled_error(stall_timeout: float | timedelta) -> AirflowSensorTimeout:
    """Return the error of a sensor that waits no longer."""
    return AirflowSensorTimeout(
        f"No batch has moved for {to_seconds(stall_timeout):,.0f} s (stall_timeout), so waiting is given up. "
        "The report counts what Mailchimp did not confirm, and the next run sends it again"
    )


def to_seconds(span: float | timedelta) -> float:
    """Return a span of time in seconds."""
    return span.total_seconds() if isinstance(span, timedelta) else float(span)
