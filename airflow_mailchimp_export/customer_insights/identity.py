"""Whom the organisation takes the connection for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_mailchimp_export.customer_insights.protocol import Refusal
from airflow_mailchimp_export.customer_insights.reader import Reader
from airflow_mailchimp_export.errors import SourceError


@dataclass(frozen=True, slots=True)
class ApplicationUser:
    """An application user.

    :param name: as the environment's list of users has it; its id where it may not look itself up.
    :param unit: the name of its business unit; empty where that is not told.
    :param is_in_root: whether that is the organisation's own; ``None`` where that is not told.
    """

    id: str
    name: str
    unit: str = ""
    is_in_root: bool | None = None


def who_am_i(client: Reader) -> ApplicationUser:
    """Ask who the connection is.

    :raises Refusal: nobody whom the organisation knows.
    """
    user, unit = client.get(
        "WhoAmI", lambda told: (str(told["UserId"]), str(told["BusinessUnitId"])), what="WhoAmI"
    )
    name = _optional(client, f"systemusers({user})?$select=fullname", "The application user").get("fullname")
    told = _optional(
        client, f"businessunits({unit})?$select=name,_parentbusinessunitid_value", "The business unit"
    )
    is_told = "_parentbusinessunitid_value" in told
    return ApplicationUser(
        user,
        name if isinstance(name, str) and name else user,
        str(told.get("name") or ""),
        told["_parentbusinessunitid_value"] is None if is_told else None,
    )


def _optional(client: Reader, path: str, what: str) -> Mapping[str, Any]:
    try:
        return client.get(path, _mapping, what=what)
    except (Refusal, SourceError):
        return {}


def _mapping(payload: Any) -> Mapping[str, Any]:
    if not isinstance(payload, Mapping):
        raise TypeError("no object")
    return payload
