"""The task with which an export begins: which refresh it reads, for all attempts of its run."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from airflow.providers.common.compat.sdk import AirflowSkipException
from airflow.sdk import task

from airflow_mailchimp_export.config.models import Configuration
from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.exports_root import storage_path
from airflow_mailchimp_export.failures import failing_in_short
from airflow_mailchimp_export.settings.names import unknown_names

log = logging.getLogger(__name__)

NOTHING_READ: dict[str, Any] = {"refresh": None, "as_of": None, "segments": {}}
"""What is exported where everything is taken back."""


def choose_refresh(configuration: Configuration, names: Mapping[str, str], **how: Any) -> Any:
    """Add the task; what it returns has ``segments``, as the operator takes them, and ``as_of``.

    :param names: the names of the export's segments, by their keys.
    :param how: what the task is given beside, as Airflow takes it.
    """

    @task(multiple_outputs=True, **how)
    def choose_refresh(
        *, params: Any = None, dag_run: Any = None, triggering_asset_events: Any = None
    ) -> dict[str, Any]:
        """Choose the refresh that started the run, or the newest that is finished."""
        from airflow_mailchimp_export.snapshots.choosing import check_builder, segments_of, started_by
        from airflow_mailchimp_export.snapshots.store import Snapshots

        if params["withdraw"]:
            log.info("The export is withdrawn, so no refresh is read")
            return NOTHING_READ
        snapshots = Snapshots(storage_path(configuration.snapshots))
        extras = _extras(triggering_asset_events)
        with failing_in_short():
            if params["refresh"]:
                refresh = snapshots.read(params["refresh"])
            elif extras:
                refresh = started_by(snapshots, extras, dag_run.start_date)
            else:
                refresh = snapshots.required()
            check_builder(refresh, configuration.refresh.name, snapshots.uri)
            if extras and refresh.exported_by:
                raise AirflowSkipException(f"Refresh {refresh.id} is exported by {refresh.exported_by}")
            segments = segments_of(snapshots, refresh, chosen(names, params["segments"]))
        log.info("Refresh %s is exported, whose profiles are of %s", refresh.id, refresh.as_of)
        return {"refresh": refresh.id, "as_of": refresh.as_of, "segments": segments}

    return choose_refresh()


def choose_sources(configuration: Configuration, names: Mapping[str, str], **how: Any) -> Any:
    """Add the task where no refresh builds the segments: they are read where they are.

    :raises ConfigError: a segment has a rule that only a refresh runs.
    """
    if ruled := [name for key, name in names.items() if configuration.query(key)]:
        raise ConfigError(
            f"Segment {', '.join(map(repr, ruled))} has a rule over files, which only the refresh runs, and there is "
            "none",
            "Say with uri where its profiles are, or let the refresh be built",
        )
    sources = {key: configuration.source(key) for key in names}

    @task(multiple_outputs=True, **how)
    def choose_segments(*, params: Any = None) -> dict[str, Any]:
        """Choose the segments."""
        if params["withdraw"]:
            return NOTHING_READ
        with failing_in_short():
            asked = chosen(names, params["segments"])
        return {"as_of": None, "segments": {name: sources[key] for key, name in asked.items()}}

    return choose_segments()


def chosen(names: Mapping[str, str], asked: Sequence[str]) -> dict[str, str]:
    """Return the segments that are asked for, in the order in which they are configured.

    :raises ConfigError: one of them is none of the export's.
    """
    if unknown := unknown_names(asked, names.values()):
        raise ConfigError(
            f"The export has no segment {', '.join(unknown)}",
            f"Choose among {', '.join(names.values())}, or add it to the export's segments",
        )
    return {key: name for key, name in names.items() if name in asked}


def _extras(events: Any) -> list[Mapping[str, Any]]:
    """Return what came with the events that started a run; none for one that somebody triggered."""
    return [event.extra or {} for asset in events or () for event in events[asset]]
