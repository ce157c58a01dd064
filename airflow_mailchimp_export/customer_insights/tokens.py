"""The token of the application user: asked for with the client secret, kept, and renewed before it ends.

https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

import orjson

from airflow_mailchimp_export.customer_insights.protocol import Answer, PassingFailure, Refusal
from airflow_mailchimp_export.settings.insights import InsightsSettings, labelled
from airflow_mailchimp_export.web.bounded import parsed
from airflow_mailchimp_export.web.retry_after import seconds_of

_MARGIN: Final = 300.0
"""Seconds before its end in which a token is not begun with any more."""

_WHAT: Final = "The request for a token"


@dataclass(frozen=True, slots=True)
class Token:
    """What opens the organisation.

    :param seconds: how long it is good for, from when it was given.
    """

    value: str = field(repr=False)
    seconds: float


class Tokens:
    """Keeps a token for any number of threads.

    :param fetch: asks for one.
    :param clock: seconds of a clock that never goes back.
    """

    def __init__(self, fetch: Callable[[], Token], *, clock: Callable[[], float]) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._value = ""
        self._until = float("-inf")

    def current(self, *, refused: str = "") -> str:
        """Return a token that is good for a while.

        :param refused: one that is not good any more, whatever its time.
        """
        with self._lock:
            if self._clock() >= self._until or self._value == refused:
                asked_at = self._clock()
                token = self._fetch()
                self._value = token.value
                self._until = asked_at + token.seconds - min(_MARGIN, token.seconds / 10)
            return self._value


def token_url(settings: InsightsSettings) -> str:
    """Return where tokens are given."""
    return f"{settings.authority}/{quote(settings.tenant_id, safe='')}/oauth2/v2.0/token"


def token_form(settings: InsightsSettings) -> dict[str, str]:
    """Return what is asked there, as a form."""
    return {
        "grant_type": "client_credentials",
        "client_id": settings.client_id,
        "client_secret": settings.client_secret,
        "scope": settings.organisation.scope,
    }


def read_token(answer: Answer) -> Token:
    """Return the token of an answer.

    :raises PassingFailure: there is none yet.
    :raises Refusal: there will be none; the remedy says why.
    """
    if answer.status == 429 or answer.status >= 500 or answer.status == 408:
        pause = seconds_of(answer.headers.get("retry-after", ""))
        raise PassingFailure(f"{_WHAT} was answered {answer.status}", retry_after=pause)
    payload = _payload(answer)
    if answer.status != 200:
        raise _refusal(answer.status, payload)
    try:
        token, seconds = payload["access_token"], float(payload["expires_in"])
    except (LookupError, TypeError, ValueError):
        raise PassingFailure(f"{_WHAT} was answered without a token", _CHECK_AUTHORITY) from None
    if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
        raise PassingFailure(f"{_WHAT} was answered without a proper token", _CHECK_AUTHORITY)
    return Token(token, seconds)


def _payload(answer: Answer) -> Mapping[str, Any]:
    try:
        payload = parsed(answer.body, most=1_000)
    except (orjson.JSONDecodeError, ValueError):
        payload = None
    if isinstance(payload, Mapping):
        return payload
    if answer.status == 200:
        raise PassingFailure(f"{_WHAT} was answered with what is no JSON", _CHECK_AUTHORITY)
    return {}


def _refusal(status: int, payload: Mapping[str, Any]) -> Refusal:
    # Its description names the app, the tenant and traces, and may be of any length: the number says it all.
    found = re.search(r"AADSTS(\d{4,9})", str(payload.get("error_description") or ""))
    number = int(found[1]) if found else 0
    kind = str(payload.get("error") or "")
    said = kind if re.fullmatch(r"[a-z_]{1,40}", kind) else "no reason"
    code = f" (AADSTS{number})" if number else ""
    remedy = _REMEDIES.get(number) or _REMEDIES_OF_KINDS.get(kind, _CHECK_AUTHORITY)
    return Refusal(
        f"No token: the authority answered {status}, {said}{code}", remedy, status=status, code=kind
    )


_CHECK_AUTHORITY: Final = (
    f"Check {labelled('authority')}, {labelled('tenant_id')} and Organisation URL (host) of the connection"
)

_NEW_SECRET: Final = (
    "Put a valid Client secret (password) into the connection: the Value of a secret, not its Secret ID; create one "
    "for the app registration under Certificates & secrets"
)

_REMEDIES: Final = {
    7000215: _NEW_SECRET,
    7000222: f"The secret has expired. {_NEW_SECRET}",
    700016: f"Correct Client id (login), or {labelled('tenant_id')}: the directory has no such app registration",
    7000112: "Have the app registration enabled again: its directory has switched it off",
    90002: f"Correct {labelled('tenant_id')}: there is no such directory in this cloud; "
    f"{labelled('authority')} says which cloud it is",
    900023: f"Correct {labelled('tenant_id')}: it is neither the id of a directory nor its domain",
    500011: "Correct Organisation URL (host): the directory knows no such organisation",
    53003: "Have whoever runs the directory let the app through its conditional access",
}
"""What mends the errors of the authority:
https://learn.microsoft.com/entra/identity-platform/reference-error-codes"""

_REMEDIES_OF_KINDS: Final = {
    "invalid_client": _NEW_SECRET,
    "unauthorized_client": _REMEDIES[700016],
    "invalid_scope": _REMEDIES[500011],
    "invalid_resource": _REMEDIES[500011],
}
