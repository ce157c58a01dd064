"""Which browser it is, and whether a form was sent from our own page.

A cookie holds a random value that tells one browser from another. Scripts do not get it, it goes nowhere but to this
page, and it comes along when Mailchimp sends the browser back, for which SameSite has to be Lax. The token in a form is
made of it: whoever sends the form from elsewhere knows neither. Airflow's session cookie is Lax, too, so that a form
of another site comes without a session anyway; neither rests on the other.
"""

from __future__ import annotations

import hmac
import re
import secrets
from hashlib import sha256

from fastapi import Request, Response

from airflow_mailchimp_export.pages.sign_in.place import is_https, path_of
from airflow_mailchimp_export.pages.sign_in.stopped import Stopped

COOKIE = "mailchimp_sign_in"

_VALUE = re.compile(r"[A-Za-z0-9_-]{43}")
_HOURS_12 = 12 * 60 * 60


def browser_of(request: Request) -> str:
    """Return the value that tells this browser from others; empty where it has none yet."""
    value = request.cookies.get(COOKIE, "")
    return value if _VALUE.fullmatch(value) else ""


def new_browser() -> str:
    """Return a value for a browser that has none."""
    return secrets.token_urlsafe(32)


def remember(response: Response, browser: str) -> None:
    """Let the browser keep its value."""
    response.set_cookie(
        COOKIE,
        browser,
        max_age=_HOURS_12,
        path=path_of(),
        secure=is_https(),
        httponly=True,
        samesite="lax",
    )


def form_token(browser: str, user_id: str) -> str:
    """Return what a form of our own page has, sent by this user from this browser."""
    return hmac.new(browser.encode(), b"form " + user_id.encode(), sha256).hexdigest()


def check_form(request: Request, token: str, user_id: str) -> None:
    """Let a form pass that was sent from our own page.

    :raises Stopped: it was not, or the page is too old.
    """
    # Browsers that know the header tell the truth in it; a script cannot set it.
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise _strange()
    browser = browser_of(request)
    if not browser or not hmac.compare_digest(token.encode(), form_token(browser, user_id).encode()):
        raise _strange()


def _strange() -> Stopped:
    return Stopped(
        "This form is not from here",
        "What was sent does not come from this page in this browser, or the page was open for too long",
        "Open the page again, and fill it in again; the browser has to take its cookie",
        status=403,
    )
