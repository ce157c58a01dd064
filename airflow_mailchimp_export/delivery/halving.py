"""Dividing requests: until who is to blame for a refusal is alone, and until Mailchimp answers in time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container
from typing import TypeVar

from airflow_mailchimp_export.errors import PermanentError
from airflow_mailchimp_export.model import Outcome

P = TypeVar("P")

ANY_STATUS = range(1000)


def send_in_halves(
    people: tuple[P, ...],
    send: Callable[[tuple[P, ...]], tuple[Outcome, ...]],
    *,
    alone: Callable[[P, PermanentError], Outcome],
    refusals: Container[int] = ANY_STATUS,
) -> tuple[Outcome, ...]:
    """Send people in one request; where it is refused, each half of them, until who is to blame is alone.

    :param send: makes one request.
    :param alone: what became of somebody who was refused alone; may raise the refusal.
    :param refusals: the statuses of refusals for which one of them may be to blame; any other is raised.
    """
    try:
        return send(people)
    except PermanentError as refusal:
        if refusal.status not in refusals:
            raise
        if len(people) == 1:
            return (alone(people[0], refusal),)
    middle = len(people) // 2
    parts = (people[:middle], people[middle:])
    return tuple(
        outcome for part in parts for outcome in send_in_halves(part, send, alone=alone, refusals=refusals)
    )


class BearableSize:
    """How many people a request may carry for Mailchimp to answer in time: found out, from any thread.

    It does not grow again.

    :param first: the number to begin with.
    :param smallest: the least number; a request of so few is not divided any more.
    """

    def __init__(self, first: int, *, smallest: int) -> None:
        self.smallest = smallest
        self._size = first
        self._lock = threading.Lock()

    @property
    def people(self) -> int:
        """The number that is known to be bearable, or not known to be too many."""
        return self._size

    def is_divisible(self, people: int) -> bool:
        """Whether a request of so many people may be divided when it times out."""
        return people > self.smallest

    def timed_out(self, people: int) -> None:
        """Learn that a request of so many people is too big."""
        with self._lock:
            self._size = min(self._size, max(people // 2, self.smallest))
