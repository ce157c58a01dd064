"""What the body or the query of a control call names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_mailchimp_export.sandbox.account import AUDIENCE_ID, Account
from airflow_mailchimp_export.sandbox.control_json import Missing
from airflow_mailchimp_export.sandbox.state import Audience


def audience_of(account: Account, values: Mapping[str, Any]) -> Audience:
    """The audience that is named, or the first one.

    :raises Missing: there is no such audience.
    """
    found = account.audiences.get(values.get("audience", AUDIENCE_ID))
    if found is None:
        raise Missing("There is no such audience.")
    return found
