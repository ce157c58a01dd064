"""Calls to another system that refreshes what segments are made of: begin, and ask how far it is.

What it answers is told by its status and by its state alone, for the rest may hold anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final
from urllib.parse import quote

import requests
from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_mailchimp_export.errors import ConfigError, ExportError, SourceError
from airflow_mailchimp_export.masking import masked

TIMEOUT: Final = 60.0
"""Seconds that an answer may take, unless the connection's extra says so with ``timeout``."""

_PLACE: Final = re.compile(r"\{([\w.-]+)\}")

_LONGEST_STATE: Final = 40


@dataclass(frozen=True, slots=True)
class Request:
    """One call.

    :param conn_id: the Airflow connection of the system.
    :param endpoint: what is called, below the connection's host.
    :param data: what is sent along; with GET as parameters, else as JSON.
    """

    conn_id: str
    endpoint: str
    method: str = "GET"
    data: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Look:
    """What is asked to learn how far the system is.

    :param path: where the state stands in the answer.
    :param done: the states that mean that it is done.
    :param failed: the states that mean that it never will be.
    """

    request: Request
    path: str
    done: tuple[str, ...]
    failed: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return it as a trigger keeps it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Look:
        """Make it of what a trigger kept."""
        return cls(Request(**kept["request"]), kept["path"], tuple(kept["done"]), tuple(kept["failed"]))


def call(request: Request, asked_next: str = "") -> str:
    """Let the system begin; return what is to be asked next, with what it answered in the places in braces.

    :raises ConfigError: it does not take the call, or its answer lacks what is to be asked next.
    :raises SourceError: it cannot be reached, or has a failure of its own.
    """
    answer = _answer(request)
    if error := _refusal(request, answer):
        raise error
    return _PLACE.sub(lambda place: _named(request, answer, place[1]), asked_next)


def look(wanted: Look) -> str:
    """Ask how far the system is; return why it is to be waited for, and nothing once it is done.

    :raises ConfigError: it does not take the question, or the answer does not hold its state.
    :raises SourceError: it says that it has failed.
    """
    try:
        answer = _answer(wanted.request)
    except SourceError as error:
        return error.happened
    refusal = _refusal(wanted.request, answer)
    if isinstance(refusal, SourceError):
        return refusal.happened
    if refusal:
        raise refusal
    state = _named(wanted.request, answer, wanted.path, is_plain=True)
    told = f"{_system(wanted.request)} says {masked(state[:_LONGEST_STATE])!r}"
    if state.casefold() in map(str.casefold, wanted.failed):
        raise SourceError(
            f"{told} at {wanted.path!r}: it has failed", "Look there why, then run the refresh again"
        )
    return "" if state.casefold() in map(str.casefold, wanted.done) else told


def _answer(request: Request) -> requests.Response:
    # It imports an asynchronous client, for which who only reads a DAG need not wait.
    from airflow.providers.http.hooks.http import HttpHook

    hook = HttpHook(method=request.method, http_conn_id=request.conn_id)
    # The hook would raise its own errors for a status, and log all of the answer.
    options = {"check_response": False, "timeout": TIMEOUT}
    is_get = request.method == "GET"
    given = {"data": dict(request.data)} if is_get else {"json": dict(request.data)}
    try:
        answer: requests.Response = hook.run(
            request.endpoint, headers=dict(request.headers), extra_options=options, **given
        )
    except AirflowNotFoundException as error:
        raise ConfigError(
            f"There is no connection {request.conn_id!r}", "Create it, or correct conn_id of refresh.http"
        ) from error
    except (requests.RequestException, OSError) as error:
        raise SourceError(
            f"{_system(request)} cannot be reached ({type(error).__name__})",
            "Check the connection's host and port, and that a firewall lets the worker out to it",
        ) from error
    return answer


def _refusal(request: Request, answer: requests.Response) -> ExportError | None:
    """Return what a status says but that all is well."""
    status = answer.status_code
    told = f"{_system(request)} answers {request.method} {_path(request)} with status {status}"
    if status < 300:
        return None
    if status in {401, 403}:
        return ConfigError(
            f"{told}: it refuses the connection", "Correct login, password or headers in the connection"
        )
    if status == 404:
        return ConfigError(f"{told}: it does not know that", "Correct the endpoint of refresh.http")
    if status == 429 or status >= 500:
        return SourceError(told, "Wait until it is back, then run the refresh again")
    return ConfigError(told, "Correct method, data or headers of refresh.http")


def _named(request: Request, answer: requests.Response, path: str, *, is_plain: bool = False) -> str:
    """Return what stands at a path of an answer, as text; for an endpoint, as it is spelled there."""
    try:
        found = answer.json()
    except ValueError as error:
        raise ConfigError(
            f"{_system(request)} answers {request.method} {_path(request)} with what is no JSON",
            "Correct the endpoint of refresh.http, or the connection's host: perhaps a proxy answered with a page",
        ) from error
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    if found is None or isinstance(found, Mapping | list):
        raise ConfigError(
            f"{_system(request)} answers {request.method} {_path(request)} without a value at {path!r}",
            "Correct the path in done of refresh.http",
        )
    text = str(found).lower() if isinstance(found, bool) else str(found)
    return text if is_plain else quote(text, safe="")


def _system(request: Request) -> str:
    return f"The system of connection {request.conn_id!r}"


def _path(request: Request) -> str:
    """Return what was called, without parameters, which may hold a key."""
    return masked(request.endpoint.partition("?")[0])
