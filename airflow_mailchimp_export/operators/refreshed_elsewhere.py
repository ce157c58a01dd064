"""Waiting until another system has refreshed what segments are made of, without holding a worker."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_mailchimp_export.errors import SourceError
from airflow_mailchimp_export.failures import failing_in_short
from airflow_mailchimp_export.refresh_calls import Look, Request, look
from airflow_mailchimp_export.refresh_triggers import RefreshedElsewhereTrigger
from airflow_mailchimp_export.sensors import DEFERRAL_GRACE, end_of_wait, taken_over

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class RefreshedElsewhereOperator(BaseOperator):
    """Waits until another system says that it is done.

    :param conn_id: the Airflow connection of the system, of type HTTP.
    :param endpoint: what is asked, below the connection's host.
    :param headers: further headers.
    :param path: where the state stands in the answer.
    :param done: the states that mean that it is done.
    :param failed: the states that mean that it never will be.
    :param poll: seconds between two looks.
    :param wait_timeout: seconds from the start of the task after which waiting is given up.
    :raises SourceError: the system has failed, or is not done in time.
    :raises AirflowFailException: it does not take the question, or the answer does not hold its state.
    """

    template_fields: Sequence[str] = ("endpoint",)

    def __init__(
        self,
        *,
        conn_id: str,
        endpoint: str,
        done: Sequence[str],
        failed: Sequence[str] = (),
        path: str = "state",
        headers: dict[str, str] | None = None,
        poll: float = 30.0,
        wait_timeout: float = 21_600.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.conn_id = conn_id
        self.endpoint = endpoint
        self.done = done
        self.failed = failed
        self.path = path
        self.headers = headers
        self.poll = poll
        self.wait_timeout = wait_timeout

    def execute(self, context: Context) -> None:
        """Look, and wait in the triggerer unless it is done."""
        wanted = Look(
            Request(self.conn_id, self.endpoint, headers=self.headers or {}),
            self.path,
            tuple(self.done),
            tuple(self.failed),
        )
        with failing_in_short():
            if waiting := look(wanted):
                self._defer(context, wanted, waiting)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> None:
        """Look for oneself, whatever has ended the deferral, and say what there is to say."""
        self.execute(context)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on also where a trigger failed without an event, or where no triggerer has ended the deferral."""
        return super().resume_execution(*taken_over(next_method, next_kwargs), context)

    def _defer(self, context: Context, wanted: Look, waiting: str) -> None:
        end = end_of_wait(self, context, self.wait_timeout)
        left = end - time.time()
        if left <= 0:
            raise SourceError(
                f"{waiting}, and is not done after {self.wait_timeout / 3600:g} hours (timeout_hours)",
                "Look there why, then clear this task to wait on, or run the refresh again",
            )
        self.log.info("%s", waiting)
        self.defer(
            trigger=RefreshedElsewhereTrigger(wanted.as_dict(), poll=self.poll, end=end),
            method_name="execute_complete",
            timeout=timedelta(seconds=left + DEFERRAL_GRACE),
        )
