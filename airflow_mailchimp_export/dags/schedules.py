"""When the DAGs of a configuration run, and who answers for them."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset

from airflow_mailchimp_export.config.models import Configuration
from airflow_mailchimp_export.config.values import BY_HAND, WITH_REFRESH


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
