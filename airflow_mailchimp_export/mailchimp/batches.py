"""Calling batches off."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from airflow_mailchimp_export.errors import MailchimpError, NotFound
from airflow_mailchimp_export.mailchimp import calls
from airflow_mailchimp_export.mailchimp.protocol import Sender

log = logging.getLogger(__name__)


def cancel_batches(sender: Sender, batch_ids: Iterable[str]) -> None:
    """Stop batches that are not finished; what they did so far stays done."""
    for batch_id in batch_ids:
        try:
            if not sender.send(calls.batch(batch_id)).finished:
                sender.send(calls.cancel_batch(batch_id))
                log.info("Batch %s is cancelled", batch_id)
        except NotFound:
            continue
        except MailchimpError as error:
            log.warning("Batch %s could not be cancelled: %s", batch_id, error)
