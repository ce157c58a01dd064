"""The ways for a run's chunks to get to Mailchimp: a further one is a class and a row of the table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from airflow_mailchimp_export.delivery.batches import BatchDelivery
from airflow_mailchimp_export.delivery.direct import DirectDelivery
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.model import Delivery
from airflow_mailchimp_export.state.run import RunFolder


class RunDelivery(Protocol):
    """Brings what has no answer yet to Mailchimp, and the answers back; it may be stopped anywhere and begin again."""

    def deliver(self, run: RunFolder, *, on_batch: Callable[[str], None]) -> tuple[str, ...]:
        """Send what was not sent before; return the ids of the batches that have to be waited for.

        :param on_batch: called with the id of each batch that Mailchimp took.
        :raises ConfigError: when consent is withdrawn.
        :raises MailchimpError: when Mailchimp refuses or is out of reach; what it answered before is kept.
        """

    def collect(self, run: RunFolder, *, further: bool) -> None:
        """Take in what Mailchimp has answered since.

        :param further: whether anything may be sent any more.
        :raises MailchimpError: when Mailchimp refuses or is out of reach; what it answered before is kept.
        """


DELIVERIES: dict[Delivery, Callable[[Gateway], RunDelivery]] = {
    Delivery.BATCH: BatchDelivery,
    Delivery.DIRECT: DirectDelivery,
}


def delivery_of(run: RunFolder, gateway: Gateway) -> RunDelivery:
    """Return the way that a run was planned for."""
    return DELIVERIES[run.manifest.delivery](gateway)
