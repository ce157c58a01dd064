"""The Web API: who calls, what is called, and what is answered."""

from __future__ import annotations

import re

from airflow_mailchimp_export.sandbox.customer_insights.choices import User
from airflow_mailchimp_export.sandbox.customer_insights.metadata import is_metadata, read_metadata
from airflow_mailchimp_export.sandbox.customer_insights.organisation import Organisation
from airflow_mailchimp_export.sandbox.customer_insights.pages import count_rows, read_page
from airflow_mailchimp_export.sandbox.customer_insights.principals import PRINCIPALS, read_principal, unit_of
from airflow_mailchimp_export.sandbox.customer_insights.problems import (
    NOT_A_MEMBER,
    Problem,
    Refused,
    no_privilege,
    no_resource,
    no_row,
)
from airflow_mailchimp_export.sandbox.customer_insights.queries import (
    Request,
    read_options,
    to_columns,
    visible,
)
from airflow_mailchimp_export.sandbox.customer_insights.replies import (
    Reply,
    json_reply,
    odata_headers,
    problem_reply,
)
from airflow_mailchimp_export.sandbox.customer_insights.tables import Table

_ONE = re.compile(r"(?P<set>\w+)\((?P<id>[0-9a-fA-F-]{36})\)")
FORBIDDEN_TABLES = {
    User.WITHOUT_MEMBERSHIPS: "msdynci_segmentmembership",
    User.WITHOUT_PROFILES: "msdynci_customerprofile",
}


def check_token(organisation: Organisation, authorization: str) -> Problem | None:
    """What is answered instead, unless the token is valid and its user known."""
    scheme, _, token = authorization.partition(" ")
    settings = organisation.settings
    if scheme.lower() != "bearer" or not organisation.accepts(token):
        authority = f"{organisation.url}/{settings.tenant_id}/oauth2/authorize"
        challenge = f"Bearer authorization_uri={authority}, resource_id={organisation.url}/"
        return Problem(401, "", "", {"WWW-Authenticate": challenge})
    if settings.user is User.UNKNOWN:
        return Problem(settings.unknown_user_status, "0x80072560", NOT_A_MEMBER)
    return None


def answer(organisation: Organisation, method: str, request: Request, *, again: bool = False) -> Reply:
    """The answer to a call by a user who is known.

    :param again: a page begins with the last row of the one before.
    """
    try:
        if method != "GET":
            raise Refused(Problem(405, "0x80060888", f"The sandbox is only read; it does not take {method}."))
        if len(request.url) > organisation.settings.url_limit:
            raise Refused(Problem(414, "0x0", "The request URI is too long."))
        return _answer(organisation, request, again=again)
    except Refused as refused:
        return problem_reply(refused.problem, f"GET {request.path.partition('(')[0].partition('/')[0]}")


def _answer(organisation: Organisation, request: Request, *, again: bool) -> Reply:
    path = request.path
    if path in {"WhoAmI", "WhoAmI()"}:
        return _who_am_i(organisation, request)
    if is_metadata(path):
        return read_metadata(organisation, request)
    if path == "":
        return _directory(organisation, request)
    if (one := _ONE.fullmatch(path)) and one["set"] in PRINCIPALS:
        return read_principal(organisation, request, one["set"], one["id"].lower())
    return _of_table(organisation, request, again=again)


def _of_table(organisation: Organisation, request: Request, *, again: bool) -> Reply:
    name, _, rest = request.path.partition("/")
    found = _ONE.fullmatch(name)
    table = organisation.tables().get(found["set"] if found else name)
    if table is None:
        raise no_resource(name.partition("(")[0])
    _check_privilege(organisation, table)
    if found and not rest:
        return _row(organisation, table, request, found["id"])
    if rest == "$count" and not found:
        return count_rows(organisation, table, request)
    if rest:
        raise no_resource(rest)
    return read_page(organisation, table, request, again=again)


def _check_privilege(organisation: Organisation, table: Table) -> None:
    if FORBIDDEN_TABLES.get(organisation.settings.user) == table.logical_name:
        user_id = organisation.identifier("user")
        raise no_privilege(user_id, f"prvRead{table.logical_name}", table.logical_name)


def _who_am_i(organisation: Organisation, request: Request) -> Reply:
    content = {
        "@odata.context": f"{request.root}/$metadata#Microsoft.Dynamics.CRM.WhoAmIResponse",
        "BusinessUnitId": unit_of(organisation),
        "UserId": organisation.identifier("user"),
        "OrganizationId": organisation.identifier("organisation"),
    }
    return json_reply(content, "GET WhoAmI")


def _directory(organisation: Organisation, request: Request) -> Reply:
    sets = ["EntityDefinitions", *organisation.tables()]
    value = [{"name": name, "kind": "EntitySet", "url": name} for name in sets]
    return json_reply({"@odata.context": f"{request.root}/$metadata", "value": value}, "GET /")


def _row(organisation: Organisation, table: Table, request: Request, key: str) -> Reply:
    columns = to_columns(table, read_options(request.query).get("$select"))
    primary = next(column.sql for column in table.columns if column.name == table.primary_id)
    condition = f"{visible(organisation, table)} AND {primary} = ?"
    rows = organisation.store.page(table, columns, condition, [key.lower()], 1)
    if not rows.count:
        raise no_row(table.logical_name, key)
    context = f'"@odata.context":"{request.root}/$metadata#{table.entity_set}/$entity"'
    body = f"{{{context},{rows.text[1:]}".encode()
    return Reply(200, body, headers=odata_headers(), route=f"GET {table.entity_set}(id)")
