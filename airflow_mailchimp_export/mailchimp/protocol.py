"""Requests and answers of Mailchimp's Marketing API, without any I/O.

A :class:`Call` is a request with the reader of its answer.
:func:`decipher` turns an answer into JSON or into the error that says what to do about it.
The errors are documented at https://mailchimp.com/developer/marketing/docs/errors/
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import orjson

from airflow_mailchimp_export import __version__
from airflow_mailchimp_export.errors import (
    AccessDenied,
    FieldProblem,
    MailchimpError,
    NotFound,
    PermanentError,
    RetryableError,
    Throttled,
    TimedOut,
)
from airflow_mailchimp_export.masking import masked
from airflow_mailchimp_export.web.bounded import TooMuch, parsed
from airflow_mailchimp_export.web.retry_after import seconds_of

T = TypeVar("T")

USER_AGENT = f"airflow-mailchimp-export/{__version__}"

MAX_ANSWER_BYTES = 32 * 1024 * 1024
"""Most bytes of an answer, unpacked: that to 500 members has some 1.5 MB, whatever it was asked for."""

_MOST_VALUES = 2_000_000

MAX_TOLD = 1_000
"""Most characters of what Mailchimp says that are told or kept."""

_TIMED_OUT_STATUS = frozenset({408, 502, 504})


@dataclass(frozen=True, slots=True)
class Request:
    """One request; ``path`` is relative to the base URL, ``body`` is JSON."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Response:
    """One answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request and the reader of its answer.

    :param carries_people: whether it changes members, so that it may not be sent without consent.
    :param divisible: whether it is not repeated once it timed out, because its caller sends it in smaller parts.
    """

    request: Request
    read: Callable[[Any], T]
    carries_people: bool = False
    divisible: bool = False


class Sender(Protocol):
    """Carries calls to Mailchimp, from any number of threads."""

    @property
    def max_connections(self) -> int:
        """Most requests in flight."""

    def send(self, call: Call[T]) -> T:
        """Carry one call; return what its answer says."""


def basic_authorization(token: str) -> str:
    """Return the header value for a key or an OAuth token; both are sent the same way.

    https://mailchimp.com/developer/marketing/docs/fundamentals/#authenticate
    """
    return "Basic " + base64.b64encode(f"airflow:{token}".encode()).decode()


def oauth_authorization(token: str) -> str:
    """Return the header value that the OAuth metadata call takes.

    https://mailchimp.com/developer/marketing/guides/access-user-data-oauth-2/
    """
    return f"OAuth {token}"


def headers(authorization: str) -> dict[str, str]:
    """Return the headers of every request."""
    return {
        "Authorization": authorization,
        "User-Agent": USER_AGENT,
        "Accept": "application/json",
        "Content-Type": "application/json",
    }


def finish(call: Call[T], response: Response) -> T:
    """Return what the answer says, or raise the error that it stands for."""
    payload = decipher(call.request, response)
    try:
        return call.read(payload)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # Not from the error: its words may quote what was answered.
        raise PermanentError(
            f"{_named(call.request)} was answered in a shape that is not documented ({type(error).__name__})",
            "Check that Base URL (host) in the connection leads to Mailchimp",
            status=response.status,
        ) from None


def decipher(request: Request, response: Response) -> Any:
    """Return the JSON of an answer; ``None`` for 204, which has none.

    :raises RetryableError: for push-back, time-outs, server errors and truncated bodies.
    :raises PermanentError: where the same call would be refused again.
    :raises AccessDenied: where the key may not make the call.
    """
    if 200 <= response.status < 300:
        return _json_of_success(request, response)
    raise _failure(request, response)


