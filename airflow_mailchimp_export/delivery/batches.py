"""Delivery by batches: chunks are handed over as jobs, and answered whenever Mailchimp has worked them off."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_mailchimp_export.delivery.direct import deliver_chunks
from airflow_mailchimp_export.delivery.removals import removed
from airflow_mailchimp_export.delivery.results import Collector
from airflow_mailchimp_export.delivery.shipment import Shipment
from airflow_mailchimp_export.mailchimp import calls
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.mailchimp.protocol import Call
from airflow_mailchimp_export.model import Chunk, RemovalChunk
from airflow_mailchimp_export.progress import Progress
from airflow_mailchimp_export.state import answers
from airflow_mailchimp_export.state.manifest import SubmittedBatch
from airflow_mailchimp_export.state.plan_file import read_removal_chunks
from airflow_mailchimp_export.state.run import RunFolder

MAX_BATCH_PEOPLE = 20_000
"""People in one batch: its results, some megabytes, stay small enough to be read in one go."""

MAX_BATCH_BYTES = 5_000_000
"""Bytes of one batch; Mailchimp documents no limit, so this stays far from any."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A chunk as an operation of a batch.

    :param people: how many it concerns.
    :param content: the operation, as JSON.
    """

    number: int
    people: int
    content: bytes


class BatchDelivery:
    """Hands chunks over as batches, and fetches the answers once the batches are finished."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def deliver(self, run: RunFolder, *, on_batch: Callable[[str], None]) -> tuple[str, ...]:
        """Hand over all chunks that were not handed over before; return the ids of all batches of the run."""
        shipment = Shipment(run, self._gateway)
        shipment.rename()
        handed_over = frozenset(number for batch in run.batches for number in batch.chunks)
        with (
            shipment.open_chunks(without=handed_over) as chunks,
            Progress("Handing over", "members", total=chunks.people) as progress,
        ):
            for operations in (_upserts(shipment, chunks.upserts), _removals(shipment, chunks.removals)):
                for batch, people in submit_batches(operations, self._gateway, begin=shipment.begin):
                    on_batch(batch.id)
                    run.note_batch(batch)
                    progress.advance(people)
        return tuple(batch.id for batch in run.batches)

    def collect(self, run: RunFolder, *, further: bool) -> None:
        """Fetch what the batches answered, and deliver directly what they could not deliver."""
        answered = run.answer_log.answered()
        missing = [batch for batch in run.batches if answers.batch_key(batch.id) not in answered]
        if missing:
            self._fetch(run, missing)
        refused = run.answer_log.refused_chunks()
        if refused and further:
            deliver_chunks(Shipment(run, self._gateway), only=refused)

    def _fetch(self, run: RunFolder, batches: Sequence[SubmittedBatch]) -> None:
        with run.reading_plan() as plan:
            leaving = {chunk.number: chunk for chunk in read_removal_chunks(plan)}
        with run.answer_log.recording(), Progress("Collecting", "answers") as progress:
            for collected in Collector(self._gateway, run, leaving).collect(batches):
                progress.advance(collected.members)


def _upserts(shipment: Shipment, chunks: Iterable[Chunk]) -> Iterator[Operation]:
    for chunk in chunks:
        opted_out, left = shipment.look_over(chunk)
        if opted_out:
            shipment.keep_opted_out(chunk, opted_out)
        if left.members:
            yield to_operation(chunk.number, len(left.members), shipment.upserter.call(left))


def _removals(shipment: Shipment, chunks: Iterable[RemovalChunk]) -> Iterator[Operation]:
    for chunk in chunks:
        opted_out, left = shipment.look_over_leaving(chunk)
        call = shipment.remover.call(left) if left.emails else None
        if call:
            if opted_out:
                shipment.keep_opted_out(chunk, opted_out)
            yield to_operation(chunk.number, len(left.emails), call)
        else:
            shipment.keep(chunk, (*opted_out, *removed(left)))


def to_operation(number: int, people: int, call: Call[Any]) -> Operation:
    """Return the call for a chunk as an operation; its id is the number of the chunk."""
    return Operation(number, people, calls.operation(number, call.request))


def submit_batches(
    operations: Iterable[Operation], gateway: Gateway, *, begin: Callable[[int], object] = lambda number: None
) -> Iterator[tuple[SubmittedBatch, int]]:
    """Hand chunks over as batches; yield each one that was taken, with the number of people in it.

    :param begin: called with the highest number of a chunk in a batch before that is handed over.
    """
    for group in group_into_batches(operations):
        begin(group[-1].number)
        taken = gateway.send(calls.submit_batch(operation.content for operation in group))
        numbers = tuple(operation.number for operation in group)
        yield SubmittedBatch(taken.id, numbers), sum(operation.people for operation in group)


def group_into_batches(operations: Iterable[Operation]) -> Iterator[tuple[Operation, ...]]:
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
