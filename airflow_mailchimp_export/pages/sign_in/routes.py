"""The way of a sign-in: the page, to Mailchimp and back, and the choice of an audience."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote

from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Form, Request, status
from fastapi.responses import Response
from pydantic import BaseModel

from airflow_mailchimp_export.errors import ConfigError, ExportError
from airflow_mailchimp_export.pages.sign_in import pending
from airflow_mailchimp_export.pages.sign_in.answers import elsewhere, page
from airflow_mailchimp_export.pages.sign_in.begin_page import Choice, begin_page
from airflow_mailchimp_export.pages.sign_in.browser import browser_of, check_form
from airflow_mailchimp_export.pages.sign_in.connections import (
    changeable,
    check_name,
    connection_to_change,
    extra_of,
    may_create,
    save_token,
)
from airflow_mailchimp_export.pages.sign_in.consents import check_unchanged, consent_mark
from airflow_mailchimp_export.pages.sign_in.located import located_by
from airflow_mailchimp_export.pages.sign_in.place import app_of, path_of, redirect_uri, sign_in_settings
from airflow_mailchimp_export.pages.sign_in.stopped import Stopped, not_allowed
from airflow_mailchimp_export.settings.connection import ConnectionSettings

router = APIRouter()


class BeginForm(BaseModel):
    """What the page sends."""

    token: str = ""
    connection: str = ""
    new_connection: str = ""
    agreed: str = ""

    @property
    def conn_id(self) -> str:
        """The connection that it is for."""
        return self.connection or self.new_connection.strip()


@router.get("")
def show(request: Request, user: GetUserDep, session: SessionDep, connection: str = "") -> Response:
    """Return the page from which one leaves for Mailchimp.

    :param connection: the one that is chosen to begin with.
    """
    existing, creates = changeable(session, user), may_create(user)
    if not existing and not creates:
        raise not_allowed("create or change a connection to Mailchimp")
    try:
        settings = sign_in_settings()
    except ConfigError as error:
        return page("configure", problem=error, redirect_uri=redirect_uri())
    named = connection if connection not in existing else ""
    return begin_page(request, user, settings, Choice(existing, creates, connection, named))


@router.post("")
def begin(
    request: Request, user: GetUserDep, session: SessionDep, form: Annotated[BeginForm, Form()]
) -> Response:
    """Send the browser to Mailchimp, once it is clear what for."""
    check_form(request, form.token, user.get_id())
    try:
        settings = sign_in_settings()
    except ConfigError as error:
        raise Stopped.by(error, "Signing in to Mailchimp is not set up") from error
    is_new = not form.connection
    try:
        consent = _check(session, user, form.conn_id, is_new=is_new)
        if form.agreed != "yes":
            raise _no_consent()
    except Stopped as problem:
        if problem.status == status.HTTP_403_FORBIDDEN:
            raise
        choice = Choice(changeable(session, user), may_create(user), form.connection, form.new_connection)
        return begin_page(request, user, settings, choice, problem)
    browser, now = browser_of(request), datetime.now(UTC)
    purpose = pending.Purpose(conn_id=form.conn_id, is_new=is_new, consent=consent)
    state = pending.begin(session, purpose, user_id=user.get_id(), browser=browser, now=now)
    # No redirect: it would belong to the form, and browsers hold the form's policy against every host that Mailchimp
    # leads on to, such as that of another data center or of a log-in.
    return page("leave", url=app_of(settings).authorize_url(state))


@router.get("/callback")
def come_back(
    request: Request,
    user: GetUserDep,
    session: SessionDep,
    state: str = "",
    code: str = "",
    error: str = "",
) -> Response:
    """Take what Mailchimp gave the browser, and save what it is good for.

    The answer is a redirect, so that code and state are not in the address of anything that is shown.
    """
    begun = pending.take(
        session, state, user_id=user.get_id(), browser=browser_of(request), now=datetime.now(UTC)
    )
    if error or not code:
        raise _refused(error)
    purpose = begun.purpose
    now = _check(session, user, purpose.conn_id, is_new=purpose.is_new)
    check_unchanged(now, purpose.consent, purpose.conn_id)
    # No transaction stays open while Mailchimp is asked.
    session.commit()
    located = _located_token(code)
    connection = None if purpose.is_new else connection_to_change(session, user, purpose.conn_id, lock=True)
    if connection:
        # Once more, because from here on nobody else can change it.
        check_unchanged(consent_mark(extra_of(connection)), purpose.consent, purpose.conn_id)
    save_token(
        session,
        user,
        connection,
        conn_id=purpose.conn_id,
        located=located,
        agreed_at=begun.agreed_at,
    )
    return elsewhere(f"{path_of('/audience')}?connection={quote(purpose.conn_id, safe='')}")


def _located_token(code: str) -> ConnectionSettings:
    """Return the token that a code is good for, and where its account lives."""
    try:
        settings = sign_in_settings()
        token = app_of(settings).exchange(code)
    except ExportError as problem:
        raise Stopped.by(problem, "Mailchimp gave no token, so nothing was saved") from None
    try:
        return located_by(settings, token)
    except ExportError as problem:
        raise Stopped.by(problem, "The account of the token was not located, so nothing was saved") from None


def _check(session: Any, user: Any, conn_id: str, *, is_new: bool) -> str:
    """Let a sign-in be for a connection: both before it begins and when it comes back.

    :returns: the mark of the connection's consent.
    """
    if is_new:
        check_name(session, user, conn_id)
        return consent_mark({})
    return consent_mark(extra_of(connection_to_change(session, user, conn_id)))


def _no_consent() -> Stopped:
    return Stopped(
        "You have not agreed",
        "Without your agreement to the transfer of personal data nothing may leave, so a token would be of no use",
        "Read what is below, and tick it if you agree",
    )


def _refused(error: str) -> Stopped:
    if error == "access_denied":
        return Stopped(
            "You did not allow it",
            "In Mailchimp access was refused, so nothing was saved",
            "Begin again if that was a mistake, or have somebody sign in who may give access to the account",
        )
    return Stopped(
        "Mailchimp did not let you in",
        "Mailchimp sent you back without what a token is given for, so nothing was saved",
        "Begin again; if that does not help, compare the redirect URI of the registered app with the one of this page",
    )
