"""Tries a connection out, with all exports that use it, and keeps what was found."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.utils.session import create_session

from airflow_mailchimp_export.connection_check import account_points, failed_point, settings_points
from airflow_mailchimp_export.errors import ConfigError, ExportError
from airflow_mailchimp_export.findings import Mark, Point, Topic
from airflow_mailchimp_export.hooks import to_prompt_client
from airflow_mailchimp_export.pages.connection_rights import readable_exports
from airflow_mailchimp_export.pages.export_points import allowed_points, audience_points
from airflow_mailchimp_export.pages.kept_connections import (
    kept_elsewhere,
    kept_settings,
    mailchimp_connection,
)
from airflow_mailchimp_export.pages.last_checks import keep_check
from airflow_mailchimp_export.pages.metastore import exporting_dags
from airflow_mailchimp_export.pages.using_exports import UsingExport, exports_using

if TYPE_CHECKING:
    from airflow_mailchimp_export.settings.connection import ConnectionSettings

ORDER = {topic: place for place, topic in enumerate(Topic)}
NOT_ASKED = frozenset({Topic.ROLE, Topic.AUDIENCE, Topic.OPT_IN, Topic.MERGE_FIELDS, Topic.CONTACT_LIMIT})
"""What only Mailchimp can say."""


def check(conn_id: str, user: Any) -> None:
    """Look at a connection and at the exports that use it, of those that the user may see, and keep what was found.

    The metastore is not held while Mailchimp is asked.

    :raises HTTPException: there is no such connection.
    """
    at = datetime.now(UTC).isoformat(timespec="seconds")
    with create_session() as session:
        mark = mailchimp_connection(session, conn_id).mark
        dags = exporting_dags(session)
        ids = readable_exports(user, session, [dag.dag_id for dag in dags])
        exports = exports_using(session, ids, conn_id)
        try:
            settings: ConnectionSettings | ConfigError = kept_settings(session, conn_id)
        except ConfigError as error:
            settings = error
    problem = kept_elsewhere(conn_id)
    unread = _unread(user.get_name(), exports, len(dags) - len(ids))
    points = _unused(problem) if problem else _points(settings, exports, unread)
    with create_session() as session:
        keep_check(session, conn_id, points, by=user.get_name(), at=at, mark=mark)


def _unused(problem: ConfigError) -> list[Point]:
    return _in_order(
        [Point(Topic.KEY, Mark.STOP, problem.happened, problem.remedy)], "no export uses this one"
    )


def _unread(by: str, exports: Sequence[UsingExport], hidden: int) -> list[Point]:
    """Say what the check says nothing of: whoever reads it may know of more exports than whoever asked for it.

    :param by: who asked for it.
    :param hidden: the DAGs of exports that they may not read.
    """
    whose = f"that {by} may read " if hidden else "was found that "
    told = [] if exports else [f"No export {whose}uses the connection"]
    if hidden:
        told.append(f"DAGs of exports that {by} may not read, and that were not looked at: {hidden}")
    return [Point(Topic.MERGE_FIELDS, Mark.UNKNOWN, "; ".join(told))] if told else []


def _points(
    settings: ConnectionSettings | ConfigError, exports: Sequence[UsingExport], unread: Sequence[Point]
) -> list[Point]:
    if isinstance(settings, ConfigError):
        return _in_order([failed_point(settings, None)], also=unread)
    points = [*settings_points(settings), *allowed_points(settings, exports)]
    try:
        with to_prompt_client(settings) as client:
            for point in account_points(client, settings):
                points.append(point)
            points += audience_points(client, settings, exports)
    except ExportError as error:
        return _in_order([*points, failed_point(error, settings)], also=unread)
    return _in_order([*points, *unread], "there is no audience to look at")


def _in_order(
    points: list[Point],
    why_not: str = "Mailchimp was not asked, or did not answer",
    *,
    also: Sequence[Point] = (),
) -> list[Point]:
    """Sort by topic; what was not looked at is said, so that nobody takes it for good.

    :param also: points that look at nothing.
    """
    missing = NOT_ASKED - {point.topic for point in points}
    told = [Point(topic, Mark.UNKNOWN, f"Not looked at: {why_not}") for topic in missing]
    return sorted([*points, *also, *told], key=lambda point: ORDER[point.topic])
