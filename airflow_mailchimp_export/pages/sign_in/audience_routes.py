"""After a sign-in: whose account it is, and the choice of an audience in it."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote, urlsplit

from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models.connection import Connection
from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from pydantic import BaseModel

from airflow_mailchimp_export.connection_check import READ_ONLY_ROLES
from airflow_mailchimp_export.errors import ExportError
from airflow_mailchimp_export.hooks import to_prompt_client
from airflow_mailchimp_export.mailchimp import calls
from airflow_mailchimp_export.model import Audience
from airflow_mailchimp_export.pages.kept_connections import settings_of
from airflow_mailchimp_export.pages.sign_in.answers import elsewhere, page
from airflow_mailchimp_export.pages.sign_in.browser import (
    browser_of,
    check_form,
    form_token,
    new_browser,
    remember,
)
from airflow_mailchimp_export.pages.sign_in.connections import connection_to_change, extra_of, save_audience
from airflow_mailchimp_export.pages.sign_in.located import located_by
from airflow_mailchimp_export.pages.sign_in.place import base_url, path_of, sign_in_settings
from airflow_mailchimp_export.pages.sign_in.stopped import Stopped
from airflow_mailchimp_export.settings.connection import AuthMethod

router = APIRouter()


@router.get("/audience")
def show(request: Request, user: GetUserDep, session: SessionDep, connection: str = "") -> Response:
    """Return the list of the account's audiences."""
    found = connection_to_change(session, user, connection)
    account, audiences, total = _looked_up(found)
    browser = browser_of(request) or new_browser()
    saved = str(extra_of(found).get("audience_id") or "")
    answer = page(
        "audience",
        form_to="'self'",
        conn_id=connection,
        account=account,
        is_read_only=account.role.lower() in READ_ONLY_ROLES,
        audiences=audiences,
        total=total,
        saved=next((one for one in audiences if one.id == saved), None),
        token=form_token(browser, user.get_id()),
        connections=f"{urlsplit(base_url()).path}/connections",
    )
    remember(answer, browser)
    return answer


class AudienceForm(BaseModel):
    """What the page sends."""

    token: str = ""
    connection: str = ""
    audience: str = ""


@router.post("/audience")
def choose(
    request: Request, user: GetUserDep, session: SessionDep, form: Annotated[AudienceForm, Form()]
) -> Response:
    """Save the audience, if the account has it."""
    check_form(request, form.token, user.get_id())
    found = connection_to_change(session, user, form.connection)
    if form.audience not in {one.id for one in _looked_up(found)[1]}:
        raise Stopped(
            "There is no such audience",
            "The account has no audience of the id that was sent, so none was saved",
            "Go back, load the list again, and choose one of it",
        )
    found = connection_to_change(session, user, form.connection, lock=True)
    save_audience(session, user, found, form.audience)
    return elsewhere(f"{path_of('/audience')}?connection={quote(form.connection, safe='')}")


def _looked_up(connection: Connection) -> tuple[calls.Account, list[Audience], int]:
    """Ask Mailchimp where the token belongs, and never a host that somebody wrote into the connection.

    Airflow lets it be forbidden that the API server calls such a host.
    """
    extra_of(connection)
    try:
        held = settings_of(connection)
        if held.auth_method is not AuthMethod.OAUTH2:
            raise _no_token(connection.conn_id)
        located = located_by(sign_in_settings(), held.token)
        with to_prompt_client(located, reread=lambda: located) as client:
            audiences, total = client.send(calls.audiences(calls.PAGE_SIZE))
            return client.send(calls.account()), audiences, total
    except ExportError as error:
        raise Stopped.by(error, "The audiences could not be listed") from None


def _no_token(conn_id: str) -> Stopped:
    return Stopped(
        "Nobody has signed in for this connection",
        f"The connection {conn_id} holds no token of a sign-in",
        "Begin again, and choose it",
    )
