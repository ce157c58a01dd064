"""Fetching what Mailchimp answered to the batches of a run.

Whoever a batch says nothing of in the end stays unconfirmed, and is sent again by the next run.
No wait here is without an end.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from airflow_mailchimp_export.delivery.removals import to_removal_outcomes
from airflow_mailchimp_export.errors import NotFound, PermanentError, RetryableError
from airflow_mailchimp_export.mailchimp import calls
from airflow_mailchimp_export.mailchimp.archive import OperationResult, operation_results
from airflow_mailchimp_export.mailchimp.batches import cancel_batches
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.model import Batch, Outcome, RemovalChunk
from airflow_mailchimp_export.state import answers
from airflow_mailchimp_export.state.answer_files import Answer
from airflow_mailchimp_export.state.manifest import SubmittedBatch
from airflow_mailchimp_export.state.run import RunFolder

log = logging.getLogger(__name__)

DOWNLOADS = 5
"""Times that a batch's results are fetched before they count as unreadable; the link is new each time."""

FIRST_PAUSE = 2.0
"""Seconds before the second download, doubled for each further one."""


@dataclass(slots=True)
class Collected:
    """What a batch answered.

    :ivar members: how many people its answers name.
    :ivar refused: the numbers of the chunks whose request was refused or failed as a whole.
    """

    members: int = 0
    refused: list[int] = field(default_factory=list)


class Collector:
    """Fetches the answers to batches into a run.

    :param leaving: the chunks by which people leave, by number.
    """

    def __init__(self, gateway: Gateway, run: RunFolder, leaving: Mapping[int, RemovalChunk]) -> None:
        self._gateway = gateway
        self._run = run
        self._leaving = leaving

    def collect(self, batches: Iterable[SubmittedBatch]) -> Iterator[Collected]:
        """Fetch the answers to each batch that has some."""
        for submitted in batches:
            collected = self._collect(submitted)
            if collected is None:
                log.warning(
                    "Batch %s: its members stay unconfirmed and are sent again next time", submitted.id
                )
            else:
                yield collected

    def _collect(self, submitted: SubmittedBatch) -> Collected | None:
        for attempt in range(DOWNLOADS):
            if attempt:
                self._gateway.sleep(FIRST_PAUSE * 2 ** (attempt - 1))
            try:
                batch = self._ready(submitted.id)
                return self._download(batch, submitted) if batch else None
            except RetryableError as error:
                log.warning("Batch %s: %s", submitted.id, error)
            except PermanentError as error:
                # What is said of one batch is no reason to leave the answers of the others where they are.
                log.warning("Batch %s: %s", submitted.id, error)
                return None
        return None

    def _ready(self, batch_id: str) -> Batch | None:
        """Return a finished batch; ``None`` where waiting any longer is pointless."""
        try:
            batch = self._gateway.send(calls.batch(batch_id))
        except NotFound:
            log.warning("Batch %s is gone: Mailchimp keeps results for seven days", batch_id)
            return None
        if not batch.finished:
            log.warning("Batch %s is not finished: %s", batch_id, batch.status)
            # Worked off later, it could give a tag to somebody who has left by then.
            cancel_batches(self._gateway, [batch_id])
            return None
        if not batch.response_body_url:
            raise RetryableError("finished, but without a link to its results")
        return batch

    def _download(self, batch: Batch, submitted: SubmittedBatch) -> Collected:
        collected = Collected()
        with self._gateway.download(batch.response_body_url) as stream:
            results = self._answered(operation_results(stream), collected, frozenset(submitted.chunks))
            collected.members = self._run.keep(
                answers.batch_key(batch.id), results, refused=collected.refused
            )
        return collected

    def _answered(
        self, results: Iterable[OperationResult], collected: Collected, chunks: frozenset[int]
    ) -> Iterator[Answer]:
        for result in results:
            number = _chunk_number(result.operation_id, chunks)
            chunk = self._leaving.get(number) if number is not None else None
            outcomes = _outcomes(chunk, result)
            if outcomes:
                yield chunk.number if chunk else None, outcomes
            elif number is not None:
                collected.refused.append(number)


def _chunk_number(operation_id: str, chunks: frozenset[int]) -> int | None:
    """Return the number of the chunk that an operation carried, for that is its id; that of no other batch is one."""
    is_number = len(operation_id) <= _MOST_DIGITS and operation_id.isascii() and operation_id.isdecimal()
    number = int(operation_id) if is_number else None
    return number if number in chunks else None


_MOST_DIGITS = 9


def _outcomes(chunk: RemovalChunk | None, result: OperationResult) -> tuple[Outcome, ...]:
    """Return what an operation says of people; nothing where it failed as a whole."""
    try:
        if chunk:
            return to_removal_outcomes(chunk, result)
        taken = result.ok and result.answer is not None
        return calls.to_outcomes(result.answer) if taken else ()
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        raise RetryableError("The results of a batch are not in the documented shape") from None
