"""Finding out who is to blame when Mailchimp refuses a request as a whole."""

from __future__ import annotations

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
