"""The code of a sign-in becomes a token: https://mailchimp.com/developer/marketing/guides/access-user-data-oauth-2/

A code is good once, so its exchange is tried once. Neither code nor secret nor token is in any message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import orjson
import requests

from airflow_mailchimp_export.errors import AccessDenied, MailchimpError, RetryableError
from airflow_mailchimp_export.mailchimp.protocol import USER_AGENT, Response
from airflow_mailchimp_export.web.bounded import TooMuch, parsed
from airflow_mailchimp_export.web.deadline import Deadline
from airflow_mailchimp_export.web.sessions import Undirected, content_of, pooled_session
from airflow_mailchimp_export.web.transport_errors import BROKEN, Machine, Names, explained, host_of

TIMEOUT = 20.0
"""Seconds without an answer after which the exchange has failed; somebody looks at a page meanwhile."""

_MOST_BYTES, _MOST_VALUES = 64 * 1024, 1_000
_WHAT = "The exchange of the sign-in for a token"
_AGAIN = "Begin the sign-in again"


@dataclass(frozen=True, slots=True)
class App:
    """An app that is registered in Mailchimp.

    :param authorize_origin: where people agree.
    :param token_origin: where it gets its tokens.
    :param redirect_uri: where browsers are sent back to, as it is registered.
    """

    client_id: str
    client_secret: str = field(repr=False)
    authorize_origin: str
    token_origin: str
    redirect_uri: str

    def authorize_url(self, state: str) -> str:
        """Return where a browser goes, to ask whoever sits before it."""
        asked = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "state": state,
        }
        return f"{self.authorize_origin}/oauth2/authorize?{urlencode(asked)}"

    def exchange(self, code: str, *, timeout: float = TIMEOUT) -> str:
        """Return the token that a code is good for.

        :param timeout: seconds.
        :raises RetryableError: when there was no proper answer.
        :raises AccessDenied: when Mailchimp refuses.
        """
        form = {
            "grant_type": "authorization_code",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "redirect_uri": self.redirect_uri,
            "code": code,
        }
        return read_token(_post(f"{self.token_origin}/oauth2/token", form, timeout))


def read_token(answer: Response) -> str:
    """Return the token of an answer.

    :raises RetryableError: there is none yet.
    :raises AccessDenied: there will be none; the remedy says why.
    """
    payload = _payload(answer.body)
    if answer.status != 200:
        raise _refusal(answer.status, payload)
    token = payload.get("access_token")
    if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]{1,500}", token):
        raise RetryableError(f"{_WHAT} was answered without a proper token", _CHECK_ORIGIN)
    return token


def _post(url: str, form: Mapping[str, str], timeout: float) -> Response:
    with pooled_session(Undirected(), connections=1) as session, Deadline(timeout) as deadline:
        try:
            answer = _exchanged(session, url, form, timeout)
        except BROKEN as error:
            # Not from the error, whose words may hold what was sent.
            raise RetryableError(*explained(error, _WHAT, host=host_of(url), names=_NAMES)) from None
    if deadline.is_over:
        raise RetryableError(f"{_WHAT} was not answered to its end in time by {host_of(url)}", _AGAIN)
    return answer


def _exchanged(session: requests.Session, url: str, form: Mapping[str, str], timeout: float) -> Response:
    sent = {"User-Agent": USER_AGENT, "Accept": "application/json"}
    with session.post(
        url, data=form, headers=sent, timeout=timeout, allow_redirects=False, stream=True
    ) as answer:
        try:
            return Response(answer.status_code, {}, content_of(answer, most=_MOST_BYTES))
        except TooMuch as error:
            raise RetryableError(f"{_WHAT} was answered with {error}", _CHECK_ORIGIN) from None


def _payload(body: bytes) -> Mapping[str, Any]:
    try:
        payload = parsed(body, most=_MOST_VALUES)
    except (orjson.JSONDecodeError, ValueError):
        return {}
    return payload if isinstance(payload, Mapping) else {}


def _refusal(status: int, payload: Mapping[str, Any]) -> MailchimpError:
    # Its description may be of any length and hold anything: the kind says it all.
    kind = str(payload.get("error") or "")
    said = kind if re.fullmatch(r"[a-z_]{1,40}", kind) else "no reason"
    happened = f"{_WHAT} was answered {status}, {said}"
    if status == 429 or status >= 500 or status == 408:
        return RetryableError(happened, f"Mailchimp is out of order, or has too much to do. {_AGAIN}")
    return AccessDenied(happened, _REMEDIES.get(kind, _CHECK_ORIGIN), status=status)


_NAMES = Names(
    url="[mailchimp] oauth_token_origin",
    host="[mailchimp] oauth_token_origin",
    name="[mailchimp] oauth_token_origin",
    machine=Machine.API_SERVER,
)
_CHECK_ORIGIN = "Check [mailchimp] oauth_token_origin: Mailchimp's own is https://login.mailchimp.com"
_REMEDIES = {
    "invalid_client": "Correct [mailchimp] oauth_client_id and oauth_client_secret: a new secret of the registered app "
    "makes the one of before invalid",
    "invalid_grant": f"{_AGAIN}: what Mailchimp gives for it is good once, and not for long; and the redirect URI of "
    "the registered app has to be the very one that this page shows",
}
