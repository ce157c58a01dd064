"""The connections that somebody may sign in for, and what becomes of them."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import ConnectionDetails
from airflow.models.connection import Connection
from airflow.models.log import Log
from airflow.providers.common.compat.sdk import AirflowException
from cryptography.fernet import InvalidToken
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from airflow_mailchimp_export.pages.connection_rights import connection_rights
from airflow_mailchimp_export.pages.kept_connections import kept_elsewhere, mailchimp_connections
from airflow_mailchimp_export.pages.sign_in.stopped import Stopped, not_allowed
from airflow_mailchimp_export.settings.connection import AuthMethod, ConnectionSettings
from airflow_mailchimp_export.settings.consent import agreed
from airflow_mailchimp_export.settings.endpoint import prefix_of
from airflow_mailchimp_export.settings.hosts import DEFAULT_PORTS, is_loopback

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

CONN_TYPE = "mailchimp"

_CONN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")


def changeable(session: Session, user: Any) -> list[str]:
    """Return the ids of the Mailchimp connections that somebody may change."""
    ids = (kept.conn_id for kept in mailchimp_connections(session))
    return [conn_id for conn_id in ids if connection_rights(user, session, conn_id).edit]


def may_create(user: Any, conn_id: str | None = None) -> bool:
    """Return whether somebody may create a connection."""
    details = ConnectionDetails(conn_id=conn_id)
    return get_auth_manager().is_authorized_connection(method="POST", details=details, user=user)


def connection_to_change(session: Session, user: Any, conn_id: str, *, lock: bool = False) -> Connection:
    """Return a Mailchimp connection that somebody may change, and that exports use.

    :param lock: read it again, and let nobody else change it before it is saved.
    :raises Stopped: they may not, or it is none; whoever may not is not told whether there is one. Or exports use
        another one of that id.
    """
    if not connection_rights(user, session, conn_id).edit:
        raise not_allowed(f"change the connection {conn_id}")
    asked = select(Connection).where(Connection.conn_id == conn_id)
    if lock:
        asked = asked.with_for_update().execution_options(populate_existing=True)
    try:
        found: Connection | None = session.scalar(asked)
    except (AirflowException, InvalidToken):
        raise _unreadable(conn_id) from None
    if found is None:
        raise Stopped(
            "There is no such connection",
            f"Airflow's database has no connection {conn_id}",
            "Begin again, and choose another one or a new one",
            status=404,
        )
    if found.conn_type != CONN_TYPE:
        raise Stopped(
            "This is another kind of connection",
            f"The connection {conn_id} is not of the type {CONN_TYPE}",
            "Begin again, and choose another one or a new one",
        )
    _check_used(conn_id)
    return found


def check_name(session: Session, user: Any, conn_id: str) -> None:
    """Let somebody create a connection of that name.

    :raises Stopped: they may not, it is no name, or it is taken, be it where Airflow's database does not count.
    """
    if not may_create(user, conn_id):
        raise not_allowed("create a connection")
    if not _CONN_ID.fullmatch(conn_id):
        raise Stopped(
            "This is no name for a connection",
            "The name of a new connection has up to 200 letters, digits, underscores, hyphens and dots",
            "Go back, and correct it",
        )
    if session.scalar(select(Connection.id).where(Connection.conn_id == conn_id)) is not None:
        raise _taken(conn_id)
    _check_used(conn_id)


def extra_of(connection: Connection) -> dict[str, Any]:
    """Return the extras of a connection.

    :raises Stopped: they cannot be read, so that saving them would lose them.
    """
    try:
        extra = json.loads(connection.extra or "{}")
    except (AirflowException, InvalidToken, ValueError):
        extra = None
    if not isinstance(extra, dict):
        raise _unreadable(connection.conn_id)
    return extra


def save_token(
    session: Session,
    user: Any,
    connection: Connection | None,
    *,
    conn_id: str,
    located: ConnectionSettings,
    agreed_at: datetime,
) -> None:
    """Save a token with where its account lives, and who agreed to the transfer.

    :param connection: the one to change; ``None`` makes a new one.
    :param located: the token, and where the API is for it.
    :raises Stopped: somebody else made the new one at the same moment.
    """
    kept = extra_of(connection) if connection else {}
    extra = agreed({**kept, **_extra(located)}, by=user.get_name(), at=agreed_at)
    connection = connection or Connection(conn_id=conn_id, conn_type=CONN_TYPE)
    # All that says where the token travels: what was there before may lead elsewhere.
    connection.host, connection.port, connection.schema = *_host(located), None
    connection.set_password(located.token)
    connection.set_extra(json.dumps(extra))
    session.add(connection)
    _note(session, user, "mailchimp_sign_in", connection_id=conn_id, consent=True)
    try:
        session.commit()
    except IntegrityError:
        raise _taken(conn_id) from None


def save_audience(session: Session, user: Any, connection: Connection, audience_id: str) -> None:
    """Save where exports go that name no audience."""
    connection.set_extra(json.dumps({**extra_of(connection), "audience_id": audience_id}))
    _note(session, user, "mailchimp_audience", connection_id=connection.conn_id, audience_id=audience_id)
    session.commit()


def _host(located: ConnectionSettings) -> tuple[str | None, int]:
    """Return host and port; with a port, because Airflow 3.3.2 cannot test a connection without one."""
    if prefix_of(str(located.base_url)):
        return None, DEFAULT_PORTS["https"]
    parts = urlsplit(str(located.base_url))
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    return f"{parts.scheme}://{host}", parts.port or DEFAULT_PORTS[parts.scheme]


def _extra(located: ConnectionSettings) -> dict[str, Any]:
    parts = urlsplit(str(located.base_url))
    is_other = not prefix_of(str(located.base_url)) and not is_loopback(str(parts.hostname))
    return {
        "auth_method": AuthMethod.OAUTH2.value,
        "server_prefix": located.server_prefix,
        "allow_custom_host": is_other and located.allow_custom_host,
        "allow_insecure_host": is_other and located.allow_insecure_host,
    }


def _taken(conn_id: str) -> Stopped:
    return Stopped(
        "This name is taken",
        f"There is a connection {conn_id} already",
        "Go back, and choose another name, or choose that connection in the list, if it is meant",
    )


def _unreadable(conn_id: str) -> Stopped:
    return Stopped(
        "This connection cannot be read",
        f"The extra of the connection {conn_id} is no JSON mapping, or Airflow cannot decrypt the connection, so it is "
        "left as it is",
        "Correct it under Admin, Connections, restore the Fernet key, or choose another connection",
        status=409,
    )


def _check_used(conn_id: str) -> None:
    if problem := kept_elsewhere(conn_id):
        raise Stopped("This connection is kept elsewhere", problem.happened, problem.remedy)


def _note(session: Session, user: Any, event: str, **told: Any) -> None:
    """Write into Airflow's audit log who did what; never a secret."""
    extra = json.dumps(told)
    session.add(Log(event=event, owner=user.get_id(), owner_display_name=user.get_name(), extra=extra))
