"""Waiting until Customer Insights has refreshed its segments.

What reads segments is imported where a task works: whoever only reads a DAG need not wait for it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    BaseSensorOperator,
    conf,
)

from airflow_mailchimp_export.errors import SourceError
from airflow_mailchimp_export.exports_root import storage_path
from airflow_mailchimp_export.failures import no_retry_on_permanent_errors
from airflow_mailchimp_export.insights_hooks import CustomerInsightsHook
from airflow_mailchimp_export.insights_triggers import CustomerInsightsRefreshTrigger
from airflow_mailchimp_export.sensors import DEFERRAL_GRACE, end_of_wait, taken_over, to_seconds
from airflow_mailchimp_export.settings.coercion import mapping, moment, parse_setting
from airflow_mailchimp_export.settings.segments import Segment, parse_segments

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

DEFAULT_QUIET = 900.0
"""Seconds for which nothing may have been written: profiles and memberships are written side by side, with gaps."""

DEFAULT_PAUSE = 300.0


class CustomerInsightsRefreshSensor(BaseSensorOperator):
    """Waits until segments of Customer Insights were refreshed after a moment, and nothing is written any more.

    What can be told, and what cannot, is in docs/customer-insights.md.

    :param segments: as :class:`~.operators.SegmentToMailchimpOperator` takes them, all of Customer Insights.
    :param after: the moment, as a datetime or in ISO 8601, with its zone.
    :param quiet: seconds (or a timedelta) for which no membership and no profile may have been written; 15 minutes
        unless set. Exported files tell their time themselves and need no such wait.
    :param deferrable: wait in the triggerer; Airflow's default unless set.
    :raises AirflowFailException: when the set-up is wrong, or Customer Insights cannot tell.
    :raises AirflowSensorTimeout: when ``timeout`` is over.
    """

    template_fields = ("segments", "after")
    ui_color = "#ffe01b"

    def __init__(
        self,
        *,
        segments: Mapping[str, Any] | str,
        after: str | datetime,
        quiet: float | timedelta = DEFAULT_QUIET,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"poke_interval": DEFAULT_PAUSE, **kwargs})
        self.segments = segments
        self.after = after
        self.quiet = quiet
        self.deferrable = deferrable

    def execute(self, context: Context) -> None:
        """Look once; then wait, in the triggerer if it may."""
        if not self.deferrable:
            super().execute(context)
        elif not self.poke(context):
            self._defer(context)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> None:
        """Go on where the segments were refreshed; where the trigger could not look, look and wait on.

        :raises AirflowFailException: when it cannot be told.
        :raises AirflowSensorTimeout: when the time is over.
        """
        status, message = (event or {}).get("status"), (event or {}).get("message")
        if status == "refused":
            raise AirflowFailException(message)
        if status == "timed_out":
            raise self._timeout_error()
        if status != "refreshed":
            self.log.warning("The triggerer could not wait: %s", message or "no event came")
            if not self.poke(context):
                self._defer(context)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on also where a trigger failed without an event, or where no triggerer has ended the deferral."""
        return super().resume_execution(*taken_over(next_method, next_kwargs), context)

    def poke(self, context: Context) -> bool:
        """Look whether all segments were refreshed; where Customer Insights is out of reach, that is no news.

        :raises AirflowFailException: when it cannot be told.
        """
        from airflow_mailchimp_export.sources.refreshes import not_refreshed

        with no_retry_on_permanent_errors():
            segments, after = self._segments(), self._after()
            try:
                late = not_refreshed(
                    segments,
                    after,
                    now=datetime.now(UTC),
                    quiet=to_seconds(self.quiet),
                    path_factory=storage_path,
                    insights=lambda conn_id: CustomerInsightsHook(conn_id).prompt_client(),
                )
            except SourceError as error:
                self.log.warning("Customer Insights could not be asked, and is asked again: %s", error)
                return False
        if late:
            self.log.info("Not refreshed since %s, or still being written: %s", after, ", ".join(late))
        return not late

    def _segments(self) -> tuple[Segment, ...]:
        from airflow_mailchimp_export.sources.refreshes import check_refreshable

        segments = parse_segments(self.segments)
        check_refreshable(segments)
        return segments

    def _after(self) -> datetime:
        return datetime.fromisoformat(parse_setting("after", self.after, moment))

    def _defer(self, context: Context) -> None:
        end = end_of_wait(self, context, self.timeout)
        left = end - time.time()
        if left <= 0:
            raise self._timeout_error()
        self.defer(
            trigger=CustomerInsightsRefreshTrigger(
                dict(parse_setting("segments", self.segments, mapping)),
                self._after().isoformat(),
                quiet=to_seconds(self.quiet),
                pause=float(self.poke_interval),
                end=end,
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=left + DEFERRAL_GRACE),
        )

    def _timeout_error(self) -> AirflowSensorTimeout:
        return AirflowSensorTimeout(
            f"Customer Insights has not refreshed all segments after {self.timeout:,.0f} s (timeout): see there "
            "whether its refresh has failed or is off"
        )
