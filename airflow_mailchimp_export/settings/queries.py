"""Profiles in a database: the query of a segment, checked before anything is connected to."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.settings.coercion import (
    InvalidValue,
    boolean,
    describe_type,
    from_json,
    is_blank,
    parse_setting,
    single_line,
)
from airflow_mailchimp_export.settings.names import check_keys

Parameters: TypeAlias = Mapping[str, Any] | Sequence[Any]

QUERY_KEYS = ("conn_id", "sql", "parameters", "tag", "adbc")


@dataclass(frozen=True, slots=True)
class SqlSpec:
    """Profiles that a query of a database returns.

    :param conn_id: the Airflow connection of the database.
    :param sql: one statement that returns rows.
    :param parameters: what the driver puts in the place of the statement's placeholders.
    :param adbc: whether a driver of ADBC may read it, where one is installed; the rows are the same.
    """

    conn_id: str
    sql: str
    parameters: Parameters | None = None
    adbc: bool = True

    def __repr__(self) -> str:
        """Tell queries apart without their text: there may be a person's data in it."""
        return f"SqlSpec(conn_id={self.conn_id!r}, sql={self.digest!r})"

    @property
    def digest(self) -> str:
        """What stands for the statement and its parameters."""
        given = self.parameters
        values = sorted(given.items()) if isinstance(given, Mapping) else given and list(given)
        return hashlib.sha256(repr((self.sql, values)).encode()).hexdigest()[:16]


def parse_query(where: str, given: Mapping[str, object]) -> SqlSpec:
    """Check the keys of a segment that is a query.

    :raises ConfigError: names the segment, the key and what it must be.
    """
    if "uri" in given:
        raise ConfigError(
            f"{where} has both 'uri' and 'sql'",
            "Leave one of them out: profiles are in files or in a database",
        )
    check_keys(where, given, allowed=QUERY_KEYS)
    if is_blank(given.get("conn_id")):
        raise ConfigError(
            f"{where} has 'sql' and no 'conn_id'", "Name the Airflow connection of the database with conn_id"
        )
    return SqlSpec(
        conn_id=parse_setting(f"{where}: conn_id", given["conn_id"], single_line),
        sql=_statement(where, given["sql"]),
        parameters=parse_setting(f"{where}: parameters", given.get("parameters"), _parameters),
        adbc=is_blank(given.get("adbc")) or parse_setting(f"{where}: adbc", given["adbc"], boolean),
    )


def _statement(where: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(
            f"{where}: sql must be a query, or the name of a .sql file; given was {describe_type(value)}."
        )
    statement = value.strip().rstrip(";").rstrip()
    if statement.endswith(".sql") and len(statement.split()) == 1:
        raise ConfigError(
            f"{where}: sql names the file {statement!r}, which was not read: files are read where the DAG names them, "
            "not where the segments come as text",
            "Put the query itself in its place, or name the file in the DAG",
        )
    return statement


def _parameters(value: object) -> Parameters | None:
    parsed = from_json(value)
    if is_blank(parsed) or parsed == {}:
        return None
    if isinstance(parsed, Mapping) and all(isinstance(name, str) for name in parsed):
        return dict(parsed)
    if isinstance(parsed, list | tuple):
        return tuple(parsed)
    raise InvalidValue("a mapping of names to values, or a list of values")
