"""Which refresh an export reads, and where its segments are in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.snapshots.manifest import Refresh, Snapshot
from airflow_mailchimp_export.snapshots.store import Snapshots


def started_by(snapshots: Snapshots, extras: Iterable[Mapping[str, Any]], began: datetime) -> Refresh:
    """Return the refresh that started an export: the newest that was finished when the run began.

    Airflow starts one run for all events that have waited while another run was at work, and hands over the first.

    :param extras: what came with the events of the run.
    :raises ConfigError: it is gone, or there is none at all.
    """
    told = max((str(extra["refresh"]) for extra in extras if extra.get("refresh")), default="")
    finished = map(snapshots.read, snapshots.finished())
    newest = next((one for one in finished if datetime.fromisoformat(one.finished_at) <= began), None)
    if newest and newest.id >= told:
        return newest
    return snapshots.read(told) if told else snapshots.required()


def check_builder(refresh: Refresh | None, dag_id: str, place: str) -> None:
    """Stop where another configuration keeps its refreshes in the same folder: it may call other people VIP.

    :param dag_id: the DAG that refreshes the segments of this configuration.
    :raises ConfigError: the refresh is that of another DAG.
    """
    if refresh and refresh.built_by != dag_id:
        raise ConfigError(
            f"Refresh {refresh.id} in {place} was built by the DAG {refresh.built_by!r}, and not by {dag_id!r}: two "
            "configurations keep their segments in one folder, or the refresh was renamed",
            "Name a folder of its own under snapshots, and trigger the refresh",
        )


def segments_of(snapshots: Snapshots, refresh: Refresh, names: Mapping[str, str]) -> dict[str, Any]:
    """Return where these segments are in a refresh, as the operator takes it.

    :param names: the segments' names, by their keys.
    :raises ConfigError: it has not all of them.
    """
    if lacking := [name for key, name in names.items() if key not in refresh.by_key]:
        raise ConfigError(
            f"Segment {', '.join(map(repr, lacking))} is not in refresh {refresh.id}, which was built before it was "
            "configured",
            "Trigger the DAG that refreshes the segments; an export with_refresh then follows by itself",
        )
    return {name: _source(snapshots, refresh.by_key[key]) for key, name in names.items()}


def _source(snapshots: Snapshots, snapshot: Snapshot) -> dict[str, Any]:
    return {"uri": f"{snapshots.uri.rstrip('/')}/{snapshot.file}", **snapshot.options}
