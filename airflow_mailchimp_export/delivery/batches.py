"""Chunks handed over to Mailchimp as batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from airflow_mailchimp_export.mailchimp import calls
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.mailchimp.protocol import Call
from airflow_mailchimp_export.state.manifest import SubmittedBatch

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


def to_operation(number: int, people: int, call: Call[Any]) -> Operation:
    """Return the call for a chunk as an operation; its id is the number of the chunk."""
    return Operation(number, people, calls.operation(number, call.request))


def submit_batches(operations: Iterable[Operation], gateway: Gateway) -> Iterator[tuple[SubmittedBatch, int]]:
    """Hand chunks over as batches; yield each one that was taken, with the number of people in it."""
    for group in group_into_batches(operations):
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
