"""How many requests may be in flight."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

GROW_AFTER = 20
"""Good answers in a row before one more connection is used again after a push-back."""

BACK_OFF_EVERY = 1.0
"""Seconds in which all push-backs count as one: the calls in flight are refused together."""


class AdaptiveLimiter:
    """Lets at most ``limit`` requests through at a time.

    Halved on a push-back, because Mailchimp's ten connections are shared by all integrations
    of a user; widened again by one after :data:`GROW_AFTER` good answers.

    :param limit: most requests at a time.
    :param clock: seconds of a clock that never goes back.
    """

    def __init__(self, limit: int, *, clock: Callable[[], float]) -> None:
        self._ceiling = limit
        self._limit = limit
        self._clock = clock
        self._inside = 0
        self._good = 0
        self._backed_off_at = float("-inf")
        self._changed = threading.Condition()

    @property
    def limit(self) -> int:
        """How many may be inside at present."""
        with self._changed:
            return self._limit

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for a slot, and hold it."""
        with self._changed:
            self._changed.wait_for(lambda: self._inside < self._limit)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def back_off(self) -> None:
        """Halve the limit after a push-back."""
        with self._changed:
            if self._clock() - self._backed_off_at < BACK_OFF_EVERY:
                return
            self._backed_off_at = self._clock()
            self._limit = max(1, self._limit // 2)
            self._good = 0

    def record_success(self) -> None:
        """Count a good answer, and widen the limit after a row of them."""
        with self._changed:
            self._good += 1
            if self._good >= GROW_AFTER and self._limit < self._ceiling:
                self._limit += 1
                self._good = 0
                self._changed.notify_all()
