"""Whose run it is, and of what moment its data are: what Airflow tells a task of itself."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.insights_hooks import CustomerInsightsHook
from airflow_mailchimp_export.settings.coercion import boolean, is_blank, moment, parse_setting
from airflow_mailchimp_export.settings.pages import AccountPlace
from airflow_mailchimp_export.settings.segments import InsightsSpec, Segment

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_mailchimp_export.definition import RunIdentity
    from airflow_mailchimp_export.published.building import Known
    from airflow_mailchimp_export.settings.connection import ConnectionSettings


def map_index_of(context: Context) -> int | None:
    """Return which of several mapped tasks this is; ``None`` for a task that is not mapped."""
    index = context["ti"].map_index
    return None if index is None or index < 0 else index


class ConnectedTask(Protocol):
    """A task that has a Mailchimp connection.

    :ivar data_moment: of what moment the profiles are, where somebody knows better than Airflow.
    """

    task_id: str
    mailchimp_conn_id: str
    data_moment: object


def known_before(
    context: Context,
    connection_id: object,
    *,
    export: object = "",
    audience_id: object = "",
    **switches: object,
) -> Known:
    """Return what is known of a run before it begins; what it was given may be no text, and no switch.

    :param switches: dry_run, full and withdraw, where they are given.
    """
    from airflow_mailchimp_export.published.building import Known

    return Known(
        export=str(export),
        run_id=str(context["run_id"]),
        dag_id=context["ti"].dag_id,
        connection_id=str(connection_id),
        audience_id=str(audience_id),
        dry_run=_is_on(switches.get("dry_run", False)),
        full=_is_on(switches.get("full", False)),
        withdraw=_is_on(switches.get("withdraw", False)),
    )


def _is_on(switch: object) -> bool:
    with suppress(ConfigError):
        return parse_setting("switch", switch, boolean)
    return False


def identity_of(
    context: Context,
    settings: ConnectionSettings,
    task: ConnectedTask,
    base_url: str,
    segments: Iterable[Segment] = (),
) -> RunIdentity:
    """Return whose run it is, as Airflow tells it, where it goes, and who reads Customer Insights for it.

    :raises ConfigError: of what moment its profiles are was said otherwise than in ISO 8601.
    :raises ExportError: a connection to Customer Insights leads to nobody.
    """
    from airflow_mailchimp_export.definition import RunIdentity

    map_index = map_index_of(context)
    return RunIdentity(
        run_id=str(context["run_id"]),
        dag_id=context["ti"].dag_id,
        export_user=settings.export_user,
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        task_id=task.task_id,
        map_index=-1 if map_index is None else map_index,
        data_moment=(
            _data_moment(context)
            if is_blank(task.data_moment)
            else parse_setting("data_moment", task.data_moment, moment)
        ),
        connection_id=task.mailchimp_conn_id,
        account=AccountPlace.at(base_url, settings.server_prefix),
        read_as=tuple(_reader(conn_id) for conn_id in insights_connections(segments)),
    )


def insights_connections(segments: Iterable[Segment]) -> list[str]:
    """Return the connections to Customer Insights that segments are read by, each once."""
    sources = (segment.source for segment in segments)
    return list(dict.fromkeys(source.conn_id for source in sources if isinstance(source, InsightsSpec)))


def _reader(conn_id: str) -> str:
    hook = CustomerInsightsHook(conn_id)
    return f"{hook.who().name}, application {hook.settings().client_id}, by connection {conn_id}"


def _data_moment(context: Context) -> str:
    """Return of what moment a run's data are: its logical date, or the end of its interval, else when it was due."""
    moments = [context.get("logical_date"), context.get("data_interval_end")]
    known = [moment for moment in moments if moment is not None]
    due = getattr(context.get("dag_run"), "run_after", None)
    newest = max(known) if known else due
    return newest.astimezone(UTC).isoformat() if newest else ""
