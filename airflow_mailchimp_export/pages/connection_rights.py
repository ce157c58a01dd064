"""What a user may do with connections, as Airflow's auth manager says, and what Airflow lets nobody do."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import ConnectionDetails
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.configuration import conf
from airflow.models.connection import Connection
from airflow.utils.session import create_session
from fastapi import Depends, HTTPException, Request, status

from airflow_mailchimp_export.pages.kept_connections import mailchimp_connections
from airflow_mailchimp_export.pages.rights import rights_of

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class ConnectionRights:
    """What a user may do with one connection."""

    read: bool
    test: bool
    edit: bool


def connection_rights(user: Any, session: Session, conn_id: str) -> ConnectionRights:
    """Ask what a user may do with a connection; testing is creating, as for Airflow's own button."""
    manager = get_auth_manager()
    team = Connection.get_team_name(conn_id, session=session) if _has_teams() else None
    details = ConnectionDetails(conn_id=conn_id, team_name=team)

    def may(method: Any) -> bool:
        return manager.is_authorized_connection(method=method, details=details, user=user)

    read = may("GET")
    return ConnectionRights(read=read, test=read and may("POST"), edit=read and may("PUT"))


def needs_right(right: Literal["read", "test", "edit"]) -> Any:
    """Make the dependency of a route that refuses whoever has no such right to the connection in its path.

    Airflow's own dependency takes the team out of the body, as fits a body that is a connection; the bodies here are
    none, so the team is always that of the connection in the metastore.
    """

    def needed(connection_id: str, user: GetUserDep) -> None:
        with create_session() as session:
            rights = connection_rights(user, session, connection_id)
        if not getattr(rights, right):
            raise HTTPException(status.HTTP_403_FORBIDDEN, "Forbidden")

    return Depends(needed)


def may_read_connections(user: Any, session: Session) -> bool:
    """Return whether the user may read connections at all, also where there is none yet."""
    if get_auth_manager().is_authorized_connection(method="GET", user=user):
        return True
    ids = [connection.conn_id for connection in mailchimp_connections(session)] if _has_teams() else []
    return any(connection_rights(user, session, conn_id).read for conn_id in ids)


def needs_connections(user: GetUserDep, session: SessionDep) -> None:
    """Refuse whoever may read no connection at all.

    :raises HTTPException: that is so.
    """
    if not may_read_connections(user, session):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "Forbidden")


def _has_teams() -> bool:
    return bool(conf.getboolean("core", "multi_team", fallback=False))


def readable_exports(user: Any, session: Session, dag_ids: Collection[str]) -> frozenset[str]:
    """Return which of some DAGs the user may see on the pages of exports."""
    try:
        return rights_of(user, session, dag_ids).read
    except HTTPException:
        return frozenset()


def tests_are_enabled() -> bool:
    """Return whether Airflow lets API servers try connections out, which it does not unless somebody says so."""
    setting: str = conf.get("core", "test_connection", fallback="Disabled")
    return setting.strip().lower() == "enabled"


def needs_tests_enabled() -> None:
    """Refuse what lets the API server call whatever host a connection names.

    :raises HTTPException: says which setting it is.
    """
    if not tests_are_enabled():
        raise HTTPException(
            status.HTTP_403_FORBIDDEN,
            "Airflow's configuration does not let its API server try connections out: [core] test_connection is not "
            "Enabled",
        )


def from_our_pages(request: Request) -> None:
    """Refuse a change that another site may have made a browser ask for.

    Airflow's cookie is not sent along with such a request (SameSite=Lax), and its API takes only JSON, which a form of
    another site cannot send. Here both are asked for, whatever the cookie is.

    :raises HTTPException: the browser says that another site asks, or it is no JSON.
    """
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise HTTPException(status.HTTP_403_FORBIDDEN, "Another site asks for this")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(status.HTTP_415_UNSUPPORTED_MEDIA_TYPE, "Send JSON")
