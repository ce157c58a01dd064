"""The tables as the Web API shows them: their columns, and what SQL makes each of."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from airflow_mailchimp_export.sandbox.customer_insights.choices import TableType
from airflow_mailchimp_export.sandbox.customer_insights.settings import Settings

ROOT_UNIT = "38e0dbe4-131b-e111-ba7e-78e7d1620f5e"
OTHER_UNIT = "5d2f1c1a-7a44-4f0e-9d0c-0f6f4f6f2b11"
ROOT_OWNER = "4026be43-6b69-e111-8f65-78e7d1620f5e"
OTHER_OWNER = "9a3c1f0e-0f57-4f44-8f0a-3b1f6d1c8e22"
CREATED = "2026-01-01T00:00:00Z"
_DRAWN_FROM = 10_000
_KEY = "row_id::varchar"
_ETAG = (
    """'W/"' || left(row_id::varchar, 8) || '-0000-0200-0000-' || printf('%012x', version // 1000) || '"'"""
)
_FIRST_VERSION = 638_751_518_483_842_799

Attributes: TypeAlias = "dict[str, Attribute]"


@dataclass(frozen=True, slots=True)
class Attribute:
    """A column of the unified customer profile.

    :param source: its name in the file that was loaded, by which the rules of segments know it.
    :param name: its name in Customer Insights, and in exported files: ``FirstName``.
    :param kind: its type in SQL.
    """

    source: str
    name: str
    kind: str

    @property
    def wire(self) -> str:
        """Its name in Dataverse."""
        return f"msdynci_{self.name.lower()}"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    :param kind: the ``AttributeType`` of the metadata.
    :param sql: the value as it goes into JSON.
    :param unasked: answers hold it even if it was not selected.
    """

    name: str
    kind: str
    sql: str
    unasked: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the organisation.

    :param source: the table of the store.
    :param condition: what holds for the rows that are there.
    """

    entity_set: str
    logical_name: str
    primary_id: str
    primary_name: str
    source: str
    columns: tuple[Column, ...]
    condition: str = "true"
    etag: str | None = None

    def column(self, name: str) -> Column | None:
        """The column of this name."""
        return next((column for column in self.columns if column.name == name), None)


def to_attribute(source: str, kind: str) -> Attribute:
    """``first_name`` becomes ``FirstName``; the id of the source keeps the names of its source and table."""
    if source == "customer_id":
        return Attribute(source, "shop_customers_CustomerId", kind)
    return Attribute(source, "".join(part[:1].upper() + part[1:] for part in re.split(r"\W|_", source)), kind)


def to_tables(settings: Settings, attributes: Iterable[Attribute]) -> dict[str, Table]:
    """Every table by the name of its entity set."""
    tables = [memberships(settings), profiles(settings, attributes)]
    if settings.segment_metadata:
        tables.append(_segments(settings))
    return {table.entity_set: table for table in tables}


def memberships(settings: Settings) -> Table:
    """Who is in which segments."""
    columns = [
        Column("msdynci_segmentmembershipid", "Uniqueidentifier", _KEY, unasked=True),
        Column("msdynci_customerid", "String", "customer_id"),
        Column("msdynci_segments", "Memo", "segments"),
        Column("msdynci_identifier", "String", "identifier"),
    ]
    if settings.provider_column:
        columns.append(Column(settings.provider_column, "String", "provider"))
    if settings.type_column:
        columns.append(Column(settings.type_column, "String", "kind"))
    elastic = settings.table_type is TableType.ELASTIC
    return Table(
        "msdynci_segmentmemberships",
        "msdynci_segmentmembership",
        "msdynci_segmentmembershipid",
        "msdynci_identifier",
        "membership",
        (*columns, *(_elastic(settings) if elastic else ())),
        etag=_ETAG if elastic else None,
    )


def profiles(settings: Settings, attributes: Iterable[Attribute]) -> Table:
    """The unified profiles; whoever is not hydrated yet has none."""
    columns = [
        Column(
            "msdynci_customerprofileid",
            "Uniqueidentifier",
            _KEY,
            unasked=True,
        ),
        Column("msdynci_customerid", "String", "customer_id"),
        *map(_profile_column, attributes),
    ]
    elastic = settings.table_type is TableType.ELASTIC
    return Table(
        "msdynci_customerprofiles",
        "msdynci_customerprofile",
        "msdynci_customerprofileid",
        "msdynci_customerid",
        "profile",
        (*columns, *(_elastic(settings) if elastic else ())),
        condition=f"late >= {round(settings.unhydrated * _DRAWN_FROM)}" if settings.unhydrated else "true",
        etag=_ETAG if elastic else None,
    )


def in_unit(settings: Settings) -> str:
    """What holds for the rows of the smaller business unit."""
    return f"unit < {round(settings.unit_share * _DRAWN_FROM)}"


def _segments(settings: Settings) -> Table:
    columns = [
        Column("mscipriv_segmentmetadataid", "Uniqueidentifier", _KEY, unasked=True),
        Column("mscipriv_name", "String", "name"),
        Column("mscipriv_friendlyname", "String", "friendly_name"),
    ]
    if settings.count_column:
        columns.append(Column(settings.count_column, "Integer", "members"))
    return Table(
        "mscipriv_segmentmetadatas",
        "mscipriv_segmentmetadata",
        "mscipriv_segmentmetadataid",
        "mscipriv_name",
        "segment",
        tuple(columns),
        etag=_ETAG,
    )


def _elastic(settings: Settings) -> Iterable[Column]:
    """What every elastic table has."""
    smaller, unasked = in_unit(settings), settings.extra_columns
    return (
        Column("versionnumber", "BigInt", f"{_FIRST_VERSION} + version + position", unasked=unasked),
        Column("partitionid", "String", _KEY, unasked=unasked),
        Column("ttlinseconds", "Integer", "null::integer"),
        Column("createdon", "DateTime", f"'{CREATED}'"),
        Column("modifiedon", "DateTime", _moment("make_timestamp(version)")),
        Column("_ownerid_value", "Owner", f"if({smaller}, '{OTHER_OWNER}', '{ROOT_OWNER}')", unasked=unasked),
        Column(
            "_owningbusinessunit_value",
            "Lookup",
            f"if({smaller}, '{OTHER_UNIT}', '{ROOT_UNIT}')",
            unasked=unasked,
        ),
    )


def _profile_column(attribute: Attribute) -> Column:
    name = f'"{attribute.wire}"'
    match attribute.kind.partition("(")[0]:
        case "BOOLEAN":
            return Column(attribute.wire, "Boolean", name)
        case "DOUBLE" | "FLOAT" | "DECIMAL":
            return Column(attribute.wire, "Double", f"if(isfinite({name}::double), {name}::double, null)")
        case "TINYINT" | "SMALLINT" | "INTEGER" | "BIGINT":
            return Column(attribute.wire, "BigInt", name)
        case "DATE":
            return Column(attribute.wire, "DateTime", f"{name}::varchar")
        case kind if kind.startswith("TIMESTAMP"):
            return Column(attribute.wire, "DateTime", _moment(name))
    return Column(attribute.wire, "String", f"{name}::varchar")


def _moment(sql: str) -> str:
    return f"strftime({sql}, '%Y-%m-%dT%H:%M:%SZ')"
