"""Direct delivery: each chunk in a call of its own, answered at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain

from airflow_mailchimp_export.address import normal_address
from airflow_mailchimp_export.delivery.pool import deliver_directly
from airflow_mailchimp_export.delivery.removals import Outcomes
from airflow_mailchimp_export.delivery.shipment import Item, Shipment
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
        shipment = Shipment(run, self._gateway)
        shipment.rename()
        deliver_chunks(shipment)
        return ()

    def collect(self, run: RunFolder, *, further: bool) -> None:
        """Do nothing: every answer is there as soon as its call is over."""


NOTED_AHEAD = 1 / 8
"""By what part more chunks count as begun than were sent: a note costs two calls of fsync, or an object."""


def deliver_chunks(shipment: Shipment, *, only: frozenset[int] | None = None) -> None:
    """Make the calls for chunks without an answer: for who is sent, and for who leaves.

    The connections are never idle between the two. Who is in both is sent first, and leaves once that is over.

    :param only: the numbers of the chunks, where not all are meant.
    """
    with (
        shipment.open_chunks(only=only) as chunks,
        Progress("Sending", "members", total=chunks.people) as progress,
    ):
        items: Iterator[Item] = chain(chunks.upserts, chunks.removals)
        for people in deliver_directly(
            items,
            partial(_sent, shipment),
            connections=shipment.connections,
            keep=shipment.keep,
            collide=share_somebody,
        ):
            progress.advance(people)


def _sent(shipment: Shipment, item: Item) -> Outcomes | None:
    return _upserted(shipment, item) if isinstance(item, Chunk) else _removed(shipment, item)


def _upserted(shipment: Shipment, chunk: Chunk) -> Outcomes | None:
    # One note does for the calls that begin together, and for the next ones. It may take its time, so who opted out is
    # asked behind it.
    shipment.begin(chunk.number, ahead=max(2 * (shipment.connections - 1), int(chunk.number * NOTED_AHEAD)))
    opted_out, left = shipment.look_over(chunk)
    if not left.members:
        shipment.keep(chunk, opted_out)
        return None
    return (*opted_out, *shipment.upserter.upsert(left))


def _removed(shipment: Shipment, chunk: RemovalChunk) -> Outcomes | None:
    opted_out, left = shipment.look_over_leaving(chunk)
    if not left.emails:
        shipment.keep(chunk, opted_out)
        return None
    return (*opted_out, *shipment.remover.remove(left))


def share_somebody(one: Item, other: Item) -> bool:
    """Whether two calls concern the same person, and in an order that matters.

    It does not among calls of one kind: nobody is sent twice, or taken out twice, and tags may be taken in any order.
    """
    return _kind(one) != _kind(other) and not _people(one).isdisjoint(_people(other))


def _kind(item: Item) -> str | None:
    return item.kind.name if isinstance(item, RemovalChunk) else None


def _people(item: Item) -> frozenset[str]:
    emails = (member.email for member in item.members) if isinstance(item, Chunk) else item.emails
    return frozenset(map(normal_address, emails))
