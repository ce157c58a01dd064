"""A query of a table: its options, its columns, and which rows it means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from airflow_mailchimp_export.sandbox.customer_insights.choices import User
from airflow_mailchimp_export.sandbox.customer_insights.filters import Condition, to_condition
from airflow_mailchimp_export.sandbox.customer_insights.organisation import Organisation
from airflow_mailchimp_export.sandbox.customer_insights.problems import (
    LINKED,
    SKIP,
    Refused,
    bad_query,
    no_property,
    not_imitated,
)
from airflow_mailchimp_export.sandbox.customer_insights.tables import Table, in_unit

_NOT_IMITATED = ("$orderby", "$apply", "$search", "$compute", "fetchXml", "savedQuery", "userQuery")


@dataclass(frozen=True, slots=True)
class Request:
    """A call as it arrived.

    :param root: what every link begins with: ``http://host/api/data/v9.2``.
    :param path: the part after that.
    """

    root: str
    path: str
    query: str
    headers: Mapping[str, str]

    @property
    def url(self) -> str:
        """What was called."""
        return f"{self.root}/{self.path}" + (f"?{self.query}" if self.query else "")


def read_options(query: str) -> dict[str, str]:
    """The options of a query, unquoted.

    :raises Refused: one is given twice, or Dataverse or the sandbox does not know it.
    """
    pairs = parse_qsl(query, keep_blank_values=True)
    options = dict(pairs)
    if len(options) < len(pairs):
        raise bad_query("A query option must be specified only once.")
    if "$skip" in options:
        raise Refused(SKIP)
    if "$expand" in options:
        raise Refused(LINKED)
    for name in _NOT_IMITATED:
        if name in options:
            raise not_imitated(name)
    return options


def to_columns(table: Table, select: str | None) -> dict[str, str]:
    """The properties of an answer with their SQL.

    :raises Refused: a column is selected that the table does not have.
    """
    wanted = [name.strip() for name in select.split(",")] if select else [one.name for one in table.columns]
    columns = {"@odata.etag": table.etag} if table.etag else {}
    for name in wanted:
        column = table.column(name)
        if column is None:
            raise no_property(name, table.logical_name)
        columns[name] = column.sql
    return columns | {one.name: one.sql for one in table.columns if one.unasked}


def to_rows_meant(organisation: Organisation, table: Table, options: Mapping[str, str]) -> Condition:
    """What holds for the rows that a query means, of those that its user may see."""
    text, seen = options.get("$filter"), visible(organisation, table)
    condition = to_condition(text, table, organisation.settings) if text is not None else Condition()
    return Condition(f"{seen} AND {condition.sql}", condition.values)


def visible(organisation: Organisation, table: Table) -> str:
    """What holds for the rows that the user may see."""
    limited = organisation.settings.user is User.BUSINESS_UNIT and table.source != "segment"
    return f"{table.condition} AND {in_unit(organisation.settings)}" if limited else table.condition