def _json_of_success(request: Request, response: Response) -> Any:
    if response.status == 204:
        return None
    try:
        return parsed(response.body, most=_MOST_VALUES)
    except TooMuch as error:
        raise PermanentError(
            f"{_named(request)} was answered with {error}",
            "Check that Base URL (host) in the connection leads to Mailchimp",
            status=response.status,
        ) from None
    except orjson.JSONDecodeError as error:
        raise RetryableError(
            f"{_named(request)} was answered {response.status} with a body that is cut off or is no JSON"
        ) from error


def _failure(request: Request, response: Response) -> MailchimpError:
    problem = _problem(response.body)
    status = response.status
    said = f"{_named(request)} was answered {status}{_said(problem)}"
    if status == 429 or (status == 403 and problem is None):
        return Throttled(said, retry_after=seconds_of(response.headers.get("retry-after", "")))
    if status in _TIMED_OUT_STATUS:
        return TimedOut(said, retry_after=seconds_of(response.headers.get("retry-after", "")))
    if status >= 500 and not _is_compliance_stop(problem):
        return RetryableError(said, retry_after=seconds_of(response.headers.get("retry-after", "")))
    return _refusal(request, response, problem or {})


def _refusal(request: Request, response: Response, problem: Mapping[str, Any]) -> MailchimpError:
    status = response.status
    happened, remedy = f"{_named(request)} was answered {status}{_said(problem)}", _remedy(status, problem)
    if status in (401, 403, 503):
        return AccessDenied(happened, remedy, status=status)
    words, problems = _words(problem), _field_problems(problem)
    if status == 404:
        return NotFound(happened, remedy, words=words, problems=problems)
    return PermanentError(happened, remedy, status=status, words=words, problems=problems)


def _remedy(status: int, problem: Mapping[str, Any]) -> str:
    return _REMEDIES_BY_TITLE.get(_title(problem)) or _REMEDIES.get(status, "")


_REMEDIES_BY_TITLE = {
    "UserDisabled": "Mailchimp has disabled this account, or the user whose key it is: have an owner of the account "
    "log in there and see what Mailchimp asks for, or use another user's key",
    "WrongDatacenter": "Correct Server prefix (server_prefix) or Base URL (host) of the connection: both may be empty, "
    "because the end of the key, such as -us21, says where its account is",
}

_REMEDIES = {
    401: "Put a valid API key or OAuth token into the connection: a key or token that stopped "
    "working was revoked and does not come back",
    403: "Use a key of a user whose role and plan allow it (manager or above), of this data center",
    404: "Check the audience id, and that the key belongs to its account",
    426: "Use https in the connection's base URL",
    503: "Mailchimp has stopped this account for review: write to its support",
}


def _problem(body: bytes) -> dict[str, Any] | None:
    try:
        problem = parsed(body, most=_MOST_VALUES)
    except ValueError:
        return None
    return problem if isinstance(problem, dict) else None


def _is_compliance_stop(problem: Mapping[str, Any] | None) -> bool:
    return problem is not None and _title(problem) == "ComplianceRelated"


def _title(problem: Mapping[str, Any]) -> str:
    # Mailchimp writes its titles with and without spaces.
    return str(problem.get("title")).replace(" ", "")


def _words(problem: Mapping[str, Any]) -> str:
    return str(problem.get("detail") or problem.get("title") or "")[:MAX_TOLD]


def _said(problem: Mapping[str, Any] | None) -> str:
    told = ("title", "detail") if problem else ()
    parts = [str(problem[part])[:MAX_TOLD] for part in told if problem and problem.get(part)]
    return ": " + masked(" - ".join(parts)) if parts else " without a problem document"


def _field_problems(problem: Mapping[str, Any]) -> tuple[FieldProblem, ...]:
    entries = problem.get("errors")
    if not isinstance(entries, list):
        return ()
    return tuple(
        FieldProblem(str(entry.get("field") or "")[:MAX_TOLD], str(entry.get("message") or "")[:MAX_TOLD])
        for entry in entries
        if isinstance(entry, dict)
    )


def _named(request: Request) -> str:
    return masked(f"{request.method} {request.path}")
