"""What an export has to know of the audience before it sends anything."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from airflow_mailchimp_export.mailchimp import calls
from airflow_mailchimp_export.mailchimp.protocol import Sender
from airflow_mailchimp_export.model import Audience, MergeField


def read_audience(sender: Sender, audience_id: str) -> Audience:
    """Return the audience with its merge fields."""
    found = sender.send(calls.audience(audience_id))
    merge_fields = sender.send(calls.merge_fields(audience_id))
    return replace(found, merge_fields=merge_fields)


def create_merge_fields(
    sender: Sender, audience_id: str, fields: Iterable[MergeField]
) -> tuple[MergeField, ...]:
    """Add merge fields to an audience; return them as Mailchimp made them."""
    return tuple(sender.send(calls.create_merge_field(audience_id, field)) for field in fields)
