"""Whether segments of Customer Insights were refreshed after a moment, be they read over its API or from files."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from airflow_mailchimp_export.customer_insights.refresh import last_refresh
from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.settings.insights_segments import InsightsFilesSpec, InsightsSpec
from airflow_mailchimp_export.settings.segments import Segment
from airflow_mailchimp_export.sources.finding import PathFactory
from airflow_mailchimp_export.sources.insights import ClientFactory
from airflow_mailchimp_export.sources.insights_files import ModelFile


def check_refreshable(segments: Iterable[Segment]) -> None:
    """Make sure that all segments are of Customer Insights.

    :raises ConfigError: one is not.
    """
    for segment in segments:
        if not isinstance(segment.source, InsightsSpec | InsightsFilesSpec):
            raise ConfigError(
                f"segment {segment.name!r} is not of Customer Insights, which alone refreshes segments",
                "Name its table in Customer Insights with 'segment', or leave it out here",
            )


def not_refreshed(
    segments: Iterable[Segment],
    since: datetime,
    *,
    now: datetime,
    quiet: float,
    path_factory: PathFactory,
    insights: ClientFactory,
) -> list[str]:
    """Return the names of the segments that were not refreshed since, or whose refresh may still be under way.

    :param quiet: seconds for which the API's tables may not have been written; files tell without it.
    :raises ConfigError: it cannot be told.
    :raises SourceError: it cannot be told at present.
    """
    late: list[str] = []
    by_connection: dict[str, list[tuple[str, str]]] = {}
    for segment in segments:
        source = segment.source
        if isinstance(source, InsightsSpec):
            by_connection.setdefault(source.conn_id, []).append((segment.name, source.segment))
        elif isinstance(source, InsightsFilesSpec) and not _is_exported(
            segment.name, source, since, path_factory
        ):
            late.append(segment.name)
    for conn_id, named in by_connection.items():
        with insights(conn_id) as client:
            refreshed = last_refresh(client, [table for _, table in named])
        if not refreshed.is_after(since, now=now, quiet=quiet):
            late += [name for name, _ in named]
    return late


def _is_exported(name: str, spec: InsightsFilesSpec, since: datetime, path_factory: PathFactory) -> bool:
    refreshed = ModelFile(spec, segment=name, path_factory=path_factory).snapshot().refreshed
    if refreshed is None:
        raise ConfigError(
            f"segment {name!r}: model.json does not tell when the files were written",
            "Start the export by a schedule some hours after the export of Customer Insights",
        )
    return refreshed > since
