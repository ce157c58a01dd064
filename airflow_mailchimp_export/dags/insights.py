"""The task with which an export of Customer Insights begins, where it is to wait for a refresh there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mailchimp_export.config.entries import Export
from airflow_mailchimp_export.config.models import Configuration
from airflow_mailchimp_export.insights_sensors import CustomerInsightsRefreshSensor

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

_DUE = "(dag_run.run_after or dag_run.start_date)"


class WaitForInsights(CustomerInsightsRefreshSensor):
    """Waits, but not where the export is withdrawn: no segment is read for that, nor need there be any."""

    def execute(self, context: Context) -> None:
        """Wait, unless there is nothing to wait for."""
        if context["params"]["withdraw"]:
            self.log.info("The export is withdrawn, so no refresh is waited for")
        else:
            super().execute(context)


def wait_for_insights(
    configuration: Configuration, export: Export, **how: Any
) -> CustomerInsightsRefreshSensor:
    """Add the task: it waits until the segments were refreshed so many hours before the run was due, or later.

    :param how: what the task is given beside, as Airflow takes it.
    """
    within = f"macros.timedelta(hours={export.refreshed_within!r})"
    return WaitForInsights(
        task_id="wait_for_refresh",
        segments={name: configuration.source(key) for key, name in configuration.names_of(export).items()},
        after=f"{{{{ ({_DUE} - {within}).isoformat() }}}}",
        timeout=TIMEOUT,
        deferrable=True,
        **how,
    )


TIMEOUT = 12 * 60 * 60.0
"""Seconds after which waiting is given up, and the run fails: the next one is due by then."""
