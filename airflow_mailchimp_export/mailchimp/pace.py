"""When a call is repeated and when it is given up, without any I/O.

:func:`exchange` is a generator: it yields what to do next, a request to send or a pause to make,
and is sent the result. The client drives it, and so can a test without a network or a clock.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

from airflow_mailchimp_export.errors import RetryableError, Throttled, TimedOut
from airflow_mailchimp_export.mailchimp.protocol import Call, Request, Response, finish

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait before the next attempt.

    :param seconds: how long.
    :param holds_connection: whether the call before may still occupy one of the account's connections.
    :param pushed_back: whether Mailchimp asked for fewer requests.
    """

    seconds: float
    holds_connection: bool = False
    pushed_back: bool = False


@dataclass(frozen=True, slots=True)
class Pace:
    """How often and how fast calls are repeated.

    Mailchimp's advice is exponential back-off with jitter, and not to repeat a timed-out call at once:
    https://mailchimp.com/developer/marketing/docs/fundamentals/#api-limits

    :param attempts: most times that one call is sent.
    :param first_pause: seconds before the second attempt, doubled for each further one.
    :param longest_pause: seconds, the ceiling of every pause.
    :param timeout_pause: seconds before a timed-out call is first repeated.
    :param deadline: seconds after which a call is given up, whatever is left of its attempts.
    """

    attempts: int = 8
    first_pause: float = 1.0
    longest_pause: float = 60.0
    timeout_pause: float = 5.0
    deadline: float = 900.0

    def pause_after(self, attempt: int, error: RetryableError, *, chance: float) -> Pause:
        """Return the pause after the ``attempt``-th failure; ``chance`` is from 0 to 1."""
        timed_out = isinstance(error, TimedOut)
        start = self.timeout_pause if timed_out else self.first_pause
        ceiling = min(self.longest_pause, start * 2 ** (attempt - 1))
        seconds = max(ceiling * (0.5 + chance / 2), min(error.retry_after or 0.0, self.longest_pause))
        return Pause(seconds, holds_connection=timed_out, pushed_back=isinstance(error, Throttled))


def exchange(
    call: Call[T],
    pace: Pace,
    *,
    clock: Callable[[], float],
    chance: Callable[[], float] = random.random,
) -> Generator[Request | Pause, Response | RetryableError | None, T]:
    """Yield the requests and pauses of one call until it is answered.

    For a request the driver sends the :class:`Response` in, or the :class:`RetryableError` that stands
    for a broken connection; for a pause it sends ``None``.

    :raises RetryableError: the last one, once attempts or time are used up.
    :raises TimedOut: of a call that can be divided, after the pause in which it may still hold a connection.
    :raises PermanentError: as soon as Mailchimp refuses.
    :raises AccessDenied: as soon as Mailchimp says that the key may not do this.
    """
    give_up_at = clock() + pace.deadline
    attempt = 0
    while True:
        attempt += 1
        try:
            return _answered(call, (yield call.request))
        except RetryableError as error:
            pause = pace.pause_after(attempt, error, chance=chance())
            if attempt >= pace.attempts or clock() + pause.seconds > give_up_at:
                raise
            if call.divisible and isinstance(error, TimedOut):
                yield pause
                raise
        yield pause


def _answered(call: Call[T], answer: Response | RetryableError | None) -> T:
    if isinstance(answer, Response):
        return finish(call, answer)
    raise answer or RetryableError("The request was not sent")
