"""The DAG that builds the segments of a configuration."""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Asset, AssetAlias, Param, task

from airflow_mailchimp_export.config.models import Configuration
from airflow_mailchimp_export.dags.alerts import deadline_of, on_failure
from airflow_mailchimp_export.dags.calling import add_call
from airflow_mailchimp_export.dags.form import segments_param
from airflow_mailchimp_export.dags.schedules import RETRIES, owned_by, schedule_of, whole_refresh
from airflow_mailchimp_export.exports_root import storage_path
from airflow_mailchimp_export.failures import failing_in_short

if TYPE_CHECKING:
    from airflow_mailchimp_export.snapshots.manifest import Refresh
    from airflow_mailchimp_export.snapshots.refreshing import Configured
    from airflow_mailchimp_export.snapshots.store import Snapshots

log = logging.getLogger(__name__)

_BEGUN = "begun"
"""Under which key the first task tells the others what it has begun."""

ABOUT = """Builds each segment again from the unified profiles.

- `begin` names the refresh, by the moment from which on profiles are read.
- `refresh` runs once for each segment: its profiles become one Parquet file in the folder of the refresh, whole or
  not at all.
- `publish` writes down that the refresh is whole, warns of segments that grew or shrank much, and publishes one asset:
  the exports that run with the refresh start by themselves, where they are switched on, and read exactly these files.
- `clean_up` removes old refreshes.

After a failed segment nothing is published, and the last refresh stays what exports read: clear the failed task, and
the refresh goes on from there, or wait for the next one.
*Trigger* asks which segments to build again; the others stay as they are.
"""


def refresh_dag(configuration: Configuration) -> DAG:
    """Build it: one mapped task per segment, of which none waits for another, and one that waits for all of them."""
    refresh = configuration.refresh
    names = [segment.name for segment in configuration.built.values()]
    with DAG(
        dag_id=refresh.name,
        schedule=schedule_of(refresh.schedule, configuration),
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=True,
        default_args={**RETRIES, **owned_by(refresh.owner), **on_failure(refresh.name, refresh)},
        doc_md=ABOUT,
        tags={"segments", *refresh.tags},
        params={"segments": _chosen(names)},
        **deadline_of(refresh.name, refresh),
    ) as dag:
        _add_tasks(configuration)
    return dag


def asset_of(key: str) -> Asset:
    """Where a segment comes from, for lineage; it starts nothing, and stays the same when the file moves."""
    return Asset(name=f"segment_{key}", group="segment")


def _chosen(names: list[str]) -> Param:
    return segments_param(
        names, [], "Which segments to build again: all, unless some are chosen. The others stay as they are."
    )


def _add_tasks(configuration: Configuration) -> None:
    begun = _begin(configuration)
    if configuration.refresh.http:
        add_call(configuration.refresh.http) >> begun
    built = _refresh(configuration).partial(begun=begun[_BEGUN]).expand(key=begun)
    _publish(configuration)(built, begun[_BEGUN]) >> _clean_up(configuration)


def _begin(configuration: Configuration) -> Any:
    @task
    def begin(*, params: Any = None, ti: Any = None) -> list[str]:
        """Name the refresh, and return which segments it builds: tasks are mapped over nothing but what is returned."""
        from airflow_mailchimp_export.snapshots import refreshing
        from airflow_mailchimp_export.snapshots.choosing import check_builder

        snapshots = _snapshots(configuration)
        with failing_in_short():
            check_builder(snapshots.newest(), configuration.refresh.name, snapshots.uri)
            begun = refreshing.begin(
                snapshots,
                _configured(configuration),
                params["segments"] or [],
                datetime.now(UTC),
            )
        ti.xcom_push(key=_BEGUN, value={**asdict(begun), "keys": list(begun.keys)})
        return list(begun.keys)

    return begin()


def _refresh(configuration: Configuration) -> Any:
    alias = AssetAlias(name=f"{configuration.refresh.name}_segments", group="segment")

    @task(
        multiple_outputs=False,
        outlets=[alias],
        map_index_template="{{ task.op_kwargs['key'] }}",
        max_active_tis_per_dagrun=configuration.refresh.at_once,
    )
    def refresh(key: str, begun: dict[str, Any], *, outlet_events: Any = None) -> dict[str, Any]:
        """Build one segment."""
        from airflow_mailchimp_export.operators.databases import open_connection
        from airflow_mailchimp_export.settings.segments import parse_segments
        from airflow_mailchimp_export.snapshots.building import Rule, build

        with failing_in_short():
            name = configuration.segments[key].name
            (segment,) = parse_segments({name: configuration.source(key)})
            built = build(
                Rule(key, name, segment.source, configuration.query(key)),
                begun["refresh"],
                _snapshots(configuration),
                path_factory=storage_path,
                connection_factory=open_connection,
            )
        log.info("Segment %r has %s profiles, in %s bytes", name, f"{built.rows:,}", f"{built.size:,}")
        outlet_events[alias].add(asset_of(key), extra={"rows": built.rows, "refresh": built.refresh})
        return asdict(built)

    return refresh


def _publish(configuration: Configuration) -> Any:
    asset = whole_refresh(configuration)

    # Airflow knows of an asset that comes by an alias only where a DAG names it.
    @task(outlets=[asset], inlets=[asset_of(key) for key in configuration.segments])
    def publish(built: Any, begun: dict[str, Any], *, dag_run: Any = None, outlet_events: Any = None) -> None:
        """Write down that the refresh is whole, and publish it with its numbers."""
        from airflow_mailchimp_export.snapshots import refreshing
        from airflow_mailchimp_export.snapshots.manifest import Snapshot

        snapshots = _snapshots(configuration)
        with failing_in_short():
            refresh = refreshing.finish(
                snapshots,
                refreshing.Begun(**{**begun, "keys": tuple(begun["keys"])}),
                # All at once: one after the other, Airflow asks for one more, and logs an error.
                [Snapshot(**one) for one in built[:]],
                _configured(configuration),
                refreshing.Ended(
                    f"{dag_run.dag_id}.{dag_run.run_id}",
                    datetime.now(UTC),
                    str((dag_run.conf or {}).get("exported_by") or ""),
                ),
            )
        for warning in refresh.warnings:
            log.warning("%s", warning)
        outlet_events[asset].extra = _told(refresh, snapshots.uri)

    return publish


def _clean_up(configuration: Configuration) -> Any:
    @task
    def clean_up() -> list[str]:
        """Remove old refreshes."""
        with failing_in_short():
            return _snapshots(configuration).tidy(
                keep=configuration.refresh.keep,
                keep_hours=configuration.refresh.keep_hours,
                now=datetime.now(UTC),
            )

    return clean_up()


def _told(refresh: Refresh, uri: str) -> dict[str, Any]:
    """Return what the event of a whole refresh tells."""
    return {
        "refresh": refresh.id,
        "snapshots": uri,
        "as_of": refresh.as_of,
        "rows": {snapshot.name: snapshot.rows for snapshot in refresh.segments},
        "rebuilt": [refresh.by_key[key].name for key in refresh.rebuilt],
        "warnings": refresh.warnings,
        **({"exported_by": refresh.exported_by} if refresh.exported_by else {}),
    }


def _snapshots(configuration: Configuration) -> Snapshots:
    from airflow_mailchimp_export.snapshots.store import Snapshots

    return Snapshots(storage_path(configuration.snapshots))


def _configured(configuration: Configuration) -> list[Configured]:
    from airflow_mailchimp_export.snapshots.refreshing import Configured

    return [
        Configured(key, segment.name, configuration.warn_ratio(key))
        for key, segment in configuration.built.items()
    ]
