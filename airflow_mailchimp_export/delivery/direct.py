"""Direct delivery: each chunk in a call of its own, answered at once."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

from airflow_mailchimp_export.delivery.pool import deliver_directly
from airflow_mailchimp_export.delivery.removals import Outcomes
from airflow_mailchimp_export.delivery.shipment import Shipment
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.model import Chunk, RemovalChunk
from airflow_mailchimp_export.progress import Progress
from airflow_mailchimp_export.state.run import RunFolder


class DirectDelivery:
    """Makes the calls itself, side by side."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def deliver(self, run: RunFolder, *, on_batch: Callable[[str], None]) -> tuple[str, ...]:
        """Send all chunks without an answer; there is no batch to wait for."""
        deliver_chunks(Shipment(run, self._gateway))
        return ()

    def collect(self, run: RunFolder, *, further: bool) -> None:
        """Do nothing: every answer is there as soon as its call is over."""


NOTED_AHEAD = 1 / 16
"""By what part more chunks count as begun than were sent: a note costs two calls of fsync, or an object."""


def deliver_chunks(shipment: Shipment, *, only: frozenset[int] | None = None) -> None:
    """Make the calls for chunks without an answer: first for who is sent, then for who leaves.

    :param only: the numbers of the chunks, where not all are meant.
    """

    def upsert(chunk: Chunk) -> Outcomes:
        shipment.begin(chunk.number, ahead=int(chunk.number * NOTED_AHEAD))
        opted_out, left = shipment.without_opt_outs(chunk)
        return (*opted_out, *(shipment.upserter.upsert(left) if left.members else ()))

    def remove(chunk: RemovalChunk) -> Outcomes:
        opted_out, left = shipment.without_opt_outs_leaving(chunk)
        return (*opted_out, *(shipment.remover.remove(left) if left.emails else ()))

    connections = shipment.connections
    with (
        shipment.open_chunks(only=only) as chunks,
        Progress("Sending", "members", total=chunks.people) as progress,
    ):
        sent = deliver_directly(chunks.upserts, upsert, connections=connections, keep=shipment.keep)
        removed = deliver_directly(
            chunks.removals, remove, connections=connections, keep=shipment.keep_removed
        )
        for people in chain(sent, removed):
            progress.advance(people)
