"""Requests and answers of the Dataverse Web API, without any I/O.

:func:`decipher` turns an answer into JSON, or into the error that says what to do about it.
The statuses are documented at
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/compose-http-requests-handle-errors
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import orjson

from airflow_mailchimp_export import __version__
from airflow_mailchimp_export.errors import ConfigError, SourceError
from airflow_mailchimp_export.masking import masked
from airflow_mailchimp_export.web.bounded import TooMuch, parsed
from airflow_mailchimp_export.web.retry_after import seconds_of

T = TypeVar("T")

MAX_PAGE_ROWS: Final = 5_000
"""Most rows of a page: https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/page-results"""

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
"""Most bytes of an answer, unpacked: a row of such a page may have some 13 kB."""

MAX_ANSWER_VALUES: Final = 4_000_000

_MAX_TOLD: Final = 500
"""Most characters of Dataverse's own words that are told."""

LABEL: Final = "OData.Community.Display.V1.FormattedValue"
"""The annotation that holds the label of a choice."""

_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class PassingFailure(SourceError):
    """The same request may succeed later.

    :param retry_after: seconds that the other end asked to wait; ``None`` where it did not say.
    :param pushed_back: whether the other end asked for fewer requests.
    """

    def __init__(
        self, happened: str, remedy: str = "", *, retry_after: float | None = None, pushed_back: bool = False
    ) -> None:
        super().__init__(happened, remedy)
        self.retry_after = retry_after
        self.pushed_back = pushed_back


class Refusal(ConfigError):
    """The same request would be refused again.

    :param status: the HTTP status.
    :param code: Dataverse's own, such as ``0x80060888``; it often has little to do with what is wrong.
    """

    def __init__(self, happened: str, remedy: str = "", *, status: int, code: str = "") -> None:
        super().__init__(happened, remedy)
        self.status = status
        self.code = code


def headers(token: str, *, labels: bool = False) -> dict[str, str]:
    """Return the headers of every request.

    :param labels: ask for the labels of choices too.
    """
    annotations = f',odata.include-annotations="{LABEL}"' if labels else ""
    return {
        "Authorization": f"Bearer {token}",
        "User-Agent": f"airflow-mailchimp-export/{__version__}",
        "Accept": "application/json",
        "OData-MaxVersion": "4.0",
        "OData-Version": "4.0",
        "If-None-Match": "null",
        "Prefer": f"odata.maxpagesize={MAX_PAGE_ROWS}{annotations}",
    }


def finish(what: str, answer: Answer, read: Callable[[Any], T]) -> T:
    """Return what an answer says.

    :param what: was asked for, as the beginning of a sentence.
    :param read: makes the result of the JSON; a ``LookupError``, ``TypeError`` or ``ValueError`` of it means that the
        shape is another one.
    :raises PassingFailure: it says nothing, or not yet.
    :raises Refusal: it will never say anything else.
    """
    payload = decipher(what, answer)
    try:
        return read(payload)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        # Not from the error: its words may quote what was answered.
        raise PassingFailure(
            f"{what} was answered with JSON of another shape than Dataverse's ({type(error).__name__})",
            _CHECK_URL,
        ) from None


def decipher(what: str, answer: Answer) -> Any:
    """Return the JSON of an answer.

    :raises PassingFailure: for push-back, server errors, and what is cut off or no JSON.
    :raises Refusal: where the same request would be refused again.
    """
    if answer.status == 200:
        return _json(what, answer)
    code, words = _problem(answer.body)
    happened = f"{what} was answered {answer.status}" + (
        f": {code} {words}".rstrip() if code or words else ""
    )
    if answer.status in _PASSING:
        raise PassingFailure(
            happened,
            _REMEDIES.get(answer.status, ""),
            retry_after=seconds_of(answer.headers.get("retry-after", "")),
            pushed_back=answer.status == 429,
        )
    raise Refusal(happened, _remedy(answer.status, code, words), status=answer.status, code=code)


def _json(what: str, answer: Answer) -> Any:
    try:
        return parsed(answer.body, most=MAX_ANSWER_VALUES)
    except TooMuch as error:
        raise Refusal(f"{what} was answered with {error}", _CHECK_URL, status=answer.status) from None
    except orjson.JSONDecodeError:
        raise PassingFailure(
            f"{what} was answered with what is cut off or no JSON",
            f"{_CHECK_URL}, or a proxy on the way to it",
        ) from None


def _problem(body: bytes) -> tuple[str, str]:
    """Return code and words of an answer that is an error; empty where it has none."""
    try:
        error = parsed(body, most=MAX_ANSWER_VALUES)["error"]
        return masked(str(error.get("code") or ""))[:40], masked(str(error.get("message") or ""))[:_MAX_TOLD]
    except (AttributeError, LookupError, TypeError, ValueError):
        return "", ""


def _remedy(status: int, code: str, words: str) -> str:
    if "prvread" in words.lower() or code.lower() == "0x80040220":
        return ASSIGN_ROLES
    if code.lower() == "0x80072560":
        return ADD_USER
    return _REMEDIES.get(status, "")


_CHECK_URL: Final = "Check that Organisation URL (host) leads to the environment of Customer Insights"

ADD_USER: Final = (
    "Add the app registration as an application user of the environment: Power Platform admin center, "
    "Environments, Settings, Users + permissions, Application users"
)

ASSIGN_ROLES: Final = (
    "Give the application user the security roles Customer Insights Data Read Access and Customer Insights Data "
    "Configuration Viewer, or add the app in Customer Insights under Settings, Permissions as a Viewer"
)

_REMEDIES: Final = {
    302: _CHECK_URL,
    401: "Check that Organisation URL (host) is an environment of the tenant, and that Tenant id (tenant_id) is its "
    f"directory. {ADD_USER}",
    403: f"{ADD_USER}. {ASSIGN_ROLES}",
    404: f"{_CHECK_URL}, and that Customer Insights - Data is installed there and has refreshed once",
    429: "Wait: the application user has used up what Dataverse lets one user ask for in 5 minutes; other programs "
    "may be using it too, so give this one its own",
    503: "Wait until Dataverse is back: a retry reads everything again",
}
