"""``EntityDefinitions``: what the tables are and which columns they have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow_mailchimp_export.sandbox.customer_insights.choices import TableType
from airflow_mailchimp_export.sandbox.customer_insights.organisation import Organisation
from airflow_mailchimp_export.sandbox.customer_insights.problems import (
    Problem,
    Refused,
    bad_query,
    no_resource,
    not_imitated,
)
from airflow_mailchimp_export.sandbox.customer_insights.queries import Request, read_options
from airflow_mailchimp_export.sandbox.customer_insights.replies import Reply, json_reply
from airflow_mailchimp_export.sandbox.customer_insights.tables import Column, Table

ROUTE = "GET EntityDefinitions"
_PATH = re.compile(r"EntityDefinitions(?:\(LogicalName='(?P<name>[^']*)'\))?(?:/(?P<part>\w+))?")
_BY_NAME = re.compile(r"LogicalName eq '([^']*)'")
_RELATIONSHIPS = ("ManyToOneRelationships", "OneToManyRelationships", "ManyToManyRelationships")


def is_metadata(path: str) -> bool:
    """Whether a path asks for the metadata."""
    return path.startswith("EntityDefinitions")


def read_metadata(organisation: Organisation, request: Request) -> Reply:
    """The answer to a call for the metadata.

    :raises Refused: there is no such table, or no such property of one.
    """
    found = _PATH.fullmatch(request.path)
    if not found:
        raise no_resource(request.path)
    options = read_options(request.query)
    name, part = found["name"], found["part"]
    if name is None:
        return _definitions(organisation, request, options)
    table = _table(organisation, name)
    if part is None:
        content = {"@odata.context": _context(request, "/$entity"), **_definition(organisation, table)}
        return json_reply(_select(content, options, "EntityMetadata"), ROUTE)
    if part == "Attributes":
        return _listing(
            request, [_attribute(table, one) for one in table.columns], options, "AttributeMetadata"
        )
    if part in _RELATIONSHIPS:
        return _listing(request, [], options, "RelationshipMetadataBase")
    raise no_resource(part)


def _definitions(organisation: Organisation, request: Request, options: Mapping[str, str]) -> Reply:
    tables = list(organisation.tables().values())
    if "$filter" in options:
        found = _BY_NAME.fullmatch(options["$filter"].strip())
        if not found:
            raise not_imitated("filters over EntityDefinitions other than LogicalName eq '...'")
        tables = [table for table in tables if table.logical_name == found[1]]
    return _listing(request, [_definition(organisation, one) for one in tables], options, "EntityMetadata")


def _listing(request: Request, rows: list[dict[str, Any]], options: Mapping[str, str], kind: str) -> Reply:
    value = [_select(row, options, kind) for row in rows]
    return json_reply({"@odata.context": _context(request, ""), "value": value}, ROUTE)


def _definition(organisation: Organisation, table: Table) -> dict[str, Any]:
    elastic = organisation.settings.table_type is TableType.ELASTIC
    return {
        "MetadataId": organisation.identifier(f"table {table.logical_name}"),
        "LogicalName": table.logical_name,
        "SchemaName": table.logical_name,
        "EntitySetName": table.entity_set,
        "LogicalCollectionName": table.entity_set,
        "PrimaryIdAttribute": table.primary_id,
        "PrimaryNameAttribute": table.primary_name,
        "TableType": "Elastic" if elastic else "Virtual",
        "OwnershipType": "UserOwned" if elastic else "OrganizationOwned",
        "ChangeTrackingEnabled": elastic,
        "IsCustomEntity": True,
    }


def _attribute(table: Table, column: Column) -> dict[str, Any]:
    name, kind = column.name, column.kind
    if name.startswith("_"):
        # Lookups are read as _name_value, and are attributes without that.
        name = name.removeprefix("_").removesuffix("_value")
    return {
        "@odata.type": f"#Microsoft.Dynamics.CRM.{kind}AttributeMetadata",
        "LogicalName": name,
        "SchemaName": name,
        "AttributeType": kind,
        "IsValidForRead": True,
        "IsPrimaryId": column.name == table.primary_id,
        "IsPrimaryName": column.name == table.primary_name,
    }


def _select(content: Mapping[str, Any], options: Mapping[str, str], kind: str) -> dict[str, Any]:
    if "$select" not in options:
        return dict(content)
    wanted = [name.strip() for name in options["$select"].split(",")]
    for name in wanted:
        if name not in content:
            raise bad_query(
                f"Could not find a property named '{name}' on type 'Microsoft.Dynamics.CRM.{kind}'."
            )
    kept = {"MetadataId", *wanted}
    return {name: value for name, value in content.items() if name.startswith("@") or name in kept}


def _table(organisation: Organisation, name: str) -> Table:
    for table in organisation.tables().values():
        if table.logical_name == name:
            return table
    message = (
        f"The entity with a name = '{name}' with namemapping = 'Logical' was not found in the MetadataCache."
    )
    raise Refused(Problem(404, "0x80041102", message))


def _context(request: Request, tail: str) -> str:
    return f"{request.root}/$metadata#EntityDefinitions{tail}"
