"""The page from which one leaves for Mailchimp."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import Request, status
from fastapi.responses import Response

from airflow_mailchimp_export.pages.sign_in.answers import page
from airflow_mailchimp_export.pages.sign_in.browser import browser_of, form_token, new_browser, remember
from airflow_mailchimp_export.pages.sign_in.place import redirect_uri
from airflow_mailchimp_export.pages.sign_in.stopped import Stopped
from airflow_mailchimp_export.provider_info import CONSENT_LABEL, CONSENT_TEXT
from airflow_mailchimp_export.settings.sign_in import SignInSettings


@dataclass(frozen=True, slots=True)
class Choice:
    """What the page offers, and what of it is chosen.

    :param existing: the connections that may be changed.
    :param may_create: whether a new one may be made.
    :param chosen: one of the existing.
    :param named: the name of a new one.
    """

    existing: list[str]
    may_create: bool
    chosen: str = ""
    named: str = ""


def begin_page(
    request: Request, user: Any, settings: SignInSettings, choice: Choice, problem: Stopped | None = None
) -> Response:
    """Return the page.

    :param problem: what was wrong with what was filled in.
    """
    browser = browser_of(request) or new_browser()
    answer = page(
        "begin",
        status=problem.status if problem else status.HTTP_200_OK,
        form_to="'self'",
        problem=problem,
        choice=choice,
        token=form_token(browser, user.get_id()),
        user_name=user.get_name(),
        consent_text=CONSENT_TEXT,
        consent_label=CONSENT_LABEL,
        authorize_origin=settings.authorize_origin,
        redirect_uri=redirect_uri(),
    )
    remember(answer, browser)
    return answer
