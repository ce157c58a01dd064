"""The application user and its business unit, each read by its key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from airflow_mailchimp_export.sandbox.customer_insights.choices import User
from airflow_mailchimp_export.sandbox.customer_insights.organisation import Organisation
from airflow_mailchimp_export.sandbox.customer_insights.problems import (
    no_privilege,
    no_property,
    no_row,
)
from airflow_mailchimp_export.sandbox.customer_insights.queries import Request, read_options
from airflow_mailchimp_export.sandbox.customer_insights.replies import Reply, json_reply
from airflow_mailchimp_export.sandbox.customer_insights.tables import OTHER_UNIT, ROOT_UNIT

_PRIVILEGES: Final = {"systemuser": "prvReadUser", "businessunit": "prvReadBusinessUnit"}
PRINCIPALS: Final = {f"{name}s": name for name in _PRIVILEGES}
"""Logical names by those of entity sets."""

USER_NAME: Final = "# Mailchimp exports"
"""Dataverse writes a hash before the names of application users."""

_UNITS: Final = {ROOT_UNIT: ("Contoso", None), OTHER_UNIT: ("Benelux", ROOT_UNIT)}


def unit_of(organisation: Organisation) -> str:
    """The id of the business unit that the application user is in."""
    return OTHER_UNIT if organisation.settings.user is User.BUSINESS_UNIT else ROOT_UNIT


def read_principal(organisation: Organisation, request: Request, entity_set: str, key: str) -> Reply:
    """The answer to a call for a user or a business unit.

    :raises Refused: it is not there, has no such column, or may not be read.
    """
    name = PRINCIPALS[entity_set]
    if not organisation.settings.units_readable:
        raise no_privilege(organisation.identifier("user"), _PRIVILEGES[name], name)
    row = {"systemuser": _user, "businessunit": _unit}[name](organisation, key)
    if row is None:
        raise no_row(name, key)
    shown = _selected(row, f"{name}id", read_options(request.query).get("$select"), name)
    if not organisation.settings.null_columns:
        shown = {column: value for column, value in shown.items() if value is not None}
    content = {
        "@odata.context": f"{request.root}/$metadata#{entity_set}/$entity",
        "@odata.etag": 'W/"1"',
        **shown,
    }
    return json_reply(content, f"GET {entity_set}(id)")


def _user(organisation: Organisation, key: str) -> dict[str, Any] | None:
    if key != organisation.identifier("user"):
        return None
    return {
        "systemuserid": key,
        "fullname": USER_NAME,
        "applicationid": organisation.settings.client_id,
        "_businessunitid_value": unit_of(organisation),
    }


def _unit(organisation: Organisation, key: str) -> dict[str, Any] | None:
    if key not in _UNITS:
        return None
    name, parent = _UNITS[key]
    return {"businessunitid": key, "name": name, "_parentbusinessunitid_value": parent}


def _selected(row: Mapping[str, Any], key: str, select: str | None, logical_name: str) -> dict[str, Any]:
    """The columns that are selected, and the key."""
    wanted = [name.strip() for name in select.split(",")] if select else list(row)
    for name in wanted:
        if name not in row:
            raise no_property(name, logical_name)
    return {name: row[name] for name in dict.fromkeys([*wanted, key])}
