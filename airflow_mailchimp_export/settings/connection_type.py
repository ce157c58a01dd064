"""That a connection leads to the service which gets what is secret in it."""

from __future__ import annotations

from airflow_mailchimp_export.errors import ConfigError


def check_connection_type(conn_id: str, given: str | None, *, wanted: str, service: str) -> None:
    """Refuse a connection to something else: its password would be sent to this service.

    One without a type is taken, for vaults may keep it so.

    :param given: its type, as Airflow has it.
    :param wanted: the type of connections to the service.
    :param service: as messages name it.
    :raises ConfigError: it is of another type.
    """
    if given and given != wanted:
        raise ConfigError(
            f"Connection {conn_id!r} is of the type {given!r}, and its password must not go to {service}",
            f"Name a connection of the type {wanted!r}, or give this one that type if it was made for {service}",
        )
