"""Calling batches off."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from airflow_mailchimp_export.errors import MailchimpError, NotFound
from airflow_mailchimp_export.mailchimp import calls
from airflow_mailchimp_export.mailchimp.protocol import Sender

log = logging.getLogger(__name__)


def cancel_batches(sender: Sender, batch_ids: Iterable[str]) -> None:
    """Stop batches that are not finished; what they did so far stays done.

    One that has only its results to pack can do nothing later, and is left alone: its results may still be fetched.
    """
    for batch_id in batch_ids:
        try:
            batch = sender.send(calls.batch(batch_id))
            if not (batch.finished or batch.worked_off):
                sender.send(calls.cancel_batch(batch_id))
                log.info("Batch %s is cancelled", batch_id)
        except NotFound:
            continue
        except MailchimpError as error:
            log.warning("Batch %s could not be cancelled: %s", batch_id, error)
