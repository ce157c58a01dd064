"""Chunks worked off side by side, in bounded memory.

In flight are at most ``connections`` chunks, and as many again wait with their members in memory.
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


def deliver_directly(
    chunks: Iterable[C],
    work: Callable[[C], Sequence[Outcome]],
    *,
    connections: int,
    keep: Callable[[C, Sequence[Outcome]], object],
) -> Iterator[int]:
    """Work chunks off side by side; yield the number of people of each chunk that was answered.

    A chunk that got no answer is left out: its members stay unconfirmed.

    :param keep: called with a chunk and its outcomes as soon as they are there, from any thread.
    :raises RetryableError: when Mailchimp is out of reach for good.
    """

    def deliver(chunk: C) -> int:
        outcomes = work(chunk)
        keep(chunk, outcomes)
        return len(outcomes)

    failures = Streak(MAX_CONSECUTIVE_FAILURES)
    with (
        ThreadPoolExecutor(connections) as pool,
        closing(_bounded(pool, deliver, chunks, at_once=2 * connections)) as in_flight,
    ):
        for done in in_flight:
            try:
                people = done.result()
            except RetryableError as error:
                log.warning("A chunk got no answer and stays unconfirmed: %s", error)
                if failures.extend():
                    raise
                continue
            failures.end()
            yield people


def _bounded(
    pool: ThreadPoolExecutor, work: Callable[[C], int], chunks: Iterable[C], *, at_once: int
) -> Generator[Future[int]]:
    """Yield what is done while at most ``at_once`` chunks are in the pool; on an error start no more."""
    pending: list[Future[int]] = []
    try:
        for chunk in chunks:
            pending.append(pool.submit(work, chunk))
            if len(pending) >= at_once:
                done, pending = _divided(pending)
                yield from done
        while pending:
            done, pending = _divided(pending)
            yield from done
    finally:
        for future in pending:
            future.cancel()


def _divided(pending: list[Future[int]]) -> tuple[list[Future[int]], list[Future[int]]]:
    """Wait for one at least; return what is done and what is not, both in the order of the chunks."""
    over = wait(pending, return_when=FIRST_COMPLETED).done
    return [each for each in pending if each in over], [each for each in pending if each not in over]
