"""Connections of Airflow to databases, as their drivers offer them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowNotFoundException, BaseHook

from airflow_mailchimp_export.errors import ConfigError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection


def open_connection(conn_id: str) -> Any:
    """Open the database of an Airflow connection.

    :raises ConfigError: there is no such connection, or it is of a type that has no SQL.
    """
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    connection = _connection(conn_id)
    hook = _hook(connection)
    if not isinstance(hook, DbApiHook):
        raise ConfigError(
            f"connection {conn_id!r} is of the type {connection.conn_type!r}, which has no SQL",
            "Name a connection to a database, such as Postgres, MySQL or Sqlite, or any other whose hook is of "
            "common.sql",
        )
    return hook.get_conn()


def _connection(conn_id: str) -> Connection:
    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException as error:
        raise ConfigError(
            f"there is no connection {conn_id!r}", "Create it, or correct the segment's conn_id"
        ) from error


def _hook(connection: Connection) -> Any:
    try:
        return connection.get_hook()  # type: ignore[no-untyped-call]
    except (AirflowException, ImportError) as error:
        raise ConfigError(
            f"nothing is installed for connection {connection.conn_id!r}, which is of the type "
            f"{connection.conn_type!r}",
            "Install the Airflow provider of its database on all workers, such as airflow-mailchimp-export[postgres]",
        ) from error
