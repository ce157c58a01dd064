"""The client: one pooled session, at most ``max_connections`` requests in flight.

Memory: the body and the answer of each request in flight, so at most
``max_connections x (body + answer)``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import IO, TypeVar, cast

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ReadTimeoutError

from airflow_mailchimp_export.errors import AccessDenied, RetryableError, TimedOut
from airflow_mailchimp_export.mailchimp.limiter import AdaptiveLimiter
from airflow_mailchimp_export.mailchimp.pace import Pace, Pause, exchange
from airflow_mailchimp_export.mailchimp.protocol import (
    Call,
    Request,
    Response,
    basic_authorization,
    headers,
    oauth_authorization,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where Mailchimp is, and what opens it.

    :param base_url: ending in ``/3.0``.
    :param token: API key or OAuth token.
    """

    base_url: str
    token: str = field(repr=False)


class MailchimpClient:
    """Carries calls to Mailchimp, from any number of threads.

    :param base_url: ending in ``/3.0``.
    :param token: API key or OAuth token.
    :param max_connections: most requests in flight, 1 to 10; Mailchimp allows ten per user:
        https://mailchimp.com/developer/marketing/docs/fundamentals/#api-limits
    :param timeout: seconds without an answer before a call counts as timed out.
    :param oauth: send the token as the OAuth metadata call takes it.
    :param renew: reads key and base URL again once a key is refused, because it may have been replaced meanwhile;
        a call is repeated with others, and never with the same.
    :param pace: how often and how fast calls are repeated.
    :param clock: seconds of a clock that never goes back.
    :param sleep: waits that many seconds; a wait that closing the client ends, unless given.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        max_connections: int = 8,
        timeout: float = 120.0,
        oauth: bool = False,
        renew: Callable[[], Credentials] | None = None,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self.max_connections = max_connections
        self.limiter = AdaptiveLimiter(max_connections, clock=clock)
        self._credentials = Credentials(base_url.rstrip("/"), token)
        self._authorize = oauth_authorization if oauth else basic_authorization
        self._renew = renew
        self._renewing = threading.Lock()
        self._timeout = timeout
        self._pace = pace or Pace()
        self._clock = clock
        self._closed = threading.Event()
        self._sleep = sleep or self._closed.wait
        self._session = _pooled_session(max_connections)

    def __enter__(self) -> MailchimpClient:
        """Use the client as a context manager to close its connections."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections; a call that another thread is repeating ends with its next attempt."""
        self._closed.set()
        self._session.close()

    def send(self, call: Call[T], *, permit: Callable[[], None] | None = None) -> T:
        """Carry one call, repeating it where that can help.

        :param permit: asked right before each attempt; what it raises ends the call, and nothing is sent.
        :raises RetryableError: once attempts or time are used up.
        :raises PermanentError: as soon as Mailchimp refuses.
        :raises AccessDenied: as soon as Mailchimp says that the key may not do this.
        :raises RuntimeError: when the client is closed.
        """
        used = self._credentials
        try:
            return self._carry(call, permit)
        except AccessDenied as refused:
            if refused.status != requests.codes.unauthorized or not self._has_others(used):
                raise
        return self._carry(call, permit)

    def _has_others(self, refused: Credentials) -> bool:
        """Read the credentials again, once for all threads whose calls were refused with the same."""
        with self._renewing:
            if self._renew and self._credentials == refused:
                self._credentials = self._renew()
            return self._credentials != refused

    def _carry(self, call: Call[T], permit: Callable[[], None] | None) -> T:
        flow = exchange(call, self._pace, clock=self._clock)
        result: Response | RetryableError | None = None
        with ExitStack() as slot:
            try:
                while True:
                    result = self._act(flow.send(result), slot, permit)
            except StopIteration as answered:
                self.limiter.record_success()
                return cast(T, answered.value)

    def _act(
        self, step: Request | Pause, slot: ExitStack, permit: Callable[[], None] | None
    ) -> Response | RetryableError | None:
        if isinstance(step, Request):
            slot.enter_context(self.limiter.slot())
            if self._closed.is_set():
                raise RuntimeError("The client is closed, so nothing is sent any more")
            if permit:
                permit()
            return self._transmit(step)
        if step.pushed_back:
            self.limiter.back_off()
        if not step.holds_connection:
            slot.close()
        self._sleep(step.seconds)
        slot.close()
        return None

    def _transmit(self, request: Request) -> Response | RetryableError:
        credentials = self._credentials
        try:
            answer = self._session.request(
                request.method,
                credentials.base_url + request.path,
                headers=headers(self._authorize(credentials.token)),
                params=dict(request.query),
                data=request.body,
                timeout=self._timeout,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            return to_retryable(error, f"{request.method} request")
        return Response(
            answer.status_code,
            {name.lower(): value for name, value in answer.headers.items()},
            answer.content,
        )

    @contextmanager
    def download(self, url: str) -> Iterator[IO[bytes]]:
        """Open the results of a batch as a stream.

        The link is signed and lies with another company, so neither key nor connection slot goes with it:
        https://mailchimp.com/developer/marketing/docs/batch-operations/#get-the-results

        :raises RetryableError: when the link is refused or the connection breaks.
        """
        try:
            with requests.get(url, stream=True, timeout=self._timeout, auth=_without_credentials) as answer:
                if answer.status_code != requests.codes.ok:
                    raise RetryableError(f"The results of a batch were answered {answer.status_code}")
                yield cast(IO[bytes], answer.raw)
        except requests.RequestException as error:
            # Not from the error: its words hold the link, which opens the results to whoever reads it.
            raise to_retryable(error, "The download of a batch's results") from None


def to_retryable(error: requests.RequestException, what: str) -> RetryableError:
    """Return our error for one of the lower library's; its text may hold a URL and is left out."""
    kind = TimedOut if _ran_out_of_time(error) else RetryableError
    return kind(f"{what} failed on the way: {type(error).__name__}")


def _ran_out_of_time(error: requests.RequestException) -> bool:
    """An answer that stops half-way is reported as a connection error that wraps the time-out."""
    stopped = any(isinstance(reason, ReadTimeoutError) for reason in error.args)
    return stopped or isinstance(error, requests.ReadTimeout)


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Let no redirect be looked at: a broken one would end in an error that is not requests' own."""


def _pooled_session(connections: int) -> requests.Session:
    session = _Session()
    # Without this, a .netrc entry for the host would replace the key.
    session.auth = _without_credentials
    adapter = HTTPAdapter(pool_connections=1, pool_maxsize=connections, pool_block=True)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _without_credentials(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
    return prepared
