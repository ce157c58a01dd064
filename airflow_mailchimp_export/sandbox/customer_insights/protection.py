"""Service protection: three limits per user over a sliding window."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

from airflow_mailchimp_export.sandbox.customer_insights.problems import Problem
from airflow_mailchimp_export.sandbox.customer_insights.settings import Settings

TOO_MANY_REQUESTS = (
    "0x80072322",
    "Number of requests exceeded the limit of {limit} over time window of {window:.0f} seconds.",
)
TOO_MUCH_TIME = (
    "0x80072321",
    "Combined execution time of incoming requests exceeded limit of {limit:.0f} milliseconds over time window "
    "of {window:.0f} seconds. Decrease number of concurrent requests or reduce the duration of requests "
    "and try again later.",
)
TOO_MANY_AT_ONCE = ("0x80072326", "Number of concurrent requests exceeded the limit of {limit}.")
CONCURRENCY_SECONDS = 1


class Protection:
    """Counts calls, their time, and how many are under way; calls that are refused count on."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._requests: deque[float] = deque()
        self._times: deque[tuple[float, float]] = deque()
        self.under_way = 0

    def enter(self) -> tuple[Problem, int] | None:
        """Begin a call; what is answered instead, and after how many seconds to come back, if a limit is reached."""
        settings, window = self._settings, self._settings.limit_window
        self._forget()
        if self.under_way >= settings.concurrency_limit:
            return to_problem(TOO_MANY_AT_ONCE, settings.concurrency_limit, window), CONCURRENCY_SECONDS
        self._requests.append(self._clock())
        if len(self._requests) > settings.request_limit:
            oldest = self._requests[-1 - settings.request_limit]
            return to_problem(TOO_MANY_REQUESTS, settings.request_limit, window), self._until(oldest)
        if self._seconds() >= settings.time_limit:
            problem = to_problem(TOO_MUCH_TIME, settings.time_limit * 1000, window)
            return problem, self._until(self._times[-1][0])
        self.under_way += 1
        return None

    def leave(self, seconds: float) -> None:
        """End a call that took so long."""
        self.under_way -= 1
        self._times.append((self._clock(), seconds))

    def left(self) -> dict[str, str]:
        """The headers that say what is left."""
        settings = self._settings
        requests, seconds = (
            settings.request_limit - len(self._requests),
            settings.time_limit - self._seconds(),
        )
        return {
            "x-ms-ratelimit-burst-remaining-xrm-requests": str(max(0, requests)),
            "x-ms-ratelimit-time-remaining-xrm-requests": f"{max(0.0, seconds):.2f}",
        }

    def _seconds(self) -> float:
        return sum(seconds for _, seconds in self._times)

    def _until(self, moment: float) -> int:
        """Whole seconds until what happened at a moment counts no more."""
        return max(1, math.ceil(moment + self._settings.limit_window - self._clock()))

    def _forget(self) -> None:
        since = self._clock() - self._settings.limit_window
        while self._requests and self._requests[0] <= since:
            self._requests.popleft()
        while self._times and self._times[0][0] <= since:
            self._times.popleft()


def to_problem(words: tuple[str, str], limit: float, window: float) -> Problem:
    """A 429 by its code and its words."""
    code, message = words
    return Problem(429, code, message.format(limit=limit, window=window))
