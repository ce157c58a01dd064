"""When the DAGs of a configuration run, how often their tasks are tried, and who answers for them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow import __version__ as airflow_version
from airflow.sdk import Asset

from airflow_mailchimp_export.config.models import Configuration
from airflow_mailchimp_export.config.values import BY_HAND, WITH_REFRESH

AIRFLOW = tuple(int(part) for part in airflow_version.split(".")[:2])

# A mistake in the set-up fails at once anyway; these are for a Mailchimp or a source that is away.
RETRIES: dict[str, Any] = {
    "retries": 2,
    "retry_delay": timedelta(minutes=1),
    # By what each further delay grows. Airflow 3.1 knows no factor, only a switch that doubles.
    "retry_exponential_backoff": 2.0 if AIRFLOW >= (3, 2) else True,
}


def whole_refresh(configuration: Configuration) -> Asset:
    """What a refresh publishes once all its segments are built, and what starts the exports that run with it."""
    return Asset(name=configuration.refresh.publishes, group="segment")


def schedule_of(schedule: str, configuration: Configuration) -> list[Asset] | str | None:
    """Return what Airflow takes for a schedule of the configuration."""
    if schedule == WITH_REFRESH:
        return [whole_refresh(configuration)]
    return None if schedule == BY_HAND else schedule


def owned_by(owner: str | None) -> dict[str, Any]:
    """Return the arguments of tasks that somebody answers for."""
    return {"owner": owner} if owner else {}
