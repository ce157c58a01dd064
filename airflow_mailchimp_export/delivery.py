"""Two ways to bring chunks to Mailchimp: call by call, or as batches; the outcomes are the same.

In flight are at most ``client.max_connections`` chunks, and as many again wait with their members in memory.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeVar

from airflow_mailchimp_export.errors import AccessDenied, PermanentError, RetryableError
from airflow_mailchimp_export.mailchimp import calls
from airflow_mailchimp_export.mailchimp.client import MailchimpClient
from airflow_mailchimp_export.mailchimp.protocol import Call
from airflow_mailchimp_export.mailchimp.refusals import effect_of, why
from airflow_mailchimp_export.manifest import SubmittedBatch
from airflow_mailchimp_export.model import Chunk, Outcome

log = logging.getLogger(__name__)

_DIVISIBLE = frozenset({400, 413, 422})
"""The refusals of a whole request for which one of its members may be to blame."""

HOPELESS_REFUSALS = 50
"""Members refused one by one, without any accepted between, after which the members are not to blame."""

HOPELESS_FAILURES = 5
"""Chunks given up in a row after which Mailchimp counts as out of reach."""

MAX_BATCH_PEOPLE = 20_000
"""People in one batch: its results, some megabytes, stay small enough to be read in one go."""

MAX_BATCH_BYTES = 5_000_000
"""Bytes of one batch; Mailchimp documents no limit, so this stays far from any."""

C = TypeVar("C")


class Upserter:
    """Sends a chunk, and divides it when Mailchimp refuses it whole.

    :param permit: called before each request; raises to stop the export.
    """

    def __init__(
        self,
        client: MailchimpClient,
        audience_id: str,
        *,
        permit: Callable[[], None],
        skip_merge_validation: bool = False,
    ) -> None:
        self._client = client
        self._audience_id = audience_id
        self._permit = permit
        self._skip_merge_validation = skip_merge_validation
        # Whether Mailchimp trims the answer as asked: not documented for this call, so found out.
        self._trims: bool | None = None
        self._refused_in_a_row = 0

    def call(self, chunk: Chunk, *, trimmed: bool = True) -> Call[tuple[Outcome, ...]]:
        """Return the request for a chunk."""
        return calls.upsert(
            self._audience_id, chunk, skip_merge_validation=self._skip_merge_validation, trimmed=trimmed
        )

    def upsert(self, chunk: Chunk) -> tuple[Outcome, ...]:
        """Return what became of each member.

        :raises RetryableError: when Mailchimp could not be reached in the end.
        :raises PermanentError: when it refuses for a reason that is not in the members.
        """
        try:
            outcomes = self._send(chunk)
        except PermanentError as refusal:
            if isinstance(refusal, AccessDenied) or refusal.status not in _DIVISIBLE:
                raise
            return self._divide(chunk, refusal)
        self._refused_in_a_row = 0
        return outcomes

    def _send(self, chunk: Chunk) -> tuple[Outcome, ...]:
        self._permit()
        if self._trims is not False:
            try:
                outcomes = self._client.send(self.call(chunk))
            except PermanentError as refusal:
                if self._trims or refusal.status not in _DIVISIBLE:
                    raise
            else:
                self._trims = self._trims or bool(outcomes)
                if self._trims:
                    return outcomes
            self._permit()
        outcomes = self._client.send(self.call(chunk, trimmed=False))
        self._trims = False
        return outcomes

    def _divide(self, chunk: Chunk, refusal: PermanentError) -> tuple[Outcome, ...]:
        if len(chunk.members) > 1:
            middle = len(chunk.members) // 2
            halves = (Chunk(chunk.number, part) for part in (chunk.members[:middle], chunk.members[middle:]))
            return tuple(outcome for half in halves for outcome in self.upsert(half))
        self._refused_in_a_row += 1
        if self._refused_in_a_row >= HOPELESS_REFUSALS:
            raise refusal
        return (_refused_alone(chunk, refusal),)


def _refused_alone(chunk: Chunk, refusal: PermanentError) -> Outcome:
    problem = next(iter(refusal.problems), None)
    field, message = (problem.field, problem.message) if problem else ("", "")
    reason = why(refusal.words, field=field, field_message=message)
    words = " ".join(part for part in (refusal.words, message) if part)
    return Outcome(chunk.members[0].email, effect_of(reason), reason=reason, field=field, words=words)


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

    failures = 0
    with (
        ThreadPoolExecutor(connections) as pool,
        closing(_bounded(pool, deliver, chunks, at_once=2 * connections)) as in_flight,
    ):
        for done in in_flight:
            try:
                people = done.result()
            except RetryableError as error:
                failures += 1
                log.warning("A chunk got no answer and stays unconfirmed: %s", error)
                if failures >= HOPELESS_FAILURES:
                    raise
                continue
            failures = 0
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


@dataclass(frozen=True, slots=True)
class Operation:
    """A chunk as an operation of a batch.

    :param people: how many it concerns.
    :param content: the operation, as JSON.
    """

    number: int
    people: int
    content: bytes


def to_operation(number: int, people: int, call: Call[Any]) -> Operation:
    """Return the call for a chunk as an operation; its id is the number of the chunk."""
    return Operation(number, people, calls.operation(number, call.request))


def _divided(pending: list[Future[int]]) -> tuple[list[Future[int]], list[Future[int]]]:
    """Wait for one at least; return what is done and what is not, both in the order of the chunks."""
    over = wait(pending, return_when=FIRST_COMPLETED).done
    return [each for each in pending if each in over], [each for each in pending if each not in over]


def submit_batches(
    operations: Iterable[Operation], client: MailchimpClient, *, permit: Callable[[], None]
) -> Iterator[tuple[SubmittedBatch, int]]:
    """Hand chunks over as batches; yield each one that was taken, with the number of people in it."""
    for group in packed(operations):
        permit()
        taken = client.send(calls.submit_batch(operation.content for operation in group))
        numbers = tuple(operation.number for operation in group)
        yield SubmittedBatch(taken.id, numbers), sum(operation.people for operation in group)


def packed(operations: Iterable[Operation]) -> Iterator[tuple[Operation, ...]]:
    """Group operations so that each group makes a batch of bearable size."""
    group: list[Operation] = []
    people = size = 0
    for operation in operations:
        bulk = len(operation.content)
        if group and (people + operation.people > MAX_BATCH_PEOPLE or size + bulk > MAX_BATCH_BYTES):
            yield tuple(group)
            group, people, size = [], 0, 0
        group.append(operation)
        people, size = people + operation.people, size + bulk
    if group:
        yield tuple(group)
