"""What can go wrong between two machines, told with the host and what to look at; never with an address of a page."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError, NewConnectionError, ReadTimeoutError

from airflow_mailchimp_export.errors import RetryableError, TimedOut

BROKEN = (requests.RequestException, HTTPError, OSError, UnicodeError)
"""What the libraries below raise; requests wraps not all of it: not what a host of no proper form leads to."""

_HOST = re.compile(r"[a-z0-9.:\[\]-]{1,253}", re.IGNORECASE)


def host_of(url: str) -> str:
    """Return the host of a URL as it may be told."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = ""
    return host if _HOST.fullmatch(host) else "a host of no proper form"


def to_retryable(error: Exception, what: str, *, host: str = "Mailchimp") -> RetryableError:
    """Return our error for one of the lower libraries'; its text may hold a URL and is left out."""
    kind = TimedOut if _ran_out_of_time(error) else RetryableError
    remedy, happened = _remedy(error, host), f"{what} failed on the way: {type(error).__name__}"
    return kind(happened, remedy) if remedy else kind(f"{happened}, to {host}")


def _ran_out_of_time(error: Exception) -> bool:
    """An answer that stops half-way is reported as a connection error that wraps the time-out."""
    stopped = any(isinstance(reason, ReadTimeoutError) for reason in error.args)
    return stopped or isinstance(error, requests.ReadTimeout)


def _remedy(error: Exception, host: str) -> str:
    causes = list(_causes(error))
    if isinstance(error, requests.exceptions.ProxyError):
        return f"The proxy on the way to {host} cannot be used: check HTTPS_PROXY and NO_PROXY of the worker"
    if isinstance(error, requests.exceptions.SSLError):
        return (
            f"{host} showed no certificate that the worker trusts: check the host of the base URL and, "
            "where a proxy opens connections, set REQUESTS_CA_BUNDLE to its certificate"
        )
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return f"The worker cannot find {host}: check the server prefix, the base URL, and the worker's DNS"
    if isinstance(error, requests.ConnectTimeout) or any(
        isinstance(cause, NewConnectionError | ConnectionRefusedError) for cause in causes
    ):
        return (
            f"{host} takes no connection: check the base URL, and that a firewall lets the worker out to it"
        )
    if isinstance(error, requests.exceptions.InvalidURL | HTTPError | ValueError):
        return f"{host}: check the base URL"
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
