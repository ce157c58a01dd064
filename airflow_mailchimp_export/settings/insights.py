"""The settings of a connection to Dynamics 365 Customer Insights, checked and complete."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.settings.coercion import (
    InvalidValue,
    boolean,
    is_blank,
    matching,
    number,
    parse_setting,
    single_line,
    whole_number,
)
from airflow_mailchimp_export.settings.connection import Extra
from airflow_mailchimp_export.settings.hosts import MAX_PORT, HostRules
from airflow_mailchimp_export.settings.names import unknown_names
from airflow_mailchimp_export.settings.organisation import (
    Organisation,
    authority_of,
    parse_authority,
    parse_organisation,
)

MAX_CONNECTIONS: Final = 16
"""Well below the 52 requests that a user may have in flight:
https://learn.microsoft.com/power-apps/developer/data-platform/api-limits"""

_SECRET: Final = "Client secret (password)"
_CLIENT_ID: Final = "Client id (login)"


@dataclass(frozen=True, slots=True)
class InsightsSettings:
    """A connection's settings.

    :param organisation: whose Web API is read; the token goes nowhere else.
    :param authority: who gives tokens; the secret goes nowhere else.
    :param tenant_id: the directory that the app registration is in.
    :param client_id: the app registration's.
    :param max_connections: most requests in flight.
    :param timeout: seconds without an answer before a request counts as timed out.
    :param unknown_extra: keys among the extras that mean nothing here, each with what may have been meant.
    """

    organisation: Organisation
    authority: str
    tenant_id: str
    client_id: str
    client_secret: str = field(repr=False)
    max_connections: int = 4
    timeout: float = 120.0
    unknown_extra: tuple[str, ...] = ()

    @classmethod
    def from_parts(
        cls, *, login: object, password: object, host: object, port: object, extra: Mapping[str, object]
    ) -> InsightsSettings:
        """Check what an Airflow connection holds; null and empty text count as unset.

        :param login: the client id.
        :param password: the client secret.
        :param host: the URL of the organisation.
        :param port: unset or 0 means the scheme's own.
        :param extra: the other fields of the form, by their keys.
        :raises ConfigError: names the field that is wrong, and the remedy.
        """
        given: dict[str, Any] = {
            key: parse_setting(labelled(key), extra[key], setting.parse)
            for key, setting in EXTRAS.items()
            if not is_blank(extra.get(key))
        }
        rules = HostRules(
            allow_insecure=given.pop("allow_insecure_host", False),
            allow_custom=given.pop("allow_custom_host", False),
        )
        organisation = _organisation(host, port, rules)
        authority = given.pop("authority", None)
        if "tenant_id" not in given:
            raise ConfigError(
                f"{labelled('tenant_id')} is empty",
                "Fill in the Directory (tenant) id that the overview of the app registration shows",
            )
        return cls(
            organisation=organisation,
            authority=parse_authority(authority, rules=rules) if authority else authority_of(organisation),
            client_id=_client_id(login),
            client_secret=_secret(password),
            unknown_extra=tuple(unknown_names(extra, EXTRAS)),
            **given,
        )


def settings_of(connection: Any) -> InsightsSettings:
    """Return what an Airflow connection holds, checked.

    :param connection: Airflow's, which is not imported here.
    :raises ConfigError: names the field that is wrong.
    """
    return InsightsSettings.from_parts(
        login=connection.login,
        password=connection.password,
        host=connection.host,
        port=connection.port,
        extra=connection.extra_dejson,
    )


_NO_TENANT: Final = frozenset({"common", "organizations", "consumers"})

_DIRECTORY: Final = matching(
    re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,254}", re.ASCII),
    "the id of a directory, such as 72f988bf-86f1-41af-91ab-2d7cd011db47, or its domain",
)


def _tenant_id(value: object) -> str:
    tenant = _DIRECTORY(value)
    if tenant.lower() in _NO_TENANT:
        raise InvalidValue("the id of one directory: an app registration signs in to its own only")
    return tenant


EXTRAS: Final[Mapping[str, Extra]] = {
    "tenant_id": Extra("Tenant id", _tenant_id),
    "authority": Extra("Authority", single_line),
    "max_connections": Extra("Most connections", whole_number(1, MAX_CONNECTIONS)),
    "timeout": Extra("Timeout in seconds", number(1, 600)),
    "allow_insecure_host": Extra("Allow plain http", boolean),
    "allow_custom_host": Extra("Allow other hosts", boolean),
}


def labelled(key: str) -> str:
    """Return how a message names an extra: by the form's label, and by its key."""
    return f"{EXTRAS[key].label} ({key})"


def _organisation(host: object, port: object, rules: HostRules) -> Organisation:
    if is_blank(host):
        raise ConfigError(
            "Organisation URL (host) is empty",
            "Fill in the URL of the environment that Customer Insights writes to, such as "
            "https://contoso.crm4.dynamics.com (Power Platform admin center, Environments, Environment URL)",
        )
    url = parse_setting("Organisation URL (host)", host, single_line)
    given = None if is_blank(port) else parse_setting("Port (port)", port, whole_number(0, MAX_PORT))
    return parse_organisation(url, rules=rules, port=given or None)


def _client_id(value: object) -> str:
    if is_blank(value):
        raise ConfigError(
            f"{_CLIENT_ID} is empty",
            "Fill in the Application (client) id that the overview of the app registration shows",
        )
    return parse_setting(_CLIENT_ID, value, _APPLICATION_ID)


_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

_APPLICATION_ID: Final = matching(
    _ID,
    "an application id, such as 00001111-aaaa-2222-bbbb-3333cccc4444",
)


def _secret(value: object) -> str:
    if is_blank(value):
        raise ConfigError(
            f"{_SECRET} is empty",
            "Create one for the app registration under Certificates & secrets, and copy its Value",
        )
    secret = parse_setting(_SECRET, value, single_line)
    if _ID.fullmatch(secret):
        raise ConfigError(
            f"{_SECRET} holds an id: it is probably the secret's Secret ID",
            "Copy its Value, which is shown only once; if it is gone, create another secret",
        )
    return secret
