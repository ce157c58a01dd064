"""What can go wrong between two machines, told with the host and what to look at; never with an address of a page."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError, NewConnectionError, ReadTimeoutError

from airflow_mailchimp_export.errors import RetryableError, TimedOut

BROKEN = (requests.RequestException, HTTPError, OSError, UnicodeError)
"""What the libraries below raise; requests wraps not all of it: not what a host of no proper form leads to."""

_HOST = re.compile(r"[a-z0-9.:\[\]-]{1,253}", re.IGNORECASE)


class Machine(StrEnum):
    """Whose way to another machine it is."""

    WORKER = "worker"
    TRIGGERER = "triggerer"
    API_SERVER = "API server"


@dataclass(frozen=True, slots=True)
class Names:
    """How the settings are called that say where a host is; unless given, as a Mailchimp connection calls them.

    :param url: the setting that holds it.
    :param host: the part of that which names it.
    :param name: the settings that its name is made of.
    :param machine: the one that calls it.
    """

    url: str = "the base URL"
    host: str = "the host of the base URL"
    name: str = "the server prefix, the base URL"
    machine: Machine = Machine.WORKER


FOR_TASKS = Names()
"""What a task looks at that calls Mailchimp."""


def host_of(url: str) -> str:
    """Return the host of a URL as it may be told."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = ""
    return host if _HOST.fullmatch(host) else "a host of no proper form"


def to_retryable(
    error: Exception, what: str, *, host: str = "Mailchimp", names: Names = FOR_TASKS
) -> RetryableError:
    """Return our error for one of the lower libraries' on the way to Mailchimp."""
    kind = TimedOut if ran_out_of_time(error) else RetryableError
    return kind(*explained(error, what, host=host, names=names))


def explained(error: Exception, what: str, *, host: str, names: Names = FOR_TASKS) -> tuple[str, str]:
    """Say what happened on the way and what to look at; the error's own text may hold a URL and is left out.

    :param what: was on its way.
    :param names: how the host's settings are called, and who calls it.
    """
    remedy, happened = _remedy(error, host, names), f"{what} failed on the way: {type(error).__name__}"
    return (happened, remedy) if remedy else (f"{happened}, to {host}", "")


def ran_out_of_time(error: Exception) -> bool:
    """An answer that stops half-way is reported as a connection error that wraps the time-out."""
    stopped = any(isinstance(reason, ReadTimeoutError) for reason in error.args)
    return stopped or isinstance(error, requests.ReadTimeout)


def _remedy(error: Exception, host: str, names: Names) -> str:
    causes = list(_causes(error))
    if isinstance(error, requests.exceptions.ProxyError):
        return (
            f"The proxy on the way to {host} cannot be used: "
            f"check HTTPS_PROXY and NO_PROXY of the {names.machine}"
        )
    if isinstance(error, requests.exceptions.SSLError):
        return (
            f"{host} showed no certificate that the {names.machine} trusts: check {names.host} and, "
            "where a proxy opens connections, set REQUESTS_CA_BUNDLE to its certificate"
        )
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return f"The {names.machine} cannot find {host}: check {names.name}, and the {names.machine}'s DNS"
    if isinstance(error, requests.ConnectTimeout) or any(
        isinstance(cause, NewConnectionError | ConnectionRefusedError) for cause in causes
    ):
        return (
            f"{host} takes no connection: check {names.url}, "
            f"and that a firewall lets the {names.machine} out to it"
        )
    if isinstance(error, requests.exceptions.InvalidURL | HTTPError | ValueError):
        return f"{host}: check {names.url}"
    return ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it came of, wherever the libraries keep them."""
    left: list[object] = [error]
    seen: set[int] = set()
    while left:
        cause = left.pop()
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            left += [cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args]
