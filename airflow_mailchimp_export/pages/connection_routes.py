"""The routes of the page of connections; each asks for the right that Airflow itself asks for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.api_fastapi.logging.decorators import action_logging
from airflow.utils.session import create_session
from fastapi import APIRouter, Depends, HTTPException, status
from pydantic import BaseModel, StrictBool

from airflow_mailchimp_export.errors import ConfigError, sentences
from airflow_mailchimp_export.pages.account_audiences import audiences_of
from airflow_mailchimp_export.pages.checking import check
from airflow_mailchimp_export.pages.connection_rights import (
    from_our_pages,
    needs_connections,
    needs_right,
    needs_tests_enabled,
)
from airflow_mailchimp_export.pages.connection_rows import connections_shown
from airflow_mailchimp_export.pages.kept_connections import change_extra, kept_elsewhere, kept_settings
from airflow_mailchimp_export.settings import consent
from airflow_mailchimp_export.settings.connection import ConnectionSettings

TEST, EDIT = needs_right("test"), needs_right("edit")
ASKS_MAILCHIMP = Depends(needs_tests_enabled)
CHANGES = Depends(from_our_pages)

ONE = "/{connection_id:path}"
"""The id of a connection may have slashes."""

router = APIRouter(prefix="/api/connections")


class ChosenAudience(BaseModel):
    """An audience of the account."""

    audience_id: str


class Decision(BaseModel):
    """Whether somebody agrees to the transfer of personal data, or withdraws that."""

    given: StrictBool


@router.get("", dependencies=[Depends(needs_connections)])
def connections(user: GetUserDep, session: SessionDep) -> dict[str, Any]:
    """Return the Mailchimp connections that the user may read."""
    return connections_shown(user, session)


@router.post(
    f"{ONE}/check",
    dependencies=[TEST, CHANGES, ASKS_MAILCHIMP, Depends(action_logging("mailchimp_check"))],
)
def check_one(connection_id: str, user: GetUserDep) -> dict[str, str]:
    """Try a connection out, with the exports that use it; what was found is in the list of connections."""
    check(connection_id, user)
    return {"checked": connection_id}


@router.get(f"{ONE}/audiences", dependencies=[EDIT, ASKS_MAILCHIMP])
def audiences(connection_id: str) -> dict[str, Any]:
    """Return the audiences of a connection's account.

    :raises HTTPException: exports use another connection of that id.
    """
    found, total = audiences_of(_settings(connection_id))
    return {"audiences": [{"id": one.id, "name": one.name} for one in found], "total": total}


@router.put(
    f"{ONE}/audience",
    dependencies=[EDIT, CHANGES, ASKS_MAILCHIMP, Depends(action_logging("mailchimp_audience"))],
)
def choose_audience(connection_id: str, chosen: ChosenAudience) -> dict[str, str]:
    """Put an audience of the account into the connection, as the default of its exports.

    :raises HTTPException: the account has no such audience, or exports use another connection of that id.
    """
    found, _ = audiences_of(_settings(connection_id))
    if chosen.audience_id not in {audience.id for audience in found}:
        raise HTTPException(status.HTTP_409_CONFLICT, f"The account has no audience {chosen.audience_id}")
    _change(connection_id, lambda extra: {**extra, "audience_id": chosen.audience_id})
    return {"audience_id": chosen.audience_id}


@router.put(f"{ONE}/consent", dependencies=[EDIT, CHANGES, Depends(action_logging("mailchimp_consent"))])
def decide(connection_id: str, decision: Decision, user: GetUserDep) -> dict[str, Any]:
    """Agree to the transfer of personal data, or withdraw that; who and when is kept in the connection.

    Where exports use another connection of that id, a withdrawal is kept all the same, in case that one goes, and the
    answer says so; an agreement would be taken for one to something else.

    :raises HTTPException: exports use another, and this is an agreement.
    """
    if decision.given:
        _check_used(connection_id)
    change = consent.agreed if decision.given else consent.withdrawn
    _change(connection_id, partial(change, by=user.get_name(), at=datetime.now(UTC)))
    problem = None if decision.given else kept_elsewhere(connection_id)
    return {"given": decision.given, "elsewhere": problem.happened if problem else None}


def _settings(connection_id: str) -> ConnectionSettings:
    """Read a connection that exports use, and hold the metastore no longer than that."""
    with create_session() as session:
        try:
            settings = kept_settings(session, connection_id)
        except ConfigError as error:
            raise HTTPException(status.HTTP_409_CONFLICT, str(error)) from error
    _check_used(connection_id)
    return settings


def _check_used(connection_id: str) -> None:
    if problem := kept_elsewhere(connection_id):
        raise HTTPException(status.HTTP_409_CONFLICT, sentences(problem.happened, problem.remedy))


def _change(connection_id: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    with create_session() as session:
        change_extra(session, connection_id, change)
