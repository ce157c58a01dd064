"""The client: one pooled session, at most ``max_connections`` requests in flight.

Memory: the body and the answer of each request in flight, so at most ``max_connections x (body + answer)``; an answer
is not read past :data:`~airflow_mailchimp_export.mailchimp.protocol.MAX_ANSWER_BYTES`.
Time: an attempt ends after twice the time-out, however slowly its answer trickles in.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, TypeVar, cast

import requests

from airflow_mailchimp_export.errors import AccessDenied, PermanentError, RetryableError, TimedOut
from airflow_mailchimp_export.mailchimp.limiter import AdaptiveLimiter
from airflow_mailchimp_export.mailchimp.pace import Pace, Pause, exchange
from airflow_mailchimp_export.mailchimp.protocol import (
    MAX_ANSWER_BYTES,
    Call,
    Request,
    Response,
    basic_authorization,
    headers,
    oauth_authorization,
)
from airflow_mailchimp_export.web.bounded import TooMuch
from airflow_mailchimp_export.web.dates import moment_of
from airflow_mailchimp_export.web.deadline import Deadline
from airflow_mailchimp_export.web.sessions import Undirected, content_of, pooled_session
from airflow_mailchimp_export.web.transport_errors import BROKEN, FOR_TASKS, Names, host_of, to_retryable

T = TypeVar("T")

LONGEST_ATTEMPT = 2.0
"""Time-outs that an attempt may take in all."""

LONGEST_DOWNLOAD = 10.0
"""Time-outs that the download of a batch's results may take in all."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where Mailchimp is, and what opens it.

    :param base_url: ending in ``/3.0``.
    :param token: API key or OAuth token.
    :param remedy: what to do once it is refused, where that is known better than by Mailchimp's answer.
    """

    base_url: str
    token: str = field(repr=False)
    remedy: str = ""


class MailchimpClient:
    """Carries calls to Mailchimp, from any number of threads.

    :param base_url: ending in ``/3.0``.
    :param token: API key or OAuth token.
    :param max_connections: most requests in flight, 1 to 10; Mailchimp allows ten per user:
        https://mailchimp.com/developer/marketing/docs/fundamentals/#api-limits
    :param timeout: seconds without an answer before a call counts as timed out.
    :param oauth: send the token as the OAuth metadata call takes it.
    :param remedy: what to do once the token is refused; what Mailchimp's answer suggests, unless given.
    :param renew: reads key and base URL again once a key is refused, because it may have been replaced meanwhile;
        a call is repeated with others, and never with the same.
    :param pace: how often and how fast calls are repeated.
    :param names: what to look at where Mailchimp is not reached.
    :param clock: seconds of a clock that never goes back.
    :param sleep: waits that many seconds; a wait that closing the client ends, unless given.
    :ivar server_time: what Mailchimp's clock said in its latest answer; ``None`` where none has said so.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        max_connections: int = 8,
        timeout: float = 120.0,
        oauth: bool = False,
        remedy: str = "",
        renew: Callable[[], Credentials] | None = None,
        pace: Pace | None = None,
        names: Names = FOR_TASKS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self.max_connections = max_connections
        self.limiter = AdaptiveLimiter(max_connections, clock=clock)
        self._credentials = Credentials(base_url.rstrip("/"), token, remedy)
        self._authorize = oauth_authorization if oauth else basic_authorization
        self._renew = renew
        self._renewing = threading.Lock()
        self._timeout = timeout
        self._pace = pace or Pace()
        self._names = names
        self._clock = clock
        self.server_time: datetime | None = None
        self._closed = threading.Event()
        self._sleep = sleep or self._closed.wait
        self._session = pooled_session(Undirected(), connections=max_connections)
        self._downloads = pooled_session(requests.Session(), connections=max_connections)

    def __enter__(self) -> MailchimpClient:
        """Use the client as a context manager to close its connections."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the connections."""
        self.close()

    @property
    def base_url(self) -> str:
        """Where Mailchimp is, ending in ``/3.0``."""
        return self._credentials.base_url

    def close(self) -> None:
        """Close the connections; a call that another thread is repeating ends with its next attempt."""
        self._closed.set()
        self._session.close()
        self._downloads.close()

    def send(self, call: Call[T], *, permit: Callable[[], None] | None = None) -> T:
        """Carry one call, repeating it where that can help.

        :param permit: asked right before each attempt; what it raises ends the call, and nothing is sent.
        :raises RetryableError: once attempts or time are used up.
        :raises PermanentError: as soon as Mailchimp refuses.
        :raises AccessDenied: as soon as Mailchimp says that the key may not do this.
        :raises RuntimeError: when the client is closed.
        """
        try:
            return self._send(call, permit)
        except AccessDenied as refused:
            if refused.status == requests.codes.unauthorized:
                refused.remedy = self._credentials.remedy or refused.remedy
            raise

    def _send(self, call: Call[T], permit: Callable[[], None] | None) -> T:
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
            return self._timed(self._transmit(step))
        if step.pushed_back:
            self.limiter.back_off()
        if not step.holds_connection:
            slot.close()
        self._sleep(step.seconds)
        slot.close()
        return None

    def _timed(self, answer: Response | RetryableError) -> Response | RetryableError:
        if isinstance(answer, Response):
            self.server_time = moment_of(answer.headers.get("date", "")) or self.server_time
        return answer

    def _transmit(self, request: Request) -> Response | RetryableError:
        host = host_of(self._credentials.base_url)
        with Deadline(LONGEST_ATTEMPT * self._timeout) as deadline:
            try:
                answer: Response | RetryableError = self._exchange(request)
            except BROKEN as error:
                answer = to_retryable(error, f"{request.method} request", host=host, names=self._names)
        # What was broken off may look like an answer that came to its end.
        late = TimedOut(f"{request.method} request was not answered to its end in time by {host}")
        return late if deadline.is_over else answer

    def _exchange(self, request: Request) -> Response:
        credentials = self._credentials
        with self._session.request(
            request.method,
            credentials.base_url + request.path,
            headers=headers(self._authorize(credentials.token)),
            params=dict(request.query),
            data=request.body,
            timeout=self._timeout,
            allow_redirects=False,
            stream=True,
        ) as answer:
            named = {name.lower(): value for name, value in answer.headers.items()}
            return Response(answer.status_code, named, _content(answer, request))

    @contextmanager
    def download(self, url: str) -> Iterator[IO[bytes]]:
        """Open the results of a batch as a stream.

        The link is signed and lies with another company, so neither key nor connection slot goes with it:
        https://mailchimp.com/developer/marketing/docs/batch-operations/#get-the-results

        :raises RetryableError: when the link is refused or the connection breaks.
        """
        with Deadline(LONGEST_DOWNLOAD * self._timeout), self._opened(url) as answer:
            if answer.status_code != requests.codes.ok:
                raise RetryableError(f"The results of a batch were answered {answer.status_code}")
            yield cast(IO[bytes], answer.raw)

    def _opened(self, url: str) -> requests.Response:
        if self._credentials.base_url.startswith("https:") and not url.startswith("https:"):
            raise RetryableError(
                "The link to the results of a batch does not begin with https, so it is not followed"
            )
        try:
            return self._downloads.get(url, stream=True, timeout=self._timeout)
        except (*BROKEN, ValueError) as error:
            # Not from the error: its words hold the link, which opens the results to whoever reads it.
            raise to_retryable(
                error, "The download of a batch's results", host=host_of(url), names=self._names
            ) from None


def _content(answer: requests.Response, request: Request) -> bytes:
    """Read an answer, unpacked.

    :raises PermanentError: when it is longer than any proper answer.
    """
    try:
        return content_of(answer, most=MAX_ANSWER_BYTES)
    except TooMuch:
        raise PermanentError(
            f"{request.method} request was answered with more than {MAX_ANSWER_BYTES:,} bytes",
            "Check that Base URL (host) in the connection leads to Mailchimp",
            status=answer.status_code,
        ) from None
