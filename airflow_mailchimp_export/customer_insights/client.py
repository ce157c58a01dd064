"""The client: one pooled session, a token that is renewed, and requests that are repeated where that can help.

Memory: the answers in flight, each at most :data:`~.protocol.MAX_ANSWER_BYTES`.
Time: an attempt ends after twice the time-out, however slowly its answer trickles in.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import requests

from airflow_mailchimp_export.customer_insights.pages import Page, Row, check_link, follow, read_page
from airflow_mailchimp_export.customer_insights.protocol import (
    MAX_ANSWER_BYTES,
    Answer,
    PassingFailure,
    Refusal,
    finish,
    headers,
)
from airflow_mailchimp_export.customer_insights.tokens import (
    Token,
    Tokens,
    read_token,
    token_form,
    token_url,
)
from airflow_mailchimp_export.errors import SourceError
from airflow_mailchimp_export.settings.insights import InsightsSettings
from airflow_mailchimp_export.settings.organisation import AUTHORITY_FIELD
from airflow_mailchimp_export.web.bounded import TooMuch
from airflow_mailchimp_export.web.deadline import Deadline
from airflow_mailchimp_export.web.sessions import Undirected, content_of, pooled_session
from airflow_mailchimp_export.web.transport_errors import BROKEN, Names, explained, host_of

T = TypeVar("T")

LONGEST_ATTEMPT: Final = 2.0
"""Time-outs that an attempt may take in all."""

_NAMES: Final = Names(
    "Organisation URL (host)", "the host of the organisation's URL", "Organisation URL (host)"
)
_AUTHORITYS_NAMES: Final = Names(AUTHORITY_FIELD, f"the host of {AUTHORITY_FIELD}", AUTHORITY_FIELD)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often and how fast requests are repeated.

    A ``Retry-After`` is waited out whole, because pushing on makes it longer:
    https://learn.microsoft.com/power-apps/developer/data-platform/api-limits

    :param attempts: most times that one request is sent, push-backs not counted.
    :param first_pause: seconds before the second attempt, doubled for each further one.
    :param longest_pause: seconds, the ceiling of pauses that nobody asked for.
    :param deadline: seconds after which a request is given up, whatever is left of its attempts.
    """

    attempts: int = 8
    first_pause: float = 1.0
    longest_pause: float = 60.0
    deadline: float = 1_800.0

    def pause_after(self, failures: int, asked: float | None, *, chance: float) -> float:
        """Return how long to wait after so many failures; ``chance`` is from 0 to 1."""
        ceiling = min(self.longest_pause, self.first_pause * 2.0 ** (failures - 1))
        return max(ceiling * (0.5 + chance / 2), asked or 0.0)


class DataverseClient:
    """Reads an organisation's Web API, from any number of threads; it never writes.

    :param clock: seconds of a clock that never goes back.
    :param sleep: waits that many seconds; a wait that closing the client ends, unless given.
    :ivar requests: how many were sent so far, those for tokens included.
    """

    def __init__(
        self,
        settings: InsightsSettings,
        *,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self.max_connections = settings.max_connections
        self.requests = 0
        self._settings = settings
        self._organisation = settings.organisation
        self._pace = pace or Pace()
        self._clock = clock
        self._closed = threading.Event()
        self._sleep = sleep or self._closed.wait
        self._quiet_until = float("-inf")
        self._counting = threading.Lock()
        self._session = pooled_session(Undirected(), connections=settings.max_connections)
        self._tokens = Tokens(self._new_token, clock=clock)

    def __enter__(self) -> DataverseClient:
        """Use the client as a context manager to close its connections."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections; what another thread repeats ends with its next attempt."""
        self._closed.set()
        self._session.close()

    def get(self, path: str, read: Callable[[Any], T], *, what: str) -> T:
        """Ask for something, see :class:`~.reader.Reader`."""
        return self._get(f"{self._organisation.base_url}/{path}", read, what=what)

    def pages(self, path: str, *, what: str, labels: bool = False) -> Iterator[list[Row]]:
        """Read rows to the last page, see :class:`~.reader.Reader`."""

        def page(url: str) -> Page:
            return self._get(url, read_page, what=what, labels=labels)

        return follow(f"{self._organisation.base_url}/{path}", page, self._organisation.origins)

    def _get(self, url: str, read: Callable[[Any], T], *, what: str, labels: bool = False) -> T:
        check_link(url, self._organisation.origins)
        return self._repeated(lambda: self._read(url, read, what=what, labels=labels))

    def _read(self, url: str, read: Callable[[Any], T], *, what: str, labels: bool) -> T:
        token = self._tokens.current()
        answer = self._transmit("GET", url, what, headers=headers(token, labels=labels))
        if answer.status == requests.codes.unauthorized:
            token = self._tokens.current(refused=token)
            answer = self._transmit("GET", url, what, headers=headers(token, labels=labels))
        return finish(what, answer, read)

    def _new_token(self) -> Token:
        url, form = token_url(self._settings), token_form(self._settings)
        return read_token(
            self._transmit("POST", url, "The request for a token", names=_AUTHORITYS_NAMES, data=form)
        )

    def _repeated(self, attempt: Callable[[], T]) -> T:
        give_up_at = self._clock() + self._pace.deadline
        failures = pushed_back = 0
        while True:
            self._keep_quiet(give_up_at)
            try:
                return attempt()
            except PassingFailure as error:
                failures, pushed_back = failures + (not error.pushed_back), pushed_back + error.pushed_back
                pause = self._pace.pause_after(
                    max(failures, pushed_back), error.retry_after, chance=random.random()
                )
                if failures >= self._pace.attempts or self._clock() + pause > give_up_at:
                    raise
                if error.pushed_back:
                    self._quiet_until = max(self._quiet_until, self._clock() + pause)
            self._sleep(pause)

    def _keep_quiet(self, give_up_at: float) -> None:
        """Wait where another thread was pushed back: what it asked for counts for the user, not for the request."""
        left = min(self._quiet_until, give_up_at) - self._clock()
        if left > 0:
            self._sleep(left)

    def _transmit(self, method: str, url: str, what: str, *, names: Names = _NAMES, **parts: Any) -> Answer:
        if self._closed.is_set():
            raise SourceError("The reading of Customer Insights was ended")
        with self._counting:
            self.requests += 1
        with Deadline(LONGEST_ATTEMPT * self._settings.timeout) as deadline:
            try:
                answer = self._exchange(method, url, parts)
            except TooMuch as error:
                raise Refusal(f"{what} was answered with {error}", status=200) from None
            except BROKEN as error:
                raise PassingFailure(*explained(error, what, host=host_of(url), names=names)) from None
        # What was broken off may look like an answer that came to its end.
        if deadline.is_over:
            raise PassingFailure(f"{what} was not answered to its end in time by {host_of(url)}")
        return answer

    def _exchange(self, method: str, url: str, parts: dict[str, Any]) -> Answer:
        prepared = self._session.prepare_request(requests.Request(method, url, **parts))
        # As it is: requests would spell escapes in its own way.
        prepared.url = url
        settings = self._session.merge_environment_settings(
            urlsplit(url)._replace(query="").geturl(), {}, True, None, None
        )
        with self._session.send(
            prepared, timeout=self._settings.timeout, allow_redirects=False, **settings
        ) as answer:
            named = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status_code, named, content_of(answer, most=MAX_ANSWER_BYTES))
