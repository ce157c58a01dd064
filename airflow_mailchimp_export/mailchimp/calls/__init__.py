"""The calls that an export makes, each with the reader of its answer.

``/lists/`` is spelled here and nowhere else: what Mailchimp's paths call a list is an audience.
Reference: https://mailchimp.com/developer/marketing/api/
"""

from __future__ import annotations

from airflow_mailchimp_export.mailchimp.calls.accounts import (
    Account,
    Home,
    account,
    audience,
    audiences,
    create_merge_field,
    merge_fields,
    oauth_home,
    tags,
)
from airflow_mailchimp_export.mailchimp.calls.batches import (
    batch,
    cancel_batch,
    operation,
    submit_batch,
    to_batch,
)
from airflow_mailchimp_export.mailchimp.calls.changing import (
    MAX_TAG_MEMBERS,
    archive,
    rename,
    to_outcomes,
    to_untagged,
    untag,
    upsert,
)
from airflow_mailchimp_export.mailchimp.calls.reading import (
    MemberPage,
    member_status,
    member_tags,
    members,
    tag_members,
)
from airflow_mailchimp_export.mailchimp.calls.shared import PAGE_SIZE

__all__ = [
    "MAX_TAG_MEMBERS",
    "PAGE_SIZE",
    "Account",
    "Home",
    "MemberPage",
    "account",
    "archive",
    "audience",
    "audiences",
    "batch",
    "cancel_batch",
    "create_merge_field",
    "member_status",
    "member_tags",
    "members",
    "merge_fields",
    "oauth_home",
    "operation",
    "rename",
    "submit_batch",
    "tag_members",
    "tags",
    "to_batch",
    "to_outcomes",
    "to_untagged",
    "untag",
    "upsert",
]
