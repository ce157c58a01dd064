"""Chunks worked off side by side, in bounded memory.

In flight are at most ``connections`` chunks, and as many again wait with their members in memory. They are begun in
their order, and one that collides with some before it is begun once these are over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from typing import TypeVar

from airflow_mailchimp_export.delivery.streak import Streak
from airflow_mailchimp_export.errors import RetryableError
from airflow_mailchimp_export.model import Outcome

log = logging.getLogger(__name__)

MAX_CONSECUTIVE_FAILURES = 5
"""Chunks given up in a row after which Mailchimp counts as out of reach."""

C = TypeVar("C")

T = TypeVar("T")


def _never(one: object, other: object) -> bool:
    return False


def deliver_directly(
    chunks: Iterable[C],
    work: Callable[[C], Sequence[Outcome] | None],
    *,
    connections: int,
    keep: Callable[[C, Sequence[Outcome]], object],
    collide: Callable[[C, C], bool] = _never,
) -> Iterator[int]:
    """Work chunks off side by side; yield the number of people of each chunk that was answered.

    A chunk that got no answer is left out: its members stay unconfirmed. So is one of which Mailchimp was not asked,
    which says nothing of whether it can be reached.

    :param work: returns what became of a chunk's people; ``None`` where Mailchimp was not asked.
    :param collide: whether two chunks may not be under way together, such as those that concern the same person.
    :param keep: called with a chunk and its outcomes as soon as they are there, from any thread.
    :raises RetryableError: when Mailchimp is out of reach for good.
    """

    def deliver(chunk: C) -> int | None:
        outcomes = work(chunk)
        if outcomes is None:
            return None
        keep(chunk, outcomes)
        return len(outcomes)

    failures = Streak(MAX_CONSECUTIVE_FAILURES)
    with (
        ThreadPoolExecutor(connections) as pool,
        closing(_bounded(pool, deliver, chunks, at_once=2 * connections, collide=collide)) as in_flight,
    ):
        for done in in_flight:
            try:
                people = done.result()
            except RetryableError as error:
                log.warning("A chunk got no answer and stays unconfirmed: %s", error)
                if failures.extend():
                    raise
                continue
            if people is not None:
                failures.end()
                yield people


def _bounded(
    pool: ThreadPoolExecutor,
    work: Callable[[C], T],
    chunks: Iterable[C],
    *,
    at_once: int,
    collide: Callable[[C, C], bool],
) -> Generator[Future[T]]:
    """Yield what is done while at most ``at_once`` chunks are in the pool; on an error start no more."""
    pending: dict[Future[T], C] = {}
    try:
        for chunk in chunks:
            while any(collide(chunk, earlier) for earlier in pending.values()):
                yield from _done(pending)
            pending[pool.submit(work, chunk)] = chunk
            if len(pending) >= at_once:
                yield from _done(pending)
        while pending:
            yield from _done(pending)
    finally:
        for future in pending:
            future.cancel()


def _done(pending: dict[Future[T], C]) -> list[Future[T]]:
    """Wait for one at least; take out what is done, and return it in the order of the chunks."""
    over = wait(pending, return_when=FIRST_COMPLETED).done
    done = [future for future in pending if future in over]
    for future in done:
        del pending[future]
    return done
