"""What the organisation says of its own tables: their names on the wire, and the types of their columns.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query-metadata-web-api
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from airflow_mailchimp_export.customer_insights.protocol import Refusal
from airflow_mailchimp_export.customer_insights.reader import Reader

T = TypeVar("T")

MEMBERSHIP: Final = "msdynci_segmentmembership"
PROFILE: Final = "msdynci_customerprofile"
CUSTOMER_ID: Final = "msdynci_customerid"
SEGMENTS: Final = "msdynci_segments"
"""Names of tables and columns: https://learn.microsoft.com/dynamics365/customer-insights/data/tables"""

_LOOKUPS: Final = frozenset({"Lookup", "Customer", "Owner"})
_CHOICES: Final = frozenset({"Picklist", "State", "Status"})
_NOT_READ: Final = frozenset({"Virtual", "EntityName", "ManagedProperty", "CalendarRules", "PartyList"})
"""Types of columns that no row has: they belong to another column, or are only there within Microsoft's own code."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column that rows have.

    :param name: its logical name.
    :param kind: Dataverse's word for its type.
    :param is_date: of a ``DateTime``, whether it is a day without a time.
    """

    name: str
    kind: str
    is_date: bool = False

    @property
    def wire(self) -> str:
        """Its name in requests and rows."""
        return f"_{self.name}_value" if self.kind in _LOOKUPS else self.name

    @property
    def has_labels(self) -> bool:
        """Whether its values are numbers that stand for labels."""
        return self.kind in _CHOICES


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the organisation.

    :param entity_set: its name in paths.
    :param kind: such as ``Elastic`` or ``Virtual``; empty where that is not told.
    :param columns: by their logical names.
    """

    name: str
    entity_set: str
    primary_id: str
    kind: str
    columns: Mapping[str, Column]

    def has(self, *names: str) -> list[str]:
        """Return those of some columns that there are."""
        return [name for name in names if name in self.columns]


def read_table(client: Reader, name: str) -> Table:
    """Look a table up.

    :raises Refusal: there is none, or it may not be looked at.
    """
    what = f"The definition of {name}"
    entity = client.get(
        f"EntityDefinitions(LogicalName='{name}')?$select=LogicalName,EntitySetName,PrimaryIdAttribute,TableType",
        _entity,
        what=what,
    )
    columns = client.get(
        f"EntityDefinitions(LogicalName='{name}')/Attributes?$select=LogicalName,AttributeType,IsValidForRead",
        _columns,
        what=what,
    )
    return Table(name, entity[0], entity[1], entity[2], columns)


def with_dates(client: Reader, table: Table, wanted: list[Column]) -> list[Column]:
    """Say of columns with moments which of them are days; where that is not told, none is."""
    if not any(column.kind == "DateTime" for column in wanted):
        return wanted
    try:
        days = client.get(
            f"EntityDefinitions(LogicalName='{table.name}')/Attributes/"
            "Microsoft.Dynamics.CRM.DateTimeAttributeMetadata?$select=LogicalName,Format,DateTimeBehavior",
            _days,
            what=f"The definition of {table.name}",
        )
    except Refusal:
        days = frozenset()
    return [Column(column.name, column.kind, is_date=column.name in days) for column in wanted]


def _entity(payload: Any) -> tuple[str, str, str]:
    return (
        _text(payload["EntitySetName"]),
        _text(payload["PrimaryIdAttribute"]),
        str(payload.get("TableType") or ""),
    )


def _columns(payload: Any) -> dict[str, Column]:
    return {
        name: Column(name, str(each.get("AttributeType") or ""))
        for each in payload["value"]
        if each.get("IsValidForRead") is not False
        and each.get("AttributeType") not in _NOT_READ
        and (name := _text(each["LogicalName"]))
    }


def _days(payload: Any) -> frozenset[str]:
    return frozenset(
        _text(each["LogicalName"])
        for each in payload["value"]
        if (each.get("DateTimeBehavior") or {}).get("Value") == "DateOnly"
    )


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.isidentifier():
        raise TypeError("no name")
    return value
