"""The Mailchimp connections in Airflow's metastore: read, and changed where a page changes them.

Airflow decrypts a password as soon as its row is loaded, so one that it cannot decrypt cannot even be loaded. What is
read of all of them is read by columns, therefore, and a connection is loaded by itself where its content is needed.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.configuration import ensure_secrets_loaded
from airflow.models.connection import Connection
from airflow.providers.common.compat.sdk import AirflowException
from airflow.secrets.metastore import MetastoreBackend
from cryptography.fernet import InvalidToken
from fastapi import HTTPException, status
from sqlalchemy import select

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.hooks import MailchimpHook, to_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from airflow_mailchimp_export.settings.connection import ConnectionSettings

_OF_TYPE = Connection.conn_type == MailchimpHook.conn_type
_MARKED = (Connection.host, Connection.port, Connection.schema, Connection._password, Connection._extra)


@dataclass(frozen=True, slots=True)
class Kept:
    """What can be said of a connection without decrypting anything.

    :param mark: another text once the connection was saved again; of encrypted fields, nothing is to be seen.
    """

    conn_id: str
    description: str
    mark: str


def kept_elsewhere(conn_id: str) -> ConfigError | None:
    """Return what to say where an environment variable or a secrets backend has a connection, which comes first.

    What is changed in the metastore would not be what exports use.
    """
    for backend in ensure_secrets_loaded():
        if isinstance(backend, MetastoreBackend):
            continue
        found = None
        # One that cannot be asked now is asked again by whoever uses the connection.
        with suppress(Exception):
            found = backend.get_connection(conn_id)
        if found is not None:
            return ConfigError(
                f"The connection {conn_id} comes from {type(backend).__name__}, before which Airflow's database does "
                "not count",
                "Choose another connection, or remove it there",
            )
    return None


def mailchimp_connections(session: Session) -> list[Kept]:
    """Return those in the metastore, by their ids; variables of the environment and vaults are listed nowhere."""
    return _kept(session, _OF_TYPE)


def mailchimp_connection(session: Session, conn_id: str) -> Kept:
    """Return one of them.

    :raises HTTPException: there is none of that id and type.
    """
    found = _kept(session, _OF_TYPE, Connection.conn_id == conn_id)
    if not found:
        raise _unknown(conn_id)
    return found[0]


def kept_settings(session: Session, conn_id: str) -> ConnectionSettings:
    """Return what one of them holds, checked.

    :raises HTTPException: there is none of that id and type.
    :raises ConfigError: names the field that is wrong, or says that Airflow cannot read the connection.
    """
    return settings_of(_loaded(session, conn_id))


def settings_of(connection: Connection) -> ConnectionSettings:
    """Return what a loaded connection holds, checked.

    :raises ConfigError: names the field that is wrong, or says that Airflow cannot read the connection.
    """
    try:
        return to_settings(connection)
    except ConfigError:
        raise
    except (AirflowException, InvalidToken) as error:
        raise _undecryptable() from error
    except ValueError as error:
        raise ConfigError(
            "The extra of the connection is no JSON mapping", "Correct it under Admin, Connections"
        ) from error


def change_extra(session: Session, conn_id: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change a connection's extras; nobody else changes them until the session ends.

    :raises HTTPException: there is none of that id and type, or it cannot be read, so that changing it would lose what
        it holds.
    """
    try:
        connection = _loaded(session, conn_id, to_change=True)
        extra = json.loads(connection.extra or "{}")
    except (ConfigError, AirflowException, InvalidToken, ValueError) as error:
        raise HTTPException(
            status.HTTP_409_CONFLICT,
            "The connection cannot be read, so it is left as it is: restore the Fernet key that it was saved with "
            "([core] fernet_key), or correct it under Admin, Connections",
        ) from error
    connection.extra = json.dumps(change(extra))


def _kept(session: Session, *conditions: Any) -> list[Kept]:
    columns = select(Connection.conn_id, Connection.description, *_MARKED)
    rows = session.execute(columns.where(*conditions).order_by(Connection.conn_id))
    return [Kept(conn_id, description or "", _mark(marked)) for conn_id, description, *marked in rows]


def _mark(fields: list[Any]) -> str:
    return hashlib.sha256(repr(tuple(fields)).encode()).hexdigest()[:16]


def _loaded(session: Session, conn_id: str, *, to_change: bool = False) -> Connection:
    found = select(Connection).where(Connection.conn_id == conn_id, _OF_TYPE)
    try:
        connection: Connection | None = session.scalar(found.with_for_update() if to_change else found)
    except (AirflowException, InvalidToken, UnicodeDecodeError) as error:
        raise _undecryptable() from error
    if connection is None:
        raise _unknown(conn_id)
    return connection


def _unknown(conn_id: str) -> HTTPException:
    return HTTPException(
        status.HTTP_404_NOT_FOUND, f"There is no Mailchimp connection {conn_id} in Airflow's database"
    )


def _undecryptable() -> ConfigError:
    return ConfigError(
        "Airflow cannot decrypt the connection",
        "Restore the Fernet key that it was saved with ([core] fernet_key), or save the connection again",
    )
